"""What a search is for: a search knows only what `Task` says."""

from darts_lab import data as datasets
from darts_lab import runs
from darts_lab.data import bathymetry, stereo
from darts_lab.data.corpus import Corpus
from darts_lab.tasks.base import Task
from darts_lab.tasks.classification import Classification
from darts_lab.tasks.disparity import Disparity
from darts_lab.tasks.language import Language
from darts_lab.tasks.regression import Regression

__all__ = ["Task", "Classification", "Disparity", "Language", "Regression", "KINDS", "NAMED", "of", "data_of"]

# the task of every kind of data, and of the data that have a name
KINDS: dict[type, type[Task]] = {
    datasets.Dataset: Classification,
    Corpus: Language,
    stereo.Stereo: Disparity,
    bathymetry.Soundings: Regression,
}
NAMED: dict[str, type[Task]] = dict.fromkeys(datasets.NAMES, Classification)
NAMED |= dict.fromkeys(("pydocs", "ptb"), Language)
NAMED |= dict.fromkeys(("stereo", "flyingthings3d"), Disparity) | {"bathymetry": Regression}


def of(data) -> type[Task]:
    """The task that goes with data, or with the name of data. Raises ValueError for what is neither."""
    if isinstance(data, str) and data.lower() in NAMED:
        return NAMED[data.lower()]
    for kind, task in KINDS.items():
        if isinstance(data, kind):
            return task
    raise ValueError(f"data: {' '.join(repr(data).split())[:80]} is not allowed; it must be a name or a data set")


def data_of(run: runs.Run, given=None):
    """The data to go on with: `given`, or what the run names. Raises ValueError where that was the user's own."""
    name = run.config["data"]["name"]
    if given is None and name not in datasets.NAMES:
        raise ValueError(f"data: the run {str(run.path)!r} was made with data of your own ({name!r}); pass it as data=")
    return name if given is None else given
