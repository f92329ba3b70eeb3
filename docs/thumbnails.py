"""Small pictures of the notebooks for README and the site, from the outputs that are committed with them.

python docs/thumbnails.py      # writes docs/thumbnails/*.webp, below 30 KB each
"""

import base64
import io
import json
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).parent
# which of a notebook's pictures says most, counted from 0, where it is not the first
CHOSEN = {"00": 3, "02": 2, "03": 4, "06": 2, "09": 1, "11": 2, "12": 1, "13": 1}
SIZE = (480, 240)  # shown half as large, so that it is sharp on a fine screen


def pictures(notebook: Path) -> list[Image.Image]:
    """All PNG pictures in a notebook's outputs, in their order."""
    outputs = [output for cell in json.loads(notebook.read_text())["cells"] for output in cell.get("outputs", ())]
    encoded = [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    return [Image.open(io.BytesIO(base64.b64decode(one))).convert("RGB") for one in encoded]


def main() -> None:
    (DOCS / "thumbnails").mkdir(exist_ok=True)
    for notebook in sorted((DOCS.parent / "notebooks").glob("*.ipynb")):
        found = pictures(notebook)
        picture = found[min(CHOSEN.get(notebook.stem[:2], 0), len(found) - 1)]
        picture.thumbnail(SIZE, Image.Resampling.LANCZOS)
        picture.save(DOCS / "thumbnails" / f"{notebook.stem}.webp", quality=70, method=6)


if __name__ == "__main__":
    main()
