"""What the live lab costs, and how fast it answers.

    python benchmarks/lab.py first        # from a new Python to the first picture
    python benchmarks/lab.py buttons      # from a click in a real browser to its answer, and until the search stands still
    python benchmarks/lab.py opened       # from the start of JupyterLab to the collapse and its cure in the first notebook
    python benchmarks/lab.py pictures     # which share of the time goes into pictures
    python benchmarks/lab.py memory       # what 2,000 epochs leave behind, with the lab and without it

Nothing is made up: real searches at laptop scale, for `memory` at a size at which 2,000 epochs take minutes.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
_SMALL = {
    "scale": "tiny", "epochs": 2000, "nodes": 1, "channels": 2, "train_samples": 32, "valid_samples": 32, "batch_size": 32,
    "curvature_every": 10,
}  # fmt: skip


def first(scale: str = "laptop") -> dict:
    """Seconds from the start of a new Python, imports included: until the lab is there, and until its first picture; and
    the processor's seconds until then, which others on the machine lengthen less."""
    code = f"""
import time, sys
began = float(sys.argv[1])
import darts_lab as dl
imported = time.time() - began
lab = dl.lab(scale={scale!r})
shown = time.time() - began
lab.start()
while not lab.frames: time.sleep(0.005)
print(imported, shown, time.time() - began, time.process_time())
lab.stop()
"""
    command = [sys.executable, "-c", code, str(time.time())]
    told = subprocess.run(command, capture_output=True, text=True, check=True, env=_environment()).stdout.split()
    return dict(zip(("imported", "shown", "first_picture", "processor"), map(float, told), strict=True))


def pictures(seconds: float = 60, scale: str = "laptop") -> dict:
    """Share of a running search's time that goes into pictures, and how many of them a second there are."""
    import darts_lab as dl

    lab, spent = dl.lab(scale=scale, epochs=1000), []
    track = lab.tracks[0]
    draw = track.draw

    def timed(most=None):
        began = time.perf_counter()
        draw(most)
        spent.append(time.perf_counter() - began)
        return spent[-1]

    track.draw = timed
    lab.start()
    while lab.search is None or not lab.search.history:
        time.sleep(0.01)
    spent.clear()
    frames, began = lab.frames, time.perf_counter()
    while time.perf_counter() - began < seconds or len(spent) < 3:
        time.sleep(0.01)
    elapsed = time.perf_counter() - began
    found = {
        "share": sum(spent) / elapsed, "pictures_a_second": (lab.frames - frames) / elapsed,
        "one_picture": statistics.median(spent), "epochs": len(lab.search.history),
        "step": track.spent / track.batches,
    }  # fmt: skip
    lab.stop()
    lab.result(60)
    return found


def memory(with_lab: bool, epochs: int = 2000) -> Iterator[tuple[int, float]]:
    """(epoch, MB of memory that this process holds), ten times over a search in small, in the lab or in a plain loop."""
    import darts_lab as dl

    settings, marks = _SMALL | {"epochs": epochs}, [number * epochs // 10 for number in range(1, 11)]
    if with_lab:
        lab = dl.lab("S2", **settings)
        lab.start()
        for mark in marks:
            while lab.search is None or lab.search.epoch < mark:
                time.sleep(0.01)
            gc.collect()
            yield lab.search.epoch, _resident()
        lab.result()
    else:
        search = dl.Search("S2", **settings)
        for record in search:
            if record.epoch + 1 in marks:
                gc.collect()
                yield record.epoch + 1, _resident()


def _resident() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def buttons(times: int = 20) -> list[dict]:
    """Milliseconds from clicks on Pause in a browser, at moments of a laptop search: until the status answers, and until
    the search stands still; beside the time of a step then."""
    found = []
    command = ["voila", "--no-browser", "--Voila.ip=127.0.0.1", str(ROOT / "dashboard.ipynb")]
    with _served(command, "/voila/static/voila.js") as (_, address), _page() as page:
        page.goto(address)
        page.get_by_role("tab", name="Search").click()
        lab = page.locator(".darts-lab").first
        lab.locator(".darts-lab-start").click()
        status = lab.locator(".darts-lab-status")
        while "ms a step" not in status.inner_text():
            page.wait_for_timeout(50)
        for number in range(times):
            page.wait_for_timeout(700 + 137 * number % 500)
            measured = page.evaluate(_CLICK)
            measured["step"] = float(status.inner_text().split(" ms a step")[0].split()[-1])
            found.append(measured)
            lab.locator(".darts-lab-resume").click()
            while "Searching" not in status.inner_text():
                page.wait_for_timeout(20)
    return found


def opened(scale: str = "laptop", notebook: str = "00_start_here") -> Iterator[tuple[float, str]]:
    """(seconds since JupyterLab was started as `make lab` does, what was to be seen then) of the first notebook in a
    browser that was open before: run as far as its lab, S4 searched there by DARTS until it keeps noise alone, then by
    R-DARTS(L2) to the end, and both cells trained from scratch. JupyterLab saves what it shows, so it gets a copy."""
    folder = tempfile.mkdtemp(prefix="darts_lab_benchmark_")
    for name in ("notebooks", "results"):
        shutil.copytree(ROOT / name, Path(folder) / name)
    command = ["jupyterlab", "--no-browser", "--ip=127.0.0.1", "--allow-root", "--expose-app-in-browser"]
    command += ["--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True", f"--ServerApp.root_dir={folder}"]
    with _page() as page, _served(command, "/api") as (began, address):
        page.goto(f"{address}/lab/tree/notebooks/{notebook}.ipynb?reset")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell")
        yield time.time() - began, "the notebook"
        page.wait_for_function("document.querySelector('.jp-MarkdownCell img[alt]')?.naturalWidth > 0")
        yield time.time() - began, "in it a stored search moves"
        page.evaluate("window.notebook = () => window.jupyterapp.shell.currentWidget")
        page.wait_for_function("notebook().sessionContext?.session?.kernel?.status == 'idle'")
        number = "notebook().content.widgets.findIndex(cell => cell.model.sharedModel.source.includes('lab = dl.lab('))"
        for _ in range(page.evaluate(number) + 1):
            page.evaluate("window.jupyterapp.commands.execute('notebook:run-cell-and-select-next')")
        lab = page.locator(".darts-lab").first
        status = lab.locator(".darts-lab-status")
        for what, value in (("space", "S4"), ("scale", scale)):
            lab.locator(f".darts-lab-{what} select").first.select_option(value)
        yield time.time() - began, "the lab"
        for method in ("DARTS", "R-DARTS(L2)"):
            lab.locator(".darts-lab-method select").first.select_option(method)
            lab.locator(".darts-lab-start").first.click()
            while re.search("Finished|Stopped", status.inner_text()):  # what it still says of the search before
                page.wait_for_timeout(20)
            while not lab.locator("img.darts-lab-eigenvalue").count():
                page.wait_for_timeout(20)
            yield time.time() - began, f"{method}: a picture"
            collapsed = False
            while "Finished" not in (words := " ".join(status.inner_text().split())):
                if not collapsed and re.search(r"noise [34]", words):
                    collapsed = True
                    yield time.time() - began, f"{method}, for the first time: {words}"
                if "noise 4" in words and method == "DARTS":
                    break
                page.wait_for_timeout(100)
            yield time.time() - began, f"{method}: {words}"
            for button in ("keep", "stop"):
                if (found := lab.locator(f".darts-lab-{button}").first).is_enabled():
                    found.press("Enter")
            while not re.search("Finished|Stopped", status.inner_text()):
                page.wait_for_timeout(20)
        kept = lab.locator(".darts-lab-kept")
        for number in range(2):
            kept.locator(".darts-lab-retrain-kept").nth(number).press("Enter")
        for number in range(1, 3):
            while kept.inner_text().count("retrained test error") < number:
                page.wait_for_timeout(100)
            yield time.time() - began, " ".join(kept.inner_text().split())


@contextmanager
def _served(command: list[str], ready: str) -> Iterator[tuple[float, str]]:
    """(when it was started, the address) of a server that answers at `ready`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.time()
    server = subprocess.Popen(
        [sys.executable, "-m", *command, f"--port={port}"], env=_environment(), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{ready}", timeout=5).close()
                break
            except OSError:
                if server.poll() is not None:
                    raise
                time.sleep(0.1)
        yield began, f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


@contextmanager
def _page():
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        page = playwright.chromium.launch(executable_path=chromium, args=flags).new_page()
        page.set_default_timeout(1_200_000)
        page.route("https://cdn.jsdelivr.net/**", lambda route: route.fulfill(content_type="text/css", body=""))
        yield page


_CLICK = """() => new Promise(resolve => {
  const status = document.querySelector('.darts-lab-status'), began = performance.now(), found = {};
  new MutationObserver((_, observer) => {
    const words = status.innerText;
    if (/Pausing|Paused/.test(words) && !found.answered) found.answered = performance.now() - began;
    if (/Paused/.test(words)) { found.held = performance.now() - began; observer.disconnect(); resolve(found); }
  }).observe(status, {subtree: true, childList: true, characterData: true});
  document.querySelector('.darts-lab-pause').click();
})"""


def _environment() -> dict:
    runs = tempfile.mkdtemp(prefix="darts_lab_benchmark_")
    path = os.pathsep.join([str(ROOT / "jupyter" / "quick_start"), str(ROOT)])
    return os.environ | {"DARTS_LAB_RUNS": runs, "PYTHONPATH": path, "DARTS_LAB_SCALE": "laptop"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["first", "buttons", "opened", "pictures", "memory", "memory_of_one"])
    parser.add_argument("--scale", default="laptop", help="opened: the scale of the searches")
    parser.add_argument("--plain", action="store_true", help="memory_of_one: without the lab")
    chosen = parser.parse_args()
    os.environ.setdefault("DARTS_LAB_RUNS", tempfile.mkdtemp(prefix="darts_lab_benchmark_"))
    print(f"{os.cpu_count()} cores, load before: {os.getloadavg()[0]:.1f}")
    if chosen.what == "first":
        for found in (first() for _ in range(5)):
            print(
                ", ".join(f"{name.replace('_', ' ')} after {seconds:.1f} s" for name, seconds in found.items()),
                flush=True,
            )
    elif chosen.what == "pictures":
        found = pictures()
        print(
            f"{found['share']:.1%} of the time for pictures, {found['pictures_a_second']:.2f} a second, one takes "
            f"{1000 * found['one_picture']:.0f} ms beside steps of {1000 * found['step']:.0f} ms; {found['epochs']} epochs"
        )
    elif chosen.what == "opened":
        for seconds, what in opened(chosen.scale):
            print(f"{seconds:6.1f} s  {what}", flush=True)
    elif chosen.what == "buttons":
        found = buttons()
        for name in ("answered", "held", "step"):
            values = sorted(one[name] for one in found)
            print(
                f"{name}: median {statistics.median(values):.0f} ms, largest {values[-1]:.0f} ms, {len(values)} clicks"
            )
    elif chosen.what == "memory_of_one":
        for epoch, megabytes in memory(not chosen.plain):
            print(f"{epoch:5d} {megabytes:8.1f}", flush=True)
    else:
        both = [sys.executable, __file__, "memory_of_one"]
        running = [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_environment())
            for command in (both, [*both, "--plain"])
        ]
        print("epoch   lab MB   epoch  plain MB")
        for pair in zip(*([*one.stdout][1:] for one in running), strict=True):
            print("   ".join(line.rstrip() for line in pair))


if __name__ == "__main__":
    main()
