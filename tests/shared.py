"""Computations that several processes share, or one does alone, in numbers of 64 bits: for `test_ranks.py`.

Each case gives tensors and numbers by name. Batches are uneven: of 13 samples 6, 6 and 1, which leaves none for one of
two processes.
"""

from collections.abc import Callable
from functools import partial

import torch
from samples import SMALL, colours

import darts_lab as dl
from darts_lab.methods.monitors import Adaptation, EarlyStopping, Rule
from darts_lab.search.training import Training

METHODS = "DARTS-2nd", "RS-ws", "PRIME(ADMM)", "CRB", "GDAS", "OLES", "Lambda-DARTS"
QUICK = Rule(window=1, factor=1.0001, delta=1, start=0)  # acts within three epochs
SEARCH = {"scale": SMALL, "batch_size": 6, "epochs": 1, "layers": 2, "curvature_every": 1, "path": False}
TEXT = {"batch_size": 5, "valid_streams": 3, "test_streams": 1, "bptt": 5, "epochs": 1}
DENSE = {"scale": "tiny", "layers": 3, "train_samples": 7, "valid_samples": 7, "batch_size": 3}
DROPOUT = dict.fromkeys((f"dropout_{part}" for part in ("output", "hidden", "input", "embedding", "word")), 0.2)


def normed(channels, stride):
    """An operation of a user's, with PyTorch's own batch-norm."""
    convolution = torch.nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
    return torch.nn.Sequential(torch.nn.SiLU(), convolution, torch.nn.BatchNorm2d(channels))


def own_space():
    edges = [("skip_connect", "normed")] * 5
    return dl.SearchSpace("own", {"normal": edges, "reduce": edges}, operations={"normed": normed})


def text():
    words = "the cat sat on the mat . a mat that the cat sat on was the mat of a cat . "
    return dl.corpus.from_text(words * 6, words * 4, "the mat . " * 10)


def searched(space="S2", data=None, **more) -> dict:
    """What a search has come to."""
    return come_to(dl.Search(space, data=colours(13) if data is None else data, **(SEARCH | more)))


def small_search(path) -> dl.Search:
    """A search of three epochs, written to `path`."""
    return dl.Search("S2", data=colours(13), **(SEARCH | {"path": path, "epochs": 3}))


def come_to(search: dl.Search) -> dict:
    for _ in search:
        pass
    found = {f"w {name}": tensor for name, tensor in search.supernet.state_dict().items()}
    for number, record in enumerate(search.history):
        for name in ("train_loss", "train_error", "valid_loss", "valid_error", "dominant_eigenvalue", "fisher_trace"):
            found[f"{name} {number}"] = getattr(record, name)
        found[f"genotype {number}"] = str(record.genotype)
        found[f"alpha {number}"] = record.alpha
    return found


def hessian(order=1, **more) -> dict:
    """Products, eigenvalues and gradients of the validation loss, on batches of 5."""
    search = dl.Search(data=colours(13), **(SEARCH | more))
    next(search)
    operator = search.hessian(batches=2, batch_size=5)
    return {"matrices": torch.from_numpy(operator.dense()), "gradient": torch.from_numpy(operator.gradient())}


def trained(space="S2", data=None, **more) -> dict:
    """What a training from scratch has come to."""
    genotype = dl.random_genotype(dl.spaces.get(space), torch.Generator().manual_seed(1))
    settings = {"scale": SMALL, "batch_size": 6, "epochs": 1} | more
    training = Training(genotype, colours(13) if data is None else data, space=space, **settings)
    for _ in training:
        pass
    found = {f"w {name}": tensor for name, tensor in training.network.state_dict().items()}
    result = training.result()
    return found | {"test_error": result.test_error, "test_loss": result.test_loss, "cost": result.multiply_adds}


def cases() -> dict[str, Callable[[], dict]]:
    """One of every family of methods, and what else is shared."""
    found = {name: partial(searched, method=name) for name in METHODS}
    for name, monitor in (("DARTS-ES", EarlyStopping(QUICK)), ("DARTS-ADA", Adaptation(QUICK))):
        method = dl.Method(name, {"order": 1}, monitor=monitor)
        found[name] = partial(searched, method=method, epochs=3, alpha_learning_rate=0.05)
    found["DARTS-PRIME"] = partial(searched, method="DARTS-PRIME", epochs=2)
    return found | {
        "order 2, noise, drop path and cutout": partial(searched, "S4", order=2, drop_path=0.3, cutout=4),
        "an operation of a user's": partial(searched, own_space(), order=2),
        "Hessian of an operation of a user's": partial(hessian, space=own_space()),
        "training with drop path": partial(trained, drop_path=0.3, cutout=4),
        "depth": partial(searched, "S2", "bathymetry", **DENSE),
        "disparity": partial(searched, "S6", "stereo", augmentation=0.0, **DENSE),
        "language": partial(searched, "RNN-S", text(), scale="tiny", order=2, layers=1, **TEXT, **DROPOUT),
        "language, training": partial(trained, "RNN-S", text(), scale="tiny", **TEXT, **DROPOUT),
    }


def disagreement() -> str | None:
    """What is said where every process was asked for something of its own."""
    try:
        dl.ranks.agree(f"number {dl.ranks.rank()}", [])
    except ValueError as error:
        return str(error)


def computed(names, path) -> dict[str, dict]:
    """What the cases of these names come to, the search of `small_search`, and that which was begun in `path`."""
    before, found = torch.get_default_dtype(), {}
    torch.set_default_dtype(torch.float64)
    try:
        for name in names:
            found[name] = cases()[name]()
        found["different"] = {"said": disagreement()}
        found["whole"] = come_to(small_search(False))
        found["goes on"] = come_to(dl.Search.resume(path, data=colours(13)))
    finally:
        torch.set_default_dtype(before)
    return found
