"""What the scripts of the committed tables share: sweeping on from a table, and how summaries are written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from darts_lab import methods, plan
from darts_lab.runs import files
from darts_lab.studies import statistics
from darts_lab.studies import sweep as sweeps
from darts_lab.tasks import classification

RESULTS = Path(__file__).parents[1] / "results"
FORMER = "Made before today's preset: both cells trained, L2 factors not scaled (protocol.md, *Before*). "


def former(jobs: list[dict]) -> list[dict]:
    """`jobs` as scale laptop meant them before protocol.md: L2 factors not scaled, both cells trained."""
    found = []
    for job in jobs:
        evaluation = job.get("evaluation", {})
        job = job | {"evaluation": None if evaluation is None else classification.BOTH_CELLS | evaluation}
        if "genotype" not in job:
            job["decay_scale"] = 1.0
            if job.get("method") == "R-DARTS(L2)":
                job.setdefault("weight_decay", methods.L2_FACTORS[-1])
        found.append(job)
    return found


def known(path: Path) -> pd.DataFrame | None:
    """The rows that the table `path` holds already, if it is there; settings are told as JSON, whose "null" is not an empty
    field."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""]) if path.exists() else None


def swept(jobs: list[dict], runs: Path, path: Path | None) -> pd.DataFrame:
    """The table of `jobs`, done below `runs`; rows that the table `path` holds already are taken from it."""
    table = sweeps.sweep(jobs, runs, "loky", known=None if path is None else known(path))
    failed = table[table["error"].notna()]
    if len(failed):
        sys.exit(f"{len(failed)} runs failed; the first: {failed['error'].iloc[0]}")
    return table


def epochs_of(runs: Path, path: Path) -> pd.DataFrame:
    """Every epoch of the searches below `runs`, and of those that only the table `path` still tells of."""
    found = sweeps.epochs(runs)
    if not path.exists():
        return found
    before = pd.read_csv(path)
    before = before[~before["config_hash"].isin(found["config_hash"])]
    return pd.concat([table for table in (before, found) if len(table)], ignore_index=True)


def searched(jobs: list[dict], runs: Path, path: Path) -> pd.DataFrame:
    """The epochs of the searches `jobs`, done below `runs` where the table `path` of epochs does not hold them already."""
    hashes = {plan.of_job(job).hash: job for job in jobs}
    done = set(pd.read_csv(path)["config_hash"]) if path.exists() else set()
    swept([job for key, job in hashes.items() if key not in done], runs, None)
    epochs = epochs_of(runs, path)
    return epochs[epochs["config_hash"].isin(hashes)]


def every_second(epochs: pd.DataFrame) -> pd.DataFrame:
    """Every second epoch of each search, and its last, without what only a whole history needs."""
    last = epochs.groupby("config_hash")["epoch"].transform("max")
    epochs = epochs[(epochs["epoch"] % 2 == 0) | (epochs["epoch"] == last)]
    return epochs.drop(columns=["genotype", "eigenvalue_error", "stop_epoch", "seconds"], errors="ignore")


def save(table: pd.DataFrame, path: Path, **options) -> None:
    """Writes a table whole or not at all: it is also the memory of what is done."""
    files.write(path, table.to_csv(index=False, **options).encode())


def written(path: Path, runs: Path, table: pd.DataFrame, summary: Callable) -> None:
    """Writes `table` as the file `path`, every second epoch of its searches (below `runs`, or written before) beside it as
    _epochs.csv, and `summary(table, epochs)` of what these hold as .md, which it prints too."""
    beside = epochs_path(path)
    epochs = epochs_of(runs, beside)
    epochs = epochs[epochs["config_hash"].isin(table["config_hash"])]
    if len(epochs):
        order = ["space", "method", "weight_decay", "drop_path", "seed", "config_hash"]
        epochs = every_second(epochs).sort_values(order, kind="stable")
    save(table, path)
    save(epochs, beside, float_format="%.6g")
    text = summary(pd.read_csv(path), pd.read_csv(beside))  # of the numbers that stand there
    path.with_suffix(".md").write_text(text)
    print(text)


def made(jobs: list[dict], path: Path, runs: Path, summary: Callable) -> None:
    """Does `jobs`, unless the command says --so-far, and writes the table `path` of those that are done, as `written`."""
    if "--so-far" not in sys.argv:
        swept(jobs, runs, path)
    found, wanted = so_far(path, runs), {plan.of_job(job).hash for job in jobs}
    written(path, runs, found[found["config_hash"].isin(wanted)], lambda table, _: summary(table))


def so_far(path: Path, runs: Path) -> pd.DataFrame:
    """Every row that has ended well, below `runs` or in the table `path`."""
    runs.mkdir(parents=True, exist_ok=True)  # where nothing was computed here, the table alone tells
    tables = [table for table in (known(path), sweeps.read(runs)) if table is not None]
    found = pd.concat(tables, ignore_index=True)
    return found[found["error"].isna()].drop_duplicates("config_hash")


def epochs_path(path: Path) -> Path:
    """Where the epochs of the searches in the table `path` are kept."""
    return path.with_name(f"{path.stem}_epochs.csv")


def filler(space: str) -> str:
    """What a degenerate cell of a space is full of."""
    return "noise" if space == "S4" else "skips"


def usual(table: pd.DataFrame) -> pd.Series:
    """Whether a search is of another method than DARTS, or has neither a stronger L2 factor nor drop path."""
    return (table["method"] != "DARTS") | (table["weight_decay"] == methods.L2_FACTORS[0]) & (table["drop_path"] == 0)


def shown(estimate: statistics.Estimate, digits: int = 1) -> str:
    """A mean and half of its interval, where there is one."""
    half = (estimate.high - estimate.low) / 2
    return f"{estimate.value:.{digits}f}" + ("" if half != half else f" ± {half:.{digits}f}")


def within(estimate: statistics.Estimate, unit: str = "", digits: int = 1) -> str:
    """A value and its interval."""
    value, low, high = (f"{number:.{digits}f}" for number in (estimate.value, estimate.low, estimate.high))
    return f"{value}{unit} [{low}, {high}]"


def unfinished(table: pd.DataFrame, jobs: list[dict], what: str) -> str:
    """How many of `jobs` are done, where `table` does not hold all of them yet; else nothing."""
    return "" if len(table) == len(jobs) else f" **Not finished: {len(table)} of {len(jobs)} {what} are done.**"


def marked(difference: statistics.Estimate, digits: int = 1) -> str:
    """A difference as `shown`, bold where its interval excludes zero."""
    return f"**{shown(difference, digits)}**" if difference.excludes_zero else shown(difference, digits)


def apart(rows: pd.DataFrame, one, other, of: str = "method") -> str:
    """`one` minus `other` in the retrained test error, in points, paired by seed; bold where the interval excludes zero."""
    rows = rows.assign(percent=100 * rows["test_error"])
    return marked(statistics.paired_difference(rows, "percent", one, other, of))


def means(rows: pd.DataFrame, columns: dict[str, tuple[int, int]]) -> list[str]:
    """The means of columns, name -> (factor, digits); empty where a run has no such value."""
    return [
        shown(statistics.mean(factor * rows[name].astype(float)), digits) if rows[name].notna().all() else ""
        for name, (factor, digits) in columns.items()
    ]


def markdown(heads: list[str], rows: list[list[str]]) -> list[str]:
    """The lines of a table."""
    return ["| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *rows)]
