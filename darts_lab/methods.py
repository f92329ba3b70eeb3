"""The named methods, as data: what a search does with alpha and with the weights beside the plain bilevel steps.

A `Method` states only what differs from the scale's settings, so parts of different papers combine freely:
`dl.Method("mine", weight_decay=0.0081, order=2)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from darts_lab.monitors import Adaptation, EarlyStopping


def softmax(alpha: Tensor) -> Tensor:
    """Mixing weights that compete within an edge (Liu et al. 2019, eq. 2)."""
    return torch.softmax(alpha, -1)


@dataclass(frozen=True)
class Method:
    """How to search.

    `settings` are the search settings the method fixes, whatever the scale says, e.g. `{"weight_decay": 0.0243}`.
    `activation` turns alpha into mixing weights. `terms` are functions `(mixing, progress) -> scalar` added to the
    validation loss of the alpha steps; `progress` runs from 0 to 1 over the search. `monitor` ends the search, or
    throws it back, when the dominant eigenvalue has risen too much.
    """

    name: str
    settings: Mapping[str, object] = field(default_factory=dict)
    activation: Callable[[Tensor], Tensor] = softmax
    terms: tuple[Callable[[Tensor, float], Tensor], ...] = ()
    monitor: EarlyStopping | Adaptation | None = None


METHODS = {
    method.name: method
    for method in (
        Method("DARTS"),  # first order at laptop scale, second order at paper scale (Zela et al. use `--unrolled`)
        Method("DARTS-1st", {"order": 1}),
        Method("DARTS-2nd", {"order": 2}),
        Method("R-DARTS(L2)", {"weight_decay": 0.0243}),  # 81 x 3e-4, the strongest factor of Zela et al., section 5
        Method("DARTS-ES", monitor=EarlyStopping()),  # Zela et al., section 5.1
        Method("DARTS-ADA", monitor=Adaptation()),  # Zela et al., appendix D.1
    )
}


def get(method: str | Method) -> Method:
    """A method by its name (without regard to case), or the method itself."""
    if isinstance(method, Method):
        return method
    known = {name.lower(): found for name, found in METHODS.items()}
    if not isinstance(method, str) or method.lower() not in known:
        raise ValueError(f"method: {method!r} is not known; known: {', '.join(METHODS)}; or pass a dl.Method")
    return known[method.lower()]
