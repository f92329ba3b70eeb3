"""Remedies that came after the papers of Zela et al. and Maile et al., each in a file of its own. docs/methods has what
was looked up of each, and where."""

from dataclasses import replace

from darts_lab.methods.later import (
    beta_darts,
    darts_minus,
    darts_pt,
    drnas,
    fair_darts,
    gdas,
    lambda_darts,
    oles,
    pc_darts,
    sdarts,
)

MODULES = darts_pt, sdarts, pc_darts, darts_minus, fair_darts, beta_darts, gdas, drnas, oles, lambda_darts
# alpha steps are of first order at every scale, as in the searches of their authors
METHODS = tuple(
    replace(method, settings={"order": 1} | method.settings) for module in MODULES for method in module.METHODS
)
