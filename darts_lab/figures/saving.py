"""Figures as files: PDF, PNG, and the plotted values as CSV, with the hash of the run; and a page of all of them."""

import hashlib
import html
import io
import os
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection, PathCollection, QuadMesh
from matplotlib.container import BarContainer
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from darts_lab import runs
from darts_lab.checks import PositiveOrNone, checked
from darts_lab.runs import files


@checked
def save(
    name: str, figure: Figure | None = None, *, run=None, folder: str | Path | None = None, width: PositiveOrNone = None
) -> list[Path]:
    """Writes a figure (default: pyplot's current one) as name.pdf, name.png and, with its `plotted` values, name.csv
    into `folder` (default: DARTS_LAB_FIGURES, or "figures"); returns their paths. Raises ValueError for a name that is
    not a file name.

    `run` is what it was drawn from: a Search, a Training, a Run, a Recorded, the path of a table, any other text, or a
    list of these. Their hashes (of a table the first eight digits of its SHA-256) and names are in the metadata of PDF
    and PNG and in the first line of the CSV (`pandas.read_csv(path, comment="#")`).

    `width` lays the files out anew, so many inches wide, in the figure's proportions; type keeps its size. After
    `use_style("paper")` 3.3 makes a column, 7 a page. The PNG has the dots of rcParams["savefig.dpi"]."""
    if not isinstance(name, str) or runs.folder_name(name) != name:
        raise ValueError(f"name: {name!r} is not allowed; it must be a file's name without its ending")
    if figure is None:
        import matplotlib.pyplot as plt

        figure = plt.gcf()
    sources = [] if run is None else list(run) if isinstance(run, list | tuple) else [run]
    source = "; ".join(map(_source, sources)) or "no run named"
    folder = Path(folder or os.environ.get("DARTS_LAB_FIGURES") or "figures")
    folder.mkdir(parents=True, exist_ok=True)
    metadata: dict[str, dict] = {"pdf": {"Subject": source, "CreationDate": None}, "png": {"Description": source}}
    paths = [folder / f"{name}.{ending}" for ending in ("pdf", "png", "csv")]
    wide, high = figure.get_size_inches()
    figure.set_size_inches(width or wide, high * (width or wide) / wide)
    try:
        for ending, path in zip(metadata, paths, strict=False):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=ending, metadata={"Title": name} | metadata[ending])
            files.write(path, buffer.getvalue())
    finally:  # a full disk leaves the figure as it was
        figure.set_size_inches(wide, high)
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
            return _source(runs.Run.of_kind(run.path, "search"))
        except (FileNotFoundError, ValueError):  # the logs of others have no config, or one of their own
            return run.name
    if isinstance(run, runs.Run) and {"hash", "name"} <= run.config.keys():
        return f"run {run.config['hash']} {run.config['name']}"
    if not hasattr(run, "plan"):
        what = "a Search, a Training, a run, the path of a table, or words"
        raise ValueError(f"run: {type(run).__name__} is not allowed; it must be {what}")
    return f"run {run.plan.hash} {run.plan.name}"


def plotted(figure: Figure) -> pd.DataFrame:
    """The values drawn in a figure, read from its artists, one row per point. `panel` is the title of its Axes (or
    their number); `artist` is line, points, bar, interval (of error bars), band, contour (`value` is its lower level),
    image (`value` at column x and row y; heat maps too) or arrow (`value` is its width); `label` is the
    legend's, of thin lines the name of their edge."""
    rows: list[tuple] = []
    for number, ax in enumerate(figure.axes):
        if ax.get_label() == "<colorbar>":
            continue
        panel = ax.get_title() or ax.get_ylabel() or str(number)

        def add(artist, label, xs, ys, values=None, panel=panel):
            label = "" if str(label).startswith("_") else label
            values = [None] * len(xs) if values is None else values
            rows.extend((panel, artist, label, *point) for point in zip(xs, ys, values, strict=True))

        for line in ax.lines:
            add("line", line.get_gid() or line.get_label(), *line.get_data())
        heat_maps = [collection for collection in ax.collections if isinstance(collection, QuadMesh)]
        for image in [*ax.images, *heat_maps]:
            values = np.asarray(image.get_array())
            if values.ndim == 2:  # photographs, in three colours, are not results
                y, x = np.indices(values.shape)
                add("image", image.get_label(), x.ravel(), y.ravel(), values.ravel())
        for collection in ax.collections:
            label = collection.get_label()
            if isinstance(collection, ContourSet):
                for level, path in zip(collection.levels, collection.get_paths(), strict=False):
                    xs, ys = np.asarray(path.vertices).T
                    add("contour", label, xs, ys, [level] * len(xs))
            elif isinstance(collection, PathCollection):
                xs, ys = np.ma.filled(collection.get_offsets(), np.nan).T
                add("points", label, xs, ys, collection.get_array())
            elif collection not in heat_maps:
                artist = "interval" if isinstance(collection, LineCollection) else "band"
                for path in collection.get_paths():
                    xs, ys = np.asarray(path.vertices).T
                    add(artist, label, xs, ys)
        lying = {
            patch
            for bars in ax.containers
            if isinstance(bars, BarContainer) and bars.orientation == "horizontal"
            for patch in bars
        }
        for patch in ax.patches:
            if isinstance(patch, FancyArrowPatch):
                add("arrow", patch.get_gid() or "", [np.nan], [np.nan], [patch.get_linewidth()])
            elif isinstance(patch, Rectangle) and patch in lying:
                add("bar", patch.get_label(), [patch.get_width()], [patch.get_y() + patch.get_height() / 2])
            elif isinstance(patch, Rectangle):
                add("bar", patch.get_label(), [patch.get_x() + patch.get_width() / 2], [patch.get_height()])
    return pd.DataFrame(rows, columns=["panel", "artist", "label", "x", "y", "value"])


def gallery(folder: str | Path = "figures") -> Path:
    """Writes index.html into a folder of saved figures: each with its name, its source, its PDF and its CSV."""
    folder, entries = files.path_of(folder, "folder"), []
    if not folder.is_dir():
        raise FileNotFoundError(f"folder: {str(folder)!r} is no directory")
    for picture in sorted(folder.glob("*.png")):
        beside = [file for ending in (".pdf", ".csv") if (file := picture.with_suffix(ending)).exists()]
        links = ", ".join(f'<a href="{html.escape(file.name)}">{file.suffix[1:]}</a>' for file in beside)
        source = ""
        if (table := picture.with_suffix(".csv")).exists():
            source = table.read_text().partition("\n")[0].removeprefix("#").strip()
        name, title = html.escape(picture.name), html.escape(picture.stem)
        entries.append(
            f'<figure><a href="{name}"><img src="{name}" alt="{title}"></a>'
            f"<figcaption><b>{title}</b> {links}<br>{html.escape(source)}</figcaption></figure>"
        )
    notebooks = [html.escape(page.stem) for page in sorted(folder.glob("notebooks/*.html"))]
    notebook_links = " ".join(f'<a href="notebooks/{name}.html">{name}</a>' for name in notebooks)
    page = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>darts_lab: figures</title>
<style>
body {{font: 16px/1.4 sans-serif; margin: 2rem; color: #222}}
main {{display: grid; grid-template-columns: repeat(auto-fill, minmax(24rem, 1fr)); gap: 1.5rem}}
figure {{margin: 0; border: 1px solid #ccc; padding: 1rem}} img {{max-width: 100%}}
</style>
<h1>darts_lab: figures</h1>
<p>{notebook_links}</p>
<main>{"".join(entries) or "<p>No figures yet.</p>"}</main></html>
"""
    files.write(folder / "index.html", page.encode())
    return folder / "index.html"
