"""Threads that wait for work sleep. To import this sets so, for PyTorch reads it once, when it loads.

By default those of OpenMP spin for a while after every operation, lest they be late for the next one: on a machine that
does something else too, that takes the processor from whoever has work to do.
"""

import os
import sys
import warnings

SETTINGS = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}


if "torch" not in sys.modules and not SETTINGS.keys() & os.environ.keys():
    os.environ.update(SETTINGS)  # of this process and those it starts


def warn() -> None:
    """Warns, once, where PyTorch was loaded before anybody had set them."""
    if not SETTINGS.keys() & os.environ.keys():
        warnings.warn(
            "PyTorch was imported before darts_lab, so its idle threads do not sleep: on a busy machine that can cost "
            "several times the time; import darts_lab first, or set OMP_WAIT_POLICY=passive",
            stacklevel=3,
        )
