"""What the site is made of beside the written pages: the API reference from docstrings, formulas, the front door.

python docs/pages.py       # writes docs/api/*.rst, as `make docs` does
"""

import inspect
import re
import shutil
from pathlib import Path
from types import ModuleType

import darts_lab as dl

DOCS = Path(__file__).parent
# (page, title, what it holds): a room shows what its module defines, a package what it takes from its own modules
ROOMS = (
    ("searching", "Search, train, compare", dl),
    ("curvature", "dl.curvature: how sharply a loss bends", dl.curvature),
    ("statistics", "dl.statistics: what many runs say", dl.statistics),
    ("sweeps", "dl.sweeps: many runs", dl.sweeps),
    ("figures", "dl.figures: how it is drawn", dl.figures),
    ("methods", "dl.methods: what a method changes", dl.methods),
    ("monitors", "dl.monitors: early stopping, adaptation", dl.monitors),
    ("schedules", "dl.schedules: when alpha moves", dl.schedules),
    ("terms", "dl.terms: what is added to alpha's loss", dl.terms),
    ("spaces", "dl.spaces: what may be chosen", dl.spaces),
    ("genotype", "dl.genotype: what was chosen", dl.genotype),
    ("settings", "dl.settings: how large", dl.settings),
    ("scales", "dl.scales: presets by one word", dl.scales),
    ("runs", "dl.runs: what lies on the disk", dl.runs),
    ("data", "dl.data: images", dl.data),
    ("corpus", "dl.corpus: words", dl.corpus),
    ("stereo", "dl.stereo: pairs of images", dl.stereo),
    ("bathymetry", "dl.bathymetry: depths of the sea", dl.bathymetry),
    ("official", "dl.official: checkpoints of quark0/darts", dl.official),
    ("published", "dl.published: the papers' numbers", dl.published),
)


def public(room: ModuleType) -> dict:
    """{name: function or class} of what a room offers: its own, and for a package what it took from its modules."""
    package = room.__name__ if hasattr(room, "__path__") else None

    def own(thing) -> bool:
        home = getattr(thing, "__module__", None) or ""
        return home == room.__name__ or bool(package and home.startswith(f"{package}."))

    names = {name: thing for name, thing in vars(room).items() if not name.startswith("_") and callable(thing)}
    return {name: thing for name, thing in sorted(names.items()) if inspect.isroutine(inspect.unwrap(thing)) or
            inspect.isclass(thing) if own(thing)}  # fmt: skip


def first_sentence(thing) -> str:
    """What a docstring begins with, as one line of reStructuredText."""
    text = " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())
    return inline(re.split(r"(?<=[.])(?<!et al\.)(?<!e\.g\.)\s(?=[A-Z`])", text)[0])


def write() -> None:
    """Writes docs/api/*.rst, one page a room, and docs/api/index.rst with a line for every name."""
    folder = DOCS / "api"
    folder.mkdir(exist_ok=True)
    files = {"index": ["API", "===", "", "Everything that ``import darts_lab as dl`` offers, a line each.", ""]}
    shown = {}  # every thing once, where it comes first
    for page, title, room in ROOMS:
        own, prefix = public(room), "dl." if room is dl else f"dl.{page}."
        lines = [title, "=" * len(title), ""]
        if room is not dl:
            lines += [safe(inspect.getdoc(room) or ""), ""]
        files["index"] += [f":doc:`{title} <{page}>`", "-" * (len(title) + len(page) + 12), ""]
        files["index"] += [".. list-table::", "   :widths: 35 65", ""]
        for name, thing in own.items():
            full = f"{room.__name__}.{name}"
            kind = "class" if inspect.isclass(thing) else "function"
            role = "class" if kind == "class" else "func"
            if id(thing) in shown:
                lines += [f":py:{role}:`{prefix}{name} <{shown[id(thing)]}>` is ``{shown[id(thing)]}``.", ""]
            else:
                lines += [f".. auto{kind}:: {full}", *(["   :members:"] if kind == "class" else []), ""]
            full = shown.setdefault(id(thing), full)
            files["index"] += [f"   * - :py:{role}:`{prefix}{name} <{full}>`", f"     - {first_sentence(thing)}"]
        files["index"] += [""]
        files[page] = lines
    files["index"] += [".. toctree::", "   :hidden:", "", *(f"   {page}" for page, _, _ in ROOMS), ""]
    for page, lines in files.items():
        text = "\n".join(lines)
        path = folder / f"{page}.rst"
        if not path.exists() or path.read_text() != text:  # so that a second build has less to do
            path.write_text(text)


def inline(text: str) -> str:
    """One line of a docstring as reStructuredText: `code` is code, everything else is itself."""
    parts = re.split(r"`([^`]+)`", text)
    escaped = [re.sub(r"([*|_`\\])", r"\\\1", part) for part in parts[::2]]
    codes = [f"``{part}``" for part in parts[1::2]] + [""]
    joined = ""
    for words, code in zip(escaped, codes, strict=True):
        gap = "\\ " if joined.endswith("``") and words[:1].isalnum() else ""
        joined += gap + words + ("\\ " if code and words[-1:].isalnum() else "") + code
    return joined


def safe(text: str) -> str:
    """A docstring as reStructuredText that can warn of nothing: paragraphs, lists and examples are kept, indented
    lines are shown as they are."""
    blocks = []
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        lines = block.split("\n")
        if lines[0].lstrip().startswith(">>>"):
            blocks.append(inspect.cleandoc("\n".join(lines)))
        elif lines[0].startswith((" ", "\t")):
            blocks.append("::\n\n" + "\n".join(f"    {line}" for line in lines))
        elif all(re.match(r"[-*] |  ", line) for line in lines):
            entries = re.sub(r"\n {2,}", " ", block).split("\n")
            blocks.append("\n".join("- " + inline(entry[2:]) for entry in entries))
        else:
            first = [line for line in lines if not line.startswith((" ", "\t"))]
            whole = first == lines
            blocks.append(inline(" ".join(lines)) if whole else "\n".join("| " + inline(line) for line in lines))
    return "\n\n".join(blocks)


def as_rst(app, what, name, thing, options, lines) -> None:
    """Sphinx calls this for every docstring."""
    lines[:] = safe("\n".join(lines)).split("\n")


def folders(app, page: str, source: list) -> None:
    """Sphinx calls this for every page: a link to a folder, which a repository shows, leads to its first page; a page
    of results that an experiment has not written yet is named, not linked."""
    here = (DOCS.parent / page).parent

    def first_page(link):
        target = here / link[2]
        if not target.exists() and (DOCS.parent / "experiments" / f"{target.stem}.py").exists():
            return link[1]
        return f"[{link[1]}]({link[2]}/index.md)" if (target / "index.md").exists() else link[0]

    source[0] = re.sub(r"\[([^][]*)\]\(([\w./]+)\)", first_page, source[0])


def formula(self, node) -> None:
    """A formula as MathML, which browsers draw by themselves."""
    from docutils.nodes import SkipNode
    from latex2mathml.converter import convert

    self.body.append(convert(node.astext(), display="block" if node.tagname == "math_block" else "inline"))
    raise SkipNode


def front_door(app, exception) -> None:
    """index.html at the top of the site, which leads to the first page, and the page of stored searches. Sources lose
    their links back, which Sphinx makes of another name than that under which most things are shown."""
    if exception is None and app.builder.format == "html":
        shutil.copytree(DOCS / "replay", Path(app.outdir, "docs", "replay"), dirs_exist_ok=True)
        door = '<!doctype html><meta charset="utf-8"><title>darts_lab</title>\n'
        door += '<meta http-equiv="refresh" content="0; url=docs/index.html"><a href="docs/index.html">darts_lab</a>\n'
        Path(app.outdir, "index.html").write_text(door)
        for path in Path(app.outdir, "_modules").rglob("*.html"):
            path.write_text(re.sub(r'<a class="viewcode-back"[^>]*>\[docs\]</a>', "", path.read_text()))


if __name__ == "__main__":
    write()
