"""The notebooks as committed, and the gate that runs them."""

import ast
import base64
import io
import json
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from ipykernel.kernelspec import get_kernel_dict
from matplotlib.figure import Figure
from PIL import Image

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SOLUTIONS = ROOT / "notebooks" / "solutions"


def checks(path) -> list[str]:
    """The calls of `dl.exercise` in a notebook, as plain source."""
    cells = [cell["source"] for cell in nbformat.read(path, 4).cells if cell["cell_type"] == "code"]
    calls = [node for cell in cells if "dl.exercise" in cell for node in ast.walk(ast.parse(cell))]
    return [
        ast.unparse(call) for call in calls if isinstance(call, ast.Call) and ast.unparse(call.func) == "dl.exercise"
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_exercise_has_a_check_and_a_solution_that_passes_it(path):
    solution = SOLUTIONS / path.name
    text = "".join(cell["source"] for cell in nbformat.read(path, 4).cells)
    assert f"(solutions/{path.name})" in text
    asked = checks(path)
    assert 2 <= len(asked) and asked == checks(solution)
    outputs = [
        output.get("text", "") for cell in nbformat.read(solution, 4).cells for output in cell.get("outputs", ())
    ]
    for call in asked:
        number = ast.literal_eval(ast.parse(call, mode="eval").body.args[0])
        assert any(f"Exercise {number}: right." in text for text in outputs), "not executed, or wrong"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_short_executed_without_errors_and_opens_with_what_it_gives(path):
    notebook = json.loads(path.read_text())
    assert 15 <= len(notebook["cells"]) <= 30 and path.stat().st_size < 400_000
    opening = "".join(notebook["cells"][0]["source"])
    assert all(words in opening for words in ("You will see", "You will learn", "You need", "It takes"))
    text = "".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    assert "## On your own" in text and "## Further reading" in text
    titles = [
        cell for cell in notebook["cells"] if cell["cell_type"] == "markdown" and cell["source"][0].startswith("# ")
    ]
    assert titles == notebook["cells"][:1], "one title, in the first cell"
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in code), "not executed: make notebooks"
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_a_lesson_and_no_report(path):
    cells = nbformat.read(path, 4).cells
    text = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "markdown")
    code = [cell["source"].split("\n") for cell in cells if cell["cell_type"] == "code"]
    assert len(text.split()) <= 1200 and max(len(line.split()) for line in text.split("\n")) <= 120
    assert sum(map(len, code)) <= 200 and max(map(len, code)) <= 25
    assert max(len(line) for lines in code for line in lines) <= 100, "too long for a page of 1280 pixels"


def test_solutions_are_those_of_the_notebooks():
    assert {path.name for path in SOLUTIONS.glob("*.ipynb")} == {path.name for path in NOTEBOOKS}


def test_jupyterlab_has_nothing_to_change_in_a_notebook_that_is_opened():
    """It writes the name of the installed kernel into the notebook, which it then calls changed."""
    name = get_kernel_dict()["display_name"]
    paths = [*NOTEBOOKS, *SOLUTIONS.glob("*.ipynb"), ROOT / "dashboard.ipynb"]
    assert {json.loads(path.read_text())["metadata"]["kernelspec"]["display_name"] for path in paths} == {name}


@pytest.mark.parametrize(("claim", "status"), [("1 + 1 == 2", 0), ("1 + 1 == 3", 1)])
def test_a_notebook_with_a_wrong_claim_fails(claim, status, tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(f"assert {claim}")])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "claim.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=3600"]
    command += ["--nbval-kernel-startup-timeout=3600"]
    assert subprocess.run([*command, str(tmp_path)], capture_output=True, cwd=tmp_path).returncode == status


def test_pictures_and_states_of_widgets_become_smaller_and_nothing_else_changes(tmp_path):
    figure = Figure()
    figure.subplots().imshow([[1, 2], [3, 4]])
    buffer = io.BytesIO()
    figure.savefig(buffer)
    picture, path = base64.b64encode(buffer.getvalue()).decode(), tmp_path / "a.ipynb"
    shown = nbformat.v4.new_output("display_data", {"image/png": picture, "text/plain": "ä"})
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1", outputs=[shown])])
    state = {"outputs": [{"data": {"image/png": picture}}], "layout": None, "value": 0}
    kind = "application/vnd.jupyter.widget-state+json"
    notebook.metadata["widgets"] = {kind: {"state": {"one": {"model_name": "OutputModel", "state": state}}}}
    nbformat.write(notebook, path)
    subprocess.run([sys.executable, str(ROOT / "notebooks" / "smaller.py"), str(path)], check=True)
    after = nbformat.read(path, 4)
    found = after.cells[0].outputs[0].data.pop("image/png")
    assert len(found) < len(picture)
    left = after.metadata["widgets"][kind]["state"]["one"]["state"]
    assert left["outputs"][0]["data"].pop("image/png") == found
    before, now = (Image.open(io.BytesIO(base64.b64decode(one))).convert("RGB") for one in (picture, found))
    assert np.abs(np.asarray(before, float) - np.asarray(now)).mean() < 3
    state = notebook.metadata["widgets"][kind]["state"]["one"]["state"]
    del notebook.cells[0].outputs[0].data["image/png"], state["outputs"][0]["data"]["image/png"], state["layout"]
    assert after == notebook
