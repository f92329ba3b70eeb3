"""Many runs: sweeps, their statistics, and the published numbers beside them."""

from __future__ import annotations
