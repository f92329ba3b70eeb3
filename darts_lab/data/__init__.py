"""Data sets as whole tensors on one device, and the batches that a search draws from them."""

from __future__ import annotations

from darts_lab.data.batches import crop as crop
from darts_lab.data.batches import cutout as cutout
from darts_lab.data.batches import flip as flip
from darts_lab.data.batches import plain_batch as plain_batch
from darts_lab.data.batches import random_batch as random_batch
from darts_lab.data.batches import shuffled_batches as shuffled_batches
from darts_lab.data.batches import training_batch as training_batch
from darts_lab.data.handwriting import DIGIT_CONTRAST as DIGIT_CONTRAST
from darts_lab.data.handwriting import digits as digits
from darts_lab.data.sets import DOWNLOADS as DOWNLOADS
from darts_lab.data.sets import NAMES as NAMES
from darts_lab.data.sets import available as available
from darts_lab.data.sets import load as load
from darts_lab.data.splits import SPLITS as SPLITS
from darts_lab.data.splits import Dataset as Dataset
from darts_lab.data.splits import Images as Images
from darts_lab.data.splits import Splits as Splits
from darts_lab.data.splits import from_tensors as from_tensors
from darts_lab.data.splits import normalise as normalise
from darts_lab.data.splits import pooled as pooled
from darts_lab.data.splits import unit as unit
