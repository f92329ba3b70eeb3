"""Wrong calls: each gives one clear error that names argument, value and what is allowed, and writes nothing."""

import json
import os
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

import darts_lab as dl
from darts_lab import cli, spaces
from darts_lab.genotype import uniform_genotype
from darts_lab.search.training import Training, evaluate
from darts_lab.settings import override
from darts_lab.studies.verify import plan_of
from darts_lab.tasks import classification

SKIPS = uniform_genotype(spaces.S2, "skip_connect")
KNOWN = "known: "


@pytest.fixture(scope="module")
def lab(colours, small, small_search, tmp_path_factory):
    """What the calls below work on: functions that take one step of a small search or training, and data to spoil."""
    path = tmp_path_factory.mktemp("elsewhere") / "run"
    list(small_search("S2", path=path))
    data = colours()

    def search(space="S2", **changes):
        return small_search(space, **({"path": "here"} | changes)).step()

    def train(genotype=SKIPS, **changes):
        return next(Training(genotype, path="here", **({"data": data, "scale": small} | changes)))

    def own(images=None, labels=None, **more):
        pair = data.train[0] if images is None else images, data.train[1] if labels is None else labels
        return dl.data.from_tensors(pair, data.valid, data.test, **({"classes": 4} | more))

    found, training = small_search("S2"), Training(SKIPS, data, small)
    next(found)
    more = {"found": found, "training": training, "small": small}
    return SimpleNamespace(search=search, train=train, own=own, data=data, images=data.train[0], run=path, **more)


def spoiled(images, value):
    images = images.clone()
    images[3, 1, 2, 2] = value
    return images


def checkpoint_of_s2_in_a_run_of_s4(lab):
    config = (lab.run / "config.json").read_text()
    try:
        other = json.loads(config.replace("skip_connect", "noise").replace('"S2"', '"S4"'))
        other["hash"] = dl.Plan.from_json(other, data=lab.data).hash
        (lab.run / "config.json").write_text(json.dumps(other))
        dl.Search.resume(lab.run, data=lab.data)
    finally:
        (lab.run / "config.json").write_text(config)


# name: (call, words of the message), or (call, words, error) where it is another one than ValueError
WRONG = {
    # names
    "space unknown": (lambda f: f.search("S9"), ["space: 'S9'", KNOWN, "S1", "S5", "DARTS"]),
    "space no name": (lambda f: f.search(7), ["space: 7", KNOWN, "S1"]),
    "space nothing": (lambda f: f.search(""), ["space: ''", KNOWN]),
    "capture of a word": (lambda f: f.search(capture="yes"), ["capture: 'yes'", "True or False"]),
    "data unknown": (lambda f: f.search(data="mnist"), ["data: 'mnist'", KNOWN, "digits", "cifar10"]),
    "data no data": (lambda f: f.search(data=5), ["data: int", "train, valid and test"], TypeError),
    "data not there": (
        lambda f: f.search(data="cifar10"),
        ["data: 'cifar10' was not found in", "download=True"],
        FileNotFoundError,
    ),
    "data not there for training": (
        lambda f: f.train(data="svhn"),
        ["data: 'svhn' was not found in", "download=True"],
        FileNotFoundError,
    ),
    "method unknown": (lambda f: f.search(method="PSO"), ["method: 'PSO'", KNOWN, "DARTS", "R-DARTS(L2)"]),
    "method no name": (lambda f: f.search(method=["DARTS"]), ["method: ['DARTS']", KNOWN]),
    "scale unknown": (lambda f: f.search(scale="huge"), ["scale: 'huge'", KNOWN, "tiny", "laptop", "paper"]),
    "scale a number": (lambda f: f.train(scale=3), ["scale: 3", KNOWN, "tiny"]),
    "device unknown": (lambda f: f.search(device="abacus"), ["device: 'abacus'", "there are:", "cpu"]),
    "device unknown for training": (lambda f: f.train(device="tpu"), ["device: 'tpu'", "cpu"]),
    # sizes
    "channels negative": (lambda f: f.search(channels=-4), ["channels: -4", "whole number of at least 1"]),
    "channels zero": (lambda f: f.train(channels=0), ["channels: 0", "whole number of at least 1"]),
    "channels half": (lambda f: f.search(channels=4.0), ["channels: 4.0", "whole number"]),
    "channels a truth": (lambda f: f.search(channels=True), ["channels: True", "whole number"]),
    "channels text": (lambda f: f.search(channels="16"), ["channels: '16'", "whole number"]),
    "layers nothing": (lambda f: f.search(layers=None), ["layers: None", "whole number"]),
    "epochs zero": (lambda f: f.search(epochs=0), ["epochs: 0", "at least 1"]),
    "epochs nan": (lambda f: f.train(epochs=float("nan")), ["epochs: nan", "whole number"]),
    "nodes zero": (lambda f: f.search(nodes=0), ["nodes: 0", "at least 1"]),
    "train_samples negative": (lambda f: f.search(train_samples=-1), ["train_samples: -1", "at least 1"]),
    "test_samples text": (lambda f: f.train(test_samples="all"), ["test_samples: 'all'", "whole number"]),
    "more samples than there are": (lambda f: f.search(valid_samples=17), ["valid_samples: 17", "1 to 16"]),
    "batch_size zero": (lambda f: f.search(batch_size=0), ["batch_size: 0", "at least 1"]),
    "batch larger than train": (
        lambda f: f.search(batch_size=17),
        ["batch_size: 17 is larger than the 16 samples of the train split"],
    ),
    "batch larger than valid": (
        lambda f: f.search(batch_size=16, valid_samples=9),
        ["batch_size: 16 is larger than the 9 samples of the valid split"],
    ),
    "batch larger than both halves": (
        lambda f: f.train(batch_size=33),
        ["batch_size: 33 is larger than the 32 training samples"],
    ),
    "cutout negative": (lambda f: f.search(cutout=-2), ["cutout: -2", "at least 0"]),
    # rates
    "order three": (lambda f: f.search(order=3), ["order: 3", "1 or 2"]),
    "order a truth": (lambda f: f.search(order=True), ["order: True", "1 or 2"]),
    "precision unknown": (lambda f: f.search(precision="float16"), ["precision: 'float16'", "'float32' or 'bfloat16'"]),
    "precision not hashable": (lambda f: f.train(precision=[32]), ["precision: [32]", "'float32' or 'bfloat16'"]),
    "compile a number": (lambda f: f.search(compile=1), ["compile: 1", "True or False"]),
    "alpha_betas one": (lambda f: f.search(alpha_betas=0.5), ["alpha_betas: 0.5", "two"]),
    "learning_rate zero": (lambda f: f.search(learning_rate=0), ["learning_rate: 0", "above 0"]),
    "learning_rate infinite": (lambda f: f.train(learning_rate=float("inf")), ["learning_rate: inf", "above 0"]),
    "momentum one": (lambda f: f.search(momentum=1), ["momentum: 1", "[0, 1)"]),
    "weight_decay negative": (lambda f: f.search(weight_decay=-1e-3), ["weight_decay: -0.001", "at least 0"]),
    "weight_decay nan": (lambda f: f.search(weight_decay=float("nan")), ["weight_decay: nan", "at least 0"]),
    "alpha_learning_rate text": (lambda f: f.search(alpha_learning_rate="3e-3"), ["alpha_learning_rate: '3e-3'"]),
    "alpha_betas three": (lambda f: f.search(alpha_betas=(0.5, 0.9, 0.9)), ["alpha_betas: (0.5, 0.9, 0.9)", "two"]),
    "drop_path one": (lambda f: f.search(drop_path=1.0), ["drop_path: 1.0", "[0, 1)"]),
    "drop_path negative": (lambda f: f.train(drop_path=-0.1), ["drop_path: -0.1", "[0, 1)"]),
    "unrolled_epsilon zero": (lambda f: f.search(unrolled_epsilon=0.0), ["unrolled_epsilon: 0.0", "above 0"]),
    "setting unknown": (lambda f: f.search(depth=3), ["depth: not a setting", KNOWN, "layers", "channels"]),
    "setting of another kind": (lambda f: f.train(alpha_spread=1), ["alpha_spread: not a setting", KNOWN]),
    "setting of a method unknown": (
        lambda f: f.search(method=dl.Method("mine", {"wd": 1})),
        ["wd: not a setting", "weight_decay"],
    ),
    # seeds
    "seed negative": (lambda f: f.search(seed=-1), ["seed: -1", "from 0 to 2147483647"]),
    "seed huge": (lambda f: f.search(seed=2**31), ["seed: 2147483648", "from 0 to 2147483647"]),
    "seed half": (lambda f: f.train(seed=0.5), ["seed: 0.5", "whole number"]),
    "seed text": (lambda f: f.search(seed="0"), ["seed: '0'", "whole number"]),
    "seed a truth": (lambda f: f.search(seed=True), ["seed: True", "whole number"]),
    "seed nothing": (lambda f: f.search(seed=None), ["seed: None", "whole number"]),
    # own data
    "label too large": (
        lambda f: f.own(labels=torch.arange(16) % 5),
        ["train: labels must lie in 0..3", "found 4"],
    ),
    "label negative": (lambda f: f.own(labels=torch.arange(16) % 4 - 1), ["train: labels", "0..3", "found -1"]),
    "labels no whole numbers": (lambda f: f.own(labels=torch.rand(16)), ["train: labels must be integers", "float32"]),
    "too few labels": (lambda f: f.own(labels=torch.arange(4)), ["train: labels must be (16,)", "(4,)"]),
    "NaN in data": (lambda f: f.own(spoiled(f.images, float("nan"))), ["train: images must be finite", "NaN"]),
    "infinity in data": (
        lambda f: f.search(
            data={"train": (spoiled(f.images, float("inf")), torch.arange(16) % 4), "valid": f.data.valid}
            | {"test": f.data.test}
        ),
        ["train: images must be finite"],
    ),
    "images without channels": (
        lambda f: f.own(f.images[:, 0]),
        ["valid: each image is (3, 8, 8)", "in train it is (1, 8, 8)"],
    ),
    "images as rows of a table": (
        lambda f: f.own(f.images.flatten(1)),
        ["train: images must be (n, channels, height, width)"],
    ),
    "images of other size in train": (lambda f: f.own(f.images[:, :, :4]), ["valid: each image is (3, 8, 8)"]),
    "images that cannot be halved": (
        lambda f: f.search(data=dl.data.from_tensors(*[(torch.rand(16, 3, 6, 8), torch.arange(16) % 4)] * 3)),
        ["data: images of 6 x 8", "multiples of 4"],
    ),
    "images that cannot be halved for training": (
        lambda f: f.train(data=dl.data.from_tensors(*[(torch.rand(16, 3, 15, 15), torch.arange(16) % 4)] * 3)),
        ["data: images of 15 x 15", "multiples of 4"],
    ),
    "images too small for the auxiliary tower": (
        lambda f: f.train(auxiliary=0.4),
        ["auxiliary: ", "32 x 32, not 8 x 8", "auxiliary=0"],
    ),
    # genotypes
    "genotype no text": (lambda f: f.train(7), ["genotype: 7", "dl.Genotype"]),
    "genotype other text": (lambda f: f.train("skip everywhere"), ["genotype: 'skip everywhere'", "Genotype(normal="]),
    "genotype with code": (
        lambda f: f.train("__import__('os').system('touch owned')"),
        ["genotype: ", "does not have the form"],
    ),
    "genotype with a wrong operation": (
        lambda f: f.train(str(SKIPS).replace("skip_connect", "conv_9x9", 1)),
        ["genotype: operation 'conv_9x9' in the normal cell", KNOWN, "sep_conv_3x3"],
    ),
    "genotype with a node out of range": (
        lambda f: f.train(str(SKIPS).replace("('skip_connect', 0)", "('skip_connect', 9)", 1)),
        ["genotype: normal edge", "state 9", "states 0 to 1"],
    ),
    "genotype of another space": (lambda f: SKIPS.mixing(spaces.S4), ["'skip_connect' is no candidate", "noise"]),
    "space of a genotype unknown": (lambda f: f.train(space="S9"), ["space: 'S9'", KNOWN]),
    "no published size": (
        lambda f: evaluate(SKIPS, f.data, "paper", space="S2"),
        ["no published network size", "'S2'", "'colours'", "give channels and layers"],
    ),
    # settings and scales by hand
    "override": (lambda f: override(classification.TINY.search, clip=-1), ["clip: -1", "above 0"]),
    # runs
    "run not there": (lambda f: dl.Search.resume("nowhere"), ["run: 'nowhere'", "config.json"], FileNotFoundError),
    "run of own data without it": (
        lambda f: dl.Search.resume(f.run),
        ["data of your own ('colours')", "pass it as data="],
    ),
    "run with other data": (
        lambda f: dl.Search.resume(f.run, data=f.own(spoiled(f.images, 0.0))),
        ["data: 'own' is not what the run"],
    ),
    "run of a search as training": (
        lambda f: Training.resume(f.run, data=f.data),
        ["run: ", "holds no training that can go on", "search"],
    ),
    "run on a device that is not there": (
        lambda f: dl.Search.resume(f.run, data=f.data, device="abacus"),
        ["device: 'abacus'", "cpu"],
    ),
    "checkpoint from another space": (
        checkpoint_of_s2_in_a_run_of_s4,
        ["checkpoint: of space 'S2'", "does not fit a search of space 'S4'"],
    ),
    "path taken": (lambda f: f.search(path=f.run), ["path: ", "is not empty", "resume"], FileExistsError),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_a_wrong_call_gives_one_clear_error_and_writes_nothing(case, lab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DARTS_LAB_RUNS", "runs")
    monkeypatch.setenv("DARTS_LAB_DATA", str(tmp_path / "no data here"))
    call, words, error = (*case, ValueError)[:3]
    before = {path: path.read_bytes() for path in lab.run.iterdir()}
    with pytest.raises(error) as raised:
        call(lab)
    message = str(raised.value)
    assert type(raised.value) is error and all(word in message for word in words), message
    assert len(message) < 500 and "\n" not in message
    assert os.listdir(tmp_path) == []
    assert {path: path.read_bytes() for path in lab.run.iterdir()} == before


def test_the_right_call_writes(lab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lab.search()
    assert os.listdir(tmp_path) == ["here"], "else the calls above could not write in any case"


# --- Sweeps, readers, widgets -----------------------------------------------------------------


def written(name, content):
    """A file beside the test's folder, which stays empty."""
    path = os.path.join(os.path.dirname(os.getcwd()), name)
    with open(path, "wb") as file:
        file.write(content)
    return path


def logged(lab):
    return dl.monitors.replay(dl.read_robustdarts(os.getcwd()))


ELSEWHERE = {
    "sweep without jobs of a kind": (lambda f: dl.sweep([3], "s"), ["job: 3", "dictionary of arguments of Search"]),
    "sweep with an unknown executor": (
        lambda f: dl.sweep([{"scale": "tiny"}], "s", "slurm"),
        ["executor: 'slurm'", "None, 'loky', a number of processes"],
    ),
    "sweep with no workers": (lambda f: dl.sweep([{"scale": "tiny"}], "s", 0), ["executor: 0", "number of processes"]),
    "sweep of a job twice": (lambda f: dl.sweep([{"seed": 1}, {"seed": 1}], "s"), ["jobs: number 1", "number 0"]),
    "sweep in the folder of something else": (
        lambda f: dl.sweep([{"scale": "tiny"}], f.run),
        ["path: ", "neither new nor empty nor the folder of a sweep"],
    ),
    "grid with an empty axis": (lambda f: dl.grid(seed=[]), ["seed: is empty", "at least one value"]),
    "grid with a value twice": (lambda f: dl.grid(space=["S1", "S1"]), ["space: 'S1' stands twice"]),
    "grid with own data": (lambda f: dl.grid(data=f.data), ["data: ", "must be a name"]),
    "grid with a seed that is none": (lambda f: dl.grid(seed=[-1]), ["seed: -1", "from 0 to 2147483647"]),
    "grid against its method": (
        lambda f: dl.grid(method="R-DARTS(DP)", drop_path=0.1),
        ["drop_path: 0.1 contradicts method 'R-DARTS(DP)'", "0.6"],
    ),
    "row of nothing": (lambda f: plan_of({}), ["row: holds no job of a sweep"]),
    "row without its hash": (
        lambda f: plan_of(
            {
                "space": "S2",
                "data": "digits",
                "method": "DARTS",
                "scale": "tiny",
                "seed": 0,
                "settings": "{}",
                "evaluation": "{}",
            }
        ),
        ["row: holds no job of a sweep", "config_hash"],
    ),
    "reading a run that is none": (
        lambda f: dl.runs.read("nowhere"),
        ["run: 'nowhere'", "config.json"],
        FileNotFoundError,
    ),
    "reading logs that are none": (logged, ["holds no logs of RobustDARTS", "0.0_0.0003-2516843"]),
    "reading logs from nowhere": (
        lambda f: dl.read_robustdarts("nowhere"),
        ["path: 'nowhere' is no directory"],
        FileNotFoundError,
    ),
    "checkpoint of theirs that is text": (
        lambda f: dl.official.read(written("a.pt", b"text")),
        ["checkpoint: ", "a.pt", "damaged or holds more than tensors"],
    ),
    "checkpoint of theirs with other names": (
        lambda f: dl.official.load_state_dict(dl.Supernet(spaces.S5, channels=2, layers=1), {"w": torch.ones(1)}),
        ["state_dict: not a checkpoint of space 'S5'", "lacks"],
    ),
    "picture that is text": (lambda f: dl.stereo.read_image(written("a.png", b"text")), ["a.png", "cannot identify"]),
    "float map that is none": (lambda f: dl.stereo.read_pfm(written("a.pfm", b"P6\n")), ["a.pfm", "begins with 'Pf'"]),
    "float map that lies": (
        lambda f: dl.stereo.read_pfm(written("a.pfm", b"Pf\n9 9\n-1\n")),
        ["a.pfm", "says 9 x 9 pixels", "but 0 follow"],
    ),
    "soundings that are none": (
        lambda f: dl.bathymetry.read_csv(written("a.csv", b"path\n")),
        ["a.csv", "needs rows of a path and a depth"],
    ),
    "patch that is none": (lambda f: dl.bathymetry.read_patch(written("a.npy", b"x")), ["a.npy", "is no whole .npy"]),
    "tile that is not there": (lambda f: dl.bathymetry.scene(99), ["number: 99", "tiles 0 to"]),
    "things that fly nowhere": (
        lambda f: dl.stereo.flying_things("nowhere"),
        ["flyingthings3d: no image pairs", "nowhere"],
        FileNotFoundError,
    ),
    "part of Sintel unknown": (lambda f: dl.stereo.sintel("x", "albedo"), ["part: 'albedo'", "'clean' or 'final'"]),
    "text of one word": (lambda f: dl.corpus.from_text(["a"], "b c", "d e"), ["train: holds 1 words", "at least 2"]),
    "vocabulary of nothing": (lambda f: dl.corpus.from_text("a b", "c d", "e f", vocabulary=2), ["vocabulary: 2", "3"]),
    "Penn Treebank not there": (
        lambda f: dl.corpus.ptb("nowhere"),
        ["data: 'ptb' was not found in nowhere", "ptb.train.txt"],
        FileNotFoundError,
    ),
    "name of a figure with a folder": (lambda f: dl.figures.save("../x"), ["name: '../x'", "a file's name"]),
    "published number unknown": (lambda f: dl.published.table("table9"), ["name: 'table9'", KNOWN]),
    "eigenvalue in another mode": (
        lambda f: dl.curvature.dominant_eigenvalue(dl.Search.resume(f.run, data=f.data), mode="test"),
        ["mode: 'test'", "'train' or 'eval'"],
    ),
    "eigenvalue of too many batches": (
        lambda f: dl.curvature.dominant_eigenvalue(dl.Search.resume(f.run, data=f.data), batches=99),
        ["batches: 99", "1 to 2 batches of 8"],
    ),
    "predictions of more than there is": (
        lambda f: dl.predictions(dl.Search.resume(f.run, data=f.data), 99),
        ["samples: 99", "1 to 16"],
    ),
    "lab of an unknown space": (lambda f: dl.lab("S9"), ["space: 'S9'", KNOWN]),
    "lab of an unknown method": (lambda f: dl.lab("S2", method="PSO"), ["method: 'PSO'", KNOWN]),
    "lab of an unknown scale": (lambda f: dl.lab("S2", scale="huge"), ["scale: 'huge'", KNOWN]),
    "lab of data that are not there": (
        lambda f: dl.lab("S2", "svhn"),
        ["data: 'svhn' was not found in", "download=True"],
        FileNotFoundError,
    ),
    "lab of no method": (lambda f: dl.lab("S2", method=[]), ["method: is an empty list"]),
    "lab of a seed that is none": (lambda f: dl.lab("S2", seed=-1), ["seed: -1", "from 0 to 2147483647"]),
    "lab asked before its start": (lambda f: dl.lab("S2").result(), ["lab: nothing was started", "start()"]),
    "path that is none": (lambda f: f.search(path=5), ["path: 5", "must be a path"]),
    "run that is no path": (lambda f: dl.runs.read(["run"]), ["run: ['run']", "must be a path"]),
    "logs that are no path": (lambda f: dl.read_robustdarts(None), ["path: None", "must be a path"]),
    "sweep into no path": (lambda f: dl.sweep([], 7), ["path: 7", "must be a path"]),
    "monitor by name": (lambda f: dl.Method("mine", monitor="ES"), ["monitor: 'ES'", "EarlyStopping"]),
    "schedule by number": (lambda f: dl.Method("mine", schedule=10), ["schedule: 10", "schedules"]),
    "terms that are no functions": (lambda f: dl.Method("mine", terms=(0.1,)), ["terms: 0.1", "must be a function"]),
    "one term, not in a tuple": (
        lambda f: dl.Method("mine", terms=dl.terms.Proximity()),
        ["terms: Proximity(", "must be a tuple"],
    ),
    "protocol unknown": (lambda f: dl.grid(protocol="L3"), ["protocol: 'L3'", KNOWN, "default, L2"]),
    "protocol of a training unknown": (lambda f: f.train(protocol="L3"), ["protocol: 'L3'", KNOWN]),
    "replay of nothing": (lambda f: dl.replay("nowhere"), ["nowhere"], FileNotFoundError),
}


@pytest.mark.parametrize("case", ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_wrong_call_elsewhere_gives_one_clear_error_too(case, lab, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    test_a_wrong_call_gives_one_clear_error_and_writes_nothing(case, lab, tmp_path / "here", monkeypatch)


# --- The wrong kind of object -----------------------------------------------------------------

NAN = float("nan")
TABLE = pd.DataFrame({"a": [1, 2]})
ONE_CELL = {"genotype": [str(SKIPS)], "test_error": [0.1]}
HISTORY = "the history of a search, a list of its records"


def own_space(make):
    edges = [("skip_connect", "mine")] * 2
    return dl.SearchSpace("mine", {"normal": edges, "reduce": edges}, operations={"mine": make})


OBJECTS = {
    # curvature
    "Hessian of batches in words": (lambda f: f.found.hessian(batches="many"), ["batches: 'many'", "1 to 2", "'all'"]),
    "Hessian of nothing": (lambda f: f.found.hessian(batches=None), ["batches: None", "a whole number"]),
    "Hessian of a generator": (lambda f: f.found.hessian(batches=(1 for _ in "ab")), ["batches: generator", "a list"]),
    "Hessian of half a batch": (lambda f: f.found.hessian(batches=1.5), ["batches: 1.5", "a whole number"]),
    "Hessian of a truth": (lambda f: f.found.hessian(batches=True), ["batches: True", "a whole number"]),
    "Hessian of no batches": (lambda f: f.found.hessian(batches=[]), ["batches: is empty"]),
    "Hessian of numbers": (lambda f: f.found.hessian(batches=[1, 2]), ["batches: must be pairs (inputs, targets)"]),
    "Hessian of inputs alone": (lambda f: f.found.hessian(batches=[(f.images,)]), ["batches: must be pairs"]),
    "Hessian with a seed in words": (lambda f: f.found.hessian(seed="0"), ["seed: '0'", "from 0 to"]),
    "Hessian with a negative seed": (lambda f: f.found.hessian(seed=-1), ["seed: -1", "from 0 to"]),
    "Hessian without a seed": (lambda f: f.found.hessian(seed=None), ["seed: None", "from 0 to"]),
    "Hessian of size in words": (
        lambda f: f.found.hessian(batch_size="8"),
        ["batch_size: '8'", "whole number or None"],
    ),
    "Hessian in no mode": (lambda f: f.found.hessian(mode=None), ["mode: None", "'train' or 'eval'"]),
    "Hessian of the weights": (lambda f: f.found.hessian(variable="w"), ["variable: 'w'", "'alpha' or 'mixing'"]),
    "Hessian with decay in words": (lambda f: f.found.hessian(decay="yes"), ["decay: 'yes'", "True or False"]),
    "Hessian with parity in words": (lambda f: f.found.hessian(parity="yes"), ["parity: 'yes'", "True or False"]),
    "Hessian with another option": (lambda f: f.found.hessian(batch=3), ["batch: is no option", KNOWN, "batches"]),
    "eigenvalue with another option": (
        lambda f: dl.curvature.dominant_eigenvalue(f.found, batch=3),
        ["batch: is no option", KNOWN],
    ),
    "eigenvalue of a training": (
        lambda f: dl.curvature.dominant_eigenvalue(f.training),
        ["search: Training", "a Search, a Hessian or a symmetric matrix"],
    ),
    "eigenvalue of a path": (lambda f: dl.curvature.dominant_eigenvalue(str(f.run)), ["search: str", "a Search"]),
    "eigenvalue of nothing": (lambda f: dl.curvature.dominant_eigenvalue(None), ["search: NoneType", "a Search"]),
    "eigenvalue of an oblong": (lambda f: dl.curvature.dominant_eigenvalue(np.ones((2, 3))), ["Hessian:", "square"]),
    "eigenvalue of words": (lambda f: dl.curvature.dominant_eigenvalue([["a"]]), ["Hessian: is no matrix of numbers"]),
    "eigenvalue of NaN": (lambda f: dl.curvature.dominant_eigenvalue([[NAN]]), ["Hessian: 1 of its values are NaN"]),
    "eigenvalue to a negative tolerance": (
        lambda f: dl.curvature.dominant_eigenvalue(f.found, tolerance=-1),
        ["tolerance: -1", "[0, 1)"],
    ),
    "eigenvalue to a tolerance in words": (
        lambda f: dl.curvature.dominant_eigenvalue(f.found, tolerance="small"),
        ["tolerance: 'small'", "a number"],
    ),
    "eigenvalue of a ragged list": (
        lambda f: dl.curvature.dominant_eigenvalue([[1], [1, 2]]),
        ["Hessian: is no matrix of numbers"],
    ),
    "no eigenvalues": (lambda f: dl.curvature.extreme_eigenvalues(np.eye(3), 0), ["k: 0", "1 to 3"]),
    "eigenvalues, None of them": (lambda f: dl.curvature.extreme_eigenvalues(np.eye(3), None), ["k: None", "whole"]),
    "eigenvalues in the middle": (
        lambda f: dl.curvature.extreme_eigenvalues(np.eye(3), 1, "middle"),
        ["end: 'middle'", "'largest' or 'smallest'"],
    ),
    "spectrum of a training": (lambda f: dl.curvature.spectrum(f.training), ["search: Training", "a Search"]),
    "trace of one probe": (lambda f: dl.curvature.trace(np.eye(3), 1), ["probes: 1", "at least 2"]),
    "trace with a seed in words": (lambda f: dl.curvature.trace(np.eye(3), seed="a"), ["seed: 'a'", "from 0 to"]),
    "landscape of a matrix": (lambda f: dl.curvature.landscape(np.eye(3)), ["search: a matrix is not allowed"]),
    "landscape in three dimensions": (
        lambda f: dl.curvature.landscape(f.found, dimensions=3),
        ["dimensions 3", "1 or 2"],
    ),
    "landscape downwards": (lambda f: dl.curvature.landscape(f.found, "down"), ["directions: 'down'", "'eigen'"]),
    "landscape in no direction": (lambda f: dl.curvature.landscape(f.found, None), ["directions: None", "list"]),
    "landscape along words": (lambda f: dl.curvature.landscape(f.found, ["a"]), ["directions: must be one or two"]),
    "landscape without reach": (lambda f: dl.curvature.landscape(f.found, reach=0), ["reach: 0", "above 0"]),
    "landscape of many points": (lambda f: dl.curvature.landscape(f.found, points="many"), ["points: 'many'", "3"]),
    "Hessian of no function": (lambda f: dl.curvature.Hessian(5, torch.zeros(2), [1]), ["loss: 5", "a function"]),
    "Hessian at a list": (lambda f: dl.curvature.Hessian(sum, [0.0], [1]), ["point: [0.0]", "a Tensor"]),
    "Hessian at whole numbers": (
        lambda f: dl.curvature.Hessian(sum, torch.arange(2), [1]),
        ["point: must be of float"],
    ),
    "Hessian of one number": (lambda f: dl.curvature.Hessian(sum, torch.zeros(2), 5), ["batches: 5", "a list"]),
    # searches and trainings
    "one-shot error of a cell": (
        lambda f: f.found.one_shot(f.found.genotype),
        ["mixing: Genotype", "a Tensor or None"],
    ),
    "one-shot error of NaN": (lambda f: f.found.one_shot(f.found.mixing.detach() * NAN), ["mixing: holds NaN"]),
    "one-shot error of another shape": (lambda f: f.found.one_shot(torch.ones(2, 2)), ["mixing: shape (2, 2)", "'S2'"]),
    "one-shot error of another split": (lambda f: f.found.one_shot(split="dev"), ["split: 'dev'", "'valid' or 'test'"]),
    "training measured on another split": (lambda f: f.training.measure("dev"), ["split: 'dev'", "'test'"]),
    "result before the end": (lambda f: f.training.result(), ["training: 0 of 2 epochs are done"]),
    "change of what cannot change": (lambda f: f.found.change(epochs=5), ["epochs: cannot be changed"]),
    "change to words": (lambda f: f.found.change(weight_decay="strong"), ["weight_decay: 'strong'", "at least 0"]),
    "change to nothing": (lambda f: f.found.change(drop_path=None), ["drop_path: None", "[0, 1)"]),
    "resume of a search": (lambda f: dl.Search.resume(f.found), ["run: Search(", "must be a path"]),
    "search of no plan": (lambda f: dl.Search.of(None), ["plan: None", "a Plan"]),
    "training of a dictionary": (lambda f: Training.of({}), ["plan: {}", "a Plan"]),
    "training of the plan of a search": (lambda f: Training.of(f.found.plan), ["plan: ", "asks for no training"]),
    "progress of a list": (lambda f: next(dl.progress([1])), ["loop: [1]", "a Loop"]),
    "evaluation of nothing": (lambda f: evaluate(None), ["genotype: None", "dl.Genotype"]),
    "evaluation of a list": (lambda f: evaluate([SKIPS]), ["genotype: [", "dl.Genotype"]),
    "evaluation watched by a number": (lambda f: evaluate(SKIPS, on_epoch=5), ["on_epoch: 5", "a function or None"]),
    "evaluation of a search of no epoch": (
        lambda f: evaluate(dl.Search("S2", data=f.data, scale=f.small, path=False)),
        ["genotype: the search has not finished its first epoch"],
    ),
    "evaluation of a search at a scale of one's own": (
        lambda f: evaluate(f.found),
        ["scale: 'small' was a scale of your own; pass it as scale=", "laptop"],
    ),
    "evaluation of a run on data of one's own": (
        lambda f: evaluate(f.run, scale=f.small),
        ["data of your own ('colours')", "pass it as data="],
    ),
    "evaluation on data that do not fit": (
        lambda f: evaluate(f.found, "pydocs", "tiny"),
        ["genotype: has cells normal, reduce; data 'pydocs' needs recurrent"],
    ),
    # cells
    "selection of nothing": (lambda f: dl.select(None), ["genotypes: None", "a list"]),
    "selection of a text": (lambda f: dl.select(str(SKIPS)), ["genotypes: ", "Genotype(", "a list"]),
    "selection of numbers": (lambda f: dl.select([1, 2], f.data, f.small), ["genotype: 1", "dl.Genotype"]),
    "selection without a seed": (lambda f: dl.select([SKIPS], f.data, f.small, None), ["seed: None", "from 0 to"]),
    "selection among runs that differ": (
        lambda f: dl.select([f.found, SKIPS], scale=f.small),
        ["data: the runs differ in it; pass data="],
    ),
    "drop of a training": (lambda f: dl.discretization_drop(f.training), ["search: Training", "a Search"]),
    "drop of a path": (lambda f: dl.discretization_drop(str(f.run)), ["search: '", "a Search"]),
    "predictions of a path": (lambda f: dl.predictions(str(f.run)), ["trained: '", "a Search or a Training"]),
    "predictions of nothing": (lambda f: dl.predictions(None), ["trained: None", "a Search or a Training"]),
    "predictions of another split": (lambda f: dl.predictions(f.found, split="dev"), ["split: 'dev'", "'test'"]),
    "predictions of none": (lambda f: dl.predictions(f.found, 0), ["samples: 0", "1 to 16"]),
    "predictions of words": (lambda f: dl.predictions(f.found, "all"), ["samples: all", "1 to 16"]),
    "predictions of small images": (
        lambda f: dl.predictions(f.found, f.images[..., :4]),
        ["(n, 3, 8, 8)", "(16, 3, 8, 4)"],
    ),
    "predictions of one image": (lambda f: dl.predictions(f.found, f.images[0]), ["(n, 3, 8, 8)", "(3, 8, 8)"]),
    "predictions of NaN": (lambda f: dl.predictions(f.found, f.images * NAN), ["samples: images must be finite"]),
    "predictions of bytes": (lambda f: dl.predictions(f.found, f.images.byte()), ["torch.float32", "torch.uint8"]),
    "predictions on data of another kind": (
        lambda f: dl.predictions(f.found, data="stereo"),
        ["data: 'stereo'", "kind"],
    ),
    "ground truth of a list": (lambda f: dl.ground_truth([1]), ["trainings: [1]", "a DataFrame"]),
    "ground truth of another table": (lambda f: dl.ground_truth(TABLE), ["trainings: the table has no column"]),
    "ground truth of an empty table": (lambda f: dl.ground_truth(pd.DataFrame(ONE_CELL)[:0]), ["holds no row"]),
    "ground truth of words": (
        lambda f: dl.ground_truth(pd.DataFrame(ONE_CELL | {"test_error": ["low"]})),
        ["trainings: test_error must hold numbers"],
    ),
    "ground truth of two data sets": (
        lambda f: dl.ground_truth(
            pd.DataFrame({name: 2 * one for name, one in ONE_CELL.items()} | {"data": ["a", "b"]})
        ),
        ["trainings: differ in data"],
    ),
    "genotype of nothing": (lambda f: dl.Genotype(None, None), ["genotype: cells and concat", "None"]),
    "genotype from nothing": (lambda f: dl.Genotype.from_json(None), ["genotype: 'None' does not hold the fields"]),
    "count in a cell that is not there": (
        lambda f: SKIPS.count("noise", "upsample"),
        ["cell_type: 'upsample'", "reduce"],
    ),
    "mixing of a name": (lambda f: SKIPS.mixing("S2"), ["space: 'S2'", "a SearchSpace"]),
    "discretized list": (lambda f: dl.discretize([1], spaces.S2), ["mixing: [1]", "a Tensor"]),
    "discretized in a name": (lambda f: dl.discretize(torch.zeros(2, 14, 2), "S2"), ["space: 'S2'", "a SearchSpace"]),
    "discretized NaN": (lambda f: dl.discretize(torch.full((2, 14, 2), NAN), spaces.S2), ["mixing: holds NaN"]),
    "all cells of a name": (lambda f: dl.enumerate_genotypes("S5"), ["space: 'S5'", "a SearchSpace"]),
    "all cells of a large space": (lambda f: dl.enumerate_genotypes(spaces.S2), ["space: 'S2' has 4 nodes"]),
    "random cell from a seed": (lambda f: dl.random_genotype(spaces.S2, 0), ["generator: 0", "a Generator"]),
    "uniform cell of no operation": (lambda f: dl.uniform_genotype(spaces.S2, None), ["operation: None", "text"]),
    "space without a name": (lambda f: dl.SearchSpace(None, spaces.S5.cells), ["name: None", "the name of a space"]),
    "space without edges": (lambda f: dl.SearchSpace("x", {"normal": 5, "reduce": 5}), ["space 'x'", "lists of edges"]),
    "space with operations in a list": (lambda f: dl.SearchSpace("x", spaces.S5.cells, ["mine"]), ["must map names"]),
    "space with an operation that is none": (lambda f: own_space(5), ["operations must map names to functions"]),
    "operation that makes nothing": (lambda f: f.search(own_space(lambda c, s: None)), ["'mine' gives NoneType"]),
    "operation that makes too much": (
        lambda f: next(
            dl.Search(own_space(lambda c, s: torch.nn.Conv2d(c, 2 * c, 1, s)), f.data, scale=f.small, path=False)
        ),
        ["operations: 'mine' makes", "it must make (8, 4, 8, 8)"],
    ),
    "space of nodes in words": (lambda f: spaces.S2.with_nodes("two"), ["nodes: 'two'", "1 to 4"]),
    "cell of a space that is not there": (lambda f: spaces.S2.cell("upsample"), ["cell_type: 'upsample'", "'S2'"]),
    "supernet of a name": (lambda f: dl.Supernet("S2"), ["space: 'S2'", "a SearchSpace"]),
    "supernet for images of a recurrent space": (lambda f: dl.Supernet(spaces.RNN), ["space: has cells recurrent"]),
    "network of a number": (lambda f: dl.Network(3), ["genotype: 3 ", "Genotype("]),
    "network of no layers": (lambda f: dl.Network(SKIPS, layers=0), ["layers: 0", "at least 1"]),
    # methods
    "method without a name": (lambda f: dl.Method(None), ["name: None", "a name"]),
    "method with a portion above one": (lambda f: dl.Method("m", train_portion=2.0), ["train_portion: 2.0", "(0, 1)"]),
    "activation that gives a number": (
        lambda f: next(dl.Search(method=dl.Method("m", activation=len), data=f.data, scale=f.small, path=False)),
        ["mixing: 2", "a Tensor"],
    ),
    "early stopping by a number": (lambda f: dl.monitors.EarlyStopping(5), ["rule: 5", "a Rule"]),
    "adaptation by a word": (lambda f: dl.monitors.Adaptation("soon"), ["rule: 'soon'", "a Rule"]),
    "rule of an even window": (lambda f: dl.monitors.Rule(window=2), ["window: 2", "odd"]),
    "rule applied to a path": (lambda f: dl.monitors.replay("runs"), ["searches: 'runs'", "a list"]),
    "rule applied to one search": (lambda f: dl.monitors.replay(dl.runs.read(f.run)), ["searches: Recorded", "a list"]),
    "rule applied to searches that live": (lambda f: dl.monitors.replay([f.found]), ["searches: Search", "runs.read"]),
    "rule that is a number": (lambda f: dl.monitors.replay([], 5), ["rule: 5", "a Rule"]),
    "proximity of NaN": (lambda f: dl.terms.Proximity(rho=NAN), ["rho: nan"]),
    "scale in an unknown domain": (lambda f: dl.scales.get("tiny", "music"), ["domain: 'music'", KNOWN, "language"]),
    # statistics and tables
    "mean of nothing": (lambda f: dl.statistics.mean(None), ["values: None", "a list"]),
    "mean of no values": (lambda f: dl.statistics.mean([]), ["values: must hold at least one number"]),
    "mean of words": (lambda f: dl.statistics.mean(["a"]), ["values: must be a list of numbers"]),
    "mean of a generator": (lambda f: dl.statistics.mean(x for x in (1.0, 2.0)), ["values: generator", "a list"]),
    "mean of a square": (lambda f: dl.statistics.mean([[1, 2], [3, 4]]), ["values: have shape (2, 2)"]),
    "mean of NaN": (lambda f: dl.statistics.mean([1.0, NAN]), ["values: 1 of them are NaN"]),
    "mean with certainty": (lambda f: dl.statistics.mean([1, 2], level=1), ["level: 1", "(0, 1)"]),
    "bootstrap of a number": (lambda f: dl.statistics.bootstrap([1, 2], 5), ["statistic: 5", "a function"]),
    "bootstrap of no samples": (lambda f: dl.statistics.bootstrap([1, 2], resamples=0), ["resamples: 0", "at least 1"]),
    "correlation of unequal lists": (lambda f: dl.statistics.correlation([1, 2], [1]), ["x, y: have shapes"]),
    "correlation of another kind": (
        lambda f: dl.statistics.correlation([1, 2], [1, 2], "kendall"),
        ["kind: 'kendall'", "'pearson' or 'spearman'"],
    ),
    "difference of a list of pairs": (
        lambda f: dl.statistics.paired_difference([1], "a", 1, 2),
        ["table: [1]", "DataFrame"],
    ),
    "difference in a column that is not there": (
        lambda f: dl.statistics.paired_difference(TABLE, "a", 1, 2),
        ["table: has no column 'method'"],
    ),
    "p-values above one": (lambda f: dl.statistics.holm([0.1, 2.0]), ["p_values: must be numbers from 0 to 1"]),
    "p-values of nothing": (lambda f: dl.statistics.holm(None), ["p_values: None", "a list"]),
    "sweep of nothing": (lambda f: dl.sweep(None), ["jobs: None", "a list"]),
    "sweep of one job": (lambda f: dl.sweep({"seed": 1}), ["jobs: dict", "a list of jobs"]),
    "sweep on no threads": (lambda f: dl.sweep([], threads=0), ["threads: 0", "at least 1"]),
    "sweep with retries in words": (lambda f: dl.sweep([], retries="few"), ["retries: 'few'", "at least 0"]),
    "sweep that reports to a number": (lambda f: dl.sweep([], report=5), ["report: 5", "a function"]),
    "sweep after another table": (lambda f: dl.sweep([], known=TABLE), ["known: is no table of a sweep"]),
    "table of a sweep from nowhere": (
        lambda f: dl.sweeps.read("nowhere"),
        ["path: 'nowhere' is no directory"],
        FileNotFoundError,
    ),
    "table of one run": (lambda f: dl.runs.table(dl.runs.read(f.run)), ["searches: Recorded", "a list"]),
    "table of paths": (lambda f: dl.runs.table([str(f.run)]), ["searches: '", "a Recorded"]),
    "cost in money": (lambda f: dl.runs.cost(f.found.history, "money"), ["of: 'money'", "'seconds'"]),
    # figures and widgets
    "figure of a number": (lambda f: dl.figures.save("x", figure=5), ["figure: 5", "a Figure or None"]),
    "figure from a number": (lambda f: dl.figures.save("x", Figure(), run=5), ["run: int", "a Search"]),
    "errors of a search": (lambda f: dl.figures.errors(f.found), ["history: Search", HISTORY]),
    "errors of nothing": (lambda f: dl.figures.errors(None), ["history: None", HISTORY]),
    "errors in a task by name": (lambda f: dl.figures.errors([], task="language"), ["task: 'language'", "a class"]),
    "cost of no steps": (lambda f: dl.figures.cost([], steps=0), ["steps: 0", "at least 1"]),
    "counts of a number": (lambda f: dl.figures.counts([], 5), ["operations: 5", "text or a list"]),
    "shares in a name": (lambda f: dl.figures.weight_shares([], "S2", "normal"), ["space: 'S2'", "a SearchSpace"]),
    "eigenvalues of a search": (lambda f: dl.figures.eigenvalues(f.found), ["histories: Search", HISTORY]),
    "eigenvalues of another table": (lambda f: dl.figures.eigenvalues(TABLE), ["histories: the table has no column"]),
    "spectrum of a word": (lambda f: dl.figures.spectrum("x"), ["spectra: must be a list of eigenvalues"]),
    "landscape of nothing": (lambda f: dl.figures.landscape(None), ["landscape: None", "a Landscape"]),
    "weights of another shape": (
        lambda f: dl.figures.mixing([1], spaces.S2, "normal"),
        ["weights: shape (1,)", "'S2'"],
    ),
    "cell of a number": (lambda f: dl.figures.cell(3, "normal"), ["genotype: 3 ", "Genotype("]),
    "cell that is not there": (lambda f: dl.figures.cell(SKIPS, "upsample"), ["cell_type: 'upsample'", "normal"]),
    "panel that is not there": (
        lambda f: dl.figures.panel("x", dl.figures.View(spaces.S2, [], None, SKIPS)),
        ["name: 'x'", KNOWN, "eigenvalue"],
    ),
    "runs by kind of nothing": (lambda f: dl.figures.by_kind(None), ["table: None", "a DataFrame"]),
    "runs by kind of another table": (lambda f: dl.figures.by_kind(TABLE), ["table: has no column 'test_error'"]),
    "points of unequal lists": (lambda f: dl.figures.scatter([1, 2], [1]), ["x, y, kinds: must be equally long"]),
    "picture of nothing": (lambda f: dl.figures.picture(None), ["image: must be (3 or more channels"]),
    "map of words": (lambda f: dl.figures.pixel_map("x", "y"), ["values: must be numbers (height, width)"]),
    "style at no resolution": (lambda f: dl.figures.use_style(dpi=0), ["dpi: 0", "above 0"]),
    "style for a poster": (lambda f: dl.figures.use_style("poster"), ["name: 'poster'", "'screen' or 'paper'"]),
    "figure without width": (lambda f: dl.figures.save("x", width=0), ["width: 0", "above 0"]),
    "lab written nowhere": (lambda f: dl.lab(path=False), ["path: not a setting"]),
    "lab at no scale": (lambda f: dl.lab(scale=None), ["scale: ", KNOWN]),
    "retraining of a number": (lambda f: dl.lab(scale="tiny").retrain(5), ["kept: 5", "a Kept or None"]),
    "result in words": (lambda f: dl.lab(scale="tiny").result("soon"), ["timeout: 'soon'", "at least 0"]),
    "replay of a number": (lambda f: dl.replay(5), ["source: 5", "a path", "a Recorded"]),
    "replay of a search": (lambda f: dl.replay([f.found]), ["source: Search", "a Recorded"]),
    "replay of no searches": (lambda f: dl.replay([]), ["source: none of the 0 searches"]),
    "weights of nothing": (lambda f: dl.official.state_dict(None), ["supernet: NoneType", "a Supernet"]),
    "checkpoint of theirs at a number": (lambda f: dl.official.read(5), ["path: 5", "must be a path"]),
}


@pytest.mark.parametrize("case", OBJECTS.values(), ids=OBJECTS)
def test_the_wrong_kind_of_object_gives_one_clear_error_too(case, lab, tmp_path, monkeypatch):
    test_a_wrong_call_elsewhere_gives_one_clear_error_too(case, lab, tmp_path, monkeypatch)


# --- The command line -------------------------------------------------------------------------

LINES = {
    "nothing at all": ([], ["search | evaluate | sweep | verify | spectrum | notebooks | check"]),
    "command unknown": (["find"], ["find", "search"]),
    "option unknown": (["search", "--spaces", "S2"], ["--spaces"]),
    "seed no number": (["search", "--seed", "one"], ["--seed", "'one'"]),
    "seed negative": (["search", "--seed", "-1"], ["seed: -1", "from 0 to"]),
    "space unknown": (["search", "--space", "S9"], ["space: 'S9'", KNOWN]),
    "method unknown": (["search", "--method", "PSO"], ["method: 'PSO'", KNOWN]),
    "setting without a value": (["search", "--set", "epochs"], ["--set: 'epochs'", "NAME=VALUE"]),
    "setting of zero": (["search", "--set", "epochs=0"], ["epochs: 0", "at least 1"]),
    "setting of nothing": (["search", "--set", "epochs=null"], ["epochs: None", "whole number"]),
    "setting nested": (["search", "--set", "epochs=" + "[" * 5000], ["epochs: ", "is not allowed"]),
    "setting unknown": (["search", "--set", "depth=3"], ["depth: not a setting", KNOWN]),
    "channels beyond all memory": (["search", "--scale", "tiny", "--set", "channels=10000000000000"], ["search: "]),
    "resume with a setting": (["search", "--resume", "r", "--set", "epochs=3"], ["--set: ", "beside --resume"]),
    "resume with parity": (["search", "--resume", "r", "--parity"], ["--parity: ", "beside --resume"]),
    "setting that is an option": (["search", "--set", "device=cpu"], ["--set: 'device'", "--device"]),
    "seed as a setting": (["sweep", "--set", "seed=3"], ["--set: 'seed'", "--seed"]),
    "seed of a training as a setting": (["evaluate", str(SKIPS), "--set", "seed=3"], ["--set: 'seed'", "--seed"]),
    "resume with another method": (["search", "--resume", "r", "--method", "CRB"], ["--method: ", "beside --resume"]),
    "resume with the usual space": (["search", "--resume", "r", "--space", "S2"], ["--space: ", "beside --resume"]),
    "run not there": (["search", "--resume", "nowhere"], ["run: 'nowhere'", "config.json"]),
    "data not there": (["search", "--data", "svhn"], ["data: 'svhn' was not found", "download=True"]),
    "space and data that do not fit": (["search", "--space", "RNN"], ["space: 'RNN'", "recurrent", "normal"]),
    "genotype of nothing": (["evaluate", ""], ["genotype: ''", "neither"]),
    "genotype missing": (["evaluate"], ["GENOTYPE"]),
    "genotype with code": (["evaluate", "Genotype(exec('1'))"], ["genotype: ", "does not have the form"]),
    "genotype in a device": (["evaluate", "/dev/zero"], ["genotype: '/dev/zero'", "neither"]),
    "device unknown": (["evaluate", str(SKIPS), "--device", "abacus"], ["device: 'abacus'", "cpu"]),
    "sweep of no seeds": (["sweep", "--seeds", "0"], ["--seeds: 0", "at least 1"]),
    "sweep of no workers": (["sweep", "--scale", "tiny", "--workers", "0"], ["--workers: 0", "at least 1"]),
    "sweep of a method twice": (["sweep", "--method", "DARTS", "DARTS"], ["method: 'DARTS' stands twice"]),
    "sweep of an unknown scale": (["sweep", "--scale", "huge"], ["scale: 'huge'", KNOWN]),
    "table not there": (["verify", "nowhere.csv"], ["nowhere.csv"]),
    "row no number": (["verify", "t.csv", "--row", "first"], ["--row", "'first'"]),
    "spectrum of nothing": (["spectrum", "nowhere"], ["run: 'nowhere'", "config.json"]),
    "spectrum of a folder": (["spectrum", "."], ["holds no logs of RobustDARTS"]),
}


@pytest.mark.parametrize("case", LINES.values(), ids=LINES)
def test_a_wrong_line_gives_one_or_two_lines_and_writes_nothing(case, capsys, tmp_path, monkeypatch):
    arguments, words = case
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DARTS_LAB_DATA", str(tmp_path / "no data here"))
    try:
        status = cli.main(arguments)
    except SystemExit as end:  # of argparse
        status = end.code
    out, err = capsys.readouterr()
    assert status == 2 and len(err.splitlines()) in (1, 2) and "Traceback" not in out + err, err
    assert all(word in err for word in words) and len(err) < 700, err
    assert os.listdir(tmp_path) == []


def test_there_are_wrong_calls_of_every_kind():
    assert len(WRONG) >= 60 and len(ELSEWHERE) >= 30 and len(OBJECTS) >= 150 and len(LINES) >= 30
