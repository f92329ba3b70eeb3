"""A laboratory for differentiable architecture search.

import darts_lab as dl

dl.check()                                     # what is there
search = dl.Search("S2", "digits", "DARTS")    # a search is an iterator over its epochs
for epoch in search: print(epoch.valid_error)
dl.evaluate(search.genotype).test_error        # train the found cell from scratch
dl.lab()                                       # the same with buttons, in a notebook
"""

__version__ = "0.1.0"

from darts_lab import idle  # before anything imports PyTorch

# isort: split
from darts_lab import curvature, data, figures, genotype, methods, ranks, runs, settings, spaces
from darts_lab.check import check
from darts_lab.data import bathymetry, corpus, stereo
from darts_lab.exercises import exercise, stop_here
from darts_lab.genotype import Genotype, discretize, enumerate_genotypes, random_genotype, uniform_genotype
from darts_lab.interop import official
from darts_lab.interop.quark0 import read_quark0
from darts_lab.interop.robustdarts import read_robustdarts
from darts_lab.methods import monitors, schedules, terms
from darts_lab.methods.method import Method
from darts_lab.networks.images import Network, Supernet
from darts_lab.plan import Plan
from darts_lab.runs.records import EpochRecord
from darts_lab.search.loop import progress
from darts_lab.search.search import Search
from darts_lab.search.together import search_by
from darts_lab.search.training import Evaluation, Training, evaluate
from darts_lab.settings import Scale
from darts_lab.spaces import SearchSpace
from darts_lab.studies import published, statistics
from darts_lab.studies import sweep as sweeps
from darts_lab.studies.cells import discretization_drop, ground_truth, predictions, select
from darts_lab.studies.cost import plan_cost
from darts_lab.studies.sweep import grid, sweep
from darts_lab.tasks import scales

__all__ = ["__version__", "curvature", "data", "figures", "genotype", "methods", "ranks", "runs", "settings"]
__all__ += ["spaces", "check", "bathymetry", "corpus", "stereo", "exercise", "stop_here", "Genotype", "discretize"]
__all__ += ["enumerate_genotypes", "random_genotype", "uniform_genotype", "official", "read_quark0"]
__all__ += ["read_robustdarts", "monitors", "schedules", "terms", "Method", "Network", "Supernet", "Plan"]
__all__ += ["EpochRecord", "progress", "Search", "search_by", "Evaluation", "Training", "evaluate", "Scale"]
__all__ += ["SearchSpace", "published", "statistics", "sweeps", "discretization_drop", "ground_truth", "predictions"]
__all__ += ["select", "plan_cost", "grid", "sweep", "scales", "lab", "running", "replay", "dashboard"]


def lab(*arguments, **options):
    """The live lab, a widget for the end of a notebook cell. Arguments as for `Search`; with a list of methods,
    `dl.lab("S2", method=["DARTS", "R-DARTS(L2)"])`, their searches go on side by side. A lab that was asked for with
    the same arguments and still computes, or is paused, is shown again."""
    from darts_lab import widgets  # ipywidgets is for notebooks; sweeps and the command line do without it

    figures.use_style()
    return widgets.lab_for(*arguments, **options)


def running():
    """The labs of this kernel whose searches go on or are paused, the oldest first."""
    from darts_lab import widgets

    return widgets.running()


def replay(source=None):
    """Stored searches, a widget with sliders for the epoch and the rule of early stopping. `source` is a run directory,
    a folder with logs of RobustDARTS or quark0/darts, or what `runs.read` gives; None plays one that comes with the
    package, and its menus offer the others and this session's runs."""
    from darts_lab.widgets import Replay

    figures.use_style()
    return Replay(source)


def dashboard(scale="laptop"):
    """The whole laboratory on one page: stored searches, one search, two compared. What `make dashboard` shows."""
    from darts_lab.widgets import dashboard

    figures.use_style()
    return dashboard(scale)
