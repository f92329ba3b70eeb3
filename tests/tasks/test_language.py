"""Language modelling as a task: its batches and hidden states, searches by every method, training from scratch."""

import copy
import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from reference.differences import product_and_difference

import darts_lab as dl
from darts_lab import cli, methods, spaces, tasks
from darts_lab.methods import schedules
from darts_lab.methods.terms import survivors
from darts_lab.networks.assembly import frozen_statistics
from darts_lab.search.training import Training
from darts_lab.settings import check, override
from darts_lab.tasks import scales
from darts_lab.tasks.averaging import AveragedSGD
from darts_lab.tasks.language import Language, Window

SMOOTH = spaces.same_on_every_edge("smooth", "tanh", "sigmoid", "identity", nodes=2, cell_types=("recurrent",))
CELL = "Genotype(recurrent=[('tanh', 0), ('relu', 1), ('identity', 0)], concat=range(1, 4))"


@pytest.fixture(scope="module")
def sayings():
    """A small text that is easy to learn: of 12 words, each mostly decides the next."""
    generator = torch.Generator().manual_seed(0)

    def text(length):
        words, jumps = [0], (torch.rand(length, generator=generator) < 0.1).tolist()
        random = torch.randint(12, (length,), generator=generator).tolist()
        for jump, other in zip(jumps, random):
            words.append(other if jump else (5 * words[-1] + 3) % 12)
        return [f"w{word}" for word in words[1:]]

    return dl.corpus.from_text(text(700), text(300), text(301), name="sayings")


@pytest.fixture(scope="module")
def make_search(sayings):
    def make(space="RNN", method="DARTS", **changes):
        return dl.Search(space, sayings, method, "tiny", **({"path": False, "train_samples": None} | changes))

    return make


def language(data, scale="tiny", **changes):
    return Language(data, override(scales.get(scale, "language").search, **changes))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def same_bits(one, other):
    return all(
        torch.equal(a, b) for a, b in zip(one.supernet.state_dict().values(), other.supernet.state_dict().values())
    )


# --- batches and hidden states ----------------------------------------------------------------


def test_windows_of_parallel_streams_cover_the_text_and_every_target_is_the_next_word(sayings):
    task = language(sayings, batch_size=7, bptt=8)
    streams = sayings.train[0][: 700 // 7 * 7].view(7, -1)
    batches = [task.training_batch("train", place, None) for place in task.order(7, generator())]
    assert torch.equal(torch.cat([words for (words, _), _ in batches], 1), streams[:, :-1])
    assert torch.equal(torch.cat([targets for _, targets in batches], 1), streams[:, 1:])
    assert len(batches) == task.batches_per_epoch(7) == math.ceil(99 / 8)
    assert task.size("train") == sum(targets.numel() for _, targets in batches) == 7 * 99
    assert all(rate == 1 for rate in map(task.rate, task.order(7, generator())[:-1]))


def test_lengths_of_windows_vary_as_in_the_official_code_and_the_learning_rate_with_them(sayings):
    long = dl.corpus.from_text(["a", "b"] * 50_000, ["a", "b"], ["a", "b"])
    task = language(long, batch_size=1, bptt=35, short_windows=0.05)
    lengths = [place.length for place in task.order(1, generator())]
    assert set(lengths[:-1]) == {35, 17} and sum(lengths) == 99_999
    assert 0.03 < np.mean([length == 17 for length in lengths]) < 0.08
    task = language(long, batch_size=1, bptt=35, short_windows=0.05, window_spread=5.0)  # `rnn/train.py`
    lengths = [place.length for place in task.order(1, generator())]
    assert min(lengths[:-1]) >= 5 and max(lengths) <= 55 and 33 < np.mean(lengths) < 35
    assert 4 < np.std([length for length in lengths if length > 25]) < 6
    assert task.rate(Window(0, 17, 1)) == 17 / 35


def test_the_learning_rate_of_a_batch_is_that_of_its_window(make_search):
    search, rates = make_search(bptt=5, short_windows=0.5, learning_rate=4.0, learning_rate_min=4.0), []
    descend = search.descent.weight_step

    def noted(train, *rest):
        rates.append((train[1].shape[1], search.descent.optimizer.param_groups[0]["lr"]))
        return descend(train, *rest)

    search.descent.weight_step = noted
    next(search)
    assert {length for length, _ in rates} >= {5, 2} and all(rate == 4.0 * length / 5 for length, rate in rates)


def test_hidden_states_go_on_from_window_to_window_and_begin_at_zero_in_every_epoch(make_search):
    search, seen = make_search(), {"train": [], "valid": []}
    real, carry = search.task.training_batch, search.task.carry
    left = {}

    def training_batch(split, place, *rest):
        (words, hidden), targets = real(split, place, *rest)
        seen[split].append((search.epoch, place, hidden, left.get(split)))
        return (words, hidden), targets

    def carried(split, state):
        left[split] = state
        carry(split, state)

    search.task.training_batch, search.task.carry = training_batch, carried
    next(search), next(search)
    for split in ("train", "valid"):
        for epoch in (0, 1):
            batches = [entry[1:] for entry in seen[split] if entry[0] == epoch]
            assert not batches[0][1].any(), "an epoch begins at zero"
            goes_on = 0
            for (before, *_), (place, hidden, last) in zip(batches, batches[1:]):
                if place.begin == before.begin + before.length:
                    assert torch.equal(hidden, last) and hidden.any()
                    goes_on += 1
                else:
                    assert split == "valid" and place.begin == 0 and not hidden.any(), "from the end to the beginning"
            assert goes_on >= len(batches) - 3


def test_validation_windows_begin_anywhere_and_follow_each_other(sayings):
    task = language(sayings, batch_size=5, bptt=6)
    whole, begins = task.most("valid", 5), set()
    for seed in range(40):
        task.order(5, generator(seed))
        places = [task.next_valid(5, generator()) for _ in range(2 * whole)]
        begins.add(places[0].begin)
        assert [place.begin // 6 for place in places] == [(places[0].begin // 6 + n) % whole for n in range(2 * whole)]
    assert begins == {6 * number for number in range(whole)}


def test_measuring_does_not_depend_on_the_window_because_the_hidden_state_is_carried(make_search):
    search = make_search()
    next(search)
    measured = []
    for bptt in (3, 6, 50):
        search.task.settings = replace(search.settings, bptt=bptt)
        measured.append(search.one_shot())
    assert measured[0] == pytest.approx(measured[1], rel=1e-5) and measured[1] == pytest.approx(measured[2], rel=1e-5)
    assert measured[0][1] == pytest.approx(math.exp(measured[0][0]))


def test_perplexity_of_a_model_that_knows_nothing_is_the_number_of_words(sayings):
    task, words = language(sayings), len(sayings.words)

    def know_nothing(inputs):
        from darts_lab.networks.recurrent import Output

        return Output(torch.full((*inputs[0].shape, words), -math.log(words)), inputs[1], None)

    assert task.measure(know_nothing, "valid") == pytest.approx((math.log(words), words), rel=1e-5)
    assert task.measure(know_nothing, "test", 1)[1] == pytest.approx(words, rel=1e-5)
    assert task.show(201.34) == "201.3" and Language.metric == "perplexity"


def test_plain_batches_begin_at_zero_and_are_apart(sayings):
    task = language(sayings)
    task.hidden["valid"] = torch.ones(8, 8)
    places = task.apart(task.most("valid", 8), 8, generator())
    assert len({place.begin for place in places}) == len(places) == task.most("valid", 8)
    assert not task.plain_batch("valid", places[0])[0][1].any()
    assert task.training_batch("valid", places[0], None)[0][1].all()


def test_batches_are_the_whole_split_in_windows_of_a_length(sayings):
    task = language(sayings)
    pairs = torch.cat([words for (words, _), _ in task.batches("valid", 4, 2)], 1)
    for window in (None, 1, 3):
        inputs = [inputs for inputs, _ in task.batches("valid", 4, window)]
        lengths = {words.shape[1] for words, _ in inputs[:-1]}
        assert lengths <= {window or task.settings.bptt} and not any(hidden.any() for _, hidden in inputs)
        assert torch.equal(torch.cat([words for words, _ in inputs], 1), pairs)


@pytest.mark.parametrize("order", [1, 2])
def test_an_alpha_gradient_by_itself_carries_nothing_on_and_a_step_does(order, make_search):
    search = make_search(order=order)
    next(search)
    train, valid = (search.task.training_batch(split, Window(0, 6, 8), None) for split in ("train", "valid"))
    before = {split: hidden.clone() for split, hidden in search.task.hidden.items()}
    search.descent.alpha_gradient(train, valid, 1.0)
    assert all(torch.equal(before[split], search.task.hidden[split]) for split in before)
    search.descent.alpha_step(train, valid, 1.0)
    assert torch.equal(before["train"], search.task.hidden["train"])
    assert not torch.equal(before["valid"], search.task.hidden["valid"])


# --- gradients and curvature ------------------------------------------------------------------


def in_float64(search):
    search.supernet.double()
    search.alpha.data = search.alpha.data.double() + torch.randn(search.alpha.shape, generator=generator(5)).double()
    return search


@pytest.mark.parametrize("clip", [1e6, 0.25], ids=["not clipped", "clipped"])
def test_unrolled_gradient_equals_exact_double_backward(clip, make_search):
    search = in_float64(make_search(SMOOTH, order=2, clip=clip, unrolled_epsilon=1e-4, weight_decay=0.01, slowness=0.1))
    hidden = torch.randn(8, 8, generator=generator(3)).double()
    train, valid = (
        ((inputs[0], hidden), targets)
        for inputs, targets in (search.task.plain_batch(split, Window(6, 6, 8)) for split in ("train", "valid"))
    )
    found = search.descent.alpha_gradient(train, valid, 0.7)

    alpha = search.alpha.detach().clone().requires_grad_()
    w = {name: weight.detach().clone().requires_grad_() for name, weight in search.descent.weights.items()}
    search.supernet.train()
    with frozen_statistics(search.supernet):

        def run(weights, inputs):
            return torch.func.functional_call(search.supernet, weights, (inputs, torch.softmax(alpha, -1)))

        loss = search.task.training_loss(run(w, train[0]), train[1])
        g = torch.autograd.grad(loss, list(w.values()), create_graph=True)
        norm = torch.sqrt(sum(part.square().sum() for part in g))
        scale = torch.clamp(clip / norm, max=1.0)
        stepped = {n: v - 0.7 * (scale * part + 0.01 * v) for (n, v), part in zip(w.items(), g, strict=True)}
        expected = torch.autograd.grad(search.task.loss(run(stepped, valid[0]), valid[1]), alpha)[0]
    assert (norm > clip) == (clip == 0.25)
    assert (found - expected).norm() < 1e-5 * expected.norm()
    first_order = torch.autograd.grad(
        search.task.loss(search.supernet(valid[0], search.mixing), valid[1]), search.alpha
    )[0]
    assert (first_order - expected).norm() > 1e-3 * expected.norm()


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_hessian_products_are_finite_differences_of_gradients(mode, make_search):
    search = make_search(SMOOTH)
    next(search)
    hessian = in_float64(search).hessian(mode=mode, batches=2)
    product, difference = product_and_difference(hessian, 1e-5)
    assert np.linalg.norm(product) > 1e-6
    assert np.abs(product - difference).max() < 1e-6 * np.abs(product).max()
    direction = np.random.default_rng(1).standard_normal(hessian.shape[0])
    dense = hessian.dense().mean(0) @ direction
    assert np.allclose(dense, hessian.matvec(direction), atol=1e-8 * np.abs(dense).max())


# --- searches ---------------------------------------------------------------------------------


RECURRENT = [name for name, method in methods.METHODS.items() if set(method.network) <= {"node_norm"}]


@pytest.mark.parametrize("method", RECURRENT)
def test_every_named_method_runs_two_epochs_on_pydocs(method):
    # 40 epochs are planned, so that those that watch the eigenvalue have something to plan with
    search = dl.Search("RNN", "pydocs", method, "tiny", path=False, epochs=40, curvature_every=2)
    records = [next(search), next(search)]
    assert all(math.isfinite(record.valid_error) and record.train_error > 1 for record in records)
    kind = methods.get(method)
    if kind.schedule.trains_alpha:
        assert records[0].dominant_eigenvalue is not None and search.descent.timing.alpha_steps > 0
    assert ("none" in search.space.cell("recurrent")[0]) != kind.pruning
    assert len(search.genotype.cells["recurrent"]) == search.space.nodes == 3
    assert all(name != "none" for name, _ in search.genotype.cells["recurrent"]) or kind.name == "RS-ws(none)"


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("DARTS", {"dropout_hidden": 0.2, "short_windows": 0.3}), ("DARTS-2nd", {}), ("DARTS-PRIME", {"batch_size": 4}),
        ("RS-ws", {}),
    ],
)  # fmt: skip
def test_a_resumed_search_goes_on_bit_for_bit(method, more, sayings, make_search, tmp_path):
    whole = make_search("RNN-S", method, seed=3, **more)
    records = list(whole)
    begun = make_search("RNN-S", method, seed=3, path=tmp_path / "run", **more)
    next(begun)
    begun.step(), begun.step()  # and is killed inside the second epoch
    resumed = dl.Search.resume(tmp_path / "run", data=sayings)
    rest = list(resumed)
    assert len(rest) == 2 and same_bits(whole, resumed) and torch.equal(whole.alpha, resumed.alpha)
    assert [r.valid_error for r in rest] == [r.valid_error for r in records[1:]]
    assert [r.train_loss for r in rest] == [r.train_loss for r in records[1:]]


def test_a_search_learns_what_single_words_do_not_tell(make_search, sayings):
    search = make_search(epochs=8)
    records = list(search)
    assert records[-1].valid_error < 0.6 * sayings.unigram_perplexity("valid")
    assert records[-1].train_error < records[0].train_error


def test_searches_of_one_text_and_another_are_told_apart(sayings, make_search, tmp_path):
    next(make_search(path=tmp_path / "run"))
    other = replace(sayings, words=(*sayings.words[:-1], "other"))
    with pytest.raises(ValueError, match="data: 'sayings' is not what the run .* was made with"):
        dl.Search.resume(tmp_path / "run", data=other)
    with pytest.raises(ValueError, match="was made with data of your own"):
        dl.Search.resume(tmp_path / "run")


def test_stale_steps_are_those_of_the_official_loop_and_not_the_default(make_search):
    def steps(schedule):
        search = make_search(method=dl.Method("mine", {"order": 1}, schedule=schedule), batch_size=4)
        drawn, real = [], search.task.next_valid
        search.task.next_valid = lambda *rest: drawn.append(real(*rest)) or drawn[-1]
        taken, due = [], []
        for record in search:
            taken.append(record.alpha_steps)
            due.append([moment[2] for moment in record.moments])
        return taken, due, len(drawn), search.descent.timing.alpha_steps

    taken, due, drawn, counted = steps(schedules.FisherTrace(4))
    assert taken == [sum(epoch) for epoch in due] and sum(taken) == drawn == counted > 2
    taken, due, drawn, counted = steps(schedules.StaleFisherTrace(4))
    assert taken == [len(epoch) - epoch.index(True) if any(epoch) else 0 for epoch in due], (
        "every batch from the first on"
    )
    assert drawn == counted == sum(map(sum, due)) < sum(taken) / 2
    assert repr(schedules.StaleFisherTrace()) != repr(schedules.FisherTrace())


def test_pruning_keeps_the_last_operation_of_every_node_of_a_recurrent_cell():
    space = spaces.RNN.with_nodes(2).without("none")
    alpha = torch.full(space.shape, -1.0)
    alpha[0, 0, 2], alpha[0, 2, 1], alpha[0, 1, 3] = 0.5, -0.1, -0.2  # node 0: edge 0; node 1: edges 1 and 2
    found = survivors(alpha, torch.ones(space.shape, dtype=torch.bool), space)
    assert found.nonzero().tolist() == [[0, 0, 2], [0, 2, 1]]


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"space": "S2"}, "space: 'S2' has cells normal, reduce; data 'sayings' needs recurrent"),
        ({"batch_size": 1}, "batch_size: 1 is not allowed; it must be at least 2"),
        ({"valid_streams": 1}, "valid_streams: 1 is not allowed; it must be at least 2, for the batch-norms"),
        ({"layers": 2}, "layers: 2 is not allowed; it must be 1"),
        ({"batch_size": 60}, "batch_size: 60 streams of 7 words need 420 words, the valid split has 300"),
        ({"bptt": 0}, "bptt: 0 is not allowed; it must be a whole number of at least 1"),
        ({"dropout_hidden": 1.0}, r"dropout_hidden: 1.0 is not allowed; it must be a number in \[0, 1\)"),
        ({"initial_spread": 0}, "initial_spread: 0 is not allowed; it must be a number above 0"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(arguments, words, make_search):
    with pytest.raises(ValueError, match=words):
        make_search(**arguments)


def test_a_recurrent_space_is_refused_for_images():
    with pytest.raises(ValueError, match="space: 'RNN' has cells recurrent; data 'digits' needs normal, reduce"):
        dl.Search("RNN", "digits", scale="tiny", path=False)


# --- training from scratch --------------------------------------------------------------------


def training(sayings, **changes):
    return Training(CELL, sayings, "tiny", **({"train_samples": None, "test_samples": None} | changes))


def test_training_keeps_the_splits_apart(sayings):
    run = training(sayings)
    assert torch.equal(run.task.data.train[0], sayings.train[0]) and torch.equal(
        run.task.data.valid[0], sayings.valid[0]
    )
    run.task.data = replace(run.task.data, test=None)
    list(run)
    run.task.data = sayings
    result = run.result()
    assert 1 < result.test_error < len(sayings.words) and result.test_error == pytest.approx(math.exp(result.test_loss))


def test_what_is_tested_are_the_weights_that_were_best_on_the_validation_split(sayings):
    run = training(sayings, epochs=6)
    records = list(run)
    best = min(record.valid_error for record in records)
    assert run.measure("valid", run.kept)[1] == best
    assert run.test() == run.measure("test", run.kept)


def test_weights_are_averaged_from_the_epoch_on_at_which_the_validation_perplexity_has_not_improved(sayings):
    run, told = training(sayings, epochs=7, nonmonotone=2), iter((9.0, 8.0, 7.0, 7.5, 8.5, 6.0, 5.0))
    run.measure = lambda *_: (0.0, next(told))
    begun = []
    for _ in run:
        begun.append(run.optimizer.averaging)
    # 7.5 is better than the best but the last two (9, 8); 8.5 is worse than min(9, 8)... as Merity et al. count
    assert begun == [False, False, False, False, True, True, True]


def test_averages_are_the_mean_of_the_weights_since_the_trigger_and_the_rate_acts_at_once():
    weight = torch.nn.Parameter(torch.tensor([8.0]))
    optimizer, path = AveragedSGD([weight], 1.0, weight_decay=0.5), []
    for number, rate in enumerate((1.0, 0.1, 0.5, 0.2, 0.2)):
        if number == 2:
            optimizer.begin()
        optimizer.param_groups[0]["lr"] = rate
        expected = float(weight.detach()) - rate * (1.0 + 0.5 * float(weight.detach()))
        weight.grad = torch.ones(1)
        optimizer.step()
        assert float(weight.detach()) == pytest.approx(expected), "plain SGD with decay"
        path.append(expected)
    assert float(optimizer.state[weight]["ax"]) == pytest.approx(np.mean(path[2:]))


def test_a_resumed_training_goes_on_bit_for_bit_through_the_averaging(sayings, tmp_path):
    more = {"epochs": 5, "nonmonotone": 1, "learning_rate": 40.0, "learning_rate_min": 40.0, "dropout_output": 0.3}
    whole = training(sayings, **more)
    records = list(whole)
    assert whole.optimizer.averaging, "a learning rate far too large triggers it"
    for stop in (1, 4):
        begun = training(sayings, path=tmp_path / str(stop), **more)
        for _ in range(stop):
            next(begun)
        resumed = Training.resume(tmp_path / str(stop), data=sayings)
        rest = list(resumed)
        assert [r.valid_error for r in rest] == [r.valid_error for r in records[stop:]]
        assert resumed.result().test_error == whole.result().test_error
        assert all(torch.equal(a, b) for a, b in zip(whole.network.parameters(), resumed.network.parameters()))


def test_choosing_between_cells_leaves_the_test_split_unseen(sayings):
    blind = replace(sayings, test=(torch.zeros(2, dtype=torch.long),))
    more = {"train_samples": None, "test_samples": None}
    one, other = (dl.select([CELL, CELL], data, "tiny", epochs=1, **more) for data in (sayings, blind))
    assert one.valid_errors == other.valid_errors and one.valid_errors[0] == one.valid_errors[1]


def test_training_with_momentum_is_refused(sayings):
    with pytest.raises(ValueError, match="momentum: 0.9 is not allowed; it must be 0 where weights are averaged"):
        training(sayings, momentum=0.9)


# --- without Python, and many ------------------------------------------------------------------


def test_the_command_line_searches_and_trains_a_recurrent_cell(capsys, tmp_path):
    arguments = ["--data", "pydocs", "--scale", "tiny"]
    assert cli.main(["search", "--space", "RNN", *arguments, "--path", str(tmp_path / "run")]) == 0
    words = capsys.readouterr().out
    assert "RNN on pydocs" in words and "one-shot perplexity" in words and "Genotype(recurrent=" in words
    assert cli.main(["evaluate", str(tmp_path / "run"), *arguments]) == 0
    assert "test perplexity" in capsys.readouterr().out
    assert cli.main(["spectrum", str(tmp_path / "run"), "--batches", "2"]) == 0
    assert "30 alphas, 2 batches of 8" in capsys.readouterr().out


def test_a_sweep_makes_a_table_of_recurrent_cells(tmp_path):
    jobs = dl.grid(space="RNN-S", data="pydocs", scale="tiny", seed=range(2), epochs=1, evaluation=[{"epochs": 1}])
    random = dl.random_genotype(spaces.RNN_S.with_nodes(3), generator())
    jobs.append(jobs[0] | {"method": "random cell", "genotype": str(random)})
    del jobs[-1]["epochs"]
    said = []
    table = dl.sweep(jobs, tmp_path / "sweep", report=said.append)
    assert table["error"].isna().all() and (table["test_error"] > 1).all() and table["skips_normal"].isna().all()
    assert table["genotype"].str.startswith("Genotype(recurrent=").all()
    assert "perplexity" in said[0]


# --- scales -----------------------------------------------------------------------------------

PAPER_SEARCH = {  # quark0/darts, `rnn/train_search.py` and `rnn/architect.py`, called with `--unrolled` (README)
    "channels": 300, "layers": 1, "nodes": None, "epochs": 50, "batch_size": 256, "bptt": 35, "order": 2,
    "learning_rate": 20, "learning_rate_min": 20, "momentum": 0, "weight_decay": 5e-7, "clip": 0.25,
    "alpha_learning_rate": 3e-3, "alpha_betas": (0.9, 0.999), "alpha_weight_decay": 1e-3, "alpha_spread": 1e-3,
    "unrolled_epsilon": 0.01, "dropout_output": 0.75, "dropout_hidden": 0.25, "dropout_input": 0.75,
    "dropout_embedding": 0.2, "dropout_word": 0, "slowness": 1e-3, "initial_spread": 0.04, "short_windows": 0.05,
    "window_spread": 0, "valid_streams": 10, "test_streams": 1, "train_samples": None, "valid_samples": None,
    "decay_scale": 1, "drop_path": 0, "cutout": 0, "cutout_rises": True, "curvature_every": 2, "curvature_batches": 1,
    "curvature_parity": False, "parity": False, "running_statistics": True, "paths": 1000, "path_batches": 10, "finalists": 10, "precision": "float32",
    "compile": False,
}  # fmt: skip
PAPER_EVALUATION = {  # quark0/darts, `rnn/train.py`; epochs: Zela et al. 2020, appendix E; word dropout: Liu et al. 2019
    "channels": 850, "layers": 1, "epochs": 1600, "batch_size": 64, "bptt": 35, "learning_rate": 20,
    "learning_rate_min": 20, "momentum": 0, "weight_decay": 8e-7, "clip": 0.25, "dropout_output": 0.75,
    "dropout_hidden": 0.25, "dropout_input": 0.75, "dropout_embedding": 0.2, "dropout_word": 0.1, "slowness": 1e-3,
    "initial_spread": 0.04, "short_windows": 0.05, "window_spread": 5, "valid_streams": 10, "test_streams": 1,
    "nonmonotone": 5, "train_samples": None, "test_samples": None, "drop_path": 0, "cutout": 0, "auxiliary": 0,
    "precision": "float32", "compile": False, "reductions": "searched", "parity": False,
}  # fmt: skip


def test_the_paper_scale_is_the_papers_protocol_field_by_field():
    paper = scales.get("paper", "language")
    assert {field.name: getattr(paper.search, field.name) for field in fields(paper.search)} == PAPER_SEARCH
    assert {field.name: getattr(paper.evaluation, field.name) for field in fields(paper.evaluation)} == PAPER_EVALUATION
    assert scales.LANGUAGE_L2_FACTORS == pytest.approx([5e-7 * factor for factor in (1, 3, 9, 27)])  # Fig. 11
    published = dl.published.table("language")["setting"].str.removeprefix("weight_decay=").astype(float)
    assert tuple(dict.fromkeys(published)) == scales.LANGUAGE_L2_FACTORS


@pytest.mark.parametrize("name", ["tiny", "laptop", "paper"])
def test_every_scale_makes_sense(name):
    scale = scales.get(name, "language")
    check(scale.search), check(scale.evaluation)
    assert scale.name == name and tasks.of("pydocs") is tasks.of("PTB") is Language


def test_tasks_of_two_searches_share_nothing(make_search):
    first, alone, second = (make_search(seed=seed) for seed in (0, 0, 1))
    expected = next(alone)
    while (record := first.step()) is None:
        second.step()
    assert record.valid_error == expected.valid_error and copy.copy(first.task.hidden).keys() == {"train", "valid"}
