"""A search on several processes of this machine, from a notebook."""

from dataclasses import asdict
from pathlib import Path

from tqdm.auto import tqdm

from darts_lab import ranks
from darts_lab.plan import JOB, Plan, of_search
from darts_lab.runs import files
from darts_lab.search.search import Search


def search_by(processes: int, *arguments, path=None, bar: bool = True, **options) -> Search:
    """A whole search, of which every one of so many `processes` computes its share of each batch; gives it finished.

        search = dl.search_by(2, "S2", data="digits", method="DARTS", seed=0)

    Arguments as for `Search`; a run that was begun in `path`, by however many processes, goes on. It equals the search
    of one process but for rounding. `bar` shows a progress bar. Raises as `Search` and `ranks.run`, and ValueError
    where the run in `path` was begun with other arguments; finished epochs are kept.
    """
    if path is False:
        raise ValueError("path: False is not allowed; the processes hand the search over as a run")
    with tqdm(desc="search", unit="epoch", disable=None if bar else True) as shown:

        def reported(epochs: tuple[int, int]) -> None:
            done, shown.total = epochs
            shown.update(done - shown.n)

        path = ranks.run(processes, _search, arguments, path, options, on_report=reported)
    more = {name: options[name] for name in ("space", "data", "method", "device") if name in options}
    more |= dict(zip(("space", "data", "method"), arguments))
    return Search.resume(path, **more)


def _search(arguments: tuple, path, options: dict) -> str:
    begun = path is not None and (files.path_of(path) / "config.json").is_file()
    if begun:
        more = {name: value for name, value in options.items() if name in ("space", "data", "method", "device")}
        search = Search.resume(path, **(more | dict(zip(("space", "data", "method"), arguments))))
        asked = {name: value for name, value in options.items() if name != "capture"}
        _check_same(path, of_search(**(JOB | dict(zip((*JOB, "device"), arguments)) | asked)), search.plan)
    else:
        search = Search(*arguments, **(options | {"path": path}))
    for _ in search:
        ranks.report((search.epoch, search.epochs))
    return str(Path(search.run.path).resolve()) if search.run else ""  # the others write no run


def _check_same(path, asked: Plan, begun: Plan) -> None:
    """Raises ValueError where the search in `path` was begun with other arguments than are asked for."""
    if asked.hash != begun.hash:
        now, then = (one.names | asdict(one.searched[2]) for one in (asked, begun))
        other = [name for name, value in now.items() if value != then.get(name)] or ["method"]
        raise ValueError(
            f"path: the search in {str(path)!r} was begun with other arguments than these ({', '.join(other)}); "
            "give this one a path of its own"
        )
