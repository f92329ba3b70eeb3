"""Files of other projects: checkpoints of quark0/darts, logs of it and of RobustDARTS."""

from __future__ import annotations
