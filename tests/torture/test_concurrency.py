"""Searches side by side: none changes the numbers of another, nor what belongs to the whole process."""

import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from samples import same
from torch.utils.data import get_worker_info

import darts_lab as dl
from darts_lab import environment


def told(search):
    """All numbers of a finished search."""
    return [record.to_json()[0] for record in search], search.state()


def world():
    """What belongs to the process."""
    return (
        torch.random.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate(),
        torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled(), torch.get_default_device(),
        torch.are_deterministic_algorithms_enabled(), torch.is_autocast_enabled("cpu"), np.geterr(), get_worker_info(),
    )  # fmt: skip


MANY = [("DARTS", 1, 0), ("DARTS", 2, 1), ("CRB", 1, 2), ("RS-ws", 1, 3), ("DARTS-PRIME", 2, 4)]


def test_searches_in_threads_give_the_bits_that_each_gives_alone_and_leave_the_process_as_it_was(small_search):
    def make(method, order, seed):
        return small_search(method=method, order=order, seed=seed, drop_path=0.2, cutout=2, layers=2, curvature_every=1)

    alone = [told(make(*one)) for one in MANY]
    torch.manual_seed(3), np.random.seed(3), random.seed(3)
    before, found, ready = world(), {}, threading.Barrier(len(MANY))

    def work(number):
        search = make(*MANY[number])
        ready.wait()
        found[number] = told(search)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(MANY))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(found[number], alone[number]) for number in range(len(MANY)))
    assert world() == before


ONE = """
    import sys, torch
    torch.set_num_threads(1)
    sys.path.insert(0, sys.argv[1])
    import darts_lab as dl
    from samples import SMALL, colours
    for _ in dl.Search("S2", colours(), scale=SMALL, seed=int(sys.argv[3]), path=sys.argv[2], layers=1): pass
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")
def test_searches_in_processes_give_the_bits_that_each_gives_alone(tmp_path):
    import torture

    case = [torture.image(method, order, epochs=2) for method, order, _ in MANY[:3]]
    for number, one in enumerate(case):
        list(one.on(tmp_path / f"alone{number}"))
    children = [torture.child(torture.through(one, tmp_path / f"with{n}")) for n, one in enumerate(case)]
    assert [torture.ended(*child)[0] for child in children] == [0, 0, 0]
    for number in range(len(case)):
        assert not torture.differences(tmp_path / f"with{number}", tmp_path / f"alone{number}")


def test_a_fresh_interpreter_gives_the_bits_of_this_one(tmp_path, small_search):
    here = str(Path(__file__).resolve().parents[1])
    lines = "\n".join(line[4:] for line in ONE.splitlines())
    subprocess.run([sys.executable, "-c", lines, here, str(tmp_path / "other"), "5"], check=True)
    list(small_search(seed=5, path=tmp_path / "mine", layers=1))
    history, other = ((tmp_path / name / "history.jsonl").read_bytes() for name in ("mine", "other"))
    assert history == other and len(history) > 1000
    states = [torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in ("mine", "other")]
    assert same(*states)


def test_the_switch_asks_for_operations_that_give_the_same_bits(monkeypatch, small_search):
    plain = told(small_search(order=2, layers=1))
    assert not environment.deterministic()
    monkeypatch.setenv("DARTS_LAB_DETERMINISTIC", "1")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    try:
        assert environment.deterministic.__wrapped__()
        assert torch.are_deterministic_algorithms_enabled() and os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        assert same(told(small_search(order=2, layers=1)), plain), "on a CPU it changes nothing"
    finally:
        torch.use_deterministic_algorithms(False)
        os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


def test_evaluations_in_threads_are_those_alone(small, colours):
    cell = dl.uniform_genotype(dl.spaces.S2.with_nodes(2), "sep_conv_3x3")

    def error(seed):
        return dl.evaluate(cell, colours(), small, seed, layers=1, drop_path=0.3).test_loss

    alone, found = [error(seed) for seed in range(3)], {}
    threads = [threading.Thread(target=lambda s=seed: found.update({s: error(s)})) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[seed] for seed in range(3)] == alone
