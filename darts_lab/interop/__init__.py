"""What others wrote: checkpoints of quark0/darts, logs of RobustDARTS."""

from __future__ import annotations
