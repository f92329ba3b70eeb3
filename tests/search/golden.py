"""Golden runs: short searches and trainings of every kind of method and domain, and what they came to, to the last bit.

    python tests/search/golden.py record      (writes golden.json: after a change that means to change numbers)
    python tests/search/golden.py             (does all of them again and says which differ)

Bits are those of one kind of processor and one version of PyTorch, which golden.json names; test_golden.py compares
where both are the same. Cells are computed in the plain form, and Hessians with PyTorch's own norms.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from unittest.mock import patch

import torch

import darts_lab as dl
from darts_lab.environment import processor
from darts_lab.methods.monitors import Adaptation, EarlyStopping, Rule
from darts_lab.methods.terms import Proximity
from darts_lab.networks import fused
from darts_lab.search.training import Training

FILE = Path(__file__).with_suffix(".json")
EPOCHS = 5
QUICK = Rule(window=1, factor=1.05, delta=1, start=1)  # acts within five epochs


def swish_convolution(channels, stride):
    return torch.nn.Sequential(
        torch.nn.SiLU(),
        torch.nn.Conv2d(channels, channels, 3, stride, 1, bias=False),
        torch.nn.BatchNorm2d(channels, affine=False),
    )


def own_space() -> dl.SearchSpace:
    edges = [("skip_connect", "swish_3x3")] * 5
    return dl.SearchSpace("own", {"normal": edges, "reduce": edges}, operations={"swish_3x3": swish_convolution})


def own_data() -> dl.data.Dataset:
    generator = torch.Generator().manual_seed(5)
    images = torch.rand(256, 3, 16, 16, generator=generator)
    labels = torch.randint(0, 3, (256,), generator=generator)
    return dl.data.from_tensors(
        *((images[part], labels[part]) for part in (slice(64), slice(64, 128), slice(128, 256)))
    )


def searches() -> dict[str, dict]:
    """Arguments of `Search` by the name of the case."""
    tiny = {"scale": "tiny", "epochs": EPOCHS, "seed": 3}
    found = {f"S3 {name}": {"space": "S3", "method": name} for name in dl.methods.METHODS}
    for name, monitor in (("DARTS-ES", EarlyStopping(QUICK)), ("DARTS-ADA", Adaptation(QUICK))):
        found[f"S3 {name}"]["method"] = dl.Method(name, monitor=monitor)
    for space in ("S1", "S2", "S4", "S5", "DARTS"):
        found |= {f"{space} order {order}": {"space": space, "order": order} for order in (1, 2)}
    for space, data in (("RNN", "pydocs"), ("S6", "stereo"), ("S2", "bathymetry")):
        found |= {f"{data} order {order}": {"space": space, "data": data, "order": order} for order in (1, 2)}
        found |= {
            f"{data} {name}": {"space": space, "data": data, "method": name} for name in ("DARTS-PRIME", "R-DARTS(L2)")
        }
    found |= {
        "RNN RS-ws": {"space": "RNN", "data": "pydocs", "method": "RS-ws"},
        "S4 drop path": {"space": "S4", "drop_path": 0.4, "order": 2},
        "S2 bfloat16": {"space": "S2", "precision": "bfloat16"},
        "S2 parity of the curvature": {"space": "S2", "curvature_parity": True},
        "S2 two batches of curvature": {"space": "S2", "curvature_batches": 2},
        "S2 scaled decay": {"space": "S2", "decay_scale": 7.86, "order": 2},
        "own operation": {"space": own_space()},
        "own data": {"space": "S2", "data": own_data(), "method": dl.Method("own", {"order": 1}, terms=(Proximity(),))},
    }
    return {name: tiny | arguments for name, arguments in found.items()}


def trainings() -> dict[str, dict]:
    """Arguments of `Training` by the name of the case."""
    s2, s4 = (dl.spaces.get(name).with_nodes(2) for name in ("S2", "S4"))
    convolutions, noise = dl.uniform_genotype(s2, "sep_conv_3x3"), dl.uniform_genotype(s4, "noise")
    recurrent = dl.random_genotype(dl.spaces.get("RNN").with_nodes(3), torch.Generator().manual_seed(1))
    disparity = dl.random_genotype(dl.spaces.get("S6").with_nodes(2), torch.Generator().manual_seed(1))
    found = {
        "digits": {"genotype": convolutions},
        "digits, drop path": {"genotype": noise, "drop_path": 0.3, "cutout": 4},
        "digits, reductions of skips": {"genotype": convolutions, "reductions": "skip"},
        "pydocs": {"genotype": recurrent, "data": "pydocs"},
        "stereo": {"genotype": disparity, "data": "stereo"},
        "bathymetry": {"genotype": convolutions, "data": "bathymetry"},
        "own data": {"genotype": convolutions, "data": own_data()},
    }
    return {
        f"training {name}": {"scale": "tiny", "epochs": 3, "seed": 3} | arguments for name, arguments in found.items()
    }


def digest(tensors) -> str:
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(
            tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
            if tensor.dim()
            else repr(tensor.item()).encode()
        )
    return found.hexdigest()[:16]


def of_search(search: dl.Search) -> dict:
    records = [
        [record.train_loss, record.train_error, record.valid_loss, record.valid_error, record.dominant_eigenvalue,
         record.weight_decay, record.alpha_steps, record.stop_epoch, record.back_to, record.fisher_trace]
        for record in search.history
    ]  # fmt: skip
    alphas = digest(tensor for record in search.history for tensor in (record.alpha, record.mixing))
    return {
        "records": records,
        "alphas": alphas,
        "weights": digest(search.supernet.state_dict().values()),
        "genotype": str(search.genotype),
    }


def of_training(training: Training) -> dict:
    records = [[record.train_loss, record.train_error, record.valid_error] for record in training.history]
    result = training.result()
    return {
        "records": records,
        "result": [result.test_loss, result.test_error, result.parameters],
        "weights": digest(training.network.state_dict().values()),
    }


def run(kind: type, told: Callable, arguments: dict, resumed: bool) -> dict:
    """What a run comes to; `resumed`: interrupted after two epochs and gone on with from its files."""
    pytorchs_norms = patch("darts_lab.search.measuring.differentiated_twice", nullcontext)
    with tempfile.TemporaryDirectory() as path, pytorchs_norms:
        one = kind(**arguments, path=path)
        for _ in one:
            if resumed and len(one.history) == 2 and one.epoch < one.settings.epochs:
                one.run.release()
                own = {
                    name: arguments[name]
                    for name in ("space", "data", "method")
                    if not isinstance(arguments.get(name, ""), str)
                }
                one = kind.resume(path, **own)
                resumed = False
                list(one)
                break
        return told(one)


def cases() -> dict[str, Callable[[bool], dict]]:
    """Every case as a function that runs it; its argument says whether it is to be interrupted and resumed."""
    torch.set_num_threads(1)
    found = {name: partial(run, dl.Search, of_search, arguments) for name, arguments in searches().items()}
    return found | {name: partial(run, Training, of_training, arguments) for name, arguments in trainings().items()}


def made_by() -> dict[str, str]:
    """What decides the bits: processors that are called the same may still differ in what they can do."""
    wanted = ("vendor_id", "cpu family", "model", "stepping", "flags", "cache size")
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    told = sorted({line for line in lines if line.split("\t")[0].split(":")[0].strip() in wanted})
    return {
        "processor": f"{processor(torch.device('cpu'))}, {hashlib.sha256(repr(told).encode()).hexdigest()[:8]}",
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def main() -> None:
    if sys.argv[1:] == ["record"]:
        found = {}
        for name, case in cases().items():
            found[name] = case(False)
            print(name, found[name].get("genotype", ""), flush=True)
        FILE.write_text(json.dumps({"made_by": made_by(), "runs": found}, indent=0) + "\n")
        return
    golden = json.loads(FILE.read_text())
    if golden["made_by"] != made_by():
        sys.exit(f"recorded on {golden['made_by']}, this is {made_by()}: other bits are to be expected")
    different = []
    for name, case in cases().items():
        for resumed in (False, True):
            if json.loads(json.dumps(case(resumed))) != golden["runs"][name]:
                different.append(name + ", resumed" * resumed)
                print("differs:", different[-1], flush=True)
    sys.exit(f"{len(different)} differ" if different else 0)


if __name__ == "__main__":
    with fused.switched(False):  # the fused form has its own bits
        main()
