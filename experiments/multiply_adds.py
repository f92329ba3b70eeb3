"""Gives tables of trainings a column of the multiply-adds of their networks, and changes nothing else in them.

    python experiments/multiply_adds.py [TABLE ...]      (default: all of results)

For tables made before sweeps told them. Nothing is trained: a row says which network it was. Can be repeated at any time.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pandas as pd

from darts_lab.networks.costs import parameter_count
from darts_lab.plan import Plan
from darts_lab.runs import files
from darts_lab.search.training import Training
from darts_lab.studies.verify import asked_by

NAME, BEFORE = "multiply_adds", "parameters"


@cache
def costs(plan: Plan) -> tuple[int, int]:
    """(weights, multiply-adds) of the network of a training."""
    training = Training.of(plan)
    return parameter_count(training.network), training.multiply_adds


def of_row(row: dict) -> str:
    """The multiply-adds of a row as they stand in a table; "" where nothing was trained. Raises ValueError where its
    network is another one than the row tells."""
    if not row[BEFORE]:
        return ""
    plan = asked_by({name: None if value == "" else value for name, value in row.items()}).training_of(row["genotype"])
    weights, found = costs(replace(plan, seed=0))  # on which they do not depend
    if weights != float(row[BEFORE]):
        raise ValueError(f"row {row['config_hash']}: its network has {row[BEFORE]} weights, that of today {weights}")
    return str(found)


def read(path: Path) -> pd.DataFrame:
    """The table in a file as text. Raises ValueError where it would not be written as it was read."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if table.to_csv(index=False).encode() != path.read_bytes():
        raise ValueError(f"{path.name}: would not be written as it was read")
    return table


def without(path: Path) -> bytes:
    """The table in a file without the column."""
    return read(path).drop(columns=NAME, errors="ignore").to_csv(index=False).encode()


def filled(path: Path) -> bytes:
    """The table in a file with the column, every other byte as it was."""
    table = read(path).drop(columns=NAME, errors="ignore")
    found = [of_row(row) for row in table.to_dict("records")]
    table.insert(table.columns.get_loc(BEFORE) + 1, NAME, found)
    return table.to_csv(index=False).encode()


def tables(folder: Path) -> list[Path]:
    """The tables of a folder that tell weights."""
    return [path for path in sorted(folder.glob("*.csv")) if BEFORE in pd.read_csv(path, nrows=0).columns]


if __name__ == "__main__":
    results = Path(__file__).parents[1] / "results"
    for path in map(Path, sys.argv[1:]) if sys.argv[1:] else tables(results):
        files.write(path, filled(path))
        print(path)
