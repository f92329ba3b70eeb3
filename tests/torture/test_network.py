"""Nothing phones home, and the servers answer to nobody who has no token."""

import http.client
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from waiting import PATIENCE, until

ROOT = Path(__file__).resolve().parents[2]

SILENT = """
    import sys

    def forbid(event, arguments):
        if event in ("socket.connect", "socket.getaddrinfo", "socket.bind", "socket.sendto", "urllib.Request"):
            raise AssertionError(f"{event} {arguments}")

    sys.addaudithook(forbid)
    if sys.argv[1] == "connect":  # so that the test can fail
        import socket
        socket.create_connection(("127.0.0.1", 9))
    import darts_lab as dl
    search = dl.Search(scale="tiny", epochs=1, path=False)
    next(search)
    dl.evaluate(search.genotype, scale="tiny", epochs=1)
    dl.check()
    try:
        dl.data.load("cifar10", folder=sys.argv[2])
    except FileNotFoundError as error:
        print(error)
"""


@pytest.mark.parametrize("first", ["", "connect"])
def test_importing_searching_and_training_open_no_connection(first, tmp_path):
    lines = "\n".join(line[4:] for line in SILENT.splitlines())
    done = subprocess.run([sys.executable, "-c", lines, first, str(tmp_path)], capture_output=True, text=True)
    if first:
        assert done.returncode and "AssertionError: socket." in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert "'cifar10' was not found" in done.stdout and "download=True" in done.stdout


def answer(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        found = connection.getresponse()
        return found.status, found.getheader("Location") or "", found.read().decode(errors="replace")
    finally:
        connection.close()


@pytest.mark.parametrize("target", ["lab", "dashboard"])
def test_a_server_listens_on_this_machine_only_and_wants_its_token(target, tmp_path):
    psutil = pytest.importorskip("psutil")
    said = subprocess.run(
        ["make", "-n", "-o", ".venv/ready", target], cwd=ROOT, capture_output=True, text=True, check=True
    )
    words = shlex.split(next(line for line in said.stdout.splitlines() if "127.0.0.1" in line))
    cell = nbformat.v4.new_code_cell("print('a kernel ran')")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    (tmp_path / "notebooks").mkdir()
    for name in ("notebooks/00_start_here.ipynb", "dashboard.ipynb"):
        nbformat.write(notebook, tmp_path / name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {f"JUPYTER_{kind}_DIR": str(tmp_path / kind) for kind in ("CONFIG", "RUNTIME", "DATA")}
    own |= {"JUPYTER_PATH": str(ROOT / "jupyter")}  # as the Makefile does, of which make -n tells nothing
    own |= {"PYTHONPATH": str(ROOT / "jupyter" / "quick_start"), "IPYTHONDIR": str(tmp_path / "ipython")}
    with open(tmp_path / "log", "w") as log:
        server = subprocess.Popen(
            [sys.executable, *words[1:], "--no-browser", f"--port={port}"], cwd=tmp_path, env=os.environ | own, stdout=log,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        places = []  # at which it listens, sometimes a moment after it has printed its token

        def ready() -> bool:
            found = psutil.Process(server.pid).net_connections()
            places[:] = [one.laddr for one in found if one.status == psutil.CONN_LISTEN]
            return bool(places) and "token=" in (tmp_path / "log").read_text()

        until(lambda: server.poll() is not None or ready())
        assert server.poll() is None, (tmp_path / "log").read_text()
        assert ("127.0.0.1", port) in places and {place.ip for place in places} == {"127.0.0.1"}
        for path in ("/", "/lab", "/api/contents", "/api/kernels", "/voila/render/dashboard.ipynb", "/?token=guess"):
            status, where, text = answer(port, path)
            while status == 302 and "/login" not in where:
                status, where, text = answer(port, where.removeprefix(f"http://127.0.0.1:{port}"))
            assert status in (403, 404) or "/login" in where, (path, status, where)
            assert "a kernel ran" not in text
        token = re.search(r"token=([0-9a-f]{32,})", (tmp_path / "log").read_text())[1]
        status, _, text = answer(port, f"/{'lab' if target == 'lab' else ''}?token={token}")
        assert status == 200 and (target == "lab" or "a kernel ran" in text), "who has it is let in"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(PATIENCE)
