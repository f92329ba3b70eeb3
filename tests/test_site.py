"""The pages of docs/: every link leads somewhere, every page can be reached, every public name has a place and a word."""

import doctest
import inspect
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

import darts_lab as dl

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))
import pages  # noqa: E402

sys.path.remove(str(DOCS))
MARKDOWN = [
    *DOCS.rglob("*.md"),
    *(ROOT / "results").glob("*.md"),
    *ROOT.glob("*.md"),
    ROOT / "benchmarks" / "README.md",
]
MARKDOWN += [ROOT / "tests" / "README.md", ROOT / "tests" / "torture" / "README.md"]


def links(text: str) -> list[str]:
    """What a Markdown text links to within the repository, without the part of the page."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)
    found = (link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text))
    return [link for link in found if link and not re.match(r"[a-z]+:", link)]


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file_of_the_repository(page):
    wrong = [link for link in links(page.read_text()) if not (page.parent / link).exists() and "api/" not in link]
    assert not wrong


def test_links_are_found_so_that_the_tests_of_them_can_fail():
    assert links("[a](b.md#c) `[x](y)` [d](https://e.f) ![g](h/i.png)\n```\n[j](k)\n```") == ["b.md", "h/i.png"]


def test_every_page_stands_in_a_table_of_contents():
    found = {DOCS / "index.md"}
    for page in DOCS.rglob("*.md"):
        for table in re.findall(r"```{toctree}\n(.*?)```", page.read_text(), re.S):
            for entry in table.splitlines():
                if entry and not entry.startswith(":"):
                    there = (page.parent / entry).parent
                    name = entry.rsplit("/", 1)[-1]
                    found |= {*(path.resolve() for suffix in (".md", ".ipynb") for path in there.glob(name + suffix))}
    written = {*DOCS.rglob("*.md"), *(ROOT / "notebooks").rglob("*.ipynb"), *(ROOT / "results").glob("*.md")}
    written = {path for path in written if ".ipynb_checkpoints" not in path.parts}
    assert written - found == set()


PUBLIC = [(room.__name__, name, thing) for _, _, room in pages.ROOMS for name, thing in pages.public(room).items()]


def test_everything_public_has_a_docstring_of_its_own():
    def members(thing):
        own = vars(thing).items() if inspect.isclass(thing) else ()
        return [(name, value) for name, value in own if not name.startswith("_") and inspect.isroutine(value)]

    def inherited(thing, name):
        return any(name in vars(base) for base in thing.__mro__[1:])

    missing = [f"{room}.{name}" for room, name, thing in PUBLIC if not written(thing)]
    missing += [
        f"{room}.{name}.{method}"
        for room, name, thing in PUBLIC
        for method, value in members(thing)
        if not written(value) and not inherited(thing, method)
    ]
    assert not missing


def written(thing) -> bool:
    """Whether somebody wrote the docstring; a dataclass without one gets its signature."""
    text = getattr(thing, "__doc__", None) or ""
    return bool(text.strip()) and not text.startswith(f"{getattr(thing, '__name__', '')}(")


EXAMPLES = [
    example
    for room, name, thing in PUBLIC
    for example in doctest.DocTestFinder().find(thing, f"{room}.{name}", module=False, globs={"dl": dl, "torch": torch})
    if example.examples
]


@pytest.mark.parametrize("example", {one.name: one for one in EXAMPLES}.values(), ids=lambda example: example.name)
def test_examples_in_docstrings_give_what_they_say(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = []
    doctest.DocTestRunner(verbose=False).run(example, out=told.append)
    assert not told, "".join(told)
    assert not list(tmp_path.iterdir())


def test_what_a_package_offers_stands_in_its_list():
    for _, _, room in pages.ROOMS:
        if hasattr(room, "__path__"):
            assert pages.public(room).keys() <= {*room.__all__}, room.__name__


def test_docstrings_become_pages_whatever_stands_in_them():
    assert pages.inline("`a*` times |b| and c_, `d`s") == "``a*`` times \\|b\\| and c\\_, ``d``\\ s"
    assert pages.safe("one\ntwo\n\n    x = 1\n\n>>> 1\n1") == "one two\n\n::\n\n        x = 1\n\n>>> 1\n1"


class Links(HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.path, self.targets, self.anchors = path, [], set()

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.anchors |= {values.get("id"), values.get("name")} - {None}
        self.targets += [values[key] for key in ("href", "src") if values.get(key)]


def test_the_site_is_built_without_a_warning_and_every_link_in_it_works(tmp_path):
    """Half a minute, where the packages of the extra `docs` are there."""
    for package in ("sphinx", "myst_nb", "furo", "latex2mathml"):
        pytest.importorskip(package, reason="pip install -e .[docs]")
    site = tmp_path / "site"
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", str(DOCS), str(ROOT), str(site)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    parsed = {path.resolve(): Links(path) for path in site.rglob("*.html")}
    for path, parser in parsed.items():
        parser.feed(path.read_text())
    wrong = []
    for path, parser in parsed.items():
        for target in parser.targets:
            if re.match(r"[a-z]+:|//", target):
                if "src" in target or target.startswith("//"):
                    wrong.append((path.name, target))
                continue
            file, _, anchor = target.partition("#")
            there = (path.parent / file.split("?")[0]).resolve() if file else path
            if not there.exists() or (anchor and there in parsed and anchor not in parsed[there].anchors):
                wrong.append((path.name, target))
    assert not wrong
    first = site / "docs" / "index.html"
    loaded = [first, *{(first.parent / target.split("?")[0]).resolve() for target in parsed[first.resolve()].targets
                       if re.search(r"\.(css|js|png|webp|svg)(\?|$)", target) and ":" not in target}]  # fmt: skip
    assert sum(path.stat().st_size for path in loaded) < 1_000_000
    assert "dominant_eigenvalue" in (site / "docs" / "api" / "index.html").read_text()
    assert 'href="api/index.html"' in first.read_text()  # two clicks
