"""A quick part of the torture: what `make torture` does many times is done a few times here, and what needs no number."""

import os
import random
import shutil
import signal
import struct
import warnings
import zipfile
from argparse import Namespace

import pytest
import torch
import torture
from samples import same

import darts_lab as dl
from darts_lab import cli, runs
from darts_lab.runs import files
from darts_lab.studies.verify import plan_of

CASES = torture.cases()
DARTS = CASES["DARTS, order 1"]
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of DARTS, which nobody writes into."""
    path = tmp_path_factory.mktemp("torture") / "run"
    for _ in DARTS.on(path):
        pass
    return path


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


# --- Killed -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["DARTS-ADA, order 2", "CRB, order 1", "language, order 2", "RS-ws", "evaluate"])
def test_what_is_killed_amid_an_act_on_the_disk_goes_on_to_the_same_bits(name, tmp_path):
    row = torture.kills(CASES[name], 2, 0, random.Random(name), tmp_path)
    assert row["tried"] == row["ended well"] == 2 and row["lost"] == 0, row


def test_torture_sees_what_is_lost(tmp_path, monkeypatch):
    """Were a checkpoint to appear before its lines, or the files of a run to differ, the rows would say so."""
    monkeypatch.setattr(files, "append", lambda path, line: None)
    with pytest.raises((AssertionError, FileNotFoundError)):
        torture.kills(DARTS, 1, 0, random.Random(0), tmp_path)


def test_a_process_that_dies_before_its_config_leaves_a_directory_that_can_be_begun_in(tmp_path):
    """Else a sweep would fail there for ever."""
    reached = []

    def tick():
        reached.append(None)
        if len(reached) == 3:
            torture.die()

    def work(_):
        with torture.acts(tick):
            next(DARTS.on(tmp_path / "run"))

    assert torture.ended(*torture.child(work))[0] == -signal.SIGKILL
    left = {file.name for file in (tmp_path / "run").iterdir()}
    assert "lock" in left and len(left) == 2 and "config.json" not in left, "a temporary file was left behind"
    next(DARTS.on(tmp_path / "run"))
    assert not [name for name in os.listdir(tmp_path / "run") if name.startswith(".")], "and is swept up"


# --- Broken files -----------------------------------------------------------------------------


@pytest.mark.parametrize("change", [torture.truncated, torture.flipped, torture.zeroed])
@pytest.mark.parametrize("name", ["checkpoint.pt", "history.jsonl", "config.json"])
def test_a_broken_file_is_refused_or_the_state_before_is_used_and_said_to_be(name, change, run, tmp_path):
    shutil.copy(run / "previous.pt", tmp_path / "before.pt")
    row = torture.breakages(DARTS, name, change, 12, random.Random(name), tmp_path)
    assert row["tried"] == row["ended well"] == 12 and row["lost"] == 0, row
    assert row["said"] > 0, row


def test_pytorch_alone_does_not_notice_a_flipped_bit(run):
    content = bytearray((run / "checkpoint.pt").read_bytes())
    with zipfile.ZipFile(run / "checkpoint.pt") as parts:
        largest = max(parts.infolist(), key=lambda part: part.file_size)
        content[content.index(parts.read(largest)) + largest.file_size // 2] ^= 1
    (run / "checkpoint.pt").write_bytes(bytes(content))
    torch.load(run / "checkpoint.pt", weights_only=True)
    with pytest.raises(files.Damaged, match="cannot be read: it is damaged"):
        files.read_tensors(run / "checkpoint.pt", torch.device("cpu"))


def test_a_damaged_checkpoint_gives_way_to_the_one_before_and_the_run_ends_as_ever(run, finished):
    content = (run / "checkpoint.pt").read_bytes()
    (run / "checkpoint.pt").write_bytes(content[:-1000])
    with pytest.warns(UserWarning, match="checkpoint.pt' cannot be read: it is damaged .*; the one before it is used"):
        search = DARTS.on(run)
    assert search.epoch == len(search.history) == 3
    good = (run / "previous.pt").read_bytes()
    assert [record.epoch for record in search] == [3]
    assert not torture.differences(run, finished)
    assert (run / "previous.pt").read_bytes() == good, "what was damaged is not worth keeping"


def test_files_of_two_runs_do_not_mix(run, finished, tmp_path):
    other = tmp_path / "other"
    for _ in torture.image("DARTS", 1, seed=1).on(other):
        pass
    for name in ("checkpoint.pt", "history.jsonl", "config.json"):
        shutil.copy(other / name, run / name)
        with pytest.raises(ValueError, match="is damaged, or it and the checkpoint are of different runs"):
            DARTS.on(run)
        shutil.copy(finished / name, run / name)
    assert DARTS.on(run).finished


# --- Disks ------------------------------------------------------------------------------------


@pytest.fixture
def disk():
    try:
        with torture.disk("300k") as path:
            yield path
    except PermissionError as error:
        pytest.skip(str(error))


def test_a_full_disk_is_said_to_be_full_and_the_run_goes_on_when_there_is_room(disk, finished):
    with pytest.raises(
        OSError, match=r"path: '.*run' cannot be written: No space left on device; finished epochs are kept"
    ):
        for _ in DARTS.on(disk / "run"):
            pass
    assert not [name for name in os.listdir(disk / "run") if name.startswith(".")], "no half-written file is left"
    torture.remount(disk, "size=16m")
    for _ in DARTS.on(disk / "run"):
        pass
    assert not torture.differences(disk / "run", finished)


def test_a_run_on_a_disk_that_cannot_be_written_can_be_read_and_says_why_it_cannot_go_on(disk, capsys):
    torture.remount(disk, "size=16m")
    next(DARTS.on(disk / "run"))
    before = {file.name: file.read_bytes() for file in (disk / "run").iterdir()}
    torture.remount(disk, "ro")
    assert len(runs.read(disk / "run").history) == 1
    search = DARTS.on(disk / "run")
    assert search.epoch == 1
    for call in (search.step, DARTS.on(disk / "new").step, torture.CASE_OF_TRAINING.on(disk / "new").step):
        with pytest.raises(OSError, match="cannot be written: Read-only file system") as error:
            call()
        assert "\n" not in str(error.value)
    assert {file.name: file.read_bytes() for file in (disk / "run").iterdir()} == before
    status = cli.main(["search", "--scale", "tiny", "--path", str(disk / "new")])
    errors = capsys.readouterr().err.splitlines()
    assert status == 2 and len(errors) == 1 and "Read-only file system" in errors[0]


# --- One at a time ----------------------------------------------------------------------------


def test_a_run_in_which_another_process_computes_is_left_alone(tmp_path):
    path = tmp_path / "run"
    waiting, go = os.pipe()

    def work(tell):
        search = DARTS.on(path)
        next(search)
        search.step()
        tell()
        os.read(waiting, 1)  # until it is killed

    process, reading = torture.child(work)
    assert os.read(reading, 1) == b"."
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    assert files.held(path)
    search = DARTS.on(path)
    assert search.epoch == 1, "to look at it is allowed"
    for _ in range(2):
        with pytest.raises(
            ValueError, match="^path: the run '.*run' is in use by another process; wait for it, or end it$"
        ):
            search.step()
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before
    os.kill(process, signal.SIGKILL)
    torture.ended(process, reading)
    os.close(waiting), os.close(go)
    assert not files.held(path) and len(list(search)) == 3


def test_a_run_is_free_again_when_its_search_is_finished_gone_or_has_failed(tmp_path):
    search = DARTS.on(tmp_path / "a")
    next(search)
    assert files.held(tmp_path / "a")
    list(search)
    assert search.finished and not files.held(tmp_path / "a")
    search = DARTS.on(tmp_path / "b")
    next(search)
    del search
    assert not files.held(tmp_path / "b")
    search = DARTS.on(tmp_path / "c")
    search.step()
    search.task.loss = None
    with pytest.raises(TypeError):
        next(search)
    assert not files.held(tmp_path / "c")


def test_in_one_process_the_search_that_wrote_last_goes_on_and_an_older_one_writes_no_more(tmp_path, finished):
    older = DARTS.on(tmp_path / "run")
    next(older)
    newer, waiting = DARTS.on(tmp_path / "run"), DARTS.on(tmp_path / "run")
    next(newer)
    for stale in (older, waiting):
        with pytest.raises(ValueError, match="run: '.*run' has gone on since it was read here; resume it again"):
            next(stale)
    assert [record.epoch for record in newer] == [2, 3]
    assert not torture.differences(tmp_path / "run", finished)


# --- Strangers --------------------------------------------------------------------------------


class Owned:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("name", ["checkpoint.pt", "previous.pt"])
def test_code_in_a_file_of_a_run_is_not_run_even_where_it_is_a_fallback(name, run, tmp_path):
    state = torch.load(run / name, weights_only=True)
    torch.save(state | {"more": Owned(tmp_path / "owned")}, run / name)
    if name == "previous.pt":
        (run / "checkpoint.pt").write_bytes(b"")
    with pytest.raises(ValueError, match="cannot be read: .* or holds more than tensors"):
        DARTS.on(run)
    with pytest.raises(ValueError, match="cannot be read: .* or holds more than tensors"):
        dl.official.read(run / name)
    assert not (tmp_path / "owned").exists()


def claiming(path, size):
    """A PNG, PFM, npy and checkpoint of a few bytes whose headers claim so many."""
    side = int(size**0.5)
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zipfile.crc32(kind + body))
        for kind, body in ((b"IHDR", header), (b"IDAT", b"x"), (b"IEND", b""))
    )
    (path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    (path / "a.pfm").write_bytes(b"Pf\n%d %d\n-1.0\n" % (side, side) + bytes(16))
    shape = f"({side}, {side}, 4)"
    fields = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    (path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(fields)) + fields.encode() + bytes(64))
    with zipfile.ZipFile(path / "a.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**8))  # a hundred kilobytes that unfold to a hundred megabytes
    with zipfile.ZipFile(path / "b.pt", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
    content = (path / "b.pt").read_bytes()
    (path / "b.pt").write_bytes(content.replace(struct.pack("<II", 4, 4), struct.pack("<II", 2**32 - 2, 2**32 - 2)))


def test_a_header_that_claims_gigabytes_is_not_believed(tmp_path):
    import tracemalloc

    claiming(tmp_path, 10**10)
    readers = {
        "a.png": dl.stereo.read_image, "a.pfm": dl.stereo.read_pfm, "a.npy": dl.bathymetry.read_patch,
        "a.pt": dl.official.read, "b.pt": dl.official.read,
    }  # fmt: skip
    tracemalloc.start()
    for name, read in readers.items():
        with pytest.raises(ValueError, match=name) as error:
            read(tmp_path / name)
        assert "\n" not in str(error.value)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 20e6


def test_a_table_that_leads_out_of_its_folder_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    torch_file = tmp_path / "secret.npy"
    torch_file.write_bytes(b"")
    for name in ("../secret.npy", str(torch_file), "/dev/zero", "a/../../secret.npy"):
        (tmp_path / "in" / "t.csv").write_text(f"path,depth\n{name},1.0\n")
        with pytest.raises(ValueError, match="t.csv': '.*' leads out of its folder"):
            dl.bathymetry.read_csv(tmp_path / "in" / "t.csv")


def test_deeply_nested_json_is_refused_wherever_it_is_read(run, tmp_path):
    nested = "[" * 100_000
    (run / "history.jsonl").write_text(nested + "\n")
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "row.json").write_text(nested)
    calls = (
        lambda: runs.read(run),
        lambda: dl.sweeps.read(tmp_path),
        lambda: cli._settings(Namespace(set=[f"epochs={nested}"])),
        lambda: plan_of(dict.fromkeys(dl.sweeps.COLUMNS, "x") | {"seed": 0, "settings": nested}),
    )
    for call in calls:
        with pytest.raises(ValueError) as error:
            call()
        assert len(str(error.value)) < 500 and "\n" not in str(error.value)


def test_a_run_of_the_first_days_without_sums_of_its_own_goes_on(run, finished):
    for name in ("checkpoint.pt", "previous.pt"):
        state = torch.load(run / name, weights_only=True)
        state.pop("of")
        torch.save(state, run / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        search = DARTS.on(run)
    assert search.finished and same(search.alpha.detach(), DARTS.on(finished).alpha.detach())
