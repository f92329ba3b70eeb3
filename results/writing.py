"""How the summaries of the committed tables are written."""

from __future__ import annotations

import pandas as pd

from darts_lab import statistics


def shown(estimate: statistics.Estimate, digits: int = 1) -> str:
    """A mean and half of its interval, where there is one."""
    half = (estimate.high - estimate.low) / 2
    return f"{estimate.value:.{digits}f}" + ("" if half != half else f" ± {half:.{digits}f}")


def apart(rows: pd.DataFrame, one, other, of: str = "method") -> str:
    """`one` minus `other` in the retrained test error, in points, paired by seed; bold where the interval excludes zero."""
    rows = rows.assign(percent=100 * rows["test_error"])
    difference = statistics.paired_difference(rows, "percent", one, other, of)
    return f"**{shown(difference)}**" if difference.excludes_zero else shown(difference)


def means(rows: pd.DataFrame, columns: dict[str, tuple[int, int]]) -> list[str]:
    """The means of columns, name -> (factor, digits); empty where a run has no such value."""
    return [
        shown(statistics.mean(factor * rows[name].astype(float)), digits) if rows[name].notna().all() else ""
        for name, (factor, digits) in columns.items()
    ]


def markdown(heads: list[str], rows: list[list[str]]) -> list[str]:
    """The lines of a table."""
    return ["| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *rows)]
