"""How large, by one word, in every domain."""

from darts_lab.settings import Scale
from darts_lab.tasks.classification import BOTH_CELLS as BOTH_CELLS
from darts_lab.tasks.classification import Classification
from darts_lab.tasks.classification import check_protocol as check_protocol
from darts_lab.tasks.disparity import Disparity
from darts_lab.tasks.language import LANGUAGE_L2_FACTORS as LANGUAGE_L2_FACTORS
from darts_lab.tasks.language import Language
from darts_lab.tasks.regression import Regression

DOMAINS = {task.domain: task.scales for task in (Classification, Language, Disparity, Regression)}


def get(scale: str | Scale, domain: str = "classification") -> Scale:
    """A scale by its name (without regard to case) in a domain, or the scale itself."""
    if isinstance(scale, Scale):
        return scale
    if domain not in DOMAINS:
        raise ValueError(f"domain: {domain!r} is not known; known: {', '.join(DOMAINS)}")
    known = DOMAINS[domain]
    if not isinstance(scale, str) or scale.lower() not in known:
        raise ValueError(f"scale: {scale!r} is not known; known: {', '.join(known)}; or pass a dl.Scale")
    return known[scale.lower()]
