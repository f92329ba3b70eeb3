"""The benchmark of the engine measures what it says, on the smallest size; its numbers are not judged here."""

import importlib.util
from pathlib import Path

import pytest
import torch

PATH = Path(__file__).parents[1] / "benchmarks" / "engine.py"


@pytest.fixture(scope="module")
def engine():
    spec = importlib.util.spec_from_file_location("benchmark_engine", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("space", ["S1", "DARTS"])
def test_both_sides_begin_with_the_same_networks(engine, space):
    apart = engine.agreement(engine.Pair("tiny", space), torch.float64)
    assert apart.keys() == {"logits", "alpha_gradient", "w_gradient"} and max(apart.values()) < 1e-10


def test_every_pair_of_steps_runs_and_its_ratios_are_reference_over_engine(engine):
    pair = engine.Pair("tiny", "S5")
    for step in engine.STEPS:
        found = engine.compared(*getattr(pair, step)(), times=2, skipped=0)
        assert 0 < found["low"] <= found["ratio"] <= found["high"]
    waits = iter([0.0, 1.0, 1.0, 5.0])  # the engine first: one second, then the reference: four

    class Clock:
        perf_counter = staticmethod(lambda: next(waits))

    real, engine.time = engine.time, Clock
    try:
        assert engine.compared(lambda: None, lambda: None, times=1, skipped=0)["ratio"] == 4
    finally:
        engine.time = real


def test_the_engine_issues_less_than_half_of_the_textbooks_operations(engine):
    found = engine.operations(engine.Pair("tiny", "DARTS"))
    assert found["ratio"] == found["reference"] / found["engine"] > 2
    with engine.Count() as count:
        torch.ones(2).view(1, 2).permute(1, 0).add(1)
    assert count.operations == 2, "ones and add"
