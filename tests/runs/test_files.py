"""Files appear whole or not at all, and what is wrong with one is said in a sentence that names it."""

import errno
import os

import pytest
import torch

from darts_lab.runs import files


def test_a_file_is_replaced_whole_and_the_one_before_is_kept(tmp_path):
    path, before = tmp_path / "a", tmp_path / "before"
    files.write(path, b"old")
    files.write(path, b"new", kept=before)
    assert (path.read_bytes(), before.read_bytes()) == (b"new", b"old")
    assert set(tmp_path.iterdir()) == {path, before}


def test_a_write_that_fails_leaves_the_file_as_it_was_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "a"
    files.write(path, b"old")

    def full(_):
        assert files.leftovers(tmp_path, "a"), "the new one is being written beside it"
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device; finished epochs are kept"), files.writing(path):
        files.write(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_list_ends_with_its_last_whole_line(tmp_path):
    path = tmp_path / "list"
    assert files.lines(path) == []
    for number in range(3):
        files.append(path, {"number": number})
    path.write_bytes(path.read_bytes() + b'{"numb')  # the process died here
    assert [line["number"] for line in files.lines(path)] == [0, 1, 2]
    assert files.lines(path, most=1) == [{"number": 0}]
    path.write_bytes(b'{"number": 0}\n{"num\n')
    with pytest.raises(ValueError, match=r"^run: line 2 of '.*list' is damaged: "):
        files.lines(path)


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000, "\udcff"])
def test_what_is_no_object_is_said_to_be_damaged(text, tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=r"^path: '.*config\.json' is damaged: ") as told:
        files.object_in(path)
    assert "\n" not in str(told.value) and len(str(told.value)) < 500


def test_every_flipped_byte_of_a_checkpoint_is_noticed_or_does_not_matter(tmp_path):
    path, wanted = tmp_path / "a.pt", {"weights": torch.arange(7.0), "epoch": 3}
    torch.save(wanted, path)
    whole, noticed = path.read_bytes(), 0
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        try:
            found = files.read_tensors(path, torch.device("cpu"))
        except ValueError as error:
            assert str(error).startswith(f"checkpoint: '{path}' cannot be read: it is damaged") and "\n" not in str(
                error
            )
            noticed += 1
        else:
            assert found["epoch"] == 3 and torch.equal(found["weights"], wanted["weights"])
    assert noticed > 0


def test_an_error_of_others_becomes_one_line():
    assert files.in_a_line(ValueError("one\n  two\tthree"), 11) == "one two thr"


@pytest.mark.parametrize("path", [None, 3, [], {}])
def test_what_is_no_path_is_named(path):
    with pytest.raises(ValueError, match=r"^folder: .* is not allowed; it must be a path$"):
        files.path_of(path, "folder")


def test_a_lock_is_held_by_one_and_looking_makes_nothing(tmp_path):
    assert not files.held(tmp_path / "nowhere") and not (tmp_path / "nowhere").exists()
    lock = files.locked(tmp_path)
    assert files.held(tmp_path)
    lock.release()
    assert not files.held(tmp_path)
