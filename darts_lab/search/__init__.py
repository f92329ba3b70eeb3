"""The bilevel search, and the training of a cell from scratch."""

from darts_lab.search.search import Search
from darts_lab.search.training import Evaluation, Training, evaluate

__all__ = ["Search", "Evaluation", "Training", "evaluate"]
