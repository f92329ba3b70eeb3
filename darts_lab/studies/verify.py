"""A row of a table done again: its plan, search and training, and whether they give the same."""

import tempfile
from dataclasses import asdict

import pandas as pd
import torch

from darts_lab import __version__, plan, tasks
from darts_lab.curvature import TOLERANCE
from darts_lab.environment import choose_device
from darts_lab.networks import fused
from darts_lab.plan import Plan
from darts_lab.runs import files
from darts_lab.studies.job import COLUMNS, COSTS, work

MADE_BY = ("device", "processor", "threads", "torch", "version")  # what decides which bits come out, beside the plan


def plan_of(row: dict) -> Plan:
    """The plan of a row of a sweep's table. A setting that the row does not name has its default.

    Raises ValueError where the row holds no job, or its hash is not that of what it asks for.
    """
    made = asked_by(row)
    missing = [name for name in ("config_hash", "version", "threads") if pd.isna(row.get(name))]
    if missing:
        raise ValueError(f"row: holds no job of a sweep: it has no {missing[0]}")
    if made.hash != row["config_hash"]:
        raise ValueError(
            f"row: its config_hash is {str(row['config_hash'])[:80]!r}, but what it asks for now makes {made.hash!r}; "
            f"it was made by version {str(row['version'])[:80]!r}, this is {__version__!r}"
        )
    return made


def asked_by(row: dict) -> Plan:
    """As `plan_of`, whatever hash the row has."""
    try:
        job = {name: row[name] for name in plan.JOB} | {"seed": int(row["seed"])}
        settings, evaluation = (  # "null" in a CSV file is read as a missing value
            None if pd.isna(row[name]) else files.from_json(row[name]) for name in ("settings", "evaluation")
        )
        defaults = tasks.of(job["data"]).scales["paper"]
        job |= {"genotype": row["genotype"]} if settings is None else asdict(type(defaults.search)()) | settings
        job["evaluation"] = None if evaluation is None else asdict(type(defaults.evaluation)()) | evaluation
        return plan.of_job(job)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"row: holds no job of a sweep: {repr(error)[:200]}") from error


def verify(row: dict) -> pd.DataFrame:
    """Does the job of one row of a table again and compares: one line a column, `table`, `again` and `equal`. The
    dominant eigenvalue may differ by the `curvature.TOLERANCE` to which it is measured.

    The same processor, number of threads and version of PyTorch give the same bits. Another processor chooses other
    kernels and rounds differently. Within an epoch a search turns that into other numbers, and at its end maybe into
    another cell (`expected` says which of the two this is). Raises ValueError where the row holds no job, or was
    computed on another kind of device: batches come in another order there.
    """
    of_row, here = plan_of(row), choose_device()[0].type
    if not pd.isna(row.get("device")) and row["device"] != here:
        raise ValueError(
            f"row: was computed on {str(row['device'])[:80]!r}, here it would be on {here!r}, with batches in another "
            "order; nothing would come out the same"
        )
    with tempfile.TemporaryDirectory() as path, _as_made(row):
        again = work(of_row.to_json(), path, int(row["threads"]))
    names = [  # a table may be older than a column
        name
        for name in COLUMNS
        if name in row and name not in (*COSTS, *MADE_BY, "settings", "evaluation")
        if name != "multiply_adds" or not pd.isna(row[name])  # a row that is older than the column
    ]
    pairs = [tuple(None if pd.isna(value) else value for value in (row[name], again[name])) for name in names]
    comparison = pd.DataFrame(pairs, index=names, columns=["table", "again"])
    equal = [one == other or _close(one, other, name) for name, (one, other) in zip(names, pairs, strict=True)]
    return comparison.assign(equal=equal)


def expected(row: dict) -> tuple[bool, str]:
    """Whether `verify` of a row must give the same bits here, as far as the row says, and in words why; else it gives
    another draw of the same experiment."""
    there = {name: None if pd.isna(value := row.get(name)) else str(value)[:80] for name in MADE_BY}
    device = choose_device()[0]
    with _as_made(row):
        made_by = fused.arithmetic(device)
    here = {
        "device": device.type, "processor": made_by, "threads": there["threads"], "torch": torch.__version__,
        "version": __version__,
    }  # fmt: skip
    differing = [name for name in MADE_BY if there[name] not in (None, here[name])]
    unknown = [name for name in MADE_BY if there[name] is None]
    if differing:
        words = "; ".join(f"{name} {there[name]!r} there, {here[name]!r} here" for name in differing)
        return False, f"another draw of the same experiment: {words}"
    if unknown:
        return True, f"the same bits, if on this processor: the table does not say its {' and '.join(unknown)}"
    return True, "the same bits: it was made on such a processor, with these versions"


def _as_made(row: dict):
    """A context within which cells are fused where they were for this row, by today's kernels."""
    return fused.switched(", fused" in str(row.get("processor")))


def _close(one, other, name: str) -> bool:
    """Equal to the digits with which a table keeps its numbers; an eigenvalue, to those to which it is measured."""
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    share = TOLERANCE if name.startswith("dominant_eigenvalue") else 1e-9
    return numbers and abs(one - other) <= share * max(abs(one), abs(other))
