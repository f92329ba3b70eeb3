"""The bilevel search, and the training of a cell from scratch."""

from __future__ import annotations

from darts_lab.search.search import Search
from darts_lab.search.training import Evaluation, Training, evaluate
