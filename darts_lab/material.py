"""The notebooks, with the tables that they read, as they come with the package."""

import shutil
from importlib import metadata
from pathlib import Path

from darts_lab.checks import argument

FOLDERS = ("notebooks", "results")  # side by side, as the notebooks expect them


def source() -> Path:
    """The folder that holds the notebooks and results: the clone, or where a wheel has put them. Raises
    FileNotFoundError where neither has them."""
    clone = Path(__file__).parents[1]
    if (clone / "notebooks" / "00_start_here.ipynb").exists():
        return clone
    for file in metadata.files("darts-lab") or ():
        if file.name == "00_start_here.ipynb" and file.parent.name == "notebooks":
            return Path(file.locate()).resolve().parents[1]
    raise FileNotFoundError("notebooks: this installation of darts-lab came without them")


def copy_notebooks(folder: str | Path) -> list[Path]:
    """Copies the notebooks, their solutions and the tables of results below `folder`, and gives the notebooks' paths.
    Raises ValueError where `folder` holds notebooks or results already: work in them is not overwritten."""
    argument("folder", folder, str | Path)
    target = Path(folder).expanduser()
    for name in FOLDERS:
        if (target / name).exists():
            raise ValueError(f"folder: {str(target / name)!r} is there already; choose another one, or move it away")
    for name in FOLDERS:
        left_out = shutil.ignore_patterns("runs", "figures", ".ipynb_checkpoints", "__pycache__")
        shutil.copytree(source() / name, target / name, ignore=left_out)
    return sorted((target / "notebooks").glob("*.ipynb"))
