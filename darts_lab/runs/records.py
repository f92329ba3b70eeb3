"""The records of the epochs of a search or training, and searches that have been run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from darts_lab.checks import argument, checked, one_of
from darts_lab.genotype import Genotype
from darts_lab.runs import files
from darts_lab.runs.run import Run
from darts_lab.spaces import CELL_TYPES, KNOWN_OPERATIONS, NOISE, SKIP

COSTS = ("seconds", "processor_seconds", "peak_memory_bytes")  # the fields of a record that differ from run to run


@dataclass(frozen=True, eq=False)
class EpochRecord:
    """The results of one epoch. `valid_*` are one-shot: of the supernet with all operations. Errors are the task's:
    fractions in [0, 1] in classification. A one-shot loss that is not finite changes nothing else."""

    epoch: int  # 0, 1, ...
    train_loss: float
    train_error: float
    valid_loss: float
    valid_error: float
    learning_rate: float
    alpha_steps: int | None  # in this epoch
    alpha: Tensor | None  # (cell types, edges, candidates), after the epoch; None if a log lacks it
    mixing: Tensor | None  # the same after the activation
    genotype: Genotype
    weight_decay: float  # of w, in this epoch
    seconds: float
    peak_memory_bytes: int | None
    dominant_eigenvalue: float | None = None  # of the Hessian of the validation loss, where it was measured
    eigenvalue_error: float | None = None  # its standard error, where it was measured on several batches
    stop_epoch: int | None = None  # if early stopping ended the search: the epoch whose cell is the result
    back_to: int | None = None  # if adaptation sent the search back: the epoch after which it went on
    fisher_trace: float | None = None  # its running average after the epoch, if the schedule of alpha uses it
    moments: list | None = None  # then, before every batch: [running average, threshold, whether alpha was updated]
    processor_seconds: float | None = None  # of all threads of this process; `seconds` is wall-clock time
    changed: dict | None = None  # settings that were changed by hand before this epoch: name -> value

    def to_json(self) -> tuple[dict, dict]:
        """(results, costs): a line of history.jsonl and one of costs.jsonl."""
        record = vars(self) | {"genotype": str(self.genotype)}
        record |= {name: value.tolist() for name, value in record.items() if isinstance(value, Tensor)}
        return record, {name: record.pop(name) for name in COSTS}

    @classmethod
    def from_json(cls, record: dict, operations: tuple[str, ...]) -> EpochRecord:
        """The record of the two lines of `to_json`, joined. `operations` are the allowed names in its genotype."""
        tensors = {name: torch.tensor(record[name]) for name in ("alpha", "mixing") if record[name] is not None}
        genotype = Genotype.parse(record["genotype"], operations)
        return cls(**(record | tensors | {"genotype": genotype}))


@checked
def cost(history: Iterable, of: Annotated[str, one_of(*COSTS)] = "seconds") -> float | None:
    """The sum of a cost over the records of a search or training; None if a record lacks it."""
    costs = [getattr(record, of) for record in history]
    return None if None in costs else sum(costs)


@dataclass(frozen=True, eq=False)
class Recorded:
    """A search that was run, here or elsewhere; `problems` says what is wrong with it, `test_error` is that of its cell
    trained from scratch, where it is known."""

    name: str
    path: Path
    space: str
    data: str
    seed: int
    drop_path: float
    weight_decay: float
    history: list[EpochRecord]
    problems: list[str]
    test_error: float | None = None
    epochs: int | None = None  # as asked for, where that is known

    @property
    def genotype(self) -> Genotype:
        """The cell of the last epoch, or of the one that early stopping chose. Raises ValueError before the first."""
        if not self.history:
            raise ValueError(f"run: {str(self.path)!r} has not finished its first epoch")
        stop = self.history[-1].stop_epoch
        return next(record.genotype for record in reversed(self.history) if stop in (None, record.epoch))

    @property
    def whole(self) -> bool:
        """Whether its last epoch is the last that was asked for, as far as is known."""
        return self.epochs is None or len(self.history) > 0 and self.history[-1].epoch + 1 >= self.epochs

    def hessians(self) -> Iterator[tuple[int, np.ndarray]]:
        """(epoch, Hessian of the validation loss with respect to alpha), if a log holds them; ours do not."""
        return iter(())


def read(path: str | Path) -> Recorded:
    """The search in a run directory, up to its last finished epoch; changes nothing there. Raises FileNotFoundError or
    ValueError where there is no search, it is damaged, or its history is of another run."""
    run = Run.of_kind(path, "search")
    run.check_history()
    try:
        space, settings = run.config["space"], run.config["settings"]
        names = {name for cell in space["cells"].values() for edge in cell for name in edge}
        history = run.history(lambda record: EpochRecord.from_json(record, (*names, *KNOWN_OPERATIONS)))
        row = run.path / "row.json"  # of the searches that come with the package
        test_error = files.object_in(row, "run").get("test_error") if row.is_file() else None
        return Recorded(
            run.config["name"], run.path, space["name"], run.config["data"]["name"], run.config["seed"],
            settings["drop_path"], settings["weight_decay"], history, problems=[], test_error=test_error,
            epochs=settings.get("epochs"),  # logs of others may not say
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"run: {str(run.path)!r} holds no search that can be read: {error}") from error


@checked
def table(searches: Iterable[Recorded]) -> pd.DataFrame:
    """One row for every epoch of every search. Errors are fractions."""
    rows = []
    for search in searches:
        argument("searches", search, Recorded)
        of_search = {name: getattr(search, name) for name in ("name", "space", "data", "seed", "drop_path")}
        for record in search.history:
            row = of_search | {name: getattr(record, name) for name in ("epoch", "weight_decay", "train_error")}
            row["one_shot_error"] = record.valid_error
            row |= {name: getattr(record, name) for name in ("dominant_eigenvalue", "eigenvalue_error")}
            for word, operation in (("skips", SKIP), ("noise", NOISE)):
                kinds = (kind for kind in CELL_TYPES if kind in record.genotype.cells)
                row |= {f"{word}_{kind}": record.genotype.count(operation, kind) for kind in kinds}
            row["genotype"] = str(record.genotype)
            rows.append(row | {name: getattr(record, name) for name in ("stop_epoch", "back_to", "seconds")})
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class TrainingRecord:
    """The results of one epoch of training from scratch. Errors are the task's, as in `EpochRecord`."""

    epoch: int
    train_loss: float
    train_error: float
    learning_rate: float
    seconds: float
    peak_memory_bytes: int
    valid_error: float | None = None  # of the weights that would be tested now, if the task measures it
    processor_seconds: float | None = None  # of all threads of this process; `seconds` is wall-clock time

    def to_json(self) -> tuple[dict, dict]:
        """(results, costs)."""
        record = dict(vars(self))
        return record, {name: record.pop(name) for name in COSTS}
