"""The methods of the papers and those that came later, by name."""

from functools import partial
from typing import Any

from darts_lab.methods import later
from darts_lab.methods.method import Method, clip
from darts_lab.methods.monitors import Adaptation, EarlyStopping
from darts_lab.methods.schedules import Every, FisherTrace, Never, Random
from darts_lab.methods.selection import best_random_cell, random_cell
from darts_lab.methods.terms import ADMM, Proximity
from darts_lab.settings import PRIME

L2_FACTORS = (3e-4, 9e-4, 27e-4, 81e-4, 243e-4)  # weight decays of w, Zela et al., section 4.2
DROP_PATHS = (0.0, 0.2, 0.4, 0.6)  # largest probabilities of drop path, Zela et al., section 4.1
WAITING = 10  # training batches for one alpha step in DARTS-PRIME (`--schedfreq 10` in the README of their code) ...
PORTION = 1 - 1 / (1 + WAITING)  # ... and the split that follows from it (`--dyno_split`): 10/11 train the weights


def _prime(name: str, schedule: Every, *terms, order: int = 1, settings=None, **more) -> Method:
    settings = {"order": order} | (settings or {})
    return Method(name, settings, terms=terms, schedule=schedule, train_portion=PORTION, code=PRIME, **more)


def _random_search(**more) -> dict:
    cell, best = (partial(part, **more) if more else part for part in (random_cell, best_random_cell))
    return {"perturb": cell, "selection": best, "schedule": Never()}


# Clipped activations, a batch-norm behind every node, and pruning (`--crb` in the code of Maile et al.)
_CRB_PARTS: dict[str, Any] = {"activation": clip, "network": {"node_norm": True}, "pruning": True}
_CRB = {"settings": {"alpha_spread": 1e-4}} | _CRB_PARTS
METHODS = {
    method.name: method
    for method in (
        Method("DARTS"),  # first order at laptop scale, second order at paper scale (Zela et al. use `--unrolled`)
        Method("DARTS-1st", {"order": 1}),
        Method("DARTS-2nd", {"order": 2}),
        Method("R-DARTS(L2)", strong_decay=True),  # 81 times the plain L2 factor, or `Scale.strong_decay`
        Method("R-DARTS(DP)", {"drop_path": DROP_PATHS[-1]}),  # Zela et al., section 5, the largest; with Cutout
        Method("DARTS-ES", monitor=EarlyStopping()),  # Zela et al., section 5.1
        Method("DARTS-ADA", monitor=Adaptation()),  # Zela et al., appendix D.1
        Method("RS-ws", **_random_search()),  # Li and Talwalkar 2019; the baseline of Zela et al.
        Method("RS-ws(none)", **_random_search(with_none=True)),  # their code, which may draw `none`
        _prime("DARTS-PRIME", FisherTrace(WAITING), Proximity()),  # Maile et al. 2021; first order, as their code
        _prime("DARTS-PRIME-2nd", FisherTrace(WAITING), Proximity(), order=2),
        _prime("PRIME(fixed)", Every(WAITING + 1), Proximity()),  # ablations, all with the same number of alpha steps
        _prime("PRIME(random)", Random(WAITING), Proximity()),
        _prime("PRIME(schedule only)", FisherTrace(WAITING)),
        _prime("PRIME(random timing only)", Random(WAITING)),
        _prime("PRIME(ADMM)", FisherTrace(WAITING), admm=ADMM()),
        Method("CRB", {"order": 1} | _CRB["settings"], code=PRIME, **_CRB_PARTS),
        _prime("CRB+PRIME", FisherTrace(WAITING), Proximity(), **_CRB),
        *later.METHODS,
    )
}


def get(method: str | Method) -> Method:
    """A method by its name (without regard to case), or the method itself."""
    if isinstance(method, Method):
        return method
    known = {name.lower(): one for name, one in METHODS.items()}
    if not isinstance(method, str) or method.lower() not in known:
        raise ValueError(f"method: {method!r} is not known; known: {', '.join(METHODS)}; or pass a dl.Method")
    return known[method.lower()]
