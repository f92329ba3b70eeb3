"""The checks below a notebook's exercises."""

from collections.abc import Callable


class WrongAnswer(AssertionError):
    """An answer that is not right (yet); a notebook shows its sentence alone."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


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
