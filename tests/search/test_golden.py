"""Every kind of method and domain comes to what it came to when golden.json was recorded (in the plain form of cells), to the
last bit but for eigenvalues, and although it is interrupted and resumed on the way."""

import copy
import json

import golden
import pytest

from darts_lab import curvature

pytestmark = pytest.mark.usefixtures("plain_form")
RECORDED = json.loads(golden.FILE.read_text())
CASES = golden.cases()


def test_golden_runs_are_those_of_the_cases():
    assert set(RECORDED["runs"]) == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_run_comes_to_what_it_came_to_before(name):
    if RECORDED["made_by"] != golden.made_by():
        pytest.skip(
            f"golden.json is of {RECORDED['made_by']}, this is {golden.made_by()}: other bits are to be expected"
        )
    before, now = RECORDED["runs"][name], json.loads(json.dumps(CASES[name](True)))
    assert golden.without_eigenvalues(now) == golden.without_eigenvalues(before)
    assert golden.eigenvalues(now) == pytest.approx(golden.eigenvalues(before), rel=curvature.TOLERANCE)


def test_what_is_compared_leaves_out_eigenvalues_alone():
    run = RECORDED["runs"]["S3 DARTS"]
    other = copy.deepcopy(run)
    other["records"][0][golden.EIGENVALUE] *= 2
    assert golden.without_eigenvalues(run) == golden.without_eigenvalues(other) != run
    assert golden.eigenvalues(run) == [record[golden.EIGENVALUE] for record in run["records"]] and run != other
