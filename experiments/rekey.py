"""Gives every row of the tables in a folder the hash of its plan, and changes nothing else in them.

    python experiments/rekey.py [FOLDER]      (default: results)

For tables made before the hash was that of `darts_lab.plan.Plan`. Tables without settings, such as those of epochs, follow
the tables of searches beside them. rekey.json holds what was done to the committed tables: each old key with its new one, and
the SHA-256 of each table before (tests/studies/test_results.py puts the old keys back and compares).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
from multiply_adds import read

from darts_lab.runs import files
from darts_lab.studies.verify import asked_by

DONE = Path(__file__).with_suffix(".json")


def keys_of(folder: Path) -> dict[str, str]:
    """The present hash of every row in the tables of a folder that says what was asked for: old -> new."""
    keys = {}
    for path in sorted(folder.glob("*.csv")):
        table = pd.read_csv(path)
        if {"settings", "evaluation", "config_hash"} <= set(table.columns):
            for row in table.to_dict("records"):
                new = asked_by(row).hash
                if keys.setdefault(row["config_hash"], new) != new:
                    raise ValueError(f"{path.name}: {row['config_hash']} stands for two plans")
    if len(set(keys.values())) < len(keys):
        raise ValueError("two hashes stand for one plan")
    return keys


def with_keys(path: Path, keys: dict[str, str]) -> bytes:
    """The table in the file `path` with its hashes replaced, every other byte as it was."""
    table = read(path)
    return table.assign(config_hash=[keys[key] for key in table["config_hash"]]).to_csv(index=False).encode()


if __name__ == "__main__":
    folder = Path(sys.argv[1] if sys.argv[1:] else Path(__file__).parents[1] / "results")
    keys = json.loads(DONE.read_text())["keys"] | keys_of(folder)
    for path in sorted(folder.glob("*.csv")):
        if "config_hash" in pd.read_csv(path, nrows=0).columns:
            files.write(path, with_keys(path, keys))
