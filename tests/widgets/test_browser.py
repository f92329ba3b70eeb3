"""The lab as people meet it: JupyterLab and the dashboard in a real browser, clicked and pressed.

Needs Chromium (Debian's package `chromium`) and Playwright for Python, and says so where they are missing. What the
browser showed lies in build/screenshots afterwards.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import nbformat
import psutil
import pytest
from waiting import PATIENCE, until

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: no test in a real browser")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium was not found: no test in a real browser")

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
FLAGS = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync "
    "--no-first-run --disable-dev-shm-usage"
).split()
QUIET = {"fetchNews": "false", "checkForUpdates": False}  # no toast over the corner of the page


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def page(browser, request):
    """A page that fails the test when its console shows an error, and leaves a screenshot."""
    context = browser.new_context(viewport={"width": 1500, "height": 1500})
    page = context.new_page()
    page.set_default_timeout(1000 * PATIENCE)
    errors = []
    page.on("pageerror", lambda error: errors.append(f"{error}\n{error.stack}"))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    # Voila asks there for icons that the widgets bring themselves; tests ask nobody
    page.route("https://cdn.jsdelivr.net/**", lambda route: route.fulfill(content_type="text/css", body=""))
    yield page
    if page.url != "about:blank":
        picture(page, request.node.name)
    context.close()
    assert not errors, "\n\n".join(errors)


def picture(page, name):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


@contextmanager
def served(command, folder, ready, **more):
    """A server in `folder`, at (its address, its log); it and its kernels are gone afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = folder / "jupyter"
    settings = own / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(QUIET))
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(own / "config"), "JUPYTER_RUNTIME_DIR": str(own / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(own / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(own / "workspaces"),
        "IPYTHONDIR": str(own / "ipython"), "DARTS_LAB_RUNS": str(folder / "runs"), "DARTS_LAB_SCALE": "tiny",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "jupyter" / "quick_start")]),
    }  # fmt: skip
    log = folder / "server.log"
    with open(log, "w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", *command, f"--port={port}"], cwd=folder, env=environment | more, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        until(lambda: answers(f"{address}{ready}", server, log))
        yield address, log
    finally:
        os.killpg(server.pid, signal.SIGTERM)  # Jupyter ends its kernels
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
    _, *faults = log.read_text().split("Traceback")
    faults = [fault for fault in faults if "Stream is closed" not in fault and "WebSocketClosedError" not in fault]
    assert not faults, log.read_text()  # a page that is left does not listen to what its kernel still says


def answers(url, server, log):
    try:
        urllib.request.urlopen(url, timeout=PATIENCE).close()
        return True
    except OSError:
        assert server.poll() is None, log.read_text()
        return False


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jupyter")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns("runs", "figures"))
    shutil.copytree(ROOT / "results", folder / "results")
    command = "jupyterlab --no-browser --ip=127.0.0.1 --allow-root --expose-app-in-browser --IdentityProvider.token="
    command += f" --ServerApp.disable_check_xsrf=True --ServerApp.root_dir={folder}"
    with served(command.split(), folder, "/api") as (address, _):
        yield address, folder


@pytest.fixture
def jupyter(server):
    """(address, folder) of JupyterLab, whose own notebooks are new for each test: JupyterLab reports every lab that a
    saved one showed and that is gone. Kernels end with their test, since each holds a gigabyte."""
    for name, sources in {"two": TWO_LABS, "busy": BUSY}.items():
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, server[1] / "notebooks" / f"{name}.ipynb")
    yield server
    for one in sessions(server[0]):
        asked = urllib.request.Request(f"{server[0]}/api/sessions/{one['id']}", method="DELETE")
        urllib.request.urlopen(asked, timeout=PATIENCE).close()


TWO_LABS = (
    "import darts_lab as dl",
    'first = dl.lab("S2", scale="tiny", epochs=300)\nfirst',
    'second = dl.lab("S4", scale="tiny", epochs=300, seed=1)\nsecond',
)


BUSY = (  # a lab, and below it a cell that computes until a file is there
    'import pathlib, time\nimport darts_lab as dl\n\nlab = dl.lab("S2", scale="tiny", epochs=300)\nlab',
    "while not pathlib.Path('stop').exists():\n    time.sleep(0.01)",
)


def open_notebook(page, jupyter, name):
    """Opens a notebook in JupyterLab and asks for all its cells."""
    address, _ = jupyter
    page.goto(f"{address}/lab/tree/notebooks/{name}.ipynb?reset")
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    page.evaluate("window.notebook = () => window.jupyterapp.shell.currentWidget")
    until(lambda: idle(address, name))
    run_all(page)


def run_all(page):
    """Asks for all cells of the notebook, and does not wait for them."""
    page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")


def sessions(address):
    """What Jupyter says of its notebooks and their kernels."""
    with urllib.request.urlopen(f"{address}/api/sessions") as answer:
        return json.load(answer)


def session(address, name):
    """What it says of one of them; None where that has no kernel."""
    return next((one for one in sessions(address) if one["path"].endswith(f"{name}.ipynb")), None)


def idle(address, name):
    """Whether a notebook has a kernel that waits for work, and somebody is connected to it."""
    found = session(address, name)
    return bool(found and found["kernel"]["execution_state"] == "idle" and found["kernel"]["connections"])


class OnPage:
    """One lab on a page, as one sees and clicks it."""

    def __init__(self, page, number=0):
        self.page, self.root = page, page.locator(".darts-lab").nth(number)

    def click(self, name):
        """By the mouse, while nothing moves."""
        self.root.locator(f".darts-lab-{name.lower()}").first.click()

    def press(self, name):
        """By the keyboard: a picture that comes between mouse down and mouse up moves a button away."""
        button = self.root.locator(f".darts-lab-{name.lower()}").first
        until(button.is_enabled)
        button.press("Enter")

    def choose(self, what, value):
        self.root.locator(f".darts-lab-{what} select").first.select_option(value)

    @property
    def status(self):
        return self.root.locator(".darts-lab-status").inner_text()

    @property
    def epoch(self):
        """Finished epochs; they are counted from 0."""
        found = re.search(r"epoch (\d+) of", self.status)
        return int(found[1]) + 1 if found else 0

    def says(self, words):
        try:
            until(lambda: words in self.status)
        except AssertionError:
            raise AssertionError(f"the lab never said {words!r}; it says {self.status!r}") from None

    def image(self, panel):
        """The picture in a panel: where the browser keeps it (another place for each), and how wide it is."""
        image, shown = self.root.locator(f"img.darts-lab-{panel}").first, []

        def loaded() -> bool:
            found = "image => [image.getAttribute('src'), image.complete ? image.naturalWidth : 0]"
            shown[:] = image.evaluate(found)
            return shown[1] > 0

        until(loaded)
        return tuple(shown)


def held(page, lab, *panels):
    """Whether a lab stands still, as it does once its last pictures have come."""
    before = lab.status, *map(lab.image, panels)
    page.wait_for_timeout(1500)
    return before == (lab.status, *map(lab.image, panels))


def errors(page):
    """What the cells of the notebook say that failed; the page holds only those that are in view."""
    outputs = "notebook().content.widgets.flatMap(cell => cell.model.outputs?.toJSON() ?? [])"
    return page.evaluate(f"{outputs}.filter(one => one.output_type == 'error').map(one => one.traceback.join())")


def test_jupyterlab_runs_the_first_notebook_and_its_lab_lives(page, jupyter):
    open_notebook(page, jupyter, "00_start_here")
    until(lambda: errors(page))
    assert [words[:21] for words in errors(page)] == ["Run All stops here, s"]
    below = "notebook().content.widgets.findIndex(cell => cell.model.sharedModel.source.startsWith('dl.stop_here()'))"
    page.evaluate(f"notebook().content.activeCellIndex = {below}")
    page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-below')")
    last = page.locator(".jp-Notebook .jp-CodeCell").last.locator(".jp-InputPrompt").first
    until(lambda: re.search(r"\[\d+\]", last.inner_text()) is not None)
    until(lambda: idle(jupyter[0], "00_start_here"))
    assert not errors(page)
    lab = OnPage(page)
    lab.root.evaluate("lab => lab.scrollIntoView()")
    lab.choose("scale", "laptop")  # tiny would be finished before anything can be clicked
    lab.click("Start")
    until(lambda: lab.epoch >= 1)
    lab.says("dominant eigenvalue")
    seen = set()
    until(lambda: seen.add(lab.image("eigenvalue")) or len(seen) >= 3)  # it grows
    assert all(width > 300 for _, width in seen)
    lab.press("Pause")
    lab.says("Paused")

    until(lambda: held(page, lab, "eigenvalue", "weights-normal"))
    picture(page, "jupyterlab_paused")

    lab.root.locator(".darts-lab-l2 .noUi-handle").press("End")  # the strongest L2, by the keyboard
    lab.says("L2 0.0243 from the next epoch on")
    lab.press("Keep")
    epoch = lab.epoch
    lab.press("Resume")
    until(lambda: lab.epoch >= epoch + 2)
    lab.press("Stop")
    lab.says("Stopped")

    lab.choose("scale", "tiny")
    lab.click("Start")
    lab.says("Finished")
    lab.press("Retrain")
    lab.says("retrained test error")
    kept = lab.root.locator(".darts-lab-kept")
    assert kept.locator(".darts-lab-retrain-kept").count() == 2 and "retrained test error" in kept.inner_text()


def test_a_click_is_answered_while_another_cell_computes(page, jupyter):
    open_notebook(page, jupyter, "busy")
    lab = OnPage(page)
    until(lambda: session(jupyter[0], "busy")["kernel"]["execution_state"] == "busy" and "Press Start" in lab.status)
    lab.click("Start")
    until(lambda: lab.epoch >= 2)
    lab.image("eigenvalue")
    lab.press("Stop")
    lab.says("Stopped")
    last = page.locator(".jp-Notebook .jp-CodeCell").last.locator(".jp-InputPrompt").first
    assert "[*]" in last.inner_text(), "it computes still"
    (jupyter[1] / "notebooks" / "stop").touch()
    until(lambda: "[*]" not in last.inner_text())  # an answered click says that the kernel is idle, too early
    until(lambda: idle(jupyter[0], "busy"))


def test_a_tab_that_is_closed_or_loaded_again_leaves_the_search_running_and_shows_it_again(page, jupyter):
    open_notebook(page, jupyter, "two")
    first, second = OnPage(page, 0), OnPage(page, 1)
    first.click("Start")
    second.click("Start")
    until(lambda: first.epoch >= 2 and second.epoch >= 2)
    first.press("Pause")
    first.says("Paused")
    held, going = first.epoch, second.epoch
    until(lambda: second.epoch > going)
    assert first.epoch == held, "two labs in one notebook are two"
    kept = first.root.locator(".darts-lab-kept .darts-lab-retrain-kept")
    first.root.locator(".darts-lab-status").click()
    page.keyboard.press("k")  # in the notebook this key would select the cell above
    until(lambda: kept.count() == 1)
    assert second.root.locator(".darts-lab-kept .darts-lab-retrain-kept").count() == 0
    page.keyboard.press("p")
    until(lambda: first.epoch > held)
    page.keyboard.press("p")
    first.says("Paused")
    held = first.epoch
    page.keyboard.press("Escape")  # and then it is the notebook's key again
    page.keyboard.press("k")
    page.wait_for_timeout(500)
    assert kept.count() == 1
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_timeout(1000)
    going = second.epoch
    page.goto("about:blank")
    page.wait_for_timeout(2000)
    page.goto(f"{jupyter[0]}/lab/tree/notebooks/two.ipynb")
    page.wait_for_selector(".darts-lab-status")
    until(lambda: second.epoch > going)
    assert first.epoch == held
    second.press("Stop")
    second.says("Stopped")
    first.press("Stop")
    first.says("Stopped")


def test_a_kernel_that_is_killed_loses_no_finished_epoch(page, jupyter):
    open_notebook(page, jupyter, "two")
    lab = OnPage(page)
    lab.click("Start")
    until(lambda: lab.epoch >= 3)
    lost = lab.epoch
    kernel = session(jupyter[0], "two")["kernel"]["id"]
    (process,) = [one for one in psutil.process_iter(["cmdline"]) if kernel in " ".join(one.info["cmdline"] or ())]
    process.kill()
    until(lambda: process.pid not in psutil.pids())
    page.locator(".jp-Dialog").get_by_text("Kernel Restarting").first.wait_for()  # Jupyter starts a new one
    page.locator(".jp-Dialog button").last.click()
    until(lambda: idle(jupyter[0], "two"))
    run_all(page)
    until(lambda: "Press Start" in lab.status)
    lab.press("Resume")
    until(lambda: lab.epoch >= lost + 2)
    lab.press("Stop")
    lab.says("Stopped")
    last = max(jupyter[1].rglob("S2*/history.jsonl"), key=lambda path: path.stat().st_mtime)
    epochs = [json.loads(line)["epoch"] for line in last.read_text().splitlines()]
    assert epochs == list(range(len(epochs))) and len(epochs) > lost


def plays_what_is_stored(page):
    """A stored search moves on the page without a click, and another one when it is chosen."""
    replay = page.locator(".darts-lab-replay")
    status, seen = replay.locator(".darts-lab-status"), set()
    image = replay.locator("img.darts-lab-eigenvalue")
    image.wait_for()
    until(lambda: seen.add(image.get_attribute("src")) or len(seen) >= 3)
    assert "of 39" in status.inner_text() and "trained from scratch: test error" in status.inner_text()
    picture(page, "dashboard_stored")
    replay.locator(".darts-lab-stored select").select_option("S1 DARTS on cifar10, Zela et al. 2020")
    until(lambda: "of 49" in status.inner_text())
    replay.locator(".darts-lab-epoch .noUi-handle").press("End")
    until(lambda: "epoch 49 of 49" in status.inner_text())
    picture(page, "dashboard_stored_authors")


def test_the_dashboard_searches_compares_and_replays(page, tmp_path):
    shutil.copy(ROOT / "dashboard.ipynb", tmp_path)
    command = ["voila", "--no-browser", "--Voila.ip=127.0.0.1", "--template=darts_lab", "dashboard.ipynb"]
    with served(command, tmp_path, "/voila/static/voila.js", JUPYTER_PATH=str(ROOT / "jupyter")) as (address, _):
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        plays_what_is_stored(page)
        page.get_by_role("tab", name="Search").click()
        lab = OnPage(page)
        lab.choose("scale", "laptop")
        lab.click("Start")
        until(lambda: lab.epoch >= 4)
        seen = set()
        until(lambda: seen.add(lab.image("eigenvalue")) or len(seen) >= 2)
        lab.press("Pause")
        lab.says("Paused")
        until(lambda: held(page, lab, "eigenvalue"))
        epoch = lab.epoch
        picture(page, "dashboard_search")
        lab.press("Stop")
        lab.says("Stopped")

        page.get_by_role("tab", name="Compare").click()
        two = OnPage(page, 1)
        two.press("Step")
        two.says("Paused")
        two.press("Resume")
        two.says("Finished")
        until(lambda: two.root.locator(".darts-lab-title").count() == 2)
        assert two.root.locator("img.darts-lab-errors").count() == 1  # both curves in one panel
        until(lambda: held(page, two, "errors"))
        picture(page, "dashboard_compare")

        page.get_by_role("tab", name="Replay").click()
        replay = page.locator(".darts-lab-replay")
        (run,) = (tmp_path / "runs").glob("S2-digits-DARTS-laptop*")
        until(lambda: replay.locator("datalist option").count() == 3)  # all runs of this page are offered
        replay.locator(".darts-lab-path input").fill(str(run))
        replay.locator(".darts-lab-path input").press("Enter")
        status = replay.locator(".darts-lab-status")
        until(lambda: f"epoch {epoch - 1} of {epoch - 1}" in status.inner_text())
        replay.locator(".darts-lab-epoch .noUi-handle").press("Home")
        until(lambda: f"epoch 0 of {epoch - 1}" in status.inner_text())
        for panel in ("eigenvalue", "cell-normal"):
            replay.locator(f"img.darts-lab-{panel}").wait_for()  # until it is visible
        picture(page, "dashboard_replay")
        replay.locator(".darts-lab-path input").fill("nowhere")
        replay.locator(".darts-lab-path input").press("Enter")
        until(lambda: "Not opened: path: 'nowhere' is not there" in status.inner_text())
        assert [url for url in asked if url.startswith(address)]
        assert not [url for url in asked if not url.startswith((address, "data:", "blob:"))], (
            "nothing is from elsewhere"
        )
        page.goto("about:blank")
