"""A run on disk, and its records."""

from darts_lab.runs.records import COSTS, EpochRecord, Recorded, cost, read, table
from darts_lab.runs.run import Run, folder_name
from darts_lab.runs.stored import stored

__all__ = ["COSTS", "EpochRecord", "Recorded", "cost", "read", "table", "Run", "folder_name", "stored"]
