"""SLURM on this machine alone: a controller and one node on the loopback interface, in a folder, with a key of its own."""

import os
import shutil
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

from waiting import until

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo")
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


def missing() -> str:
    """Why SLURM cannot be started here; empty where it can."""
    lacks = [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]
    if lacks:
        return f"SLURM is not installed (no {', '.join(lacks)}): apt-get install slurm-wlm munge"
    return "" if os.getuid() == 0 else "only root can start SLURM for itself"


def config(folder: Path, ports: tuple[int, int]) -> str:
    """slurm.conf: as many processors and as much memory as jobs may ask for, whatever the machine has."""
    host = socket.gethostname().split(".")[0]
    return f"""\
ClusterName=alone
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
KillWait=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=16000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@contextmanager
def running(folder: Path):
    """Within it the commands of SLURM find the node; ends all that it has started. Raises RuntimeError where it does
    not come up."""
    for part in ("state", "spool"):
        (folder / part).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    before = {name: os.environ.get(name) for name in ("SLURM_CONF", "PATH")}
    os.environ |= {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": PATH}
    started = []

    def start(*words) -> None:
        with open(folder / f"{words[0]}.out", "wb") as out:
            started.append(subprocess.Popen([str(word) for word in words], stdout=out, stderr=out))

    try:
        with socket.socket() as one, socket.socket() as other:
            for free in (one, other):
                free.bind(("127.0.0.1", 0))
            ports = one.getsockname()[1], other.getsockname()[1]
        (folder / "slurm.conf").write_text(config(folder, ports))
        (folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
        files = {name: folder / f"munge.{name}" for name in ("socket", "pid", "log", "seed")}
        start(
            "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={files['socket']}",
            f"--pid-file={files['pid']}", f"--log-file={files['log']}", f"--seed-file={files['seed']}",
        )  # fmt: skip
        start("slurmctld", "-D")
        start("slurmd", "-D")
        idle = ["sinfo", "--noheader", "--format=%T"]

        def ready() -> bool:
            for process in started:
                if process.poll() is not None:
                    words = (folder / f"{process.args[0]}.out").read_text()[-500:]
                    raise RuntimeError(f"{process.args[0]} has ended: {words}")
            return "idle" in subprocess.run(idle, capture_output=True, text=True).stdout

        until(ready)
        yield
    finally:
        subprocess.run(["scancel", "--user=root"], capture_output=True)
        for process in reversed(started):
            process.terminate()
            process.wait()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
