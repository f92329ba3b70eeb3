"""A run on disk, and its records."""

from __future__ import annotations

from darts_lab.runs.records import COSTS as COSTS
from darts_lab.runs.records import EpochRecord as EpochRecord
from darts_lab.runs.records import Recorded as Recorded
from darts_lab.runs.records import cost as cost
from darts_lab.runs.records import read as read
from darts_lab.runs.records import table as table
from darts_lab.runs.run import Run as Run
from darts_lab.runs.run import folder_name as folder_name
