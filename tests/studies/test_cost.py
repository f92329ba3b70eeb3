"""What a grid will cost: counted from steps, and measured in a process of its own."""

import math

import pytest

import darts_lab as dl
from darts_lab.plan import of_job
from darts_lab.studies import cost
from darts_lab.tasks.classification import TINY


def test_steps_evaluations_and_products_are_counted(monkeypatch):
    monkeypatch.setattr(cost, "_once", lambda call, device: (call(), 1.0)[1])
    row = cost._measured(of_job({"space": "S1", "scale": "tiny"}).to_json(), 1, 1)
    s, e = TINY.search, TINY.evaluation
    steps = s.epochs * math.ceil(s.train_samples / s.batch_size)
    assert row["search_hours"] * 3600 == pytest.approx(steps + s.epochs * s.valid_samples / min(256, s.valid_samples))
    assert row["eigenvalue_hours"] * 3600 == s.epochs * cost.PRODUCTS
    steps = e.epochs * math.ceil(e.train_samples / e.batch_size)
    assert row["training_hours"] * 3600 == pytest.approx(steps + e.test_samples / min(256, e.test_samples))
    assert row["hours"] == row["search_hours"] + row["eigenvalue_hours"] + row["training_hours"]


def test_words_of_a_text_are_counted_as_words(monkeypatch):
    monkeypatch.setattr(cost, "_once", lambda call, device: (call(), 1.0)[1])
    one = of_job({"data": "pydocs", "scale": "tiny"})
    s, task = one.search, dl.Search.of(one, False).task
    windows = task.size("valid") / (s.batch_size * s.bptt)
    found = cost._of_search(one, 1)["search_hours"] * 3600
    assert found == pytest.approx(s.epochs * (task.batches_per_epoch(s.batch_size) + windows))


def test_a_grid_is_measured_once_for_every_kind_of_run(tmp_path):
    jobs = dl.grid(space="S5", scale="tiny", seed=range(3), weight_decay=[3e-4, 9e-4], evaluation=None)
    found = dl.plan_cost(jobs, steps=1)
    assert found.jobs == 6 and len(found.table) == 1 and found.table["jobs"][0] == 6
    assert 0 < found.hours_at_best <= found.hours == pytest.approx(6 * found.table["hours"][0])
    assert found.memory > 50e6 and found.side_by_side >= 1 and str(found).startswith("6 runs: ")
    search = dl.Search("S5", scale="tiny", path=tmp_path / "run", epochs=2)
    for _ in search:
        pass
    stored = sum(file.stat().st_size for file in (tmp_path / "run").iterdir())
    assert 0.8 * stored < found.disk / 6 < 1.2 * stored


def test_sets_that_are_not_there_have_a_stand_in_of_their_size():
    data = cost.stand_in("svhn")
    assert [len(getattr(data, split)[1]) for split in dl.data.SPLITS] == [36628, 36629, 26032]
    assert data.channels == 3 and data.image_size == (32, 32) and data.classes == 10


def test_no_jobs_are_refused():
    with pytest.raises(ValueError, match="^jobs: is empty"):
        dl.plan_cost([])


def test_the_snapshots_of_adaptation_are_counted_in_both_checkpoints(tmp_path):
    asked = {"space": "S5", "method": "DARTS-ADA", "scale": "tiny", "epochs": 20, "curvature_every": 1}
    search = dl.Search(**asked, path=tmp_path / "run")
    while search.epoch < 12:
        search.step()
    assert len(search.snapshots) == search.method.monitor.kept == 9
    stored = sum(file.stat().st_size for file in (tmp_path / "run").glob("*.pt"))
    counted = cost._of_search(of_job(asked | {"evaluation": None}), 1)["disk_bytes"]
    assert 0.7 * stored < counted < 1.3 * stored
