"""Makes the searches that come with the package, darts_lab/runs/searches: what replay and the dashboard show at once.

    python experiments/stored.py [RobustDARTS/experiments/search_logs]

On S2 and S4 five methods, each with the seed that results/protocol.md chooses for pictures of that space, one thread each; the
found cells are trained from scratch. Of a run directory only what a replay needs is kept: its config, its history and costs,
its cell, and the row of the table that the job gives. With the published logs of Zela et al. 2020 (Apache-2.0) also one of
their searches: errors, cells and eigenvalues as `dl.read_robustdarts` reads them, without the mixing weights, which they did
not log. Searches that the folder holds are left as they are; the others lie below runs/stored until they are whole.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
from collapse import PATH, shown_seed

import darts_lab as dl
from darts_lab import plan
from darts_lab.runs import Recorded, files
from darts_lab.runs.stored import FOLDER
from darts_lab.studies import job as jobs

METHODS = ("DARTS", "R-DARTS(L2)", "DARTS-ES", "DARTS-ADA", "DARTS-PRIME")
SPACES = ("S4", "S2")
RUNS = PATH.parents[1] / "runs" / "stored"
THEIRS = "S1-cifar10-dp0.0-wd0.0003-job2516843-seed1"
BY = {"by": "Zela et al. 2020", "source": "github.com/automl/RobustDARTS, experiments/search_logs, Apache-2.0"}
COLUMNS = (
    "test_error", "parameters", "multiply_adds", "reductions", "seconds", "search_seconds", "threads", "device", "processor",
    "torch", "version", "config_hash",
)  # fmt: skip


def main() -> None:
    table = pd.read_csv(PATH)
    for method in METHODS:
        for space in SPACES:
            (one,) = dl.grid(space=space, method=method, seed=shown_seed(table, space))
            asked = plan.of_job(one)
            if (FOLDER / asked.name / "row.json").exists():  # which is written last
                continue
            row = jobs.work(asked.to_json(), RUNS)
            if row["error"] is not None:
                sys.exit(f"{asked.name}: {row['error']}")
            kept(jobs.folder(asked, RUNS) / "search", row, FOLDER / asked.name)
            print(f"{asked.name}: test error {100 * row['test_error']:.1f} %, {row['seconds']:.0f} s", flush=True)
    if len(sys.argv) > 1:
        theirs(next(one for one in dl.read_robustdarts(sys.argv[1]) if one.name == THEIRS))


def kept(run: Path, row: dict, target: Path) -> None:
    """Copies what a replay needs of a run directory, and what its row says of the trained cell."""
    target.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "history.jsonl", "costs.jsonl", "genotype.txt"):
        shutil.copy(run / name, target / name)
    (target / "row.json").write_text(json.dumps({name: row[name] for name in COLUMNS}) + "\n")


def theirs(search: Recorded) -> None:
    """Writes a search of others in the form of ours."""
    space = dl.spaces.get(search.space).with_nodes(search.genotype.nodes)
    config = {
        "kind": "search", "name": search.name, "domain": "classification",
        "space": {"name": space.name, "cells": space.cells}, "data": {"name": search.data}, "method": "DARTS",
        "seed": search.seed, "settings": {"drop_path": search.drop_path, "weight_decay": search.weight_decay},
        **BY,
    }  # fmt: skip
    target = FOLDER / search.name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    (target / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (target / "genotype.txt").write_text(f"{search.genotype}\n")
    for record in search.history:
        if record.dominant_eigenvalue is not None:
            record = replace(record, dominant_eigenvalue=float(f"{record.dominant_eigenvalue:.6g}"))
        for name, part in zip(("history.jsonl", "costs.jsonl"), record.to_json(), strict=True):
            files.append(target / name, part)


if __name__ == "__main__":
    main()
