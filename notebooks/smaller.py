"""Makes executed notebooks smaller: their PNG pictures get a palette of 256 colours, and the states of their widgets
lose what is null, the default. `make notebooks` calls it.

    python notebooks/smaller.py notebooks/*.ipynb
"""

import base64
import io
import json
import sys
from pathlib import Path

from PIL import Image

from darts_lab.runs import files


def smaller(picture: str) -> str:
    """A PNG picture as base64, with a palette, if that is shorter."""
    found, image = io.BytesIO(), Image.open(io.BytesIO(base64.b64decode(picture)))
    if image.mode == "P":
        return picture
    image.convert("RGB").quantize(256).save(found, "png", optimize=True)
    return min(picture, base64.b64encode(found.getvalue()).decode(), key=len)


def walk(part) -> None:
    """Makes all pictures below `part` smaller, those in the states of widgets included."""
    if isinstance(part, dict):
        if isinstance(part.get("image/png"), str):
            part["image/png"] = smaller(part["image/png"])
        part = list(part.values())
    for one in part if isinstance(part, list) else ():
        walk(one)


for path in map(Path, sys.argv[1:]):
    notebook = json.loads(path.read_text())
    walk(notebook)
    for kind in notebook["metadata"].get("widgets", {}).values():
        for model in kind["state"].values():
            model["state"] = {name: value for name, value in model["state"].items() if value is not None}
    files.write(path, (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode())
