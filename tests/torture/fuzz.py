"""Every parser of files that may come from strangers, fed with what nobody wrote.

A target takes bytes, and either reads them or refuses them with a ValueError (or FileNotFoundError) of one line; whatever
else happens is a fault. `test_fuzz.py` feeds each with a few dozen cases, `make torture` with thousands, and, where
atheris is installed (`pip install -e .[fuzz]`), `PYTHONPATH=tests python tests/torture/fuzz.py TARGET --runs 10000` is guided by coverage.
"""

import contextlib
import io
import json
import random
import shutil
import sys
import tempfile
import warnings
import zipfile
from argparse import Namespace
from functools import cache
from pathlib import Path

with contextlib.ExitStack() as stack:
    if __name__ == "__main__":
        import atheris

        stack.enter_context(atheris.instrument_imports(include=["darts_lab"]))
    import darts_lab as dl
    from darts_lab import cli, plan, runs
    from darts_lab.data import bathymetry, corpus, stereo
    from darts_lab.interop import official, quark0, robustdarts
    from darts_lab.runs import files
    from darts_lab.studies import job
    from darts_lab.studies import sweep as sweeps
    from darts_lab.studies.verify import plan_of

import numpy as np
import pandas as pd
import torch
from PIL import Image
from samples import SMALL, colours, quark0_log

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
def wrapped_checkpoint() -> bytes:
    """The same as DataParallel and the trainers of this field keep it: under other names, with alphas, in a dictionary."""
    buffer, alphas = io.BytesIO(), torch.zeros(dl.spaces.S5.shape)
    weights = {f"module._orig_mod.{name}": tensor for name, tensor in official.state_dict(supernet()).items()}
    torch.save({"epoch": 3, "state_dict": weights, "alphas_normal": alphas[0], "alphas_reduce": alphas[1]}, buffer)
    return buffer.getvalue()


def pickle_of(checkpoint: bytes) -> bytes:
    source = zipfile.ZipFile(io.BytesIO(checkpoint))
    return source.read(next(name for name in source.namelist() if name.endswith("data.pkl")))


def load_theirs(path: Path):
    official.load_state_dict(supernet(), official.read(path))


# A cell as others write it: with triples, nested by node, in a compact tuple.
FORMS = {
    "of FairDARTS": "11/03 07:19:27 PM FAIR = Genotype(normal=[('sep_conv_3x3', 2, 0), ('max_pool_3x3', 4, 0)], normal_concat=[2, 4], "
    "reduce=[('skip_connect', 2, 0), ('sep_conv_3x3', 3, 2)], reduce_concat=list(range(2, 4)),)  # 97 %",
    "nested": "Genotype(\n normal=[((\"skip_connect\", 0), ('sep_conv_3x3', 1, 0.3))], normal_concat=[2],\n"
    " reduce=[(('none', 0), ('noise', 1))], reduce_concat=(2,), connectN=None, connects=None)",
    "compact": "(((0, 3), (1, 2), ('sep_conv_3x3', 2), (1, 'noise')), ((0, 0), (1, 6)))",
}


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


def with_pickle(content: bytes, checkpoint: bytes) -> bytes:
    """A checkpoint that is whole, but whose pickle is `content`."""
    source, buffer = zipfile.ZipFile(io.BytesIO(checkpoint)), io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for entry in source.infolist():
            inside = content if entry.filename.endswith("data.pkl") else source.read(entry)
            archive.writestr(entry.filename, inside)
    return buffer.getvalue()


def checkpoint_of_run() -> bytes:
    return (run() / "checkpoint.pt").read_bytes()


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
    **{
        f"genotype, {name}": (
            lambda content, where: dl.Genotype.parse(text_of(content)),
            lambda text=text: text.encode(),
        )
        for name, text in FORMS.items()
    },
    "genotype as JSON": (
        lambda content, where: dl.Genotype.from_json(files.from_json(content)),
        lambda: json.dumps(dl.uniform_genotype(dl.spaces.S2, "skip_connect").to_json()).encode(),
    ),
    "config.json": (beside(run, "config.json", runs.read), lambda: (run() / "config.json").read_bytes()),
    "history.jsonl": (beside(run, "history.jsonl", runs.read), lambda: (run() / "history.jsonl").read_bytes()),
    "costs.jsonl": (beside(run, "costs.jsonl", runs.read), lambda: (run() / "costs.jsonl").read_bytes()),
    "checkpoint": (in_file("a.pt", tensors), checkpoint_of_run),
    "checkpoint, its pickle": (
        lambda content, where: in_file("a.pt", tensors)(with_pickle(content, checkpoint_of_run()), where),
        lambda: pickle_of(checkpoint_of_run()),
    ),
    "official checkpoint": (in_file("b.pt", load_theirs), checkpoint_of_theirs),
    "official checkpoint, wrapped": (in_file("b.pt", load_theirs), wrapped_checkpoint),
    "official checkpoint, its pickle": (
        lambda content, where: in_file("b.pt", load_theirs)(with_pickle(content, wrapped_checkpoint()), where),
        lambda: pickle_of(wrapped_checkpoint()),
    ),
    **{
        f"RobustDARTS, {name}": (
            beside(logs, f"s2/cifar10/0.0_0.0003-1/{name}", robustdarts.read_robustdarts),
            lambda name=name: (logs() / "s2/cifar10/0.0_0.0003-1" / name).read_bytes(),
        )
        for name in ("log_1.txt", "errors_1.json", "derivatives_1.json")
    },
    "quark0, log.txt": (
        in_file("log.txt", quark0.read_logs),
        lambda: quark0_log(2, space=dl.spaces.S2.with_nodes(1))[0].replace("seed=2", "seed=2, space='s2'").encode(),
    ),
    "PFM": (in_file("a.pfm", stereo.read_pfm), lambda: b"Pf\n4 3\n-1.0\n" + bytes(48)),
    "PNG": (in_file("a.png", stereo.read_sintel), picture),
    "npy": (in_file("a.npy", bathymetry.read_patch), patch),
    "soundings CSV": (in_file("a.csv", soundings), lambda: b",depth,z,max_energy\n0.npy,0.5,1,1.0\n0.npy,1.5,2,1.0\n"),
    "corpus": (lambda content, where: corpus.from_text(*[text_of(content)] * 3), lambda: b"A cat sat.\n\nIt's 3 mats!"),
    "corpus, prepared": (
        lambda content, where: corpus.from_text(*[text_of(content)] * 3),
        lambda: b" = A cat = \n \n it 's <unk> @-@ N \n",
    ),
    "Penn Treebank": (in_file("ptb.train.txt", penn), lambda: b" a cat sat \n on N <unk> \n"),
    "table of a sweep": (in_file("t.csv", table), rows),
    "row.json of a sweep": (in_file("r.json", of_sweep), lambda: json.dumps({"error": None, "seed": 1}).encode()),
    "--set": (lambda content, where: cli._settings(Namespace(set=[text_of(content)])), lambda: b"epochs=3"),
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


def changed(sample: bytes, dice: random.Random) -> bytes:
    """What `sample` becomes after a few changes; now and then anything."""
    if dice.randrange(10) == 0:
        return dice.randbytes(dice.randrange(200))
    content = sample
    for _ in range(dice.choice([1, 1, 1, 2, 3, 5])):
        at, length = dice.randint(0, len(content)), dice.randint(1, 60)
        new = dice.choice(NASTY) if dice.random() < 0.5 else dice.randbytes(dice.randint(1, 4))
        kinds = {
            "put": content[:at] + new + content[at + len(new) :],
            "insert": content[:at] + new + content[at:],
            "cut": content[:at],
            "leave out": content[:at] + content[at + length :],
            "twice": content[: at + length] + content[at:],
        }
        content = kinds[
            dice.choice(["put", "put", "insert", "insert", "cut", "leave out", "leave out", "twice", "twice"])
        ]
    return content


def fed(name: str, cases: int, where: Path, number: int = 0) -> dict[str, int]:
    """How often a target read and refused what it was fed with. Raises AssertionError, with the bytes, for a fault."""
    found, sample, dice = {"read": 0, "refused": 0}, TARGETS[name][1](), random.Random(f"{name} {number}")
    assert one(name, sample, where) == "read"
    for _ in range(cases):
        content = changed(sample, dice)
        try:
            found[one(name, content, where)] += 1
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}"[:300] + f", of {content!r}"[:2000]) from error
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
