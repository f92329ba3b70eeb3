"""Writes searches.js, the data of the page beside it, from run directories of searches in classification.

    python docs/replay/write.py RUN ...      # without RUN: the searches that come with darts_lab

It holds two constants of JSON: STYLES (colour, dash, short name of every operation) and SEARCHES, a list of searches.
"""

import json
import sys
from pathlib import Path

from darts_lab import runs, spaces
from darts_lab.figures.style import OPERATION_STYLE, short_name
from darts_lab.runs.records import EpochRecord

TARGET = Path(__file__).with_name("searches.js")
FIRST = "S4, DARTS"  # what the page opens with: a collapse that nobody overlooks
DASHES = {"-": "", "--": "6 3", "-.": "7 3 2 3", ":": "2 3"}


def styles() -> dict:
    """{operation: colour, dash of SVG, short name}."""
    dash = {
        name: DASHES[how] if isinstance(how, str) else " ".join(map(str, how[1]))
        for name, (_, how) in OPERATION_STYLE.items()
    }
    return {
        name: {"colour": colour, "dash": dash[name], "short": short_name(name)}
        for name, (colour, _) in OPERATION_STYLE.items()
    }


def epoch(record: EpochRecord, kinds: tuple[str, ...]) -> dict:
    """What the page shows of an epoch; mixing weights to three digits, None where a log lacks them."""
    mixing = (
        None
        if record.mixing is None
        else [[[round(w, 3) for w in edge] for edge in cell] for cell in record.mixing.tolist()]
    )
    return {
        "epoch": record.epoch, "valid_error": round(record.valid_error, 5), "train_error": round(record.train_error, 5),
        "eigenvalue": record.dominant_eigenvalue, "back_to": record.back_to, "mixing": mixing,
        "cells": {kind: list(record.genotype.edges(kind)) for kind in kinds},
    }  # fmt: skip


def search(path: Path) -> dict:
    """A search as the page takes it."""
    config, found = json.loads((path / "config.json").read_text()), runs.read(path)
    cells = {kind: tuple(map(tuple, cell)) for kind, cell in config["space"]["cells"].items()}
    space = spaces.SearchSpace(config["space"]["name"], cells)
    kinds = space.cell_types
    epochs = [epoch(record, kinds) for record in found.history]
    by = config.get("by")
    about = f"{by}, {config['source']}" if by else f"ours: {config['name']}"
    if (path / "row.json").exists():
        row = json.loads((path / "row.json").read_text())
        cell = "normal cell" if row.get("reductions") == "skip" else "cell"
        about += f"; its {cell}, trained from scratch, has a test error of {100 * row['test_error']:.1f} %"
    return {
        "name": found.name, "title": f"{found.space}, {config['method']}{f' ({by})' if by else ''}", "by": by,
        "about": about, "whole": found.whole,
        "kinds": kinds, "inputs": space.inputs, "nodes": space.nodes, "edges": space.edges,
        "operations": {kind: space.cell(kind) for kind in kinds}, "epochs": epochs,
    }  # fmt: skip


def main(paths: list[str]) -> None:
    found = [search(Path(path)) for path in paths or runs.stored().values()]
    found.sort(key=lambda one: (one["by"] or "", one["title"] != FIRST, one["title"]))
    lines = [json.dumps(one, separators=(",", ":")) for one in found]
    TARGET.write_text(
        f"const STYLES = {json.dumps(styles(), separators=(',', ':'))};\nconst SEARCHES = [\n"
        + ",\n".join(lines)
        + "\n];\n"
    )
    print(f"{TARGET}: {len(lines)} searches, {TARGET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
