"""What notebooks and the dashboard show: the live lab, two searches side by side, and stored runs to move through.

All three show the same panels (`panels.Panels`), which are `figures.PANELS` as images.
"""

from darts_lab.widgets.lab import Lab as Lab
from darts_lab.widgets.replay import Replay as Replay
