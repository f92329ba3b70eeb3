"""What is said about the machine: the device and why, memory, versions, data."""

import os
import platform
import subprocess
import sys
from importlib import metadata

import pytest
import torch

import darts_lab as dl
from darts_lab import idle
from darts_lab.environment import choose_device, full_precision, peak_memory


def pretend(monkeypatch, cuda=0, mps=False):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "device", "why"),
    [(1, True, "cuda", "CUDA"), (1, False, "cuda", "CUDA"), (0, True, "mps", "Apple"), (0, False, "cpu", "no GPU")],
)
def test_the_device_is_cuda_then_mps_then_cpu_and_the_reason_is_said(cuda, mps, device, why, monkeypatch):
    pretend(monkeypatch, cuda, mps)
    chosen, reason = choose_device()
    assert chosen.type == device and why in reason


@pytest.mark.parametrize("asked", ["cpu", torch.device("cpu"), "cuda", "cuda:1", torch.device("cuda", 1)])
def test_a_device_that_is_there_is_given_as_asked(asked, monkeypatch):
    pretend(monkeypatch, cuda=2)
    assert choose_device(asked) == (torch.device(asked), "as asked")


@pytest.mark.parametrize("asked", ["cuda", "mps", "abacus", "", "cuda:x", "meta", 5, 1.5, [], "cuda:0"], ids=repr)
def test_a_device_that_is_not_there_is_refused_with_those_that_are(asked, monkeypatch):
    pretend(monkeypatch)
    with pytest.raises(ValueError, match="^device: .* is not there; there are: cpu$"):
        choose_device(asked)


def test_a_gpu_of_too_high_a_number_is_refused(monkeypatch):
    pretend(monkeypatch, cuda=2)
    with pytest.raises(ValueError, match="device: 'cuda:2' is not there; there are: cuda, cpu"):
        choose_device("cuda:2")


def test_peak_memory_of_the_process_is_in_bytes_and_never_falls():
    before = peak_memory(torch.device("cpu"))
    assert 50 * 2**20 < before < 2**40, "a process with torch holds more than 50 MB"
    assert peak_memory(torch.device("cpu")) >= before


@pytest.fixture
def words(capsys, monkeypatch, tmp_path):
    """What `check` prints for a folder in which only SVHN lies."""
    for name in ("train_32x32.mat", "test_32x32.mat"):
        (tmp_path / name).write_bytes(b"")
    monkeypatch.setenv("DARTS_LAB_DATA", str(tmp_path))
    pretend(monkeypatch)
    dl.check()
    return capsys.readouterr().out


def test_check_says_versions_device_threads_and_data(words):
    assert f"Python {platform.python_version()}" in words and f"torch {metadata.version('torch')}" in words
    assert f"darts-lab {dl.__version__}" in words
    assert "Device: cpu" in words and "because no GPU is there; 1 threads" in words
    assert "digits is embedded" in words and "svhn found" in words
    assert "cifar10, cifar100 not found" in words and 'dl.data.load("cifar10", download=True)' in words
    assert "nan" not in words.lower() and "None" not in words


def test_check_says_a_package_that_is_missing(capsys, monkeypatch):
    def version(package):
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "version", version)
    dl.check()
    assert "torchvision missing" in capsys.readouterr().out


@pytest.mark.parametrize("scale", ["tiny", None])
def test_check_says_the_scale_of_the_notebooks(scale, capsys, monkeypatch):
    if scale is None:
        monkeypatch.delenv("DARTS_LAB_SCALE", raising=False)
    else:
        monkeypatch.setenv("DARTS_LAB_SCALE", scale)
    dl.check()
    assert f"Scale: {scale or 'laptop'}" in capsys.readouterr().out


KEEP = """
import resource, sys, torch
from darts_lab.environment import keep_memory
kept = keep_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(16 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(kept, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator of this system is another one")
def test_memory_is_kept_between_steps_unless_forbidden():
    found = {}
    for keep in "10":
        more = {"DARTS_LAB_KEEP_MEMORY": keep, "OMP_NUM_THREADS": "1"}
        ran = subprocess.run(
            [sys.executable, "-c", KEEP], capture_output=True, text=True, check=True, env=os.environ | more
        )
        kept, faults = ran.stdout.split()
        assert kept == str(keep == "1")
        found[keep] = int(faults)
    assert found["1"] < found["0"] / 4, "64 MiB, five times, from the system anew or not"


def test_full_precision_turns_tf32_off_on_a_gpu_alone_and_back_on():
    before = torch.backends.cudnn.allow_tf32
    try:
        for allowed in (True, False):
            torch.backends.cudnn.allow_tf32 = allowed
            with pytest.raises(KeyError), full_precision(torch.device("cuda")):
                assert not torch.backends.cudnn.allow_tf32
                raise KeyError
            assert torch.backends.cudnn.allow_tf32 == allowed
            with full_precision(torch.device("cpu")):
                assert torch.backends.cudnn.allow_tf32 == allowed
    finally:
        torch.backends.cudnn.allow_tf32 = before


def imported(code, **more):
    """What Python says where it runs `code` with nothing set about idle threads but `more`."""
    clean = {name: value for name, value in os.environ.items() if name not in idle.SETTINGS}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=clean | more, capture_output=True, text=True, check=True)


def test_idle_threads_sleep_where_darts_lab_loads_pytorch_and_it_is_said_where_it_came_too_late():
    show = "import os; print(os.environ.get('OMP_WAIT_POLICY'), os.environ.get('GOMP_SPINCOUNT'))"
    first = imported(f"import darts_lab; {show}; from darts_lab import idle; idle.warn()")
    assert first.stdout == "passive 0\n" and not first.stderr
    asked = imported(f"import darts_lab; {show}; from darts_lab import idle; idle.warn()", OMP_WAIT_POLICY="active")
    assert asked.stdout == "active None\n" and not asked.stderr
    late = imported(f"import torch, darts_lab; {show}; dl = darts_lab; dl.lab(); dl.lab()")
    assert late.stdout == "None None\n" and late.stderr.count("idle threads do not sleep") == 1
