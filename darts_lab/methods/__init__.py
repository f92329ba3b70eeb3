"""A method is data: what a search does with alpha and with the weights beside the plain bilevel steps."""

from __future__ import annotations

from darts_lab.methods.method import Method as Method
from darts_lab.methods.method import clip as clip
from darts_lab.methods.method import softmax as softmax
from darts_lab.methods.named import DROP_PATHS as DROP_PATHS
from darts_lab.methods.named import L2_FACTORS as L2_FACTORS
from darts_lab.methods.named import METHODS as METHODS
from darts_lab.methods.named import PORTION as PORTION
from darts_lab.methods.named import WAITING as WAITING
from darts_lab.methods.named import get as get
