"""The command line: darts-lab search | evaluate | sweep | verify | spectrum | notebooks | check."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from darts_lab import __version__, curvature, figures, methods, notation, plan, ranks, spaces, tasks
from darts_lab import data as datasets
from darts_lab.check import check
from darts_lab.figures.curves import telling_operation
from darts_lab.interop import robustdarts
from darts_lab.material import copy_notebooks
from darts_lab.methods import monitors
from darts_lab.runs import files
from darts_lab.search.search import Search
from darts_lab.search.training import Training
from darts_lab.settings import EvaluationSettings, SearchSettings
from darts_lab.studies import sweep as sweeps
from darts_lab.studies.verify import expected, verify

_SEARCH_HELP = """\
Searches for an architecture: trains a supernet in which all operations of SPACE compete, together with its mixing
weights. Prints a line for each epoch and, at the end, the genotype, which `darts-lab evaluate` trains from scratch.

  darts-lab search --space S2 --method DARTS --seed 0
  darts-lab search --space S2 --method "R-DARTS(L2)" --set epochs=30
  darts-lab search --resume runs/S2-digits-DARTS-laptop-seed0-1a2b3c4d
  torchrun --nproc-per-node 2 -m darts_lab search --space S2       (two processes share every batch)
"""
_EVALUATE_HELP = """\
Trains one genotype from scratch and measures its error on the test split. GENOTYPE is its text, "Genotype(normal=...)"
as the code bases of the field write it, a file with that text, or the directory of a search, whose result is taken:
then its data, scale, seed and space are the defaults.

  darts-lab evaluate runs/S2-digits-DARTS-laptop-seed0-1a2b3c4d
"""
_SWEEP_HELP = """\
Runs every combination of spaces, methods and seeds: a search, then a training of the found cell from scratch. Runs
that are finished in the folder are not repeated, interrupted ones go on. Prints a line for each run, then the mean over
seeds; table.csv and table.parquet in the folder hold a row for each run.

  darts-lab sweep --space S2 S4 --method DARTS DARTS-ADA RS-ws --seeds 5 --workers 2 --path runs/robust
"""
_VERIFY_HELP = """\
Repeats one row of a table of `darts-lab sweep`, search and training, and compares. On the machine that made it every
column is equal; another processor rounds differently.

  darts-lab verify runs/robust/table.csv --row 0
"""
_SPECTRUM_HELP = """\
Measures the Hessian of the validation loss with respect to alpha after the last epoch of a search: its largest and
smallest eigenvalues with their standard errors over batches, or all of them with --all. RUN is the directory of a
search; nothing in it is changed. For the published logs of Zela et al. (automl/RobustDARTS, experiments/search_logs) it
prints one line per run: its eigenvalues, and the epoch at which early stopping would have ended it.

  darts-lab spectrum runs/S2-digits-DARTS-laptop-seed0-1a2b3c4d --batches 8
  darts-lab spectrum RobustDARTS/experiments/search_logs
"""
_NOTEBOOKS_HELP = """\
Copies the notebooks that come with the package, their solutions, and the tables of results that they read. Nothing that
is there already is overwritten.

  darts-lab notebooks course && jupyter lab course/notebooks/00_start_here.ipynb
"""
_KEPT = {  # what an interrupt leaves
    "search": "finished epochs are kept: darts-lab search --resume DIRECTORY goes on",
    "sweep": "finished epochs are kept: the same command goes on",
}


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line. Returns the exit status: 0, 2 after an error of one line, 130 after an interrupt."""
    options = _parser().parse_args(arguments)
    try:
        ranks.join()
        if ranks.rank():  # the first one speaks for all
            sys.stdout = open(os.devnull, "w")
        options.run(options)
    except (ValueError, OSError, FloatingPointError, RuntimeError, MemoryError) as error:
        message = str(error).strip() or type(error).__name__
        if isinstance(error, RuntimeError | MemoryError):  # those of PyTorch can have many lines
            message = message.splitlines()[0][:300]
        print(f"darts-lab {options.command}: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        kept = _KEPT.get(options.command)
        print("interrupted" + (f"; {kept}" if kept else ""), file=sys.stderr)
        return 130
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):  # without the usage, which fills a screen
        self.exit(2, f"{self.prog}: {message[:300]}; {self.prog} --help tells more\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="darts-lab", description="A laboratory for differentiable architecture search.")
    parser.add_argument("--version", action="version", version=f"darts-lab {__version__}")
    names = "search | evaluate | sweep | verify | spectrum | notebooks | check"
    commands = parser.add_subparsers(dest="command", required=True, metavar=names)

    def command(name: str, run: Callable, summary: str, description: str | None = None) -> argparse.ArgumentParser:
        layout = argparse.RawDescriptionHelpFormatter
        subparser = commands.add_parser(name, help=summary, description=description, formatter_class=layout)
        subparser.set_defaults(run=run)
        return subparser

    search = command("search", _search, "search for an architecture", _SEARCH_HELP)
    known_spaces, known_methods = ", ".join(spaces.SPACES), ", ".join(methods.METHODS)
    fits = "default: the one that goes with the data, S2 for images"
    search.add_argument("--space", help=f"the operations of a cell: {known_spaces} ({fits})")
    search.add_argument("--method", help=f"how to search: {known_methods} (default DARTS)")
    search.add_argument("--resume", metavar="DIRECTORY", help="go on with the search in this run directory")
    evaluate = command("evaluate", _evaluate, "train a genotype from scratch", _EVALUATE_HELP)
    evaluate.add_argument("genotype", metavar="GENOTYPE", help="text, file or run directory")
    evaluate.add_argument("--space", help="at paper scale: chooses the published width and depth (default: the run's)")
    sweep = command("sweep", _sweep, "many runs, one table", _SWEEP_HELP)
    sweep.add_argument("--space", nargs="+", default=None, help=f"one or more spaces ({fits})")
    sweep.add_argument("--method", nargs="+", default=["DARTS"], help="one or more methods (default DARTS)")
    sweep.add_argument("--seeds", type=int, default=3, help="how many, from 0 on (default 3)")
    sweep.add_argument("--workers", type=int, help="processes side by side (default: one job after the other)")
    sweep.add_argument("--path", default="runs/sweep", metavar="DIRECTORY", help="folder of all runs (runs/sweep)")
    for subparser, settings in ((search, SearchSettings), (evaluate, EvaluationSettings), (sweep, SearchSettings)):
        default = "default: the run's, else {}" if subparser is evaluate else "default {}"
        subparser.add_argument("--data", help=f"{', '.join(datasets.NAMES)} ({default.format('digits')})")
        subparser.add_argument("--scale", help=f"tiny, laptop, workstation or paper ({default.format('laptop')})")
        if subparser is not sweep:
            subparser.add_argument("--seed", type=int, help=f"whole number ({default.format(0)})")
            subparser.add_argument("--path", metavar="DIRECTORY", help="where the run is kept")
        text = f"change one setting of the scale: {', '.join(field.name for field in fields(settings))}"
        subparser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help=text)
        text = "with every oddity of the official code, see docs/parity.md"
        subparser.add_argument("--parity", action="append_const", dest="set", const="parity=true", help=text)
    verify = command("verify", _verify, "repeat a row", _VERIFY_HELP)
    verify.add_argument("table", metavar="TABLE", help="a CSV file that a sweep wrote")
    verify.add_argument("--row", type=int, default=0, help="which, from 0 on (default 0)")
    spectrum = command("spectrum", _spectrum, "eigenvalues of the alpha-Hessian", _SPECTRUM_HELP)
    spectrum.add_argument("path", metavar="RUN", help="directory of a search, or of the logs of Zela et al.")
    spectrum.add_argument("--batches", type=int, help="of the validation split (default 8, or as many as there are)")
    spectrum.add_argument("--mode", default="train", help="of the batch-norms: train or eval (default train)")
    spectrum.add_argument("-k", type=int, default=3, help="how many eigenvalues at either end (default 3)")
    spectrum.add_argument("--all", action="store_true", help="all eigenvalues, from the dense matrix")
    spectrum.add_argument("--figure", metavar="NAME", help="draw all: figures/NAME.pdf and figures/NAME.png")
    for subparser in (search, evaluate, spectrum):
        default = "as the search" if subparser is spectrum else "the first that exists"
        subparser.add_argument("--device", default=None, help=f"cuda, mps or cpu (default: {default})")
        subparser.add_argument("--json", action="store_true", help="print JSON, one object a line, for machines")
    notebooks = command("notebooks", _notebooks, "copy the notebooks", _NOTEBOOKS_HELP)
    notebooks.add_argument("folder", metavar="DIR", help="where to: gets the folders notebooks and results")
    command("check", lambda options: check(), "versions, device and data of this installation")
    return parser


def _settings(options) -> dict:
    settings = {}
    for pair in options.set:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"--set: {pair[:80]!r} does not have the form NAME=VALUE")
        if hasattr(options, name):
            raise ValueError(f"--set: {name!r} is not allowed; it is an option of its own, --{name}")
        try:
            settings[name] = files.from_json(value)
        except ValueError:
            if len(value) > 80:
                raise ValueError(f"{name[:80]}: {value[:80]!r} is not allowed; it must be a number or a word") from None
            settings[name] = value  # a word, such as that of precision=bfloat16
    return settings


def _search(options) -> None:
    if options.resume:
        for name in (*plan.JOB, "path", "set"):
            if (given := getattr(options, name)) not in (None, []):
                name = "parity" if given == ["parity=true"] else name
                raise ValueError(f"--{name}: is not allowed beside --resume, which goes on as the run began")
        search = Search.resume(options.resume, device=options.device)
    else:
        search = Search(**_given(options), device=options.device, path=options.path, **_settings(options))
    task, cell_types, operation = search.task, search.space.cell_types, telling_operation(search.space)
    heading = f"{operation} ({', '.join(cell_types)})"
    if not options.json:
        print(f"{search.space.name} on {task.data.name}, {search.method.name}, seed {search.seed}")
        print(f"device {search.device.type}, because {search.device_reason}")
        print(f"epoch  {'train ' + task.metric:>16s}  {'one-shot ' + task.metric:>19s}  eigenvalue  {heading}  seconds")
    for record in search:
        if options.json:
            results, costs = record.to_json()
            print(json.dumps(results | costs), flush=True)
        else:
            counts = ", ".join(str(record.genotype.count(operation, kind)) for kind in cell_types)
            eigenvalue = "" if record.dominant_eigenvalue is None else f"{record.dominant_eigenvalue:.3f}"
            print(
                f"{record.epoch:5d}  {task.show(record.train_error):>16s}  {task.show(record.valid_error):>19s}  "
                f"{eigenvalue:>10s}  {counts:>{len(heading)}s}  {record.seconds:7.1f}",
                flush=True,
            )
            if record.stop_epoch is not None:
                cell = f"the cell of epoch {record.stop_epoch}"
                print(f"stopped: the eigenvalue has risen too much; {cell} is the result")
            if record.back_to is not None:
                print(f"back to the end of epoch {record.back_to}, on with weight decay {search.weight_decay:g}")
    if search.run is None:  # that of rank 0 writes
        return
    result = {"genotype": str(search.genotype), "run": str(search.run.path)}
    print(json.dumps(result) if options.json else f"{result['genotype']}\nrun: {result['run']}")


def _evaluate(options) -> None:
    training = Training(
        _cell(options.genotype), options.data, options.scale, options.seed, options.device, options.path,
        options.space, **_settings(options),
    )  # fmt: skip
    task = training.task
    for record in training:
        line = f"epoch {record.epoch:3d}: training {task.metric} {task.show(record.train_error)}"
        print(json.dumps(asdict(record)) if options.json else line, flush=True)
    result = training.result()
    if options.json:
        print(json.dumps(asdict(result) | {"genotype": str(result.genotype)}))
    else:
        error = f"{task.metric} {task.show(result.test_error, 2)}"
        size = f"{result.parameters:,} weights, {result.multiply_adds:,} multiply-adds"
        print(f"test {error} ({size}, {result.seconds:.0f} s)")


def _sweep(options) -> None:
    for name in ("seeds", "workers"):
        if (given := getattr(options, name)) is not None and given < 1:
            raise ValueError(f"--{name}: {given} is not allowed; it must be at least 1")
    options.seed = range(options.seeds)
    jobs = sweeps.grid(**_given(options), **_settings(options))
    table = sweeps.sweep(jobs, options.path, options.workers)
    columns = ["one_shot_error", "test_error", "discretization_drop", "dominant_eigenvalue_mean", "skips_normal"]
    means = table.groupby(["space", "method"], sort=False)[[*columns, "seconds"]].mean(numeric_only=False)
    task = tasks.of(jobs[0].get("data", plan.JOB["data"]))
    unit = "fractions" if task.unit == "%" else f"{task.metric} {task.unit}".rstrip()
    print(f"\nmeans over {options.seeds} seeds; errors are {unit}\n{means.round(3).to_string()}")
    print(f"\n{Path(options.path) / 'table.csv'}")
    failed = table[table["error"].notna()]
    if len(failed):
        raise ValueError(f"{len(failed)} of {len(table)} runs failed; the first: {failed['error'].iloc[0]}")


def _verify(options) -> None:
    try:
        table = pd.read_csv(options.table)
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"table: {options.table!r} is no CSV file: {error}") from error
    if table.empty:
        raise ValueError(f"table: {options.table!r} holds no row")
    if not 0 <= options.row < len(table):
        raise ValueError(f"row: {options.row} is not in {options.table!r}, which has rows 0 to {len(table) - 1}")
    row = table.iloc[options.row].to_dict()
    same, reason = expected(row)
    print(f"to be expected: {reason}", flush=True)
    comparison = verify(row)
    for column, values in comparison.iterrows():
        print(f"{column}: {values['again']}" + ("" if values["equal"] else f", in the table {values['table']}"))
    different = comparison.index[~comparison["equal"]].tolist()
    if different and same:
        raise ValueError(f"row {options.row} of {options.table!r}: came out differently in {', '.join(different)}")
    print(f"came out {'differently in ' + ', '.join(different) if different else 'the same'}, as was to be expected")


def _spectrum(options) -> None:
    path = Path(options.path)
    if path.is_dir() and not (path / "config.json").exists():
        table = monitors.replay(robustdarts.read_robustdarts(path))
        print(table.to_json(orient="records", lines=True).strip() if options.json else table.to_string(index=False))
        return
    search = Search.resume(path, device=options.device)
    if not search.history:
        raise ValueError(f"run: {str(path)!r} has not finished its first epoch")
    available = search.task.most("valid", search.valid_batch_size)
    batches = min(8, available) if options.batches is None else options.batches
    hessian = search.hessian(batches=batches, mode=options.mode)
    whole, most = options.all or options.figure, hessian.shape[0] // 2
    if not whole and not 1 <= options.k <= most:
        raise ValueError(f"-k: {options.k} is not allowed; it must be a whole number from 1 to {most}")
    if whole or options.k > 1:  # several take as many products as all
        spectrum = curvature.spectrum(hessian, progress=True)
        values, errors = spectrum.values.tolist(), spectrum.standard_errors
        rows = list(zip(values, [None] * len(values) if errors is None else errors.tolist()))
        rows = rows if whole else rows[: options.k] + rows[-options.k :]
    else:
        pairs = [curvature.extreme_eigenvalues(hessian, 1, end)[0] for end in ("largest", "smallest")]
        rows = [(pair.value, pair.standard_error) for pair in pairs]
    epoch, made = search.history[-1].epoch, hessian.options
    if options.json:
        eigenvalues = [{"value": value, "standard_error": error} for value, error in rows]
        print(json.dumps({"epoch": epoch, "eigenvalues": eigenvalues, "products": hessian.products, **made}))
    else:
        print(f"{search} after epoch {epoch}: {hessian.shape[0]} alphas, {made['batches']} batches of "
              f"{made['batch_size']}, batch-norms in mode {made['mode']}, {hessian.products} products")  # fmt: skip
        for value, error in rows:
            print(f"{value:10.5f}" + ("" if error is None else f" ± {error:.5f} (standard error over batches)"))
    if options.figure:
        figure = Figure(figsize=(5, 3), layout="constrained")
        figures.spectrum([value for value, _ in rows], figure.subplots())
        saved = figures.save(options.figure, figure, run=search)[1]
        if not options.json:
            print(f"figure: {saved}")


def _notebooks(options) -> None:
    copied = copy_notebooks(options.folder)
    print(f"{len(copied)} notebooks; open the first with: jupyter lab {copied[0]}")


def _given(options) -> dict:
    """What was said of space, data, method, scale and seed; the rest has the defaults of `Search`."""
    return {name: value for name in plan.JOB if (value := getattr(options, name)) is not None}


def _cell(text: str) -> str | Path:
    """A run directory, or the text of a genotype given as text or file."""
    if notation.is_text(text):
        return text
    path = Path(text)
    if (path / "config.json").exists():
        return path
    if not path.is_file():
        raise FileNotFoundError(f"genotype: {text!r} is neither a genotype's text, nor a file, nor a run directory")
    return files.read_text(path)


if __name__ == "__main__":
    sys.exit(main())
