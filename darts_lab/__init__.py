"""A laboratory for differentiable architecture search.

import darts_lab as dl

dl.check()                                     # what is there
search = dl.Search("S2", "digits", "DARTS")    # a search is an iterator over its epochs
for epoch in search: print(epoch.valid_error)
dl.evaluate(search.genotype).test_error        # train the found cell from scratch
dl.lab()                                       # the same with buttons, in a notebook
"""

from __future__ import annotations

__version__ = "0.1.0"

from darts_lab import curvature as curvature
from darts_lab import data as data
from darts_lab import figures as figures
from darts_lab import genotype as genotype
from darts_lab import methods as methods
from darts_lab import runs as runs
from darts_lab import settings as settings
from darts_lab import spaces as spaces
from darts_lab.check import check as check
from darts_lab.data import bathymetry as bathymetry
from darts_lab.data import corpus as corpus
from darts_lab.data import stereo as stereo
from darts_lab.genotype import Genotype as Genotype
from darts_lab.genotype import discretize as discretize
from darts_lab.genotype import enumerate_genotypes as enumerate_genotypes
from darts_lab.genotype import random_genotype as random_genotype
from darts_lab.genotype import uniform_genotype as uniform_genotype
from darts_lab.interop import official as official
from darts_lab.interop.robustdarts import read_robustdarts as read_robustdarts
from darts_lab.methods import monitors as monitors
from darts_lab.methods import schedules as schedules
from darts_lab.methods import terms as terms
from darts_lab.methods.method import Method as Method
from darts_lab.networks.images import Network as Network
from darts_lab.networks.images import Supernet as Supernet
from darts_lab.plan import Plan as Plan
from darts_lab.runs.records import EpochRecord as EpochRecord
from darts_lab.search.loop import progress as progress
from darts_lab.search.search import Search as Search
from darts_lab.search.training import Evaluation as Evaluation
from darts_lab.search.training import Training as Training
from darts_lab.search.training import evaluate as evaluate
from darts_lab.settings import Scale as Scale
from darts_lab.spaces import SearchSpace as SearchSpace
from darts_lab.studies import published as published
from darts_lab.studies import statistics as statistics
from darts_lab.studies import sweep as sweeps  # noqa: F401
from darts_lab.studies.cells import discretization_drop as discretization_drop
from darts_lab.studies.cells import ground_truth as ground_truth
from darts_lab.studies.cells import predictions as predictions
from darts_lab.studies.cells import select as select
from darts_lab.studies.sweep import grid as grid
from darts_lab.studies.sweep import sweep as sweep
from darts_lab.tasks import scales as scales


def lab(*arguments, **settings):
    """The live lab, a widget: shows itself as the last value of a notebook cell. Arguments as for `Search`; with a list
    of methods, `dl.lab("S2", method=["DARTS", "R-DARTS(L2)"])`, their searches go on side by side."""
    from darts_lab.widgets import Lab  # ipywidgets is for notebooks; sweeps and the command line do without it

    figures.use_style()
    return Lab(*arguments, **settings)


def replay(source=None):
    """Stored searches, a widget with sliders for the epoch and for the rule of early stopping. `source` is a run
    directory, a folder with the published logs of RobustDARTS, or what `runs.read` gives; None offers the runs of this
    session."""
    from darts_lab.widgets import Replay

    figures.use_style()
    return Replay(source)


def dashboard(scale="laptop"):
    """The whole laboratory on one page: one search, two side by side, stored ones. What `make dashboard` shows."""
    from darts_lab.widgets import dashboard

    figures.use_style()
    return dashboard(scale)
