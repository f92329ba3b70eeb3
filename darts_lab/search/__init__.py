"""The bilevel search, and the training of a cell from scratch."""

from __future__ import annotations

from darts_lab.search.search import Search as Search
from darts_lab.search.training import Evaluation as Evaluation
from darts_lab.search.training import Training as Training
from darts_lab.search.training import evaluate as evaluate
