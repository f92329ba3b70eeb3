"""The floor plan: what each room of the package may know. docs/rooms.md has the same table in words."""

import ast
import subprocess
import sys
from pathlib import Path

import networkx as nx

import darts_lab as dl

PACKAGE = Path(dl.__file__).parent
# from the ground up: a room knows those before it and none behind
FLOORS = (
    "idle", "optimizers", "ranks", "environment", "exercises", "capture", "checks", "settings", "spaces", "notation", "genotype", "networks", "methods", "runs", "data", "tasks", "plan", "curvature", "search",
    "studies", "interop", "figures", "widgets", "check", "material", "cli", "demo", "__main__",
)  # fmt: skip


def imports(source: str) -> set[str]:
    """The modules of the package that a file imports anywhere in it, for types alone too."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "darts_lab":
            names = [f"{node.module}.{name.name}" for name in node.names]
            found |= {name if name in MODULES else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names if name.name in MODULES}
    return found


def named(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {named(path): path for path in PACKAGE.rglob("*.py")}
GRAPH = nx.DiGraph(
    (one, other) for one, path in MODULES.items() if one != "darts_lab" for other in imports(path.read_text())
)


def room(module: str) -> str:
    return module.split(".")[1]


def test_every_room_has_its_floor_and_every_floor_its_room():
    assert {room(module) for module in MODULES if module != "darts_lab"} == set(FLOORS)


def test_a_room_knows_nothing_of_those_above_it():
    wrong = [
        (one, other)
        for one, other in GRAPH.edges
        if other != "darts_lab" and FLOORS.index(room(other)) > FLOORS.index(room(one))
    ]
    assert not wrong
    assert imports("if True:\n    from darts_lab.search import search") == {"darts_lab.search.search"}, (
        "so that it can fail"
    )


def test_no_modules_import_each_other_in_a_circle():
    assert not [circle for circle in nx.simple_cycles(GRAPH) if len(circle) > 1]


def test_the_core_needs_no_jupyter_and_no_compiler_and_importing_it_changes_no_style():
    code = (
        "import sys, matplotlib; before = dict(matplotlib.rcParams); import darts_lab as dl; "
        "next(dl.Search('S2', scale='tiny', path=False)); assert dict(matplotlib.rcParams) == before; "
        "found = {*sys.modules} & {'IPython', 'ipywidgets', 'ipykernel', 'jupyterlab', 'torch._dynamo'}; print(sorted(found)); "
        "dl.figures.use_style(); assert dict(matplotlib.rcParams) != before"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout == "[]\n" and not run.returncode, run.stderr
