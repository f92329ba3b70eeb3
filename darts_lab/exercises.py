"""What notebooks call beside the lab: the checks below their exercises, and the cell at which Run All stops."""

import os
from collections.abc import Callable

_stopped: list[bool] = []  # whether stop_here has stopped once in this kernel


class Shown(Exception):
    """An error of which a notebook shows the sentence alone."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class WrongAnswer(Shown, AssertionError):
    """An answer that is not right (yet)."""


class StopHere(Shown):
    """Cells below wait until they are asked for."""


def exercise(number: int, answer, right: Callable, hint: str = "") -> None:
    """Prints whether an answer is right: "no answer yet" for None, "right" where `right(answer)` is true.

    Raises WrongAnswer with the `hint` where it is not, so that a wrong solution fails its test.

    >>> dl.exercise(1, answer=None, right=lambda answer: answer == 81)
    Exercise 1: no answer yet.
    >>> dl.exercise(1, answer=81, right=lambda answer: answer == 81)
    Exercise 1: right.
    """
    if answer is None:
        print(f"Exercise {number}: no answer yet.")
    elif right(answer):
        print(f"Exercise {number}: right.")
    else:
        raise WrongAnswer(f"Exercise {number}: not yet. {hint}".rstrip())


def stop_here() -> None:
    """Ends *Run All* of Jupyter's page at this cell, so that a lab above it keeps the processor.

    Run again, it passes; so it does at once in a notebook that nbconvert or nbval executes.
    Raises StopHere, of which the page shows one sentence: how to go on.
    """
    if "JPY_SESSION_NAME" in os.environ and not _stopped:  # Jupyter's server says it to the kernels of its pages
        _stopped.append(True)
        raise StopHere(
            "Run All stops here, so that the lab has the processor. To go on: click on this cell, then "
            "Run > Run Selected Cell and All Below."
        )
