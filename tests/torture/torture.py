"""Torture, the long part: processes killed at any moment, files broken in any place, disks full. `make torture`.

    PYTHONPATH=tests python tests/torture/torture.py [--count 50] [--only kill] [--go-on] [--seed 0]

writes every row that it finishes into torture.csv and, from that, the table in README.md beside it. Children are
forked from this process, which has imported everything and computes nothing itself; every comparison is of bytes, or of
tensors bit for bit, with a run that nobody disturbed.
"""

import argparse
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import torch
from samples import SMALL, colours, same

import darts_lab as dl
from darts_lab import ranks
from darts_lab.methods.monitors import Adaptation, EarlyStopping, Rule
from darts_lab.runs import files
from darts_lab.search.training import Training
from darts_lab.studies.job import COSTS

HERE = Path(__file__).parent
COLUMNS = ["what", "case", "tried", "ended well", "said", "lost", "found"]
EARLY = Rule(window=1, delta=1, factor=1.000001, start=0)

DATA = colours()
TEXT = dl.corpus.from_text("the cat sat on the mat . " * 40, "a cat and a mat . " * 30, "the mat . " * 30)
RECURRENT = "Genotype(recurrent=[('tanh', 0), ('relu', 1), ('identity', 0)], concat=range(1, 4))"


# ---------------------------------------------------------------- what is tortured


class Case:
    """A search or a training that can be begun in a directory, and gone on with."""

    def __init__(self, kind, *arguments, expects=None, **settings):
        self.kind, self.arguments, self.settings = kind, arguments, settings
        self.expects = expects  # of the finished search: what makes the case what it is called

    def on(self, path: Path):
        """The search in `path`, begun there or gone on with."""
        if (path / "config.json").exists():
            more = {"method": self.settings["method"]} if "method" in self.settings else {}
            return self.kind.resume(path, data=self.arguments[1], **more)
        return self.kind(*self.arguments, path=path, **self.settings)


def image(method, order=None, expects=None, **more):
    settings = {"epochs": 4, "layers": 2, "drop_path": 0.2, "curvature_every": 1} | (
        {} if order is None else {"order": order}
    )
    return Case(dl.Search, "S2", DATA, method=method, scale=SMALL, expects=expects, **(settings | more))


def language(order):
    more = {"train_samples": None, "valid_samples": None, "batch_size": 4, "valid_streams": 4, "test_streams": 4}
    return Case(dl.Search, "RNN-S", TEXT, method="DARTS", scale="tiny", order=order, epochs=3, **more)


def pruned(search):
    return not search.descent.alive.all()


def cases() -> dict[str, Case]:
    """Every family of methods, of first and of second order where it has one, two more tasks, and trainings."""
    ada = dl.Method("ADA", {"weight_decay": 3e-4}, monitor=Adaptation(EARLY))
    es = dl.Method("ES", monitor=EarlyStopping(Rule(window=1, delta=1, factor=1.000001, start=1)))
    prune = {"alpha_learning_rate": 0.1, "expects": pruned}
    found = {}
    for order in (1, 2):
        found |= {
            f"{name}, order {order}": image(method, order, **more)
            for name, method, more in (
                ("DARTS", "DARTS", {}),
                ("R-DARTS(L2)", "R-DARTS(L2)", {}),
                ("R-DARTS(DP)", "R-DARTS(DP)", {"cutout": 2, "drop_path": 0.6}),
                ("DARTS-ES", es, {"epochs": 6, "alpha_learning_rate": 0.05, "expects": stopped}),
                ("DARTS-ADA", ada, {"epochs": 6, "alpha_learning_rate": 0.05, "expects": thrown_back}),
                ("DARTS-PRIME", "DARTS-PRIME", {}),
                ("PRIME(random)", "PRIME(random)", {}),
                ("PRIME(ADMM)", "PRIME(ADMM)", {}),
                ("CRB", "CRB", prune),
                ("CRB+PRIME", "CRB+PRIME", prune | {"alpha_learning_rate": 0.5}),
            )
        }
        found[f"language, order {order}"] = language(order)
    found["RS-ws"] = image("RS-ws")
    cell = str(dl.uniform_genotype(dl.spaces.S2.with_nodes(2), "sep_conv_3x3"))
    found["evaluate"] = Case(Training, cell, DATA, scale=SMALL, epochs=4, layers=2, drop_path=0.3, cutout=2)
    sizes = {"train_samples": None, "test_samples": None, "batch_size": 4, "valid_streams": 4, "test_streams": 4}
    found["evaluate, language"] = Case(Training, RECURRENT, TEXT, scale="tiny", epochs=3, **sizes)
    return found


def stopped(search):
    return search.history[-1].stop_epoch is not None


def thrown_back(search):
    return any(record.back_to is not None for record in search.history)


CASE_OF_TRAINING = cases()["evaluate"]


# ---------------------------------------------------------------- processes that die


@contextmanager
def acts(tick):
    """Within it `tick` is called before, amid and behind everything that is done to a disk."""

    class Halves:
        """A file that is written in two halves."""

        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, content):
            tick()
            self.file.write(content[: len(content) // 2])
            self.file.flush()
            tick()
            self.file.write(content[len(content) // 2 :])

    def around(act, halves=False):
        def acted(*arguments, **more):
            tick()
            found = act(*arguments, **more)
            tick()
            return Halves(found) if halves and "b" in arguments[1] and arguments[1] != "rb" else found

        return acted

    before = os.fsync, os.replace
    os.fsync, os.replace = around(os.fsync), around(os.replace)
    files.open = around(open, True)
    try:
        yield
    finally:
        os.fsync, os.replace = before
        del files.open


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def child(work) -> int:
    """A forked process that does `work(tell)`; `tell` puts a byte into a pipe. Gives (process, what it told)."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        status = 1
        try:
            os.close(reading)
            warnings.simplefilter("ignore")
            work(lambda: os.write(writing, b"."))
            status = 0
        except BaseException as error:
            print(f"  {type(error).__name__}: {error}", file=sys.stderr)
        finally:
            os._exit(status)
    os.close(writing)
    return process, reading


def ended(process, reading) -> tuple[int, int]:
    """(how it ended: 0, -9, ...; how many bytes it told)."""
    told = 0
    while part := os.read(reading, 4096):
        told += len(part)
    os.close(reading)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), told


def through(case: Case, path: Path, at=None):
    """What a child does: the run to its end, dying at its act number `at` on the disk."""

    def work(tell):
        count = itertools.count()
        with acts(lambda: die() if next(count) == at else None):
            for _ in case.on(path):
                tell()

    return work


def differences(path: Path, reference: Path) -> list[str]:
    """The names of what is not the same in two finished runs."""
    names = ("config.json", "history.jsonl", "genotype.txt")
    found = [name for name in names if (path / name).read_bytes() != (reference / name).read_bytes()]
    states = [torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (path, reference)]
    found += [] if same(*states) and not same(states[0], {}) else ["checkpoint.pt"]
    left = {file.name for file in path.iterdir()} - {file.name for file in reference.iterdir()}
    return found + sorted(left)


def kills(case: Case, on_acts: int, by_clock: int, dice: random.Random, folder: Path) -> dict:
    """Kills `case` at so many of its acts on the disk, and at so many moments of its time, at random; then goes on."""
    reference, total = folder / "reference", itertools.count()
    began = time.monotonic()
    assert ended(*child(through(case, reference)))[0] == 0
    took = time.monotonic() - began
    with acts(lambda: next(total)):
        search = case.on(folder / "counted")
        for _ in search:
            pass
    assert not (differ := differences(folder / "counted", reference)), f"twice the same differs: {differ}"
    assert case.expects is None or case.expects(search), f"{case.expects.__name__} did not happen"
    most, problems, well, fell_back = next(total), [], 0, 0
    for number in range(on_acts + by_clock):
        path = folder / f"run{number}"
        if number < on_acts:
            process, reading = child(through(case, path, dice.randrange(most)))
        else:
            process, reading = child(through(case, path))
            time.sleep(dice.uniform(0, took))
            os.kill(process, signal.SIGKILL)
        _, told = ended(process, reading)
        there = 0
        if (path / "config.json").exists():
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                there = len(case.on(path).history)
            fell_back += bool(said)
        problem = [f"{told - there} finished epochs lost"] if there < told else []
        status, _ = ended(*child(through(case, path)))
        problem += differences(path, reference) if status == 0 else ["did not go on"]
        well += not problem
        problems += problem
        shutil.rmtree(path)
    return {"tried": on_acts + by_clock, "ended well": well, "said": fell_back} | lost(problems)


def rank(case: Case, path: Path, number: int, meeting: Path, processes: int = 2):
    """What one of several children does that share a run, in numbers of 64 bits. It ends with status 3 where it was
    told in one sentence that another is gone."""

    def work(tell):
        torch.set_default_dtype(torch.float64)
        os.environ |= {"RANK": str(number), "WORLD_SIZE": str(processes), ranks.MEETING: str(meeting)}
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
        ranks.join()
        tell()
        try:
            for _ in case.on(path):
                tell()
        except ranks.Lost as error:
            os._exit(3 if "\n" not in str(error) and len(str(error)) < 300 else 4)

    return work


def rank_kills(case: Case, count: int, dice: random.Random, folder: Path) -> dict:
    """One of two processes that share a search, killed at a random moment: the other ends by itself, with one sentence,
    and the run goes on, by one process or by two, to what one process alone comes to, but for rounding."""

    def begun(path: Path, name: str):
        processes = [child(rank(case, path, number, folder / f"meeting {name}")) for number in range(2)]
        for _, reading in processes:
            os.read(reading, 1)  # they have met
        return processes

    alone = folder / "alone"
    assert ended(*child(rank(case, alone, 0, folder / "nobody", 1)))[0] == 0
    began = time.monotonic()
    assert [ended(*one)[0] for one in begun(folder / "reference", "reference")] == [0, 0]
    took, problems, well, too_late = time.monotonic() - began, [], 0, 0
    for number in range(count):
        path, victim, by = folder / f"run{number}", dice.randrange(2), 1 + number % 2
        processes = begun(path, f"{number}")
        time.sleep(dice.uniform(0, took))
        os.kill(processes[victim][0], signal.SIGKILL)
        ways = [ended(*one) for one in processes]
        other, told = ways[1 - victim][0], ways[0][1]
        too_late += other == 0
        problem = [] if other in (0, 3) else [f"the other ended with {other}"]
        there = len(dl.runs.read(path).history) if (path / "checkpoint.pt").exists() else 0
        problem += [f"{told - there} finished epochs lost"] if there < told else []
        if by == 2:
            on = [ended(*one)[0] for one in begun(path, f"{number} again")]
        else:
            on = [ended(*child(rank(case, path, 0, folder / "nobody", 1)))[0]]
        problem += ["did not go on"] if any(on) else [name for name in apart(path, alone)]
        well += not problem
        problems += problem
        shutil.rmtree(path)
    found = lost(problems)
    found["found"] = "; ".join(filter(None, [found["found"], f"{too_late} had ended already" if too_late else ""]))
    return {"tried": count, "ended well": well, "said": count - too_late, **found}


def apart(path: Path, reference: Path, most: float = 1e-10) -> list[str]:
    """The names of what differs by more than rounding in two finished runs in numbers of 64 bits."""
    mine, theirs = (torch.load(one / "checkpoint.pt", weights_only=True) for one in (path, reference))
    pairs = {name: (tensor, theirs["supernet"][name]) for name, tensor in mine["supernet"].items()}
    pairs["alpha"] = mine["alpha"], theirs["alpha"]
    found = [name for name, (one, other) in pairs.items() if not torch.allclose(one, other, most, most)]
    genotypes = [(one / "genotype.txt").read_bytes() for one in (path, reference)]
    return found + (["genotype.txt"] if genotypes[0] != genotypes[1] else [])


def lost(problems: list[str]) -> dict:
    return {"lost": len(problems), "found": "; ".join(sorted(set(problems)))}


# ---------------------------------------------------------------- sweeps


def sweep_kills(count: int, dice: random.Random, folder: Path, workers: int) -> dict:
    """A sweep of two searches and trainings, its process (or one of its workers) killed; then called again."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    jobs = dl.grid(space="S2", method=["DARTS", "RS-ws"], seed=3, scale="tiny", epochs=2, evaluation={"epochs": 1})

    def all_of(path):
        if not workers:
            return dl.sweep(jobs, path, report=lambda _: None)
        with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
            return dl.sweep(jobs, path, pool, retries=0, report=lambda _: None)

    began = time.monotonic()
    assert ended(*child(lambda _: all_of(folder / "reference")))[0] == 0
    took, problems, well, missed = time.monotonic() - began, [], 0, 0
    expected = [dl.sweeps.read(folder / "reference").drop(columns=list(COSTS))]
    for number in range(count):
        path = folder / f"sweep{number}"
        process, reading = child(lambda _, path=path: all_of(path))
        time.sleep(dice.uniform(0.1, 0.9) * took)
        victims = _children(process) if workers else [process]
        missed += not victims  # between two workers, or behind the last: nothing was killed
        for victim in victims[:1]:
            os.kill(victim, signal.SIGKILL)
        ended(process, reading)
        status, _ = ended(*child(lambda _, path=path: all_of(path)))
        found = dl.sweeps.read(path).drop(columns=list(COSTS)) if status == 0 else pd.DataFrame()
        same_table = found.equals(expected[0])
        for search in (folder / "reference").glob("*/search"):
            other = path / search.parent.name / "search"
            if not same_table or differences(other, search):
                problems.append("other results")
        well += same_table
        shutil.rmtree(path)
    found = lost(problems)
    found["found"] = "; ".join(filter(None, [found["found"], f"{missed} found no worker to kill" if missed else ""]))
    return {"tried": count, "ended well": well, **found}


def _children(process: int) -> list[int]:
    try:
        return list(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))
    except FileNotFoundError:
        return []


# ---------------------------------------------------------------- files that are broken


def state_of(search) -> dict:
    return {name: value for name, value in search.state().items() if name != "of"}


def judge(case: Case, path: Path, good: dict, before: dict) -> str:
    """What becomes of a run whose files were broken: refused, "fell back" (and said so), unharmed, or what is wrong."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            state = state_of(case.on(path))
        except (ValueError, FileNotFoundError) as error:
            return "refused" if "\n" not in str(error) and len(str(error)) < 600 else f"unclear: {str(error)[:200]}"
        except Exception as error:
            return f"{type(error).__name__}: {str(error)[:100]}"
    if said and same(state, before):
        return "fell back"
    return "unharmed" if same(state, good) and not said else "silently different"


def truncated(content: bytes, at: int, dice) -> bytes:
    return content[:at]


def flipped(content: bytes, at: int, dice) -> bytes:
    changed = bytearray(content)
    changed[at] ^= 1 << dice.randrange(8)
    return bytes(changed)


def zeroed(content: bytes, at: int, dice) -> bytes:
    """A page that never came to the disk."""
    return content[:at] + bytes(len(content[at : at + 512])) + content[at + 512 :]


def breakages(case: Case, name: str, change, places, dice: random.Random, folder: Path) -> dict:
    """File `name` of a finished run changed at each of `places` (a number: so many drawn at random)."""
    path = folder / "run"
    if not path.exists():
        for _ in case.on(path):
            pass
        shutil.copy(path / "previous.pt", folder / "before.pt")
    before = torch.load(folder / "before.pt", weights_only=True)
    before.pop("of")
    good, content = state_of(case.on(path)), (path / name).read_bytes()
    if isinstance(places, int):
        places = range(len(content)) if places >= len(content) else dice.sample(range(len(content)), places)
    found = []
    for at in places:
        (path / name).write_bytes(change(content, at, dice))
        found.append(judge(case, path, good, before))
    (path / name).write_bytes(content)
    return told_apart(found, ("refused", "fell back", "unharmed"))


def told_apart(outcomes: list[str], fine: tuple[str, ...]) -> dict:
    """The row of what became of so many broken runs, of which `fine` is no fault."""
    wrong = [one for one in outcomes if one not in fine]
    told = ", ".join(f"{outcomes.count(kind)} {kind}" for kind in fine if kind in outcomes)
    return {
        "tried": len(outcomes), "ended well": len(outcomes) - len(wrong), "lost": len(wrong),
        "said": len(outcomes) - outcomes.count("unharmed"), "found": "; ".join([told, *sorted(set(wrong))]),
    }  # fmt: skip


def swaps(case: Case, folder: Path) -> dict:
    """Every mixture of the files of two finished runs that differ in their seed."""
    names = ("config.json", "history.jsonl", "costs.jsonl", "genotype.txt", "checkpoint.pt", "previous.pt")
    other = Case(case.kind, *case.arguments, **case.settings | {"seed": 1})
    for which, one in (("one", case), ("other", other)):
        for _ in one.on(folder / which):
            pass
    shutil.copytree(folder / "one", folder / "run")
    before = torch.load(folder / "one" / "previous.pt", weights_only=True)
    before.pop("of")
    good, theirs, found = state_of(case.on(folder / "one")), state_of(case.on(folder / "other")), []
    for size in range(1, len(names)):
        for swapped in itertools.combinations(names, size):
            for name in names:
                shutil.copy(folder / ("other" if name in swapped else "one") / name, folder / "run" / name)
            outcome = judge(case, folder / "run", good, before)
            if outcome == "silently different" and {"config.json", "history.jsonl", "checkpoint.pt"} <= {*swapped}:
                whole = same(state_of(case.on(folder / "run")), theirs)
                outcome = "the other run, whole" if whole else outcome
            found.append(outcome)
    return told_apart(found, ("refused", "fell back", "unharmed", "the other run, whole"))


def versions(case: Case, folder: Path) -> dict:
    """A run whose config says that another version made it, or says nothing that can be."""
    for _ in case.on(folder / "run"):
        pass
    config, found = dl.runs.files.object_in(folder / "run" / "config.json"), []
    for version in ("0.0.9", "0.2.0", "1.0.0", "", None, 1, [], {}, "nothing"):
        changed = {name: value for name, value in config.items() if name != "version"}
        changed |= {} if version == "nothing" else {"version": version}
        (folder / "run" / "config.json").write_text(json.dumps(changed, indent=1))
        found.append(judge(case, folder / "run", {}, {}))
    return told_apart(found, ("refused",))


# ---------------------------------------------------------------- disks


@contextmanager
def disk(size: str = "1m", folder: Path | None = None):
    """A file system of its own (tmpfs), of so many bytes. Raises PermissionError where mounting is not allowed."""
    path = Path(tempfile.mkdtemp(dir=folder))
    if os.system(f"mount -t tmpfs -o size={size} tmpfs {path} 2>/dev/null"):
        path.rmdir()
        raise PermissionError("mounting is not allowed here")
    try:
        yield path
    finally:
        os.system(f"umount -l {path}")
        path.rmdir()


def remount(path: Path, options: str) -> None:
    assert os.system(f"mount -o remount,{options} {path}") == 0


def full_disks(case: Case, count: int, dice: random.Random, folder: Path) -> dict:
    """A run on a disk that becomes full at some byte of it; room is made, and it goes on."""
    reference = folder / "reference"
    for _ in case.on(reference):
        pass
    most = sum(file.stat().st_size for file in reference.iterdir()) * 2
    problems, well, hit = [], 0, 0
    for _ in range(count):
        with disk(str(dice.randrange(4096, most)), folder) as root:
            path = root / "run"
            try:
                for _ in case.on(path):
                    pass
            except OSError as error:
                hit += 1
                if "No space left on device; finished epochs are kept" not in str(error) or "\n" in str(error):
                    problems.append(f"unclear: {error}")
            remount(root, "size=64m")
            for _ in case.on(path):
                pass
            problem = differences(path, reference)
            well += not problem
            problems += problem
    return {"tried": count, "ended well": well, "said": hit, **lost(problems)}


def read_only_disks(case: Case, count: int, dice: random.Random, folder: Path) -> dict:
    """A run on a disk that takes nothing any more after some epoch; then it does again, and the run goes on."""
    reference, problems, well, refused = folder / "reference", [], 0, 0
    epochs = len([*case.on(reference)])
    for _ in range(count):
        with disk("64m", folder) as root:
            path = root / "run"
            search = case.on(path)
            for _ in range(dice.randrange(1, epochs)):
                next(search)
            search.run.release()
            remount(root, "ro")
            try:
                next(case.on(path))
                problems.append("wrote on a disk that is read-only")
            except OSError as error:
                refused += 1
                if "Read-only file system" not in str(error) or "\n" in str(error):
                    problems.append(f"unclear: {error}")
            remount(root, "rw")
            for _ in case.on(path):
                pass
            problem = differences(path, reference)
            well += not problem
            problems += problem
    return {"tried": count, "ended well": well, "said": refused, **lost(problems)}


def in_use(case: Case, count: int, dice: random.Random, folder: Path) -> dict:
    """A run that another process computes: refused as long as that lives, gone on with when it is dead."""
    reference, problems, well, refused = folder / "reference", [], 0, 0
    epochs = len([*case.on(reference)])
    for number in range(count):
        path, until = folder / f"run{number}", dice.randrange(1, epochs)

        def work(tell, path=path, until=until):
            search = case.on(path)
            for _ in range(until):
                next(search)
            search.step()
            tell()
            time.sleep(600)

        process, reading = child(work)
        os.read(reading, 1)  # it is amid an epoch now
        try:
            case.on(path).step()
            problems.append("two computed one run")
        except ValueError as error:
            refused += 1
            if "is in use by another process" not in str(error) or "\n" in str(error):
                problems.append(f"unclear: {error}")
        os.kill(process, signal.SIGKILL)
        ended(process, reading)
        for _ in case.on(path):
            pass
        problem = differences(path, reference)
        well += not problem
        problems += problem
    return {"tried": count, "ended well": well, "said": refused, **lost(problems)}


# ---------------------------------------------------------------- all of it, and its table


def rows(options):
    """(what, case, function that gives the row) of everything, in order."""
    dice = random.Random(options.seed)
    for name, case in cases().items():
        yield (
            "kill",
            name,
            lambda folder, case=case: kills(case, options.count // 2, -(-options.count // 2), dice, folder),
        )
    yield "kill", "sweep, its process", lambda folder: sweep_kills(options.count, dice, folder, 0)
    yield "kill", "sweep, a worker", lambda folder: sweep_kills(options.count, dice, folder, 2)
    for name in ("DARTS, order 2", "DARTS-PRIME, order 1"):
        case = cases()[name]
        yield (
            "kill",
            f"one of two processes, {name}",
            lambda folder, case=case: rank_kills(case, options.count, dice, folder),
        )
    for name in ("DARTS, order 1", "evaluate"):
        case = cases()[name]
        for file in ("checkpoint.pt", "history.jsonl", "config.json", "costs.jsonl", "previous.pt"):
            for change in (truncated, flipped, zeroed):
                if file == "costs.jsonl" and change is not truncated:
                    continue  # seconds and bytes of memory, which nothing depends on
                yield change.__name__, f"{file} of {name}", lambda folder, case=case, file=file, change=change: breakages(
                    case, file, change, 20 * options.count, dice, folder
                )  # fmt: skip
    yield (
        "full disk",
        "DARTS, order 1",
        lambda folder: full_disks(cases()["DARTS, order 1"], 2 * options.count, dice, folder),
    )
    for name in ("DARTS, order 1", "evaluate"):
        case = cases()[name]
        yield "swapped", f"files of two runs of {name}", lambda folder, case=case: swaps(case, folder)
        yield "another version", f"config.json of {name}", lambda folder, case=case: versions(case, folder)
        for what, make in (("read-only disk", read_only_disks), ("in use", in_use)):
            yield what, name, lambda folder, case=case, make=make: make(case, options.count, dice, folder)
    import fuzz

    for name in fuzz.TARGETS:
        yield "fuzz", name, lambda folder, name=name: fuzz.tortured(name, 400 * options.count, options.seed, folder)
    if find_spec("atheris"):
        for name in fuzz.TARGETS:
            yield "fuzz, by coverage", name, lambda folder, name=name: guided(name, 400 * options.count, options.seed)


def guided(name: str, cases: int, seed: int) -> dict:
    """A target under atheris, in a process of its own."""
    words = [sys.executable, str(HERE / "fuzz.py"), name, f"-runs={cases}", f"-seed={seed + 1}"]
    done = subprocess.run(words, capture_output=True, text=True)
    tried = max(map(int, re.findall(r"^#(\d+)", done.stderr, re.M)), default=0)
    problems = [] if done.returncode == 0 else [done.stderr.strip().splitlines()[-1][:200]]
    return {"tried": tried, "ended well": tried - len(problems), **lost(problems)}


def written(table: pd.DataFrame) -> None:
    """The table as torture.csv and between the marks in README.md."""
    files.write(HERE / "torture.csv", table.to_csv(index=False, lineterminator="\n").encode())
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(str(value) for value in row) + " |" for row in table.itertuples(index=False)]
    text = (HERE / "README.md").read_text()
    text = re.sub(
        r"(<!-- torture -->\n).*?(<!-- end -->)", lambda m: m[1] + "\n".join(lines) + "\n" + m[2], text, flags=re.S
    )
    files.write(HERE / "README.md", text.encode())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50, help="kills of every case; everything else goes with it")
    parser.add_argument("--only", default="", help="only rows whose name holds this")
    parser.add_argument("--go-on", action="store_true", help="leave out what the table has already, and lost nothing")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["DARTS_LAB_KEEP_MEMORY"] = "0"
    file = HERE / "torture.csv"
    table = pd.read_csv(file, keep_default_na=False) if file.exists() else pd.DataFrame(columns=COLUMNS)
    known, bad = {(row["what"], row["case"]): row for row in table.to_dict("records")}, 0
    with tempfile.TemporaryDirectory() as root:
        for number, (what, case, make) in enumerate(rows(options)):
            done = options.go_on and (what, case) in known and not known[what, case]["lost"]
            if done or options.only not in f"{what} {case}":
                continue
            folder, began = Path(root) / str(number), time.monotonic()
            folder.mkdir()
            try:
                row = make(folder)
            except PermissionError as error:
                print(f"{what}: {case}: skipped: {error}", flush=True)
                continue
            except AssertionError as error:
                row = lost([str(error)])
            row = dict.fromkeys(COLUMNS, 0) | {"what": what, "case": case, "found": ""} | row
            known[what, case], bad = row, bad + row["lost"]
            print(f"{what}: {case}: {row} in {time.monotonic() - began:.0f} s", flush=True)
            written(pd.DataFrame(known.values(), columns=COLUMNS))
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
