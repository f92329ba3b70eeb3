"""Records the moving picture in README and the first notebook, notebooks/lab.webp: the lab in a real browser.

    python docs/record.py                  # a search that comes with the package, played epoch by epoch
    python docs/record.py --page           # the same search on the page docs/replay, which needs no kernel
    python docs/record.py --live S4        # a search of that space while it runs, at laptop scale; takes minutes

Voila serves the widget on 127.0.0.1, Chromium shows it, and a picture is taken of every epoch whose panels were drawn.
Needs Chromium and Playwright (of the extra `test`).
"""

import argparse
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
from PIL import Image
from playwright.sync_api import Error, Locator, Page, sync_playwright

DOCS = Path(__file__).parent
WIDTH, LARGEST = 900, 2_000_000  # pixels; bytes
EVERY = 3  # epochs of a stored search from one picture to the next
STORED = "S4 DARTS on digits"
PLAYED = """
import darts_lab as dl
replay = dl.replay(dl.runs.stored()[{stored!r}])
replay.epoch.value = 0
replay
"""
LIVE = """
import darts_lab as dl
from darts_lab.demo import SEEDS
from darts_lab.widgets import lab
lab.SHARE = 0.5  # of the time may go into pictures: more than a user would want
dl.lab({space!r}, seed=SEEDS.get({space!r}, 0))
"""
SOURCES = "[...document.querySelectorAll('.darts-lab-panels img')].map(image => image.src).join()"


def serve(folder: Path, code: str) -> tuple[subprocess.Popen, str]:
    """(the server, the address of a page that shows the widget of `code`)."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code.strip())])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "lab.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "voila", "--no-browser", "--Voila.ip=127.0.0.1", f"--port={port}"]
    command += ["--template=darts_lab", "--theme=light", "lab.ipynb"]
    more = {"JUPYTER_PATH": str(DOCS.parent / "jupyter"), "PYTHONPATH": str(DOCS.parent)}
    return subprocess.Popen(
        command, cwd=folder, env=os.environ | more, start_new_session=True
    ), f"http://127.0.0.1:{port}"


def recorded(address: str, live: bool, patience: float = 600) -> list[Image.Image]:
    """Pictures of the widget, one an epoch."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("chromium-browser"),
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        page = browser.new_page(viewport={"width": 1300, "height": 1150})
        page.set_default_timeout(1000 * patience)
        page.route("https://**", lambda route: route.fulfill(content_type="text/css", body=""))
        began = time.monotonic()
        while True:
            try:
                page.goto(address)
                break
            except Error:  # the server is not up yet
                if time.monotonic() - began > patience:
                    raise
                time.sleep(1)
        page.wait_for_selector(".darts-lab, .darts-lab-replay")
        time.sleep(2)
        pictures = list(map(small, (running if live else played)(page)))
        browser.close()
    return pictures


def paged() -> list[Image.Image]:
    """Pictures of the page of stored searches, one an epoch."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("chromium-browser"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1200, "height": 660})
        page.goto((DOCS / "replay" / "index.html").as_uri())
        page.select_option("#search", label="S4, DARTS")
        pictures = []
        for epoch in range(int(page.get_attribute("#epoch", "max")) + 1):
            page.evaluate("([at]) => { const e = document.getElementById('epoch'); e.value = at; "
                          "e.dispatchEvent(new Event('input')); }", [epoch])  # fmt: skip
            pictures.append(small(page.locator("#replay").screenshot()))
        browser.close()
    return pictures


def small(screenshot: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(screenshot)).convert("RGB")
    return picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)


def played(page: Page) -> Iterator[bytes]:
    """Moves the slider of a stored search from its first epoch to its last."""
    widget, handle = page.locator(".darts-lab-replay").first, page.locator(".darts-lab-epoch .noUi-handle")
    last = int(float(handle.get_attribute("aria-valuemax")))
    handle.press("Home")  # the page begins where its player stands, at the last epoch
    still(page, "")
    yield without_controls(widget)
    for epoch in range(EVERY, last + 1, EVERY):
        before = page.evaluate(SOURCES)
        for _ in range(EVERY):
            handle.press("ArrowRight")
        still(page, before)
        print(f"epoch {epoch} of {last}", flush=True)
        yield without_controls(widget)


def without_controls(widget: Locator) -> bytes:
    """A picture of what stands below the controls of a widget, which nobody could press in a picture."""
    end = "[...widget.querySelectorAll('select, input, .noUi-target')].map(one => one.getBoundingClientRect().bottom)"
    top = widget.evaluate(f"widget => Math.max(...{end}) - widget.getBoundingClientRect().top") + 8
    found, picture = io.BytesIO(), Image.open(io.BytesIO(widget.screenshot()))
    picture.crop((0, round(top), *picture.size)).save(found, "png")
    return found.getvalue()


def still(page: Page, before: str, longest: float = 20) -> None:
    """Waits until the panels are others than `before`, and change no more."""
    began = time.monotonic()
    seen, since = page.evaluate(SOURCES), began
    while time.monotonic() - began < longest and (seen == before or time.monotonic() - since < 0.7):
        time.sleep(0.1)
        if (now := page.evaluate(SOURCES)) != seen:
            seen, since = now, time.monotonic()


def running(page: Page) -> Iterator[bytes]:
    """Presses Start, and waits for the end of the search."""
    widget = page.locator(".darts-lab").first
    page.click(".darts-lab-start")
    before, shown, status = "", None, ""
    while "Finished" not in status:
        now, status = page.evaluate(SOURCES), page.inner_text(".darts-lab-status")
        epoch = re.search(r"epoch (\d+)", status)
        if now != before and epoch and epoch[1] != shown:
            before, shown = now, epoch[1]
            print(status[:100], flush=True)
            yield widget.screenshot()
        time.sleep(0.2)
    time.sleep(2)  # the last picture is drawn after the last epoch
    yield widget.screenshot()


def encode(pictures: list[Image.Image], target: Path, rate: int) -> None:
    """Writes an animation below `LARGEST` bytes, `rate` pictures a second, the last one shown longest."""
    size = pictures[-1].size  # the panels make the page longer than it was
    pages = []
    for picture in pictures:
        page = Image.new("RGB", size, "white")
        page.paste(picture, (0, 0))
        pages.append(page)
    durations = [1000 // rate] * (len(pages) - 1) + [3000]
    for quality in (80, 65, 50, 35, 20):
        pages[0].save(
            target, save_all=True, append_images=pages[1:], duration=durations, loop=0, quality=quality, method=4,
        )  # fmt: skip
        if target.stat().st_size < LARGEST:
            return print(f"{target}: {len(pages)} pictures, quality {quality}, {target.stat().st_size / 1000:.0f} kB")
    raise SystemExit(f"{target} has {target.stat().st_size} bytes: too large")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--live", metavar="SPACE")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--target", type=Path, default=DOCS.parent / "notebooks" / "lab.webp")
    chosen = parser.parse_args()
    if chosen.page:
        return encode(paged(), chosen.target, 8)
    code = LIVE.format(space=chosen.live) if chosen.live else PLAYED.format(stored=STORED)
    with tempfile.TemporaryDirectory() as folder:
        server, address = serve(Path(folder), code)
        try:
            pictures = recorded(address, bool(chosen.live))
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()
    encode(pictures, chosen.target, 8 if chosen.live else 3)


if __name__ == "__main__":
    main()
