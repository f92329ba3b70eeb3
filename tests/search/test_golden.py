"""Every kind of method and domain comes to what it came to when golden.json was recorded (in the plain form of cells), to the
last bit, and although it is interrupted and resumed on the way."""

import json

import golden
import pytest

RECORDED = json.loads(golden.FILE.read_text())
CASES = golden.cases()
PROBES = ("training digits", "S2 order 2", "S2 bfloat16", "pydocs order 2", "stereo order 2")
pytestmark = pytest.mark.usefixtures("plain_form", "the_bits_of_the_record")


def came_to(name: str) -> dict:
    return json.loads(json.dumps(CASES[name](True)))


@pytest.fixture(scope="module")
def the_bits_of_the_record():
    """Skips where other bits are to be expected: on another kind of processor or with another PyTorch or Python; and, where
    processors of one name differ in what they can do, if the probes come to something else."""
    recorded, here = RECORDED["made_by"], golden.made_by()
    if here == recorded:
        return
    words = f"golden.json is of {recorded}, this is {here}: other bits are to be expected"
    if any(recorded[part] != here[part] for part in ("torch", "python")):
        pytest.skip(words)
    if recorded["processor"].rsplit(", ", 1)[0] != here["processor"].rsplit(", ", 1)[0]:
        pytest.skip(words)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DARTS_LAB_FUSED", "0")
        if any(came_to(name) != RECORDED["runs"][name] for name in PROBES):
            pytest.skip(words)


def test_golden_runs_are_those_of_the_cases():
    assert set(RECORDED["runs"]) == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_run_comes_to_what_it_came_to_before(name):
    assert came_to(name) == RECORDED["runs"][name]
