"""Widgets for notebooks and the dashboard: the live lab, and stored runs epoch by epoch."""

from darts_lab.widgets.lab import Lab
from darts_lab.widgets.replay import Replay


def dashboard(scale="laptop"):
    """One search, two side by side, and stored ones, each in a tab."""
    import ipywidgets

    lab, two, replay = Lab(scale=scale), Lab(method=["DARTS", "R-DARTS(L2)"], scale=scale), Replay()
    tabs = ipywidgets.Tab([lab, two, replay], titles=["Search", "Compare", "Replay"])
    tabs.observe(lambda _: replay.look(), "selected_index")
    return tabs
