"""The page on which DARTS stands is the search of the laboratory."""

import runpy
from pathlib import Path

import pytest
import torch

import darts_lab as dl

PAGE = Path(__file__).parents[1] / "examples" / "darts_on_one_page.py"


@pytest.mark.usefixtures("plain_form")  # in which the page computes
def test_darts_on_one_page_is_the_search_of_the_laboratory():
    genotype, alpha, sharpness = runpy.run_path(str(PAGE))["search"]("tiny", seed=4)
    search = dl.Search("S2", scale="tiny", seed=4, path=False)
    list(search)
    assert torch.equal(alpha, search.alpha.detach()) and genotype == search.genotype
    measured = dl.curvature.dominant_eigenvalue(search, seed=4, tolerance=1e-6)
    assert float(sharpness) == pytest.approx(float(measured), rel=1e-2)


def test_it_is_one_page():
    assert len(PAGE.read_text().splitlines()) <= 80
