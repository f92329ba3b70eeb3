"""Types of values with what is allowed of them. `check` tests the fields of a dataclass, `allow` a single value."""

import inspect
from collections import abc
from collections.abc import Callable
from functools import cache, wraps
from numbers import Integral, Number, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

Function = TypeVar("Function", bound=Callable)
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

    def __repr__(self) -> str:
        return self.words  # for signatures in documentation


def _number(words: str, accepts: Callable[[float], bool], kind=int | float) -> Allowed:
    return Allowed(words, lambda value: isinstance(value, kind) and not isinstance(value, bool) and accepts(value))


def _or_none(allowed: Allowed, words: str) -> Allowed:
    return Allowed(allowed.words + words, lambda value: value is None or allowed.accepts(value))


def whole(least: int) -> Allowed:
    """A whole number from `least` on."""
    return _number(f"a whole number of at least {least}", lambda value: value >= least, int)


def one_of(*values) -> Allowed:
    """One of these values, and of the same type."""
    words = " or ".join(map(repr, values))
    return Allowed(words, lambda value: any(type(value) is type(one) and value == one for one in values))


_FRACTION = _number("a number in [0, 1)", lambda value: 0 <= value < 1)
_POSITIVE = _number("a number above 0", lambda value: 0 < value < INFINITE)
Count = Annotated[int, whole(1)]
CountOrAll = Annotated[int | None, _or_none(whole(1), ", or None for all")]
Natural = Annotated[int, whole(0)]
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
    for name, kind in _kinds(instance.__class__).items():
        object.__setattr__(instance, name, allow(name, getattr(instance, name), kind))


def argument(name: str, value, kind) -> None:
    """Raises ValueError, with `name`, what was given and what is allowed, where `value` is not of the `kind` of an
    annotation: a type above, a class, a union of these, a list, a function. What else an annotation says is trusted."""
    if not _is_of(value, kind):
        shown = repr(value) if isinstance(value, _SHOWN) else type(value).__name__
        shown = shown if len(shown) < 80 else f"{shown[:77]}..."
        raise ValueError(f"{name}: {shown} is not allowed; it must be {_words(kind)}")


def checked(function: Function) -> Function:
    """`function`, all of whose annotated arguments are checked as by `argument`, before anything is done. A number of
    NumPy becomes one of Python."""
    signature, hints = inspect.signature(function), cache(lambda: get_type_hints(function, include_extras=True))

    @wraps(function)
    def call(*arguments, **named):
        bound = signature.bind(*arguments, **named)
        given = bound.arguments
        for name, kind in hints().items():
            if name in given and signature.parameters[name].kind not in _MANY:
                if isinstance(given[name], np.generic):
                    given[name] = plain(given[name])
                argument(name, given[name], kind)
        return function(*bound.args, **bound.kwargs)

    return call  # type: ignore[return-value]


_MANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_SHOWN = (str, bytes, Number, NoneType, list, tuple, dict, set)
_KINDS: dict[object, str] = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "text",
    NoneType: "None",
    Path: "a path",
    abc.Callable: "a function",
    abc.Sequence: "a list",
    abc.Iterable: "a list",
    abc.Mapping: "a dictionary",
}


def _is_of(value, kind) -> bool:
    origin, within = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return all(one.accepts(value) for one in kind.__metadata__ if isinstance(one, Allowed))
    if origin in (Union, UnionType):
        return any(_is_of(value, one) for one in within)
    if origin is type:
        return isinstance(value, type) and issubclass(value, within)
    kind = origin or kind
    if kind in (int, float):
        return isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
    if kind is abc.Sequence:  # arrays and columns of tables too, which are none to Python
        return _is_of(value, abc.Iterable) and hasattr(value, "__getitem__") and not isinstance(value, abc.Mapping)
    if kind is abc.Iterable:
        return hasattr(value, "__iter__") and getattr(value, "ndim", 1) > 0 and not isinstance(value, str | bytes)
    return isinstance(value, kind) if isinstance(kind, type) else True


def _words(kind) -> str:
    if get_origin(kind) is Annotated:
        return next(one.words for one in kind.__metadata__ if isinstance(one, Allowed))
    if get_origin(kind) in (Union, UnionType):
        kinds = [one for one in get_args(kind) if one is not str or Path not in get_args(kind)]
        return " or ".join(dict.fromkeys(map(_words, kinds)))
    if get_origin(kind) is type:
        return f"a class, such as {get_args(kind)[0].__name__}"
    kind = get_origin(kind) or kind
    article = "an" if kind.__name__[0] in "AEIOU" else "a"
    return _KINDS.get(kind, f"{article} {kind.__name__}")
