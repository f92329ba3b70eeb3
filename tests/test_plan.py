"""What is asked for is one value with one form in JSON and one hash."""

import json
from dataclasses import dataclass, replace
from functools import partial

import pytest
import torch

import darts_lab as dl
from darts_lab import methods
from darts_lab.methods.method import in_words
from darts_lab.methods.monitors import EarlyStopping, Rule
from darts_lab.methods.terms import Proximity
from darts_lab.plan import Plan, changed, of_job, of_search, of_training
from darts_lab.settings import SearchSettings

CELL = dl.uniform_genotype(dl.spaces.S2, "skip_connect")
PLANS = {
    **{name: of_search("S3", "digits", name, "laptop", 1) for name in methods.METHODS},
    "language": of_search("RNN", "pydocs", "DARTS", "laptop", 0),
    "disparity": of_search("S6", "stereo", "DARTS-PRIME", "tiny", 0, epochs=2),
    "both": of_job({"space": "S4", "method": "CRB", "evaluation": {"epochs": 3}}),
    "training": of_training(CELL, "digits", "laptop", 5, space="S2"),
    "a cell's job": of_job({"genotype": str(CELL), "method": "four skips", "seed": 7}),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_read_back_from_its_json_is_the_same_plan(name):
    one = PLANS[name]
    again = Plan.from_json(json.loads(json.dumps(one.to_json())))
    assert again.to_json() == one.to_json() and again.hash == one.hash and again.name == one.name
    assert (again.space, again.search, again.evaluation, again.genotype) == (
        one.space, one.search and again.search, one.evaluation, one.genotype,
    )  # fmt: skip


def test_plans_that_differ_have_different_hashes():
    assert len({one.hash for one in PLANS.values()}) == len(PLANS)
    one = PLANS["DARTS"]
    others = [
        of_search("S3", "digits", "DARTS", "laptop", 2),
        of_search("S2", "digits", "DARTS", "laptop", 1),
        of_search("S3", "digits", "DARTS", "laptop", 1, epochs=39),
        of_search("S3", "digits", replace(methods.get("DARTS"), terms=(Proximity(),)), "laptop", 1),
        of_search("S3", "digits", replace(methods.get("DARTS"), terms=(Proximity(0.2),)), "laptop", 1),
        replace(one, evaluation=dl.scales.get("laptop").evaluation),
        replace(one, evaluation=type(dl.scales.get("laptop").evaluation)()),
    ]
    assert len({other.hash for other in others} | {one.hash}) == len(others) + 1


def test_neither_the_device_nor_what_equals_its_default_has_a_part_in_the_hash():
    assert (
        of_search("S2", "digits", "DARTS", "laptop", 0).hash
        == of_search("S2", "digits", "DARTS", "laptop", 0, "cpu").hash
    )

    @dataclass(frozen=True)
    class Later(SearchSettings):
        newer: int = 3

    now = of_search("S2", "digits", "DARTS", "laptop", 0)
    later = replace(now, search=Later(**vars(now.search)))
    assert "newer" in later.to_json()["settings"] and later.hash == now.hash
    assert replace(now, search=Later(**vars(now.search), newer=4)).hash != now.hash
    assert changed(SearchSettings(epochs=3, alpha_betas=[0.5, 0.999])) == {"epochs": 3}


def test_the_parts_of_a_method_are_those_in_which_it_differs_from_plain_darts():
    assert methods.get("DARTS").parts() == {} == methods.get("R-DARTS(L2)").parts()
    assert methods.get("DARTS-ES").parts() == {"monitor": "EarlyStopping()"}
    mine = dl.Method(
        "mine", monitor=EarlyStopping(Rule(window=1, delta=1)), terms=(Proximity(2.0),), activation=methods.clip
    )
    assert mine.parts() == {
        "activation": "clip", "terms": "Proximity(rho=2.0)", "monitor": "EarlyStopping(rule=Rule(window=1, delta=1))",
    }  # fmt: skip
    assert "with_none" in methods.get("RS-ws(none)").parts()["selection"]


def test_search_training_and_sweep_start_from_a_plan(tmp_path):
    small = {"epochs": 1, "curvature_every": 0}
    asked = of_search("S2", "digits", "DARTS", "tiny", 3, **small)
    search = dl.Search.of(asked, tmp_path / "run")
    assert (
        search.plan is asked
        and search.plan.hash == dl.Search("S2", scale="tiny", seed=3, path=False, **small).plan.hash
    )
    next(search)
    assert search.run.config["hash"] == asked.hash == dl.Search.resume(tmp_path / "run").plan.hash
    training = dl.Training.of(of_training(CELL, "digits", "tiny", 0))
    assert training.plan.genotype == training.genotype


def test_own_methods_and_spaces_are_asked_for_again_and_compared(tmp_path):
    mine = dl.Method("mine", terms=(Proximity(2.0),))
    search = dl.Search("S2", method=mine, scale="tiny", path=tmp_path / "run", epochs=2, curvature_every=0)
    next(search)
    search.release()
    with pytest.raises(ValueError, match="method: 'mine' is not known"):
        dl.Search.resume(tmp_path / "run")
    with pytest.raises(
        ValueError, match=r"method: 'mine' had terms Proximity\(rho=2.0\), this 'mine' has Proximity\(\)"
    ):
        dl.Search.resume(tmp_path / "run", method=dl.Method("mine", terms=(Proximity(),)))
    assert dl.Search.resume(tmp_path / "run", method=mine).epoch == 1


def test_a_run_in_an_earlier_form_is_refused_in_one_sentence_and_can_be_read(tmp_path):
    search = dl.Search("S2", scale="tiny", path=tmp_path / "run", epochs=2, curvature_every=0)
    next(search)
    search.release()
    file = tmp_path / "run" / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({name: value for name, value in config.items() if name not in ("hash", "parts")}))
    with pytest.raises(
        ValueError, match="was written by an earlier form of darts_lab and cannot go on; it can still be read"
    ):
        dl.Search.resume(tmp_path / "run")


@pytest.mark.parametrize("content", [{}, {"space": None}, PLANS["DARTS"].to_json() | {"settings": 3}])
def test_what_is_no_plan_is_refused(content):
    with pytest.raises((KeyError, TypeError, ValueError)):
        Plan.from_json(content)


def pull(strength):
    def term(alpha, mixing, progress, space):
        return strength * mixing.square().sum()

    return term


class Pull:
    def __init__(self, strength):
        self.strength = strength

    def __call__(self, alpha, mixing, progress, space):
        return self.strength * mixing.sum()


def test_functions_are_told_apart_by_what_they_enclose_and_the_same_in_every_process():
    made = [
        pull(0.1),
        pull(100.0),
        Pull(1.0),
        Pull(2.0),
        partial(pull(1.0), progress=2),
        partial(pull(1.0), progress=3),
    ]
    made += [lambda *_: 1.0, lambda *_: 2.0, lambda *_: abs(1.0)]
    words = [in_words(one) for one in made]
    assert len(set(words)) == len(words) and not any(" at 0x" in text for text in words)
    assert in_words({"b": 1, "a": pull}) == "{'a': pull, 'b': 1}"
    hashes = {of_search("S2", "digits", dl.Method("mine", terms=(one,)), "tiny", 0).hash for one in made}
    assert len(hashes) == len(made)


def test_a_run_goes_on_only_with_what_it_was_begun_with(tmp_path):
    def begun(name, **arguments):
        search = dl.Search(scale="tiny", path=tmp_path / name, epochs=2, curvature_every=0, **arguments)
        next(search), search.release()
        return tmp_path / name

    run = begun("method", method=dl.Method("mine", terms=(pull(0.0),)))
    with pytest.raises(ValueError, match="method: 'mine' had terms .* of 0.0, this 'mine' has .* of 9.0"):
        dl.Search.resume(run, method=dl.Method("mine", terms=(pull(9.0),)))
    edges = [("skip_connect", "mine")] * 5
    own = dl.SearchSpace("own", {"normal": edges, "reduce": edges}, operations={"mine": convolution})
    run = begun("space", space=own)
    with pytest.raises(ValueError, match=r"space: has operations of your own \(mine\); pass it as space="):
        dl.Search.resume(run)
    with pytest.raises(ValueError, match="space: the run .* was made with another one"):
        dl.Search.resume(run, space=replace(own, operations={"mine": another}))
    assert dl.Search.resume(run, space=own).epoch == 1
    run = begun("plain")
    with pytest.raises(ValueError, match="space: the run .* was made with another one"):
        dl.Search.resume(run, space="S4")


def convolution(channels, stride):
    return torch.nn.Conv2d(channels, channels, 3, stride, 1)


def another(channels, stride):
    return torch.nn.Conv2d(channels, channels, 1, stride)


def test_a_plan_keeps_which_of_several_devices_it_names():
    on_second = replace(PLANS["DARTS"], device="cuda:1")
    assert Plan.from_json(on_second.to_json()).device == "cuda:1" and on_second.hash == PLANS["DARTS"].hash


def test_a_plan_without_what_is_wanted_is_refused_and_whole_numbers_are_numbers():
    with pytest.raises(ValueError, match="plan: .* asks for no training"):
        dl.Training.of(PLANS["DARTS"])
    with pytest.raises(ValueError, match="plan: .* asks for no search"):
        dl.Search.of(PLANS["training"])
    with pytest.raises(ValueError, match="evaluation: None; the plan asks for no training"):
        PLANS["DARTS"].training_of(CELL)
    hashes = {of_search("S2", "digits", "DARTS", "tiny", 0, learning_rate=rate).hash for rate in (1, 1.0)}
    assert len(hashes) == 1
