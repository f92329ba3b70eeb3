"""The benchmarks measure what they say, on the smallest size; their numbers are not judged here."""

import importlib.util
from pathlib import Path

import pytest
import torch

import darts_lab as dl

FOLDER = Path(__file__).parents[1] / "benchmarks"


def benchmark(name):
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def engine():
    return benchmark("engine")


@pytest.mark.parametrize("space", ["S1", "DARTS"])
def test_both_sides_begin_with_the_same_networks(engine, space):
    apart = engine.agreement(engine.Pair("tiny", space), batches=2)
    assert apart.keys() == {"engine_float64", "engine_float32", "reference_float32"}
    for form, row in apart.items():
        assert row.keys() == {"logits", "alpha_gradient", "w_gradient"}
        most = 1e-10 if form == "engine_float64" else 0.2
        assert all(0 < of["low"] <= of["median"] <= of["high"] < most for of in row.values()), (form, row)


def test_all_three_forms_of_a_step_are_measured_in_turn(engine, monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    spent = benchmark("fused").rounds(engine.Pair("tiny", "S2"), "first_order", 2)
    assert {form: len(times) for form, times in spent.items()} == {"textbook": 2, "plain": 2, "fused": 2}
    assert min(map(min, spent.values())) > 0


def test_a_step_of_a_method_is_measured_beside_plain_darts():
    for method in ("SDARTS-ADV", "OLES", "DARTS-PT(fixed alpha)"):
        found = benchmark("methods").ratios(method, "S2", "tiny", 2)
        assert len(found) == 2 and min(found) > 0


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


def test_the_benchmark_of_the_eigenvalue_measures_both_ways():
    found = benchmark("curvature").compared("S5", states=2, epochs_apart=1)
    assert found["alphas"] == found["dense_products"] == 12
    assert found["lanczos_products"] > 0
    assert found["largest_error"] < 0.1 and found["ratio"] > 0


def test_the_benchmark_of_the_schedule_compares_equal_steps():
    found = benchmark("schedule").ratios("S5", steps=3)
    assert len(found) == 3 and all(ratio > 0 for ratio in found)


def test_the_benchmark_of_the_lab_measures_pictures_and_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("DARTS_LAB_RUNS", str(tmp_path))
    lab = benchmark("lab")
    found = lab.pictures(seconds=1, scale="tiny")
    assert 0 < found["share"] < 1 and found["pictures_a_second"] > 0 and found["step"] > 0
    epochs, megabytes = zip(*lab.memory(True, epochs=10), strict=True)
    assert len(epochs) == 10 and epochs[-1] == 10 and min(megabytes) > 50


def test_a_search_of_every_domain_is_timed():
    domains = benchmark("domains")
    assert {dl.tasks.of(data).domain for _, data in domains.SEARCHES} == set(dl.scales.DOMAINS)
    took, used, epochs = domains.seconds("S2", "bathymetry", "tiny")
    assert took > 0 and used > 0 and epochs == dl.scales.get("tiny", "bathymetry").search.epochs


def test_the_benchmark_of_a_gpu_measures_every_form_and_the_eigenvalue(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(FOLDER))
    gpu = benchmark("gpu")
    gpu.forms("cpu", "tiny", "S5")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 and all(" ms " in line for line in lines)
    assert torch.channels_last is not torch.contiguous_format, "the layouts were only exchanged for the time of a step"
    assert gpu.curvature("cpu", "tiny", "S5") > 0
    gpu.engine("cpu", (("tiny", "S5"),), times=2)
    text = capsys.readouterr().out
    assert all(f"\n{step} " in text for step in (*gpu.STEPS, "peak_tensors")), "the table of engine.py"
    assert gpu.peak(lambda: torch.ones(2), "cpu") == 0
    gpu.captured("cpu", (("tiny", "S5", 1),), times=2, scale="tiny")
    head, *rows = capsys.readouterr().out.splitlines()
    assert "textbook over captured" in head and len(rows) == 5 and all("recorded in" in row for row in rows[:3])


def test_spinning_and_sleeping_threads_are_timed_in_turn(capsys, monkeypatch):
    few = ["--size", "tiny", "--steps", "1", "--pairs", "2", "--threads", "1", "--busy", "0"]
    monkeypatch.setattr("sys.argv", ["idle.py", *few])
    benchmark("idle").main()
    lines = capsys.readouterr().out.splitlines()
    assert [line[:26].strip() for line in lines[1:]] == [
        f"{form}, nothing else" for form in ("fused", "fused", "plain", "plain")
    ]
    assert all(float(line[26:].split()[0]) > 0 and " ms a step" in line for line in lines[1:])
