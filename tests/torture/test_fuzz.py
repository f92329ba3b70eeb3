"""Files that nobody wrote are read or refused in one line: a few dozen cases for every parser; `make torture` tries more."""

import fuzz
import pytest


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_a_parser_reads_or_refuses_whatever_it_is_fed_with(name, tmp_path):
    found = fuzz.fed(name, 40, tmp_path)
    patient = name.startswith(("corpus", "RobustDARTS", "quark0"))  # logs keep a list of problems
    assert sum(found.values()) >= 40 and (found["refused"] or patient)
