"""The page docs/replay, which shows stored searches without Python: its data are the runs', its rule is ours."""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

import darts_lab as dl
from darts_lab.methods import monitors

PAGE = Path(__file__).parents[1] / "docs" / "replay"
RULES = [monitors.RULE, monitors.LITERAL, monitors.Rule(window=1, factor=1.05, delta=1, start=0)]
RULES += [monitors.Rule(window=w, factor=f) for w in (3, 9) for f in (1.1, 1.7)]
RULES += [monitors.Rule(window=7, factor=1.2, delta=6, start=5, unit="epochs")]


@pytest.fixture(scope="module")
def searches() -> list[dict]:
    return json.loads(re.search(r"const SEARCHES = (\[.*\]);", (PAGE / "searches.js").read_text(), re.S)[1])


def recorded(search: dict) -> SimpleNamespace:
    """The search as `monitors.replay` takes it."""
    history = []
    for one in search["epochs"]:
        cells = {kind: tuple(map(tuple, edges)) for kind, edges in one["cells"].items()}
        skips = sum(name == "skip_connect" for *_, name in cells["normal"])
        told = {"dominant_eigenvalue": one["eigenvalue"], "genotype": SimpleNamespace(count=lambda *_, n=skips: n)}
        history.append(SimpleNamespace(**one, **told))
    rest = dict.fromkeys(("space", "data", "drop_path", "weight_decay", "seed"))
    return SimpleNamespace(name=search["name"], problems=[], whole=search["whole"], history=history, **rest)


@pytest.fixture(scope="module")
def page():
    sync_api = pytest.importorskip("playwright.sync_api")
    if not (chromium := shutil.which("chromium") or shutil.which("chromium-browser")):
        pytest.skip("Chromium is not there")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.asked, page.wrong = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.goto((PAGE / "index.html").as_uri())
        page.wait_for_selector("#panels svg")
        yield page
        browser.close()


def test_the_searches_of_the_page_are_all_that_come_with_the_package(searches):
    titles = [search["title"] for search in searches]
    for space in ("S2", "S4"):
        for method in ("DARTS", "R-DARTS(L2)", "DARTS-ES", "DARTS-ADA", "DARTS-PRIME"):
            assert f"{space}, {method}" in titles
    assert titles[0] == "S4, DARTS" and "Zela et al." in titles[-1]
    assert sorted(search["name"] for search in searches) == sorted(
        dl.runs.read(one).name for one in dl.runs.stored().values()
    )
    assert (PAGE / "searches.js").stat().st_size < 1_000_000


def test_the_rule_of_the_page_stops_where_that_of_darts_lab_does(page, searches):
    found = set()
    for rule in RULES:
        ours = monitors.replay(map(recorded, searches), rule)
        for place, row in enumerate(ours.itertuples()):
            rule_in_words = {name: getattr(rule, name) for name in ("window", "factor", "delta", "start", "unit")}
            theirs = page.evaluate(
                "([j, rule]) => replayRule(...measurements(SEARCHES[j]), rule, SEARCHES[j].whole)",
                [place, rule_in_words],
            )
            last = len(searches[place]["epochs"]) and searches[place]["epochs"][-1]["epoch"]
            assert (row.stop_epoch, row.known_at) == ((theirs["stop"], theirs["known"]) if theirs else (last, last))
            found.add(theirs and theirs["stop"])
    assert len(found) > 5 and None in found, "so that it can fail"


def test_moving_a_slider_moves_the_verdict_and_the_cell_and_nothing_is_fetched(page, searches):
    place = next(j for j, search in enumerate(searches) if search["title"] == "S2, DARTS")
    page.select_option("#search", str(place))
    move = "([id, value]) => { const e = document.getElementById(id); e.value = value; e.dispatchEvent(new Event('input')); }"
    page.evaluate(move, ["factor", "1.02"])
    early = page.inner_text("#verdict")
    page.evaluate(move, ["factor", "3"])
    page.evaluate(move, ["start", "39"])
    assert "never" in page.inner_text("#verdict") and re.search(r"stops at epoch \d+", early)
    page.evaluate(move, ["epoch", "0"])
    first = page.inner_text("#now")
    page.evaluate(move, ["epoch", "30"])
    assert page.inner_text("#now") != first and page.inner_text("#now").startswith("30:")
    kept = len(searches[place]["epochs"][30]["cells"]["normal"])
    assert page.locator(".panel").first.locator("path.kept").count() == kept
    assert page.wrong == [] and all(url.startswith("file:") for url in page.asked)
