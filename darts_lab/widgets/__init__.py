"""Widgets for notebooks and the dashboard: the live lab, and stored runs epoch by epoch."""

from darts_lab.widgets.lab import Lab, lab_for
from darts_lab.widgets.labs import running
from darts_lab.widgets.replay import Replay

__all__ = ["Lab", "lab_for", "running", "Replay", "dashboard"]


def dashboard(scale="laptop"):
    """Stored searches, one search, and two of them compared, each in a tab."""
    import ipywidgets

    one, two, replay = Lab(scale=scale), Lab(method=["DARTS", "R-DARTS(L2)"], scale=scale), Replay()
    tabs = ipywidgets.Tab([replay, one, two], titles=["Replay", "Search", "Compare"])
    tabs.observe(lambda _: replay.look(), "selected_index")
    return tabs
