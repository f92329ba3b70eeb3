"""Records the moving picture in README, docs/lab.webp: the real lab in a real browser, while a search runs.

    python docs/record.py [--space S4] [--method DARTS] [--scale laptop] [--seed 0]

Voila serves `dl.lab(...)` on 127.0.0.1, Chromium presses Start, and a picture is taken after every epoch whose panels
were drawn. Needs Chromium and Playwright (of the extra `test`). Takes somewhat longer than the search, because the lab
is told to draw more often than it would.
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
from pathlib import Path

import nbformat
from PIL import Image
from playwright.sync_api import sync_playwright

DOCS = Path(__file__).parent
WIDTH, RATE, LARGEST = 900, 8, 2_000_000  # pixels; pictures a second; bytes
CELL = """
import darts_lab as dl
from darts_lab.widgets import lab
lab.SHARE = 0.5
dl.lab({space!r}, method={method!r}, scale={scale!r}, seed={seed})
"""


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


def recorded(address: str, patience: float = 600) -> list[Image.Image]:
    """Pictures of the lab, from before Start to the end of its search."""
    pictures: list[Image.Image] = []
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
            except Exception:  # the server is not up yet
                if time.monotonic() - began > patience:
                    raise
                time.sleep(1)
        page.wait_for_selector(".darts-lab-start")
        lab = page.locator(".darts-lab").first

        def take():
            picture = Image.open(io.BytesIO(lab.screenshot())).convert("RGB")
            pictures.append(
                picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
            )

        page.wait_for_timeout(1000)
        page.click(".darts-lab-start")
        sources = "[...document.querySelectorAll('.darts-lab-panels img')].map(image => image.src).join()"
        before, shown, status = "", None, ""
        while "Finished" not in status:
            now, status = page.evaluate(sources), page.inner_text(".darts-lab-status")
            epoch = re.search(r"epoch (\d+)", status)
            if now != before and epoch and epoch[1] != shown:
                take()
                before, shown = now, epoch[1]
                print(len(pictures), status[:100], flush=True)
            time.sleep(0.2)
        time.sleep(2)  # the last picture is drawn after the last epoch
        take()
        browser.close()
    return pictures


def encode(pictures: list[Image.Image], target: Path) -> None:
    """Writes an animation below `LARGEST` bytes, the last picture shown longest."""
    size = pictures[-1].size  # the panels make the page longer than it was
    pages = []
    for picture in pictures:
        page = Image.new("RGB", size, "white")
        page.paste(picture, (0, 0))
        pages.append(page)
    durations = [1000 // RATE] * (len(pages) - 1) + [3000]
    for quality in (80, 65, 50, 35, 20):
        pages[0].save(
            target, save_all=True, append_images=pages[1:], duration=durations, loop=0, quality=quality, method=4,
        )  # fmt: skip
        if target.stat().st_size < LARGEST:
            return print(f"{target}: {len(pages)} pictures, quality {quality}, {target.stat().st_size / 1000:.0f} kB")
    raise SystemExit(f"{target} has {target.stat().st_size} bytes: too large")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("space", "S4"), ("method", "DARTS"), ("scale", "laptop"), ("seed", "0")):
        parser.add_argument(f"--{name}", default=default)
    parser.add_argument("--target", type=Path, default=DOCS / "lab.webp")
    chosen = parser.parse_args()
    code = CELL.format(space=chosen.space, method=chosen.method, scale=chosen.scale, seed=int(chosen.seed))
    with tempfile.TemporaryDirectory() as folder:
        server, address = serve(Path(folder), code)
        try:
            pictures = recorded(address)
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()
    encode(pictures, chosen.target)


if __name__ == "__main__":
    main()
