"""Data sets as whole tensors on one device, and the batches that a search draws from them."""

from darts_lab.data.batches import (
    crop,
    cutout,
    flip,
    plain_batch,
    random_batch,
    samples,
    shuffled_batches,
    training_batch,
)  # fmt: skip
from darts_lab.data.handwriting import DIGIT_CONTRAST, digits
from darts_lab.data.images import from_arrays, from_tensors
from darts_lab.data.own import from_dataset, from_folder
from darts_lab.data.sets import DOWNLOADS, NAMES, available, load
from darts_lab.data.splits import SPLITS, Dataset, Images, Splits, normalise, pooled, unit

__all__ = ["crop", "cutout", "flip", "plain_batch", "random_batch", "samples", "shuffled_batches", "training_batch"]
__all__ += ["DIGIT_CONTRAST", "digits", "from_dataset", "from_folder", "DOWNLOADS", "NAMES", "available", "load"]
__all__ += ["SPLITS", "Dataset", "Images", "Splits", "from_arrays", "from_tensors", "normalise", "pooled", "unit"]
