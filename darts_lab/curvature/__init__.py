"""The Hessian of a loss with respect to alpha: products, eigenvalues, spectrum, trace, landscape."""

from darts_lab.curvature.eigenvalues import (
    TOLERANCE,
    Eigenpair,
    Spectrum,
    dominant_eigenvalue,
    extreme_eigenvalues,
    spectrum,
    trace,
)
from darts_lab.curvature.hessian import Hessian, Matrix, checked_matrix
from darts_lab.curvature.landscape import Landscape, landscape

__all__ = ["TOLERANCE", "Eigenpair", "Spectrum", "dominant_eigenvalue", "extreme_eigenvalues", "spectrum", "trace"]
__all__ += ["Hessian", "Matrix", "checked_matrix", "Landscape", "landscape"]
