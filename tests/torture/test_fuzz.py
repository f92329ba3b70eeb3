"""Files that nobody wrote are read or refused in one line: a few dozen cases for every parser; `make torture` tries more."""

import fuzz
import pytest


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_a_parser_reads_or_refuses_whatever_it_is_fed_with(name, tmp_path):
    found = fuzz.fed(name, 40, tmp_path)
    patient = name.startswith(("corpus", "RobustDARTS", "quark0"))  # logs keep a list of problems
    assert sum(found.values()) >= 40 and (found["refused"] or patient)


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("genotype, compact", b"(0, 3), (1, 2)", b"(0, #2, (1, \r2)"),
        ("genotype", b"range(2, 6)", b"range(2, 776)"),
        ("table of a sweep", b"alpha_spread", b"alpha_s" + b"[" * 3000),
        ("table of a sweep", b"alpha_spread", b"alpha_s\nread"),
        ("table of a sweep", b",digits,", b",,"),
        ("soundings CSV", b"0.npy", b"0." + b'{"a":' * 3000),
        ("RobustDARTS, derivatives_1.json", b'"epoch": 0', b'"epoch": 1e9990'),
        ("RobustDARTS, errors_1.json", b"[1.0, 0.5]", b"[" + b"9" * 400 + b", 0.5]"),
    ],
)
def test_what_fuzzing_found_stays_mended(name, before, after, tmp_path):
    sample = fuzz.TARGETS[name][1]()
    assert before in sample
    assert fuzz.one(name, sample.replace(before, after), tmp_path) == (
        "read" if name.startswith("Robust") else "refused"
    )
