"""Every kind of method and domain comes to what it came to when golden.json was recorded (in the plain form of cells), to the
last bit, and although it is interrupted and resumed on the way."""

import json

import golden
import pytest

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
    assert json.loads(json.dumps(CASES[name](True))) == RECORDED["runs"][name]
