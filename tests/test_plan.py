"""What is asked for is one value with one form in JSON and one hash."""

import json
from dataclasses import dataclass, replace

import pytest

import darts_lab as dl
from darts_lab import methods, plan
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
    search = dl.Search(asked, path=tmp_path / "run")
    assert (
        search.plan is asked
        and search.plan.hash == dl.Search("S2", scale="tiny", seed=3, path=False, **small).plan.hash
    )
    next(search)
    assert search.run.config["hash"] == asked.hash == dl.Search.resume(tmp_path / "run").plan.hash
    training = dl.Training(of_training(CELL, "digits", "tiny", 0))
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
    assert plan.JOB["space"] == "S2"
