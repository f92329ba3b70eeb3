"""Types of values with what is allowed of them. `check` tests the fields of a dataclass, `allow` a single value."""

from collections.abc import Callable
from functools import cache
from typing import Annotated, NamedTuple, get_type_hints

import numpy as np

INFINITE = float("inf")


def plain(value):
    """`value` in Python's own numbers: scalars of NumPy and tensors without dimension become numbers, arrays and other
    tensors lists of them, also inside lists, tuples and dictionaries. All else is returned as it is.

    A number of 16 or 32 bits becomes the decimal that one would write for it: `np.float32(0.1)` is 0.1.
    """
    if isinstance(value, dict):
        return {plain(name): plain(one) for name, one in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    if not hasattr(value, "tolist"):  # which arrays, tensors, and columns of tables have
        return value
    if getattr(value, "shape", None) != ():
        return [plain(one) for one in value]
    number, bits = value.item(), str(value.dtype).removeprefix("torch.")
    return float(str(getattr(np, bits)(number))) if bits in ("float16", "float32") else number


class Allowed(NamedTuple):
    """What is allowed, in words and as a test."""

    words: str
    accepts: Callable[[object], bool]


def _number(words: str, accepts: Callable[[float], bool], kind=int | float) -> Allowed:
    return Allowed(words, lambda value: isinstance(value, kind) and not isinstance(value, bool) and accepts(value))


def _or_none(allowed: Allowed, words: str) -> Allowed:
    return Allowed(allowed.words + words, lambda value: value is None or allowed.accepts(value))


def whole(least: int, or_none: str = ""):
    """The type of whole numbers from `least` on; with `or_none`, such as ", or None for all", of None too."""
    allowed = _number(f"a whole number of at least {least}", lambda value: value >= least, int)
    return Annotated[int, _or_none(allowed, or_none) if or_none else allowed]


def one_of(*values) -> Allowed:
    """One of these values, and of the same type."""
    words = " or ".join(map(repr, values))
    return Allowed(words, lambda value: any(type(value) is type(one) and value == one for one in values))


_FRACTION = _number("a number in [0, 1)", lambda value: 0 <= value < 1)
_POSITIVE = _number("a number above 0", lambda value: 0 < value < INFINITE)
Count = whole(1)
CountOrAll = whole(1, ", or None for all")
Natural = whole(0)
Seed = Annotated[int, _number(f"a whole number from 0 to {2**31 - 1}", lambda value: 0 <= value < 2**31, int)]
Amount = Annotated[float, _number("a number of at least 0", lambda value: 0 <= value < INFINITE)]
Positive = Annotated[float, _POSITIVE]
PositiveOrNone = Annotated[float | None, _or_none(_POSITIVE, ", or None")]
AboveOne = Annotated[float, _number("a number above 1", lambda value: 1 < value < INFINITE)]
Fraction = Annotated[float, _FRACTION]
Between = Annotated[float, _number("a number in (0, 1)", lambda value: 0 < value < 1)]
Share = Annotated[float, _number("a number in (0, 1]", lambda value: 0 < value <= 1)]
Switch = Annotated[bool, Allowed("True or False", lambda value: isinstance(value, bool))]


def _two_fractions(value) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2 and all(map(_FRACTION.accepts, value))


Betas = Annotated[tuple[float, float], Allowed("two numbers in [0, 1)", _two_fractions)]


def allow(name: str, value, kind):
    """`value` in Python's own numbers. Raises ValueError, with `name` and what is allowed, if `kind`, a type above,
    forbids it."""
    value = plain(value)
    for allowed in getattr(kind, "__metadata__", ()):
        if not allowed.accepts(value):
            raise ValueError(f"{name}: {value!r} is not allowed; it must be {allowed.words}")
    return value


@cache
def _kinds(dataclass: type) -> dict:
    return get_type_hints(dataclass, include_extras=True)


def check(instance) -> None:
    """Puts the fields of a dataclass, frozen or not, in Python's own numbers. Raises as `allow` for the first that is
    not allowed."""
    for name, kind in _kinds(type(instance)).items():
        object.__setattr__(instance, name, allow(name, getattr(instance, name), kind))
