"""What the README shows works, and the two lists of dependencies say the same."""

import re
from pathlib import Path

import pytest
import yaml

import darts_lab as dl

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
OWN = re.findall(r"```python\n(.*?)```", README.split("## Bring your own")[1].split("## Many runs")[0], re.S)


@pytest.mark.parametrize("example", OWN, ids=["images", "text", "operation", "method"])
def test_bringing_your_own_takes_at_most_fifteen_lines_and_runs(example, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert len([line for line in example.splitlines() if line.strip()]) <= 15
    exec(compile(example, "README.md", "exec"), {})
    assert not list(tmp_path.iterdir())


def test_the_grid_of_the_papers_that_the_readme_sends_to_a_cluster_is_allowed():
    (jobs,) = re.findall(r"(jobs = dl\.grid\(\n.*?\n\))", README, re.S)
    scope = {"dl": dl}
    exec(compile(jobs, "README.md", "exec"), scope)
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


def test_every_file_the_readme_links_to_is_there():
    for link in re.findall(r"\]\(([\w/]+\.\w+)\)", README):
        assert (ROOT / link).exists(), link


def test_ci_runs_make_test():
    assert "make test" in (ROOT / ".ci" / "run").read_text()
