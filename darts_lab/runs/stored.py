"""The searches that come with the package, for pictures that need no computation. `experiments/stored.py` made them."""

from pathlib import Path

from darts_lab.runs.run import Run

FOLDER = Path(__file__).with_name("searches")  # run directories without checkpoints


def stored() -> dict[str, Path]:
    """The run directories of these searches, by what they are in words, such as "S4 DARTS on digits"; `runs.read` and
    `dl.replay` take them. Without checkpoints, none of them can go on."""
    found = {}
    for path in sorted(file.parent for file in FOLDER.glob("*/config.json")):
        asked = Run(path).config
        words = f"{asked['space']['name']} {asked['method']} on {asked['data']['name']}"
        found[words + (f", {asked['by']}" if "by" in asked else "")] = path
    return found
