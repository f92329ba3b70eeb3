"""Waiting for what happens sooner or later, however busy the machine is."""

import time

PATIENCE = 1200  # seconds; ends what hangs, and nothing else


def until(condition, pause: float = 0.02) -> None:
    """Waits until `condition()` holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(pause)
