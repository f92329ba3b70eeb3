"""Every parser of files that may come from strangers, fed with what nobody wrote.

A target takes bytes, and either reads them or refuses them with a ValueError (or FileNotFoundError) of one line; whatever
else happens is a fault. `test_fuzz.py` feeds each with a few dozen cases, `make torture` with thousands, and, where
atheris is installed (`pip install -e .[fuzz]`), `PYTHONPATH=tests python tests/torture/fuzz.py TARGET --runs 10000` is guided by coverage.
"""

import contextlib
import io
import json
import shutil
import sys
import tempfile
import warnings
import zipfile
from functools import cache
from pathlib import Path

with contextlib.ExitStack() as stack:
    if __name__ == "__main__":
        import atheris

        stack.enter_context(atheris.instrument_imports(include=["darts_lab"]))
    import darts_lab as dl
    from darts_lab import cli, plan, runs
    from darts_lab.data import bathymetry, corpus, stereo
    from darts_lab.interop import official, robustdarts
    from darts_lab.runs import files
    from darts_lab.studies import job
    from darts_lab.studies import sweep as sweeps
    from darts_lab.studies.verify import plan_of

import numpy as np
import pandas as pd
import torch
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from PIL import Image
from samples import SMALL, colours

NASTY = [b"NaN", b"-Infinity", b"1e999", b"9" * 30, b"[" * 3000, b'{"a":' * 3000, b"\x00", b"\xff\xfe", b"\r\n", b"..",
         b"null", b"true", b'"', b"'", b"\\", b"()", b"range(0, 999)", b"__import__('os')", b"-1", b"0", b"1.5", b",", b"\n",
         b"/dev/zero", b"../../x"]  # fmt: skip


# ---------------------------------------------------------------- what is read


@cache
def run() -> Path:
    """A finished run of two epochs."""
    path = Path(tempfile.mkdtemp(prefix="fuzz")) / "run"
    for _ in dl.Search("S2", colours(), scale=SMALL, path=path, layers=1):
        pass
    return path


@cache
def logs() -> Path:
    """A folder as the published logs of Zela et al., of two epochs."""
    root = Path(tempfile.mkdtemp(prefix="fuzz"))
    folder = root / "s2" / "cifar10" / "0.0_0.0003-1"
    folder.mkdir(parents=True)
    genotype = str(dl.uniform_genotype(dl.spaces.S2, "skip_connect"))
    lines = []
    for epoch in range(2):
        when = f"2019-05-0{epoch + 1} 10:00:00,123"
        lines += [f"{when} epoch {epoch} lr 2.5e-02", f"{when} train_acc 50.0", f"{when} valid_acc 40.0"]
        lines += [f"{when} genotype = {genotype}"]
    (folder / "log_1.txt").write_text("\n".join(lines) + "\n")
    (folder / "errors_1.json").write_text(json.dumps({"train_loss": [1.0, 0.5], "valid_loss": [1.5, 1.0]}))
    (folder / "derivatives_1.json").write_text(json.dumps({"epoch": 0, "H": [[1.0, 0.0], [0.0, 2.0]]}) + "\n")
    return root


@cache
def checkpoint_of_theirs() -> bytes:
    buffer = io.BytesIO()
    torch.save(official.state_dict(supernet()), buffer)
    return buffer.getvalue()


@cache
def supernet():
    return dl.Supernet(dl.spaces.S5, channels=2, layers=1, classes=2)


def beside(folder: Path, name: str, make):
    """Reads a copy of `folder` in which file `name` holds the bytes."""

    def target(content: bytes, where: Path):
        copy = where / folder().name
        if not copy.exists():
            shutil.copytree(folder(), copy)
        file = copy / name
        kept = file.read_bytes()
        file.write_bytes(content)
        try:
            return make(copy)
        finally:
            file.write_bytes(kept)

    return target


def in_file(name: str, read):
    def target(content: bytes, where: Path):
        (where / name).write_bytes(content)
        return read(where / name)

    return target


def text_of(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def with_pickle(content: bytes) -> bytes:
    """A checkpoint that is whole, but whose pickle is `content`."""
    source, buffer = zipfile.ZipFile(run() / "checkpoint.pt"), io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for entry in source.infolist():
            inside = content if entry.filename.endswith("data.pkl") else source.read(entry)
            archive.writestr(entry.filename, inside)
    return buffer.getvalue()


def pickle_of_run() -> bytes:
    source = zipfile.ZipFile(run() / "checkpoint.pt")
    return source.read(next(name for name in source.namelist() if name.endswith("data.pkl")))


def tensors(path: Path):
    return files.read_tensors(path, torch.device("cpu"))


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)).save(buffer, "PNG")
    return buffer.getvalue()


def patch() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ones((4, 4, 4), np.float32))
    return buffer.getvalue()


def soundings(path: Path):
    np.save(path.with_name("0.npy"), np.ones((4, 4, 4), np.float32))
    return bathymetry.read_csv(path)


def penn(path: Path):
    for split in ("valid", "test"):
        path.with_name(f"ptb.{split}.txt").write_text("a cat sat")
    return corpus.ptb(path.parent)


def table(path: Path):
    try:
        rows = pd.read_csv(path)
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError("no table") from error
    return [plan_of(row) for row in rows.to_dict("records")]


@cache
def rows() -> bytes:
    row = job._row(plan.of_job({"scale": "tiny", "epochs": 2}), 1) | {
        "genotype": str(dl.uniform_genotype(dl.spaces.S2, "skip_connect"))
    }
    return pd.DataFrame([row]).to_csv(index=False).encode()


def of_sweep(path: Path):
    folder = path.parent / "sweep" / "job"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.move(path, folder / "row.json")
    return sweeps.read(folder.parent)


# name: (what reads the bytes in a folder, bytes that it reads)
TARGETS = {
    "genotype": (
        lambda content, where: dl.Genotype.parse(text_of(content)),
        lambda: str(dl.uniform_genotype(dl.spaces.S2, "skip_connect")).encode(),
    ),
    "genotype as JSON": (
        lambda content, where: dl.Genotype.from_json(files.from_json(content)),
        lambda: json.dumps(dl.uniform_genotype(dl.spaces.S2, "skip_connect").to_json()).encode(),
    ),
    "config.json": (beside(run, "config.json", runs.read), lambda: (run() / "config.json").read_bytes()),
    "history.jsonl": (beside(run, "history.jsonl", runs.read), lambda: (run() / "history.jsonl").read_bytes()),
    "costs.jsonl": (beside(run, "costs.jsonl", runs.read), lambda: (run() / "costs.jsonl").read_bytes()),
    "checkpoint": (in_file("a.pt", tensors), lambda: (run() / "checkpoint.pt").read_bytes()),
    "checkpoint, its pickle": (
        lambda content, where: in_file("a.pt", tensors)(with_pickle(content), where),
        pickle_of_run,
    ),
    "official checkpoint": (
        in_file("b.pt", lambda path: official.load_state_dict(supernet(), official.read(path))),
        checkpoint_of_theirs,
    ),
    **{
        f"RobustDARTS, {name}": (
            beside(logs, f"s2/cifar10/0.0_0.0003-1/{name}", robustdarts.read_robustdarts),
            lambda name=name: (logs() / "s2/cifar10/0.0_0.0003-1" / name).read_bytes(),
        )
        for name in ("log_1.txt", "errors_1.json", "derivatives_1.json")
    },
    "PFM": (in_file("a.pfm", stereo.read_pfm), lambda: b"Pf\n4 3\n-1.0\n" + bytes(48)),
    "PNG": (in_file("a.png", stereo.read_sintel), picture),
    "npy": (in_file("a.npy", bathymetry.read_patch), patch),
    "soundings CSV": (in_file("a.csv", soundings), lambda: b",depth,z,max_energy\n0.npy,0.5,1,1.0\n0.npy,1.5,2,1.0\n"),
    "corpus": (lambda content, where: corpus.from_text(*[text_of(content)] * 3), lambda: b"A cat sat.\n\nIt's 3 mats!"),
    "Penn Treebank": (in_file("ptb.train.txt", penn), lambda: b" a cat sat \n on N <unk> \n"),
    "table of a sweep": (in_file("t.csv", table), rows),
    "row.json of a sweep": (in_file("r.json", of_sweep), lambda: json.dumps({"error": None, "seed": 1}).encode()),
    "--set": (lambda content, where: cli._settings([text_of(content)]), lambda: b"epochs=3"),
}


def one(name: str, content: bytes, where: Path) -> str:
    """Feeds a target: "read" or "refused". Raises AssertionError for a refusal that is not one clear line, and
    whatever else it stumbles over."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            TARGETS[name][0](content, where)
        except (ValueError, FileNotFoundError) as error:
            words = str(error)
            assert words and "\n" not in words and len(words) < 1000, f"unclear: {words[:300]!r}"
            return "refused"
    return "read"


# ---------------------------------------------------------------- what it is fed with


@st.composite
def contents(draw, sample: bytes) -> bytes:
    """What `sample` becomes after a few changes; now and then anything."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    content = sample
    piece = st.sampled_from(NASTY) | st.binary(min_size=1, max_size=4)
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(content)))
        kind = draw(st.sampled_from(["put", "insert", "cut", "leave out", "twice"]))
        length = draw(st.integers(1, 60))
        new = draw(piece) if kind in ("put", "insert") else b""
        if kind == "put":
            content = content[:at] + new + content[at + len(new) :]
        elif kind == "insert":
            content = content[:at] + new + content[at:]
        elif kind == "cut":
            content = content[:at] if draw(st.booleans()) else content
        elif kind == "leave out":
            content = content[:at] + content[at + length :]
        else:
            content = content[: at + length] + content[at:]
    return content


def fed(name: str, cases: int, where: Path, number: int = 0) -> dict[str, int]:
    """How often a target read and refused what hypothesis fed it with. Raises what it should not have raised."""
    found = {"read": 0, "refused": 0}
    sample = TARGETS[name][1]()
    assert one(name, sample, where) == "read"

    @seed(number)
    @settings(max_examples=cases, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(contents(sample))
    def feed(content):
        found[one(name, content, where)] += 1

    feed()
    return found


def tortured(name: str, cases: int, number: int, where: Path) -> dict:
    """`fed` as a row of the table of torture."""
    try:
        found = fed(name, cases, where, number)
    except BaseException as error:
        words = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        return {"tried": cases, "lost": 1, "found": words}
    tried = sum(found.values())
    return {"tried": tried, "ended well": tried, "said": found["refused"], "found": f"{found['read']} read"}


if __name__ == "__main__":
    name, options = sys.argv[1], sys.argv[2:]
    where = Path(tempfile.mkdtemp(prefix="fuzz"))
    (where / "corpus").mkdir()
    (where / "corpus" / "sample").write_bytes(TARGETS[name][1]())
    (where / "work").mkdir()
    atheris.Setup([sys.argv[0], str(where / "corpus"), *options], lambda content: one(name, content, where / "work"))
    atheris.Fuzz()
