"""What an epoch of a search or training leaves behind, and searches that have been run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from darts_lab.genotype import Genotype
from darts_lab.runs.run import Run
from darts_lab.spaces import CELL_TYPES, KNOWN_OPERATIONS, NOISE, SKIP

COSTS = ("seconds", "processor_seconds", "peak_memory_bytes")  # what a record tells that is never the same twice


@dataclass(frozen=True, eq=False)
class EpochRecord:
    """What one epoch did. `valid_*` are one-shot: the supernet with all operations. Errors are the task's: fractions in
    [0, 1] in classification. A one-shot loss that is not finite is recorded as it is, and the search goes on: it moves
    nothing."""

    epoch: int  # 0, 1, ...
    train_loss: float
    train_error: float
    valid_loss: float
    valid_error: float
    learning_rate: float
    alpha_steps: int | None  # in this epoch
    alpha: Tensor | None  # (cell types, edges, candidates), after the epoch; None where a log does not tell
    mixing: Tensor | None  # the same after the activation
    genotype: Genotype
    weight_decay: float  # of w, in this epoch
    seconds: float
    peak_memory_bytes: int | None
    dominant_eigenvalue: float | None = None  # of the Hessian of the validation loss, where it was measured
    eigenvalue_error: float | None = None  # its standard error, where it was measured on several batches
    stop_epoch: int | None = None  # where early stopping ended the search: the epoch whose cell is its result
    back_to: int | None = None  # where adaptation threw the search back: the epoch after which it went on
    fisher_trace: float | None = None  # its running average after the epoch, where the schedule of alpha follows it
    moments: list | None = None  # then, before every batch: [running average, threshold, whether alpha was updated]
    processor_seconds: float | None = None  # of all threads of this process; `seconds` is what a clock on the wall says
    changed: dict | None = None  # settings that were changed by hand before this epoch: name -> value

    def to_json(self) -> tuple[dict, dict]:
        """(what happened, what it cost): the second differs from run to run."""
        record = {field.name: getattr(self, field.name) for field in fields(self)}
        record |= {name: value.tolist() for name, value in record.items() if isinstance(value, Tensor)}
        record["genotype"] = str(self.genotype)
        return record, {name: record.pop(name) for name in COSTS}

    @classmethod
    def from_json(cls, record: dict, operations: tuple[str, ...]) -> EpochRecord:
        """The record of a line of history.jsonl and one of costs.jsonl together."""
        tensors = {name: torch.tensor(record[name]) for name in ("alpha", "mixing") if record[name] is not None}
        genotype = Genotype.parse(record["genotype"], operations)
        return cls(**(record | tensors | {"genotype": genotype}))


def cost(history: Iterable, of: str = "seconds") -> float | None:
    """The sum of a cost over the records of a search or training; None where one of them tells nothing of it."""
    costs = [getattr(record, of) for record in history]
    return None if None in costs else sum(costs)


@dataclass(frozen=True, eq=False)
class Recorded:
    """A search that was run, here or elsewhere: what it was, its epochs, and in `problems` what is wrong with it."""

    name: str
    path: Path
    space: str
    data: str
    seed: int
    drop_path: float
    weight_decay: float
    history: list[EpochRecord]
    problems: list[str]

    @property
    def genotype(self) -> Genotype:
        """The result so far: the cell of the last epoch, or of the one that early stopping chose. Raises ValueError before
        the first."""
        if not self.history:
            raise ValueError(f"run: {str(self.path)!r} has not finished its first epoch")
        stop = self.history[-1].stop_epoch
        return next(record.genotype for record in reversed(self.history) if stop in (None, record.epoch))

    def hessians(self) -> Iterator[tuple[int, np.ndarray]]:
        """(epoch, Hessian of the validation loss with respect to alpha), where a log holds them; ours do not."""
        return iter(())


def read(path: str | Path) -> Recorded:
    """The search in a run directory of ours, as far as it has come. Nothing in the directory is changed.

    Raises FileNotFoundError or ValueError where there is none, it is damaged, or its history is that of another run.
    """
    run = Run.of_kind(path, "search")
    run.check_history()
    try:
        space, settings = run.config["space"], run.config["settings"]
        names = {name for cell in space["cells"].values() for edge in cell for name in edge}
        history = run.history(lambda record: EpochRecord.from_json(record, (*names, *KNOWN_OPERATIONS)))
        told = space["name"], run.config["data"]["name"], run.config["seed"]
        reg = settings["drop_path"], settings["weight_decay"]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"run: {str(run.path)!r} holds no search that can be read: {error}") from error
    return Recorded(run.config["name"], run.path, *told, *reg, history, [])


def table(searches: Iterable[Recorded]) -> pd.DataFrame:
    """Every epoch of every search as one row: what was searched, and how it stood. Errors are fractions."""
    rows = []
    for search in searches:
        told = {name: getattr(search, name) for name in ("name", "space", "data", "seed", "drop_path")}
        for record in search.history:
            row = {name: getattr(record, name) for name in ("epoch", "weight_decay", "train_error")}
            row |= {"one_shot_error": record.valid_error, "dominant_eigenvalue": record.dominant_eigenvalue}
            row |= {"eigenvalue_error": record.eigenvalue_error}
            for word, operation in (("skips", SKIP), ("noise", NOISE)):
                kinds = (kind for kind in CELL_TYPES if kind in record.genotype.cells)
                row |= {f"{word}_{kind}": record.genotype.count(operation, kind) for kind in kinds}
            row |= {"genotype": str(record.genotype)}
            rows.append(told | row | {name: getattr(record, name) for name in ("stop_epoch", "back_to", "seconds")})
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class TrainingRecord:
    """What one epoch of training from scratch did. Errors are fractions in [0, 1]."""

    epoch: int
    train_loss: float
    train_error: float
    learning_rate: float
    seconds: float
    peak_memory_bytes: int
    valid_error: float | None = None  # of the weights that would be tested now, where the task watches it
    processor_seconds: float | None = None  # of all threads of this process; `seconds` is what a clock on the wall says

    def to_json(self) -> tuple[dict, dict]:
        """(what happened, what it cost)."""
        record = asdict(self)
        return record, {name: record.pop(name) for name in COSTS}
