"""Numbers of NumPy, tables and tensors are numbers: the same plan, the same hash, the same JSON."""

import inspect
import json

import numpy as np
import pandas as pd
import pytest
import torch

import darts_lab as dl
from darts_lab import plan
from darts_lab.checks import Seed, allow, plain
from darts_lab.methods.monitors import Rule

PLAIN = {"weight_decay": 0.0027, "epochs": 3, "cutout_rises": False, "alpha_betas": (0.5, 0.999)}


def asked(seed=3, **settings):
    return plan.of_search("S2", "digits", "DARTS", "tiny", seed, **settings)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("seed", np.int64(3)),
        ("seed", torch.tensor(3)),
        ("seed", np.array(3)),
        ("seed", pd.Series([3]).iloc[0]),
        ("weight_decay", np.float32(0.0027)),
        ("weight_decay", np.float64(0.0027)),
        ("weight_decay", torch.tensor(0.0027)),
        ("epochs", np.uint8(3)),
        ("cutout_rises", np.bool_(False)),
        ("cutout_rises", torch.tensor(False)),
        ("alpha_betas", np.array([0.5, 0.999])),
        ("alpha_betas", (np.float32(0.5), torch.tensor(0.999))),
    ],
)
def test_a_plan_of_numpys_numbers_is_that_of_the_plain_ones(name, number):
    expected, made = asked(**PLAIN), asked(**(PLAIN | {name: number}))
    assert made.hash == expected.hash
    assert json.dumps(made.to_json()) == json.dumps(expected.to_json())
    assert made.name == "S2-digits-DARTS-tiny-seed3"
    assert plan.Plan.from_json(made.to_json()) == expected


def test_settings_of_a_training_too():
    cell = dl.uniform_genotype(dl.spaces.get("S2").with_nodes(2), "skip_connect")
    made = plan.of_training(cell, "digits", "tiny", np.int32(1), test_samples=np.int64(50), drop_path=np.float16(0.25))
    assert made.hash == plan.of_training(cell, "digits", "tiny", 1, test_samples=50, drop_path=0.25).hash


@pytest.mark.parametrize("seeds", [np.arange(2), torch.arange(2), pd.Series([0, 1]), [np.int64(0), np.int16(1)]])
def test_an_array_is_an_axis_of_a_grid(seeds):
    jobs = dl.grid(space=np.array(["S2", "S4"]), seed=seeds, weight_decay=np.float32([3e-4, 0.0027]), scale="tiny")
    expected = dl.grid(space=["S2", "S4"], seed=range(2), weight_decay=[3e-4, 0.0027], scale="tiny")
    assert jobs == expected and json.dumps(jobs) == json.dumps(expected)


def test_an_axis_that_holds_a_number_in_two_forms_holds_it_twice():
    with pytest.raises(ValueError, match="seed: 1 stands twice"):
        dl.grid(seed=[1, np.int64(1)])


def test_parts_of_methods_hold_plain_numbers():
    rule = Rule(factor=np.float32(1.3), window=np.int64(3))
    assert rule == Rule(factor=1.3, window=3) and type(rule.factor) is float and type(rule.window) is int
    method = dl.Method("mine", settings={"epochs": np.int64(2)}, train_portion=np.float32(0.5), pruning=np.bool_(True))
    assert method == dl.Method("mine", settings={"epochs": 2}, train_portion=0.5, pruning=True)
    assert json.dumps(method.parts()) and type(method.train_portion) is float


def test_what_is_changed_by_hand_can_be_written_and_read(tmp_path):
    search = dl.Search("S2", scale="tiny", path=tmp_path / "run", train_samples=np.int64(32), valid_samples=32)
    search.change(weight_decay=np.float32(0.0081))
    next(search)
    search.release()
    assert dl.Search.resume(tmp_path / "run").weight_decay == 0.0081


@pytest.mark.parametrize(
    ("seed", "words"),
    [
        (np.int64(-1), "seed: -1 is"),
        (np.float64(3.0), "seed: 3.0 is"),
        (np.bool_(True), "seed: True"),
        (np.arange(2), r"seed: \[0, 1\]"),
    ],
)
def test_what_is_not_allowed_of_python_is_not_of_numpy(seed, words):
    with pytest.raises(ValueError, match=words):
        allow("seed", seed, Seed)


def test_all_else_is_left_as_it_is():
    space, words = dl.spaces.get("S2"), ("a", None)
    assert plain(space) is space and plain(words) == words and plain(range(3)) == range(3)
    assert plain({"a": [np.int8(1)]}) == {"a": [1]}


def test_signatures_say_in_words_what_is_allowed():
    signature = str(inspect.signature(dl.curvature.extreme_eigenvalues))
    assert "'largest' or 'smallest'" in signature and "0x" not in signature
