"""Figures as files: picture, printable page, and the data that are drawn, told from which run they are."""

from __future__ import annotations

import hashlib
import html
import io
import os
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from darts_lab import runs
from darts_lab.runs import files


def save(name: str, figure: Figure | None = None, *, run=None, folder: str | Path | None = None) -> list[Path]:
    """Writes a figure (default: the one of pyplot that is being drawn) as name.pdf, name.png and name.csv, what is
    plotted in it, and gives their paths.

    `run` is what it was drawn from: a Search, a Training, a Run, a Recorded, the path of a table, another word, or a
    list of these. Their hashes (of a table the first eight digits of its SHA-256) and names stand in the metadata of PDF and PNG and in the first line of the CSV
    (`pandas.read_csv(path, comment="#")`). `folder` is "figures" or what DARTS_LAB_FIGURES says. Raises ValueError for
    a name that is no file's.
    """
    if not isinstance(name, str) or runs.folder_name(name) != name:
        raise ValueError(f"name: {name!r} is not allowed; it must be a file's name without its ending")
    if figure is None:
        import matplotlib.pyplot as plt

        figure = plt.gcf()
    folder = Path(folder or os.environ.get("DARTS_LAB_FIGURES") or "figures")
    folder.mkdir(parents=True, exist_ok=True)
    sources = [] if run is None else list(run) if isinstance(run, list | tuple) else [run]
    source = "; ".join(_source(one) for one in sources) or "no run named"
    paths = [folder / f"{name}.{ending}" for ending in ("pdf", "png", "csv")]
    told = ({"Title": name, "Subject": source, "CreationDate": None}, {"Title": name, "Description": source})
    for path, metadata in zip(paths, told, strict=False):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=path.suffix[1:], dpi=150, metadata=metadata)
        files.write(path, buffer.getvalue())
    table = plotted(figure).to_csv(index=False, float_format="%.8g", lineterminator="\n")
    files.write(paths[2], f"# {source}\n{table}".encode())
    return paths


def _source(run) -> str:
    if isinstance(run, str | Path):
        file = Path(run)
        if not file.is_file():
            return str(run)
        name = f"{file.parent.name}/{file.name}".removeprefix("/")
        return f"table {name}, sha256 {hashlib.sha256(file.read_bytes()).hexdigest()[:8]}"
    if isinstance(run, runs.Recorded):
        try:
            return _source(runs.Run(run.path))
        except FileNotFoundError:  # the log of others has no config
            return run.name
    of_disk = getattr(run, "run", None)  # what was asked for at the beginning, where a search was changed by hand since
    config = (of_disk or run).config
    config = config() if callable(config) else config
    return f"run {config['hash']} {config['name']}"


def plotted(figure: Figure) -> pd.DataFrame:
    """What is drawn in a figure, read back from its artists, one row a point.

    `panel` is the title of its Axes (or their number), `artist` what it is: a line, points, bar, interval (of error bars),
    band, contour (`value` is its lower level), image (`value` at column x and row y) or arrow (`value` is its width), `label` its legend.
    """
    rows = []
    for number, ax in enumerate(figure.axes):
        if ax.get_label() == "<colorbar>":
            continue
        name = ax.get_title() or ax.get_ylabel() or str(number)

        def add(artist, label, x, y, value=None, name=name):
            label = "" if str(label).startswith("_") else label
            for index, (one, other) in enumerate(zip(x, y, strict=True)):
                rows.append((name, artist, label, one, other, None if value is None else value[index]))

        for line in ax.lines:
            add("line", line.get_label(), *line.get_data())
        for image in ax.images:
            values = np.asarray(image.get_array())
            if values.ndim == 2:  # a photograph is no data of ours
                y, x = np.indices(values.shape)
                add("image", image.get_label(), x.ravel(), y.ravel(), values.ravel())
        for collection in ax.collections:
            label, offsets = collection.get_label(), np.ma.filled(collection.get_offsets(), np.nan)
            if isinstance(collection, ContourSet):
                for level, path in zip(collection.levels, collection.get_paths(), strict=False):
                    add("contour", label, *path.vertices.T, [level] * len(path.vertices))
            elif len(offsets) and offsets.any():
                add("points", label, *offsets.T, collection.get_array())
            else:
                kind = "interval" if isinstance(collection, LineCollection) else "band"
                for path in collection.get_paths():
                    add(kind, label, *path.vertices.T)
        for patch in ax.patches:
            if isinstance(patch, FancyArrowPatch):
                add("arrow", patch.get_gid() or "", [np.nan], [np.nan], [patch.get_linewidth()])
            elif isinstance(patch, Rectangle):
                add("bar", patch.get_label(), [patch.get_x() + patch.get_width() / 2], [patch.get_height()])
    return pd.DataFrame(rows, columns=["panel", "artist", "label", "x", "y", "value"])


def gallery(folder: str | Path = "figures") -> Path:
    """Writes index.html beside saved figures: each with its name, what it was drawn from, its PDF and its CSV."""
    folder, parts = Path(folder), []
    for picture in sorted(folder.glob("*.png")):
        beside = [picture.with_suffix(ending) for ending in (".pdf", ".csv")]
        links = ", ".join(
            f'<a href="{html.escape(file.name)}">{file.suffix[1:]}</a>' for file in beside if file.exists()
        )
        source = ""
        if beside[1].exists():
            with open(beside[1]) as file:
                source = file.readline().removeprefix("#").strip()
        name = html.escape(picture.name)
        parts.append(
            f'<figure><a href="{name}"><img src="{name}" alt="{html.escape(picture.stem)}"></a>'
            f"<figcaption><b>{html.escape(picture.stem)}</b> {links}<br>{html.escape(source)}</figcaption></figure>"
        )
    notebooks = sorted(folder.glob("notebooks/*.html"))
    listed = " ".join(
        f'<a href="notebooks/{html.escape(page.name)}">{html.escape(page.stem)}</a>' for page in notebooks
    )
    page = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>darts_lab: figures</title>
<style>
body {{font: 16px/1.4 sans-serif; margin: 2rem; color: #222}}
main {{display: grid; grid-template-columns: repeat(auto-fill, minmax(24rem, 1fr)); gap: 1.5rem}}
figure {{margin: 0; border: 1px solid #ccc; padding: 1rem}} img {{max-width: 100%}}
</style>
<h1>darts_lab: figures</h1>
<p>{listed}</p>
<main>{"".join(parts) or "<p>No figures yet.</p>"}</main></html>
"""
    files.write(folder / "index.html", page.encode())
    return folder / "index.html"
