"""Schedules of alpha: decisions as in a transcript of the published rule, and the law of their number."""

import math
from dataclasses import asdict

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import darts_lab as dl
from darts_lab.methods.method import clip
from darts_lab.methods.schedules import Every, FisherTrace, Random, Timing
from darts_lab.methods.terms import ADMM, Proximity

TRACES = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=300)


def decisions(schedule, traces, seed=0):
    """(decision before every batch, the timing at the end)."""
    timing, found = Timing(), []
    for trace in traces:
        found.append(schedule.due(timing, seed))
        more = {"trace": trace, "average": schedule.average} if isinstance(schedule, FisherTrace) else {}
        timing = timing.after(found[-1], **more)
    return found, timing


def transcript(traces, batches, average, growth, start):
    """The rule as the code of Maile et al. applies it, written down anew: a running threshold that is multiplied."""
    threshold, mean, found = start, -1.0, []
    for trace in traces:
        if threshold is not None and 0 < mean < threshold:
            found.append(True)
            threshold *= math.exp(-math.log(growth) * batches)
        else:
            found.append(False)
            if threshold is not None:
                threshold *= growth
        mean = trace if mean < 0 else average * trace + (1 - average) * mean
        if threshold is None:
            threshold = trace * growth
    return found, threshold, mean


@given(TRACES, st.integers(1, 12), st.sampled_from([0.2, 1.0]), st.sampled_from([None, 1.0, 37.0]))
def test_the_fisher_schedule_decides_as_the_published_rule(traces, batches, average, start):
    schedule = FisherTrace(batches, average, 1.05, start)
    found, timing = decisions(schedule, traces)
    expected, threshold, mean = transcript(traces, batches, average, 1.05, start)
    # where the average meets the threshold to the last digit, rounding may decide either way
    close = [index for index, (one, other) in enumerate(zip(found, expected)) if one != other]
    if not close:
        assert timing.trace == pytest.approx(mean)
        assert schedule.threshold(timing) == pytest.approx(threshold, rel=1e-9)
    else:
        before = decisions(schedule, traces[: close[0]])[1]
        assert before.trace == pytest.approx(schedule.threshold(before), rel=1e-9)


@given(TRACES, st.integers(1, 12), st.sampled_from([None, 1.0]))
def test_the_number_of_alpha_steps_follows_from_the_threshold_at_the_end(traces, batches, start):
    schedule = FisherTrace(batches, start=start)
    found, timing = decisions(schedule, traces)
    begin = traces[0] if start is None else start
    moved = math.log(schedule.threshold(timing) / begin) / math.log(schedule.growth)
    assert (len(traces) - moved) / (batches + 1) == pytest.approx(sum(found), abs=1e-6)


def test_the_rule_decides_when_and_not_how_often():
    generator = torch.Generator().manual_seed(0)
    for scale in (1e-2, 1.0, 1e2):
        traces = (scale * torch.rand(4000, generator=generator)).tolist()
        found, _ = decisions(FisherTrace(10), traces)
        assert sum(found) == pytest.approx(4000 / 11, abs=8)


def test_random_timing_takes_as_many_on_average_and_repeats_itself():
    found, _ = decisions(Random(10), [0.0] * 11000, seed=3)
    assert sum(found) == pytest.approx(1000, abs=4 * math.sqrt(1000))
    assert found == decisions(Random(10), [1.0] * 11000, seed=3)[0] != decisions(Random(10), [0.0] * 11000, seed=4)[0]


def test_every_kth_batch_ends_each_group_of_k():
    assert decisions(Every(3), [0.0] * 7)[0] == [False, False, True, False, False, True, False]
    assert all(decisions(Every(), [0.0] * 5)[0])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Every(0), "batches: 0 is not allowed"),
        (lambda: Random(1.5), "batches: 1.5 is not allowed"),
        (lambda: FisherTrace(10, average=0), "average: 0 is not allowed"),
        (lambda: FisherTrace(10, growth=1.0), "growth: 1.0 is not allowed"),
        (lambda: FisherTrace(10, start=-1.0), "start: -1.0 is not allowed"),
    ],
)
def test_a_senseless_schedule_is_refused_by_name(make, says):
    with pytest.raises(ValueError, match=says):
        make()


# --- In a search -----------------------------------------------------------------------------


def test_the_trace_is_the_squared_gradient_before_it_is_clipped(small_search):
    search = small_search(method="DARTS-PRIME")
    batch = search.task.training_batch("train", torch.arange(8), torch.Generator().manual_seed(0))
    search.supernet.train()
    weights = list(search.descent.weights.values())
    loss = search.task.loss(search.supernet(batch[0], search.mixing.detach()), batch[1])
    expected = sum(g.square().sum() for g in torch.autograd.grad(loss, weights, allow_unused=True) if g is not None)
    search.settings = dl.settings.override(search.settings, clip=1e-3)
    *_, squared_gradient = search.descent.weight_step(batch)
    torch.testing.assert_close(squared_gradient, expected)


@pytest.mark.parametrize(("parity", "seen"), [(False, [True, True, False]), (True, [True, True, True])])
def test_the_trace_leaves_out_a_batch_with_fewer_samples(parity, seen, small_search, colours, monkeypatch):
    given, after = [], FisherTrace.after
    note = lambda self, timing, due, squared: given.append(squared is not None) or after(self, timing, due, squared)  # noqa: E731
    monkeypatch.setattr(FisherTrace, "after", note)
    method = dl.Method("mine", schedule=FisherTrace(2))
    next(small_search(method=method, data=colours(samples=20), parity=parity, epochs=1))
    assert given == seen


def test_alpha_waits_for_a_part_of_the_search(small_search):
    records = list(small_search(method=dl.Method("mine", schedule=Every(wait=0.5)), epochs=4))
    assert [record.alpha_steps for record in records] == [0, 0, 2, 2]


def test_records_tell_what_the_schedule_saw_and_did(small_search):
    search = small_search(method=dl.Method("mine", schedule=FisherTrace(2)), epochs=6)
    records = list(search)
    moments = [moment for record in records for moment in record.moments or []]
    assert len(moments) == 6 * search.steps_per_epoch - 1, "the first batch has nothing to go by"
    assert all(due == (trace < threshold) for trace, threshold, due in moments)
    assert (
        sum(record.alpha_steps for record in records)
        == sum(due for *_, due in moments)
        == search.descent.timing.alpha_steps
    )
    assert records[-1].fisher_trace == search.descent.timing.trace
    assert 0 < search.descent.timing.alpha_steps < search.descent.timing.batches
    still = [a.alpha.equal(b.alpha) for a, b in zip(records, records[1:])]
    assert still == [record.alpha_steps == 0 for record in records[1:]], "alpha moves only in alpha steps"


def test_a_plain_search_updates_alpha_before_every_batch_and_asks_for_no_trace(small_search):
    records = list(small_search(epochs=2))
    assert [record.alpha_steps for record in records] == [2, 2]
    assert all(record.moments is None and record.fisher_trace is None for record in records)


@pytest.mark.parametrize("name", ["DARTS-PRIME", "PRIME(random)", "PRIME(ADMM)"])
def test_a_search_of_prime_goes_on_bit_for_bit(name, small_search, colours, tmp_path):
    more = {"method": name, "epochs": 4, "data": colours(64), "batch_size": 8}
    whole = small_search(**more)
    records = list(whole)
    begun = small_search(**more, path=tmp_path / "run")
    next(begun), next(begun)
    resumed = dl.Search.resume(tmp_path / "run", data=colours(64))
    assert asdict(resumed.descent.timing) == asdict(begun.descent.timing) and resumed.descent.timing.batches > 0
    again = [*resumed.history, *resumed]
    assert all(a.alpha.equal(b.alpha) and a.moments == b.moments for a, b in zip(records, again, strict=True))


def test_a_run_with_another_schedule_is_not_gone_on_with(small_search, colours, tmp_path):
    next(small_search(method=dl.Method("mine", schedule=Every(2)), path=tmp_path / "run"))
    with pytest.raises(ValueError, match=r"had schedule Every\(batches=2\), this 'mine' has the default"):
        dl.Search.resume(tmp_path / "run", data=colours(), method=dl.Method("mine"))


@pytest.mark.parametrize("more", [{"terms": (Proximity(),)}, {"admm": ADMM()}, {"activation": clip}])
def test_a_run_of_a_method_with_other_parts_is_not_gone_on_with(more, small_search, colours, tmp_path):
    next(small_search(method=dl.Method("mine", **more), path=tmp_path / "run"))
    with pytest.raises(ValueError, match=f"had {next(iter(more))} .*, this 'mine' has .*; pass the method as method="):
        dl.Search.resume(tmp_path / "run", data=colours(), method=dl.Method("mine"))
    again = dl.Search.resume(tmp_path / "run", data=colours(), method=dl.Method("mine", **more))
    assert again.epoch == 1


def test_the_split_of_prime_trains_ten_of_eleven(small_search, colours):
    search = small_search(method="DARTS-PRIME", data=colours(88))
    assert (search.task.size("train"), search.task.size("valid")) == (160, 16)
    plain = small_search(data=colours(88))
    pooled = torch.cat([plain.task.data.train[0], plain.task.data.valid[0]])
    split = torch.cat([search.task.data.train[0], search.task.data.valid[0]])
    assert sorted(split.sum((1, 2, 3)).tolist()) == sorted(pooled.sum((1, 2, 3)).tolist()), "each sample once"
    assert search.task.data.valid[1].bincount().tolist() == [4, 4, 4, 4], "of every class its share"
    with pytest.raises(ValueError, match="train_portion: 1.5 is not allowed"):
        small_search(method=dl.Method("mine", train_portion=1.5))
    few = small_search(method="DARTS-PRIME")
    assert (few.task.size("valid"), few.valid_batch_size) == (3, 3), "then all of them make a batch"


def test_a_threshold_that_has_grown_for_very_long_is_a_large_number():
    waiting = FisherTrace(10, growth=1.2, wait=0.5)
    assert 1e300 < waiting.threshold(Timing(batches=40_000, trace=1.0, first=1.0)) < math.inf
    assert waiting.due(Timing(batches=40_000, trace=1.0, first=1.0), 0)
