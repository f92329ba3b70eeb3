"""Wrong calls: each gives one clear error that names argument, value and what is allowed, and writes nothing."""

import json
import os
from types import SimpleNamespace

import pytest
import torch

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

    return SimpleNamespace(search=search, train=train, own=own, data=data, images=data.train[0], run=path)


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
    "seed nothing": (lambda f: f.train(seed=None), ["seed: None", "whole number"]),
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


# --- The command line -------------------------------------------------------------------------

LINES = {
    "nothing at all": ([], ["search | evaluate | sweep | verify | spectrum | check"]),
    "command unknown": (["find"], ["find", "search"]),
    "option unknown": (["search", "--spaces", "S2"], ["--spaces"]),
    "seed no number": (["search", "--seed", "one"], ["--seed", "'one'"]),
    "seed negative": (["search", "--seed", "-1"], ["seed: -1", "from 0 to"]),
    "space unknown": (["search", "--space", "S9"], ["space: 'S9'", KNOWN]),
    "method unknown": (["search", "--method", "PSO"], ["method: 'PSO'", KNOWN]),
    "setting without a value": (["search", "--set", "epochs"], ["--set: 'epochs'", "NAME=VALUE"]),
    "setting of zero": (["search", "--set", "epochs=0"], ["epochs: 0", "at least 1"]),
    "setting of nothing": (["search", "--set", "epochs=null"], ["epochs: None", "whole number"]),
    "setting nested": (["search", "--set", "epochs=" + "[" * 5000], ["epochs: ", "is not a number"]),
    "setting unknown": (["search", "--set", "depth=3"], ["depth: not a setting", KNOWN]),
    "channels beyond all memory": (["search", "--scale", "tiny", "--set", "channels=10000000000000"], ["search: "]),
    "resume with a setting": (["search", "--resume", "r", "--set", "epochs=3"], ["--set: ", "beside --resume"]),
    "resume with another method": (["search", "--resume", "r", "--method", "CRB"], ["--method: ", "beside --resume"]),
    "run not there": (["search", "--resume", "nowhere"], ["run: 'nowhere'", "config.json"]),
    "data not there": (["search", "--data", "svhn"], ["data: 'svhn' was not found", "download=True"]),
    "space and data that do not fit": (["search", "--space", "RNN"], ["space: 'RNN'", "recurrent", "normal"]),
    "genotype of nothing": (["evaluate", ""], ["genotype: ''", "neither"]),
    "genotype missing": (["evaluate"], ["GENOTYPE"]),
    "genotype with code": (["evaluate", "Genotype(exec('1'))"], ["genotype: ", "does not have the form"]),
    "genotype in a device": (["evaluate", "/dev/zero"], ["genotype: '/dev/zero'", "neither"]),
    "device unknown": (["evaluate", str(SKIPS), "--device", "abacus"], ["device: 'abacus'", "cpu"]),
    "sweep of no seeds": (["sweep", "--seeds", "0"], ["seed: is empty"]),
    "sweep of no workers": (["sweep", "--scale", "tiny", "--workers", "0"], ["executor: 0", "number of processes"]),
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


def test_there_are_more_than_sixty_wrong_calls_of_every_kind():
    assert len(WRONG) >= 60 and len(ELSEWHERE) >= 30 and len(LINES) >= 25
