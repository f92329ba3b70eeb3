"""What README and the pages show works, and the two lists of dependencies say the same."""

import re
from pathlib import Path

import nbformat
import pytest
import samples
import torch
import yaml

import darts_lab as dl

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.S)
OWN = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "own.md").read_text(), re.S)
MANY_RUNS = (ROOT / "docs" / "many_runs.md").read_text()


def test_the_readme_is_short_and_what_it_shows_runs_in_its_order(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert len(README.splitlines()) <= 100 and len(SNIPPETS) == 5
    scope = {}
    for snippet in SNIPPETS:
        small = snippet.replace("batches=8", "batches=2").replace('"laptop"', '"tiny"').replace("range(5)", "range(2)")
        exec(compile(small, "README.md", "exec"), scope)
    assert len(scope["table"]) == 4 and scope["table"]["error"].isna().all()
    assert (tmp_path / "runs" / "robust" / "table.csv").exists()


def test_the_hour_of_the_readme_is_that_of_its_notebooks():
    assert "With one hour: 00 to 04, then 07" in README
    paths = (
        path for path in sorted((ROOT / "notebooks").glob("*.ipynb")) if path.name[:2] in "00 01 02 03 04 07".split()
    )
    cells = [cell for path in paths for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown"]
    assert f"about {round(sum(len(cell.source.split()) for cell in cells), -2):,} words" in README


def test_every_notebook_has_its_line_and_its_picture_in_the_readme():
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"[{notebook.stem[:2]}](notebooks/{notebook.name})" in README
        assert (ROOT / "docs" / "thumbnails" / f"{notebook.stem}.webp").stat().st_size < 30_000


def shown(page: str) -> list[str]:
    """The blocks of Python on a page, made small."""
    smaller = {'"laptop"': '"tiny"', "batches=8": "batches=2", "seed=range(5)": 'seed=range(2), scale="tiny"'}
    smaller['"DARTS-ADA"'] = '"R-DARTS(L2)"'  # whose rule needs more epochs than tiny has
    text = (ROOT / "docs" / f"{page}.md").read_text()
    for long, short in smaller.items():
        text = text.replace(long, short)
    return re.findall(r"```python\n(.*?)```", text, re.S)


def runs(*blocks: str) -> dict:
    scope = {"dl": dl}
    for block in blocks:
        exec(compile(block, "page.md", "exec"), scope)
    return scope


def test_what_the_pages_on_code_labs_and_sweeps_show_runs(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert runs(*shown("get_started"))["search"].finished
    list(dl.Search("S5", scale="tiny", epochs=1, path="runs/..."))
    runs(*shown("lab"))
    first, *_, papers = shown("many_runs")
    assert len(runs(first)["table"]) == 8
    grids, cost = papers.rsplit("print(", 1)
    assert len(runs(grids)["jobs"]) == 4 * 3 * (4 + 4) and cost == "dl.plan_cost(jobs, threads=1))\n"


def test_what_the_page_on_several_processes_shows_runs(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert runs(*shown("several_processes"))["search"].finished


def test_what_the_page_on_files_of_others_shows_runs(monkeypatch, tmp_path, shared):
    monkeypatch.chdir(tmp_path)
    space = dl.spaces.get("S2")
    theirs = dl.official.state_dict(dl.Supernet(space)) | {
        f"alphas_{kind}": torch.zeros(space.shape[1:]) for kind in space.cell_types
    }
    torch.save(theirs, "their_checkpoint.pt")
    Path("search-EXP-20181207-110319").mkdir()
    Path("search-EXP-20181207-110319", "log.txt").write_text(samples.quark0_log()[0])
    Path("RobustDARTS").mkdir()
    Path("RobustDARTS", "experiments").symlink_to(shared / "robustdarts_logs")
    checkpoint, logs = shown("others")
    assert runs(checkpoint)["alpha"].shape == space.shape
    assert len(runs(logs)["searches"]) > 2


@pytest.mark.parametrize("example", OWN, ids=["images", "text", "operation", "method"])
def test_bringing_your_own_takes_at_most_fifteen_lines_and_runs(example, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert len([line for line in example.splitlines() if line.strip()]) <= 15
    exec(compile(example, "own.md", "exec"), {})
    assert not list(tmp_path.iterdir())


def test_the_grid_of_the_papers_that_is_sent_to_a_cluster_is_allowed():
    (jobs,) = re.findall(r"(jobs = dl\.grid\(\n.*?\n\))", MANY_RUNS, re.S)
    scope = {"dl": dl}
    exec(compile(jobs, "many_runs.md", "exec"), scope)
    assert len(scope["jobs"]) == 4 * 3 * 3 * 5


def test_environment_and_pyproject_name_the_same_things():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 cannot read toml")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    from_pip = next(entry["pip"] for entry in environment if isinstance(entry, dict))
    assert from_pip == ["-e .[test]"]  # the rest, whatever pyproject.toml says
    from_conda = {entry for entry in environment if isinstance(entry, str)} - {"pip"}
    named = {*project["dependencies"], *project["optional-dependencies"]["lab"]}
    assert from_conda - {f"python{project['requires-python']}"} <= named
    assert "darts-lab[lab]" in project["optional-dependencies"]["test"]


def test_ci_runs_make_test():
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_the_version_stands_once_and_the_citation_names_it():
    assert f"version: {dl.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert "\nversion =" not in (ROOT / "pyproject.toml").read_text().split("[tool.")[0]


def test_workflows_and_forms_can_be_read_and_name_the_versions_that_are_supported():
    files = [*(ROOT / ".github").rglob("*.yml"), ROOT / ".pre-commit-config.yaml"]
    read = {path.stem: yaml.safe_load(path.read_text()) for path in files}
    assert {"test", "docs", "package", "bug"} <= set(read)
    matrix = read["test"]["jobs"]["newest"]["strategy"]["matrix"]
    versions = {*matrix["python"], *(one["python"] for one in matrix["include"])}
    assert versions == {"3.10", "3.11", "3.12", "3.13", "3.14"}
