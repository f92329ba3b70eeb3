"""darts-lab search | evaluate | check: the same things as the Python interface, without a notebook."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, fields
from pathlib import Path

from darts_lab import __version__, environment, methods, runs, scales, spaces
from darts_lab.evaluation import Training
from darts_lab.figures import telling_operation
from darts_lab.search import Search

_SEARCH_HELP = """\
Searches for an architecture: trains a supernet in which all operations of SPACE compete, and its mixing weights with
it. Prints a line for each epoch and, at the end, the genotype: the cell that `darts-lab evaluate` trains from scratch.

  darts-lab search --space S2 --method DARTS --seed 0
  darts-lab search --space S2 --method "R-DARTS(L2)" --set epochs=30
  darts-lab search --resume runs/S2-digits-DARTS-laptop-seed0-1a2b3c4d
"""
_EVALUATE_HELP = """\
Trains one genotype from scratch and measures it on the test split. GENOTYPE is its text in the form of quark0/darts,
a file that holds it, or the directory of a search.

  darts-lab evaluate runs/S2-digits-DARTS-laptop-seed0-1a2b3c4d
"""


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; gives its exit status: 0, or 2 after a one-line error."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, FileNotFoundError, FileExistsError, FloatingPointError, PermissionError) as error:
        print(f"darts-lab {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; finished epochs are kept: darts-lab search --resume DIRECTORY goes on", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="darts-lab", description="A laboratory for differentiable architecture search."
    )
    parser.add_argument("--version", action="version", version=f"darts-lab {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="search | evaluate | check")
    raw = argparse.RawDescriptionHelpFormatter

    search = commands.add_parser(
        "search", help="search for an architecture", description=_SEARCH_HELP, formatter_class=raw
    )
    search.add_argument(
        "--space", default="S2", help=f"what a cell may consist of: {', '.join(spaces.SPACES)} (default S2)"
    )
    search.add_argument(
        "--method", default="DARTS", help=f"how to search: {', '.join(methods.METHODS)} (default DARTS)"
    )
    search.add_argument("--resume", metavar="DIRECTORY", help="go on with the search in this run directory")
    search.set_defaults(run=_search)
    evaluate = commands.add_parser(
        "evaluate", help="train a genotype from scratch", description=_EVALUATE_HELP, formatter_class=raw
    )
    evaluate.add_argument("genotype", metavar="GENOTYPE", help="text, file or run directory")
    evaluate.add_argument("--space", default=None, help="at paper scale: chooses the published width and depth")
    evaluate.set_defaults(run=_evaluate)
    for command, settings in ((search, scales.SearchSettings), (evaluate, scales.EvaluationSettings)):
        command.add_argument("--data", default="digits", help="digits, cifar10, cifar100 or svhn (default digits)")
        command.add_argument("--scale", default="laptop", help="tiny, laptop or paper (default laptop)")
        command.add_argument("--seed", type=int, default=0, help="whole number (default 0)")
        command.add_argument("--device", default=None, help="cuda, mps or cpu (default: the first that is there)")
        command.add_argument("--path", default=None, metavar="DIRECTORY", help="where the run is kept")
        known = ", ".join(field.name for field in fields(settings))
        command.add_argument(
            "--set", action="append", default=[], metavar="NAME=VALUE", help=f"change one setting of the scale: {known}"
        )
        command.add_argument("--json", action="store_true", help="print JSON, one object a line, for machines")
    check = commands.add_parser("check", help="what is there: versions, device, data")
    check.set_defaults(run=lambda options: environment.check())
    return parser


def _settings(pairs: list[str]) -> dict:
    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"--set: {pair!r} does not have the form NAME=VALUE")
        try:
            settings[name] = json.loads(value)
        except ValueError:
            raise ValueError(f"{name}: {value!r} is not a number") from None
    return settings


def _search(options) -> None:
    if options.resume:
        search = Search.resume(options.resume, device=options.device)
    else:
        search = Search(
            options.space, options.data, options.method, options.scale, options.seed, options.device, options.path,
            **_settings(options.set),
        )  # fmt: skip
    operation = telling_operation(search.space)
    if not options.json:
        print(f"{search.space.name} on {search.task.data.name}, {search.method.name}, seed {search.seed}")
        print(f"device {search.device.type}, because {search.device_reason}")
        print(f"epoch  train error  one-shot error  {operation} (normal, reduce)  seconds")
    for record in search:
        if options.json:
            happened, cost = record.to_json()
            print(json.dumps(happened | cost), flush=True)
        else:
            counts = [record.genotype.count(operation, kind) for kind in spaces.CELL_TYPES]
            print(
                f"{record.epoch + 1:5d}  {100 * record.train_error:9.1f} %  {100 * record.valid_error:12.1f} %"
                f"  {counts[0]:{len(operation) + 9}d} {counts[1]:7d}  {record.seconds:7.1f}",
                flush=True,
            )
    result = {"genotype": str(search.genotype), "run": str(search.run.path)}
    print(json.dumps(result) if options.json else f"{result['genotype']}\nrun: {result['run']}")


def _evaluate(options) -> None:
    training = Training(
        _genotype(options.genotype), options.data, options.scale, options.seed, options.device, options.path,
        options.space, **_settings(options.set),
    )  # fmt: skip
    for record in training:
        if options.json:
            print(json.dumps(asdict(record)), flush=True)
        else:
            print(f"epoch {record.epoch + 1:3d}: training error {100 * record.train_error:.1f} %", flush=True)
    result = training.result()
    if options.json:
        print(json.dumps(asdict(result) | {"genotype": str(result.genotype)}))
    else:
        print(f"test error {100 * result.test_error:.2f} % ({result.parameters:,} weights, {result.seconds:.0f} s)")


def _genotype(text: str) -> str:
    """The text of a genotype given as text, as a file or as a run directory."""
    if text.lstrip().startswith("Genotype("):
        return text
    path = Path(text)
    path = path / "genotype.txt" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"genotype: {text!r} is neither a genotype's text, nor a file, nor a run directory")
    return runs.read_text(path)


if __name__ == "__main__":
    sys.exit(main())
