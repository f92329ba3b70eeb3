"""The published logs of Zela et al. 2020 (github.com/automl/RobustDARTS), as searches like ours."""

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np

from darts_lab.curvature.hessian import checked_matrix
from darts_lab.genotype import Genotype
from darts_lab.runs import files
from darts_lab.runs.records import EpochRecord, Recorded

EPOCHS = 50  # of every search of theirs
_SETTING = re.compile(r"(\d+(?:\.\d+)?)_(\d+(?:\.\d+)?(?:e-?\d+)?)-(\d+)")  # drop path _ weight decay - job
_LINE = re.compile(r"([\d-]{10} [\d:]{8}),\d{3} (?:epoch (\d+) lr (\S+)|(train|valid)_acc (\S+)|genotype = (.+))")


class Logged(Recorded):
    """A search of Zela et al., whose Hessians are in a file beside its log."""

    def hessians(self) -> Iterator[tuple[int, np.ndarray]]:
        """(epoch, Hessian of the validation loss with respect to alpha), where logged, with the decay of alpha: 1e-3
        times the identity. Raises ValueError for one that is not square, symmetric and finite."""
        for epoch, matrix in _hessians(self.path, self.seed):
            try:
                yield epoch, checked_matrix(matrix)
            except ValueError as error:
                raise ValueError(f"{self.name}, epoch {epoch}: {error}") from error


def read_robustdarts(path: str | Path) -> list[Logged]:
    """The searches in the published logs of Zela et al. 2020 (`experiments/search_logs` of automl/RobustDARTS).

    `path` is that folder or one below it. Accuracies in per cent become errors as fractions. The dominant eigenvalues
    are computed from the logged Hessians (train mode, one batch, with the decay of alpha). `problems` says which runs
    were cut short, diverged, or have damaged files. Raises ValueError where there are no such logs.
    """
    path = files.path_of(path)
    if not path.is_dir():
        raise FileNotFoundError(f"path: {str(path)!r} is no directory")
    path = path.resolve()  # the folders above are named after space and data
    folders = [folder for folder in (path, *path.rglob("*")) if folder.is_dir() and _SETTING.fullmatch(folder.name)]
    logs = sorted(log for folder in folders for log in folder.glob("log_*.txt") if log.stem[4:].isdigit())
    if not logs:
        missing = "no folder named like 0.0_0.0003-2516843 with log_1.txt"
        raise ValueError(f"path: {str(path)!r} holds no logs of RobustDARTS: {missing}")
    return [_read_log(log) for log in logs]


def _read_log(log: Path) -> Logged:
    drop_path, weight_decay, job = _SETTING.findall(log.parent.name)[0]
    space, data, seed = log.parents[2].name.upper(), log.parents[1].name, int(log.stem[4:])
    problems, eigenvalues = [], {}
    losses: dict[str, list[float]] = {"train_loss": [], "valid_loss": []}
    try:
        logged = files.from_json(files.read_text(log.with_name(f"errors_{seed}.json")))
        losses = {name: [float(loss) for loss in logged[name]] for name in losses}
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        problems.append(f"errors_{seed}.json cannot be read: {error}")
    try:
        for epoch, matrix in _hessians(log.parent, seed):
            try:
                eigenvalues[epoch] = float(np.linalg.eigvalsh(checked_matrix(matrix))[-1])
            except ValueError as error:
                problems.append(f"epoch {epoch}: {error}")
    except (OSError, ValueError) as error:
        problems.append(f"derivatives_{seed}.json cannot be read to its end: {error}")
    history = []
    for epoch, results in _epochs(log, problems):
        results |= {name: loss[epoch] if epoch < len(loss) else float("nan") for name, loss in losses.items()}
        results |= dict.fromkeys(("alpha_steps", "alpha", "mixing", "peak_memory_bytes"))  # which are not logged
        results |= {"weight_decay": float(weight_decay), "dominant_eigenvalue": eigenvalues.get(epoch)}
        history.append(EpochRecord(epoch, **results))
    epochs = history[-1].epoch + 1 if history else 0
    if epochs < EPOCHS:
        problems.append(f"ends after {epochs} of {EPOCHS} epochs")
    if len(history) < epochs:
        problems.append(f"log_{seed}.txt tells of {len(history)} of the first {epochs} epochs only")
    diverged = [record.epoch for record in history if not np.isfinite((record.train_loss, record.valid_loss)).all()]
    if diverged:
        problems.append(f"the loss is not a finite number from epoch {diverged[0]} on")
    name = f"{space}-{data}-dp{drop_path}-wd{weight_decay}-job{job}-seed{seed}"
    strengths = float(drop_path), float(weight_decay)
    return Logged(name, log.parent, space, data, seed, *strengths, history, problems, epochs=EPOCHS)


def _epochs(log: Path, problems: list[str]) -> Iterator[tuple[int, dict]]:
    """(epoch, fields of its record) for each epoch that log_S.txt holds from beginning to end."""
    number, started, results = 0, None, {}
    for line in log.read_text(errors="replace").splitlines():
        if not (match := _LINE.match(line)):
            continue
        when, epoch, rate, split, accuracy, genotype = match.groups()
        try:
            when = datetime.fromisoformat(when)
            if epoch is not None:
                number, started, results = int(epoch), when, {"learning_rate": float(rate)}
            elif split is not None:
                if not 0 <= float(accuracy) <= 100:
                    raise ValueError(f"{split}_acc {accuracy} is no percentage")
                results[f"{split}_error"] = (100 - float(accuracy)) / 100
            elif len(results) == 3 and started is not None:
                seconds = (when - started).total_seconds()
                yield number, results | {"genotype": Genotype.parse(genotype), "seconds": seconds}
                results = {}
        except ValueError as error:
            problems.append(f"{log.name}: {str(error)[:200]}")
            return


def _hessians(folder: Path, seed: int) -> Iterator[tuple[int, list]]:
    """(epoch, H) of every line of derivatives_S.json; nothing where there is no such file."""
    path = folder / f"derivatives_{seed}.json"
    if not path.exists():
        return
    with open(path) as file:
        for number, line in enumerate(file, 1):
            try:
                measurement = files.from_json(line)
                yield int(measurement["epoch"]), measurement["H"]
            except (ValueError, KeyError, TypeError, OverflowError) as error:
                raise ValueError(f"line {number} of {path.name}: {error}") from error
