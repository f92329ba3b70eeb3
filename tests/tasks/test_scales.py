"""`paper` is the papers' protocol, field by field, and wrong settings are refused by name."""

from typing import get_type_hints

import pytest
import torch

import darts_lab as dl
from darts_lab import methods
from darts_lab.methods.schedules import Every, FisherTrace
from darts_lab.methods.terms import Proximity
from darts_lab.search.loop import cosine
from darts_lab.settings import check, override
from darts_lab.tasks import classification, scales

# Zela et al. 2020, `args.py` and `config.yaml` of their code (Liu et al. 2019 for the sizes of the cells)
PAPER_SEARCH = {
    "epochs": 50, "batch_size": 64, "order": 2, "channels": 16, "layers": 8, "nodes": None,
    "learning_rate": 0.025, "learning_rate_min": 0.001, "momentum": 0.9, "weight_decay": 3e-4, "clip": 5,
    "alpha_learning_rate": 3e-4, "alpha_betas": (0.5, 0.999), "alpha_weight_decay": 1e-3, "alpha_spread": 1e-3,
    "train_samples": None, "valid_samples": None, "drop_path": 0, "cutout": 16, "unrolled_epsilon": 0.01,
    "precision": "float32", "compile": False, "cutout_rises": True,  # appendix C.1; not what their code does
    "parity": False, "paths": 1000, "path_batches": 10, "finalists": 10,  # `search/randomNAS/random_weight_share.py`
    "decay_scale": 1, "curvature_every": 2, "curvature_batches": 1, "curvature_parity": True,  # `train_search.py`, `search/analyze.py`
}  # fmt: skip
# the same, `evaluation/`, and appendix B.1
PAPER_EVALUATION = {
    "epochs": 600, "batch_size": 96, "learning_rate": 0.025, "learning_rate_min": 0, "momentum": 0.9,
    "weight_decay": 3e-4, "clip": 5, "cutout": 16, "drop_path": 0.2, "auxiliary": 0.4, "channels": 36, "layers": 20,
    "train_samples": None, "test_samples": None, "precision": "float32", "compile": False, "reductions": "searched",
    "parity": False,
}  # fmt: skip


def test_the_paper_scale_is_the_papers_protocol_field_by_field():
    assert vars(classification.PAPER.search) == PAPER_SEARCH
    assert vars(classification.PAPER.evaluation) == PAPER_EVALUATION


def test_the_named_methods_are_those_of_the_papers():
    assert methods.L2_FACTORS == pytest.approx([3e-4 * factor for factor in (1, 3, 9, 27, 81)])  # section 4.2
    assert methods.DROP_PATHS == (0, 0.2, 0.4, 0.6)  # section 4.1
    strongest = {"classification": 81 * 3e-4, "disparity": 27 * 3e-4, "language": 27 * 5e-7}  # and Table 4, Fig. 11
    for domain, weight_decay in strongest.items():
        paper = scales.get("paper", domain)
        assert methods.get("R-DARTS(L2)").defaults(paper) == {"weight_decay": pytest.approx(weight_decay)}
    assert methods.get("R-DARTS(L2)").defaults(classification.LAPTOP) == {"weight_decay": 0.0027}  # results/ladder.md
    assert methods.get("R-DARTS(DP)").settings == {"drop_path": 0.6}
    assert methods.get("DARTS").settings == {} and methods.get("DARTS-ES").settings == {}
    ada = methods.get("DARTS-ADA").monitor  # algorithm 1: R = 3e-4, eta = 10, R_max = 3e-2
    assert (ada.factor, ada.most) == (10, 3e-2) and ada.rule == methods.get("DARTS-ES").monitor.rule


def test_a_factor_takes_as_much_of_the_weights_over_the_laptops_search_as_over_the_papers():
    sums = {}
    for scale, samples in (
        (classification.PAPER, 25_000),
        (classification.LAPTOP, classification.LAPTOP.search.train_samples),
    ):
        s = scale.search
        steps = -(-samples // s.batch_size)
        sums[scale.name] = s.decay_scale * steps * sum(cosine(s, epoch) for epoch in range(s.epochs))
    assert sums["laptop"] == pytest.approx(sums["paper"], rel=0.02) and classification.PAPER.search.decay_scale == 1


def test_prime_is_what_its_code_does():
    # Maile et al. 2021: README (`--reg prox --schedfreq 10 --dyno_split --dyno_schedule`) and defaults of
    # `train_scheduled_hard_statebn.py`; but for the threshold, which their code starts at 1
    prime = methods.get("DARTS-PRIME")
    assert prime.settings == {"order": 1} and prime.activation is methods.softmax and prime.admm is None
    assert prime.schedule == FisherTrace(batches=10, average=0.2, growth=1.05, start=None)
    assert prime.terms == (Proximity(rho=0.1, squared=False, kept_only=False),)
    assert prime.train_portion == pytest.approx(10 / 11)
    assert not prime.pruning and prime.network == {}
    crb = methods.get("CRB+PRIME")
    assert crb.activation is methods.clip and crb.network == {"node_norm": True} and crb.pruning
    assert crb.settings == {"order": 1, "alpha_spread": 1e-4} and crb.schedule == prime.schedule
    for name in ("PRIME(fixed)", "PRIME(random)", "PRIME(schedule only)", "PRIME(random timing only)", "PRIME(ADMM)"):
        ablation = methods.get(name)
        rate = 1 / ablation.schedule.batches if ablation.schedule == Every(11) else 1 / (ablation.schedule.batches + 1)
        assert rate == pytest.approx(1 / 11) and ablation.train_portion == prime.train_portion


@pytest.mark.parametrize("scale", classification.SCALES.values(), ids=classification.SCALES)
def test_every_scale_makes_sense(scale):
    check(scale.search)
    check(scale.evaluation)


@pytest.mark.parametrize(
    "name, value, allowed",
    [
        ("order", 3, "1 or 2"),
        ("epochs", True, "a whole number of at least 1"),
        ("batch_size", 2.5, "a whole number of at least 1"),
        ("nodes", 0, "a whole number of at least 1"),
        ("drop_path", 1.0, r"a number in \[0, 1\)"),
        ("weight_decay", float("nan"), "a number of at least 0"),
        ("learning_rate", 0, "a number above 0"),
        ("alpha_betas", (0.5,), r"two numbers in \[0, 1\)"),
        ("alpha_betas", 3, r"two numbers in \[0, 1\)"),
        ("cutout", -1, "a whole number of at least 0"),
    ],
)
def test_a_senseless_setting_is_refused_by_name(name, value, allowed):
    with pytest.raises(ValueError, match=f"{name}: .* is not allowed; it must be {allowed}"):
        override(classification.LAPTOP.search, **{name: value})


@pytest.mark.parametrize("domain", scales.DOMAINS)
def test_every_setting_of_every_domain_says_what_is_allowed_of_it(domain):
    for scale in scales.DOMAINS[domain].values():
        for settings in (scale.search, scale.evaluation):
            kinds = get_type_hints(type(settings), include_extras=True)
            assert set(kinds) == set(vars(settings))
            assert not [name for name, kind in kinds.items() if not getattr(kind, "__metadata__", ())]


def test_a_workstation_searches_cells_of_the_papers_size_on_larger_digits(tmp_path):
    scale = scales.get("workstation")
    assert (scale.search.channels, scale.search.layers, scale.search.nodes, scale.search.epochs) == (16, 8, None, 50)
    assert (scale.evaluation.channels, scale.evaluation.layers, scale.evaluation.epochs) == (16, 8, 40)
    assert scale.search.decay_scale == classification.as_strong_as_in_the_papers(scale.search, 5000) == 4.95
    few = {"train_samples": 8, "valid_samples": 8, "batch_size": 8, "epochs": 1, "curvature_every": 0}
    search = dl.Search("S2", scale="workstation", path=tmp_path / "run", **few)
    assert search.space.nodes == 4 and search.plan.data == "digits32" and search.task.data.image_size == (32, 32)
    next(search)
    assert dl.runs.read(search.run.path).data == "digits32"
    training = dl.Training(search.run.path, train_samples=8, batch_size=8, epochs=1, test_samples=8)
    assert training.plan.data == "digits32" and next(training).train_loss > 0
    assert dl.plan.of_job({"scale": "workstation", "data": "digits"}).data == "digits32"
    assert dl.plan.of_job({"scale": "workstation", "data": "cifar10"}).data == "cifar10"
    cell = dl.random_genotype(dl.spaces.S2, torch.Generator().manual_seed(0))
    assert dl.Training(cell, scale="workstation", train_samples=8, batch_size=8).plan.data == "digits32"


def test_larger_digits_are_enough_for_a_workstation():
    data = dl.data.load("digits32")
    assert [tuple(getattr(data, split)[0].shape) for split in ("train", "valid", "test")] == [
        (10_000, 3, 32, 32), (5_000, 3, 32, 32), (5_000, 3, 32, 32)
    ]  # fmt: skip
    assert data.name == "digits32" and data.ordered
    means = [images.float().mean() for images, _ in (data.train, dl.data.load("digits").train)]
    assert abs(means[0] - means[1]) < 8, "the same kind of pictures"
