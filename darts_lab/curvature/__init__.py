"""The Hessian of a loss with respect to alpha: products, eigenvalues, spectrum, trace, landscape."""

from __future__ import annotations

from darts_lab.curvature.eigenvalues import TOLERANCE as TOLERANCE
from darts_lab.curvature.eigenvalues import Eigenpair as Eigenpair
from darts_lab.curvature.eigenvalues import Spectrum as Spectrum
from darts_lab.curvature.eigenvalues import dominant_eigenvalue as dominant_eigenvalue
from darts_lab.curvature.eigenvalues import extreme_eigenvalues as extreme_eigenvalues
from darts_lab.curvature.eigenvalues import spectrum as spectrum
from darts_lab.curvature.eigenvalues import trace as trace
from darts_lab.curvature.hessian import Hessian as Hessian
from darts_lab.curvature.hessian import Matrix as Matrix
from darts_lab.curvature.hessian import checked_matrix as checked_matrix
from darts_lab.curvature.landscape import Landscape as Landscape
from darts_lab.curvature.landscape import landscape as landscape
