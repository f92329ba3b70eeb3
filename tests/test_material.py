"""The notebooks as a user of the wheel gets them."""

from pathlib import Path

import pytest

from darts_lab.cli import main
from darts_lab.material import copy_notebooks

ROOT = Path(__file__).parents[1]


def test_the_command_copies_the_notebooks_with_what_they_read_and_overwrites_nothing(tmp_path, capsys):
    assert main(["notebooks", str(tmp_path / "course")]) == 0
    for name in ("notebooks/00_start_here.ipynb", "notebooks/solutions/00_start_here.ipynb", "results/collapse.csv"):
        assert (tmp_path / "course" / name).read_bytes() == (ROOT / name).read_bytes()
    assert str(tmp_path / "course" / "notebooks" / "00_start_here.ipynb") in capsys.readouterr().out
    assert main(["notebooks", str(tmp_path / "course")]) == 2
    assert "is there already" in capsys.readouterr().err
    with pytest.raises(ValueError, match="folder: "):
        copy_notebooks(3)
