"""The labs of this kernel, and what each was asked for."""

import inspect
import weakref

LABS: weakref.WeakSet = weakref.WeakSet()


def running() -> list:
    """The labs of this kernel whose searches go on or are paused, the oldest first."""
    return _in("working", "paused")


def begun(asked: dict):
    """The lab that was `asked` for the same, and that runs, is paused or could go on after a stop; or None."""
    return next((one for one in (*running(), *reversed(_in("stopped"))) if _same(one.asked, asked)), None)


def asked(kind: type, arguments: tuple, options: dict) -> dict:
    """Everything that a lab, of class `kind`, is asked for by these arguments, but for the form of its page."""
    bound = inspect.signature(kind).bind(*arguments, **options)
    bound.apply_defaults()
    bound.arguments.pop("present")
    return bound.arguments | bound.arguments.pop("settings")


def _in(*states: str) -> list:
    return sorted((lab for lab in LABS if not lab.worker.closed and lab.state in states), key=lambda lab: lab.born)


def _same(one, other) -> bool:
    """Whether two values ask for the same: names and numbers by value, a user's own objects by identity."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return one is other or isinstance(one, str | int | float) and type(one) is type(other) and one == other
