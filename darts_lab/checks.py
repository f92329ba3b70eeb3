"""What is allowed of a value, said once, as its type: `check` looks at the fields of a dataclass, `allow` at one value."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Annotated, NamedTuple, get_type_hints

INFINITE = float("inf")


class Allowed(NamedTuple):
    """What is allowed, in words and as a test."""

    words: str
    fine: Callable[[object], bool]


def whole(least: int, or_none: str = ""):
    """Whole numbers from `least` on, as a type; with `or_none`, which says what that means, None too."""

    def fine(value):
        if value is None:
            return bool(or_none)
        return isinstance(value, int) and not isinstance(value, bool) and value >= least

    return Annotated[int, Allowed(f"a whole number of at least {least}{or_none}", fine)]


def _number(words: str, fine: Callable[[float], bool]) -> Allowed:
    return Allowed(words, lambda value: isinstance(value, int | float) and not isinstance(value, bool) and fine(value))


def one_of(*values) -> Allowed:
    """One of these values, and of their types."""
    words = " or ".join(map(repr, values))
    return Allowed(words, lambda value: any(type(value) is type(one) and value == one for one in values))


_FRACTION = _number("a number in [0, 1)", lambda value: 0 <= value < 1)
_POSITIVE = _number("a number above 0", lambda value: 0 < value < INFINITE)
Count = whole(1)
CountOrAll = whole(1, ", or None for all")
Natural = whole(0)
Amount = Annotated[float, _number("a number of at least 0", lambda value: 0 <= value < INFINITE)]
Positive = Annotated[float, _POSITIVE]
AboveOne = Annotated[float, _number("a number above 1", lambda value: 1 < value < INFINITE)]
PositiveOrNone = Annotated[
    float | None, Allowed("a number above 0, or None", lambda value: value is None or _POSITIVE.fine(value))
]
Fraction = Annotated[float, _FRACTION]
Seed = Annotated[
    int,
    Allowed(
        f"a whole number from 0 to {2**31 - 1}",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31,
    ),
]
Between = Annotated[float, _number("a number in (0, 1)", lambda value: 0 < value < 1)]
Share = Annotated[float, _number("a number in (0, 1]", lambda value: 0 < value <= 1)]
Switch = Annotated[bool, Allowed("True or False", lambda value: isinstance(value, bool))]
Betas = Annotated[
    tuple[float, float],
    Allowed(
        "two numbers in [0, 1)",
        lambda value: isinstance(value, tuple | list) and len(value) == 2 and all(map(_FRACTION.fine, value)),
    ),
]


def allow(name: str, value, kind) -> None:
    """Raises ValueError, naming the argument, its value and what is allowed, where `value` is not of a `kind` above."""
    for allowed in getattr(kind, "__metadata__", ()):
        if not allowed.fine(value):
            raise ValueError(f"{name}: {value!r} is not allowed; it must be {allowed.words}")


@cache
def _kinds(of: type) -> dict:
    return get_type_hints(of, include_extras=True)


def check(of) -> None:
    """Raises as `allow` for the first field of a dataclass that makes no sense."""
    for name, kind in _kinds(type(of)).items():
        allow(name, getattr(of, name), kind)
