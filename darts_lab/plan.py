"""What a run is asked to do, resolved once: a search, the training of a cell from scratch, or one after the other.

A `Plan` is the config of a run, the key of a table's row, and what a sweep sends to its workers. Settings that equal
the defaults of their class, and parts of a method that equal those of plain DARTS, do not enter its hash: so a new
setting whose default is what was done before changes no older hash.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from darts_lab import data as datasets
from darts_lab import methods, runs, spaces, tasks
from darts_lab.checks import Seed, allow, plain
from darts_lab.environment import choose_device
from darts_lab.genotype import Genotype
from darts_lab.methods.method import Method, in_words
from darts_lab.settings import ROBUSTDARTS, EvaluationSettings, SearchSettings, from_values, override
from darts_lab.spaces import KNOWN_OPERATIONS, NONE, SearchSpace
from darts_lab.tasks import scales

OFFICIAL = {"cutout_rises": False, "curvature_parity": True}  # settings of the code of Zela et al., see docs/parity.md
# the names in a job, with their defaults; space None is the one that goes with the data
JOB = {"space": None, "data": "digits", "method": "DARTS", "scale": "laptop", "seed": 0}


@dataclass(frozen=True)
class Plan:
    """Everything that was asked for.

    `search` holds the settings of a search, `evaluation` those of a training from scratch; None where there is none.
    Without a search `genotype` is the cell to train, and `method` is only what tables call it. `data` is a name or the
    data themselves, `scale` a name, `device` None where the machine that computes chooses it.

    >>> search = dl.Search("S2", data="digits", scale="tiny", path=False)
    >>> search.plan.name, search.plan.search.epochs
    ('S2-digits-DARTS-tiny-seed0', 3)
    """

    space: SearchSpace | None
    data: Any
    method: Method | None
    scale: str
    seed: int
    search: SearchSettings | None = None
    evaluation: EvaluationSettings | None = None
    genotype: Genotype | None = None
    device: str | None = None

    def __post_init__(self):
        object.__setattr__(self, "seed", allow("seed", self.seed, Seed))

    @property
    def names(self) -> dict:
        """Space, data, method, scale and seed, each by name; None where there is none."""
        space, method = (None if part is None else part.name for part in (self.space, self.method))
        data = self.data if isinstance(self.data, str) else self.data.name
        return {"space": space, "data": data, "method": method, "scale": self.scale, "seed": self.seed}

    @property
    def name(self) -> str:
        """All names in one word, such as "S2-digits-DARTS-laptop-seed0"."""
        words = self.names | {"seed": f"seed{self.seed}"}
        return "-".join(word for word in words.values() if word is not None)

    def to_json(self) -> dict:
        """The plan as JSON can hold it."""
        content = self.names | {
            "space": None if self.space is None else _space_json(self.space),
            "parts": {} if self.method is None else self.method.parts(),
            "settings": None if self.search is None else asdict(self.search),
            "evaluation": None if self.evaluation is None else asdict(self.evaluation),
            "genotype": None if self.genotype is None else str(self.genotype),
            "device": self.device,
        }
        return json.loads(json.dumps(content | {"data": {"name": content["data"]}}))  # as it will be read back

    @property
    def hash(self) -> str:
        """Eight hexadecimal digits that tell plans apart. The device and what equals its default have no part in it."""
        content = self.to_json() | {"device": None}
        for name, settings in (("settings", self.search), ("evaluation", self.evaluation)):
            if settings is not None:
                content[name] = changed(settings)
        content = {name: value for name, value in content.items() if value is not None}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]

    @property
    def searched(self) -> tuple[SearchSpace, Method, SearchSettings]:
        """Space, method and settings of the search. Raises ValueError where none is asked for."""
        if self.space is None or self.method is None or self.search is None:
            raise ValueError(f"plan: {self.name!r} asks for no search")
        return self.space, self.method, self.search

    @property
    def trained(self) -> tuple[Genotype, EvaluationSettings]:
        """The cell that is trained from scratch, and how. Raises ValueError where none is."""
        if self.genotype is None or self.evaluation is None:
            raise ValueError(f"plan: {self.name!r} asks for no training")
        return self.genotype, self.evaluation

    def training_of(self, genotype: Genotype | str) -> Plan:
        """The plan of the training of `genotype`, the cell that this plan's search found. Raises ValueError where none
        is asked for."""
        if self.evaluation is None:
            raise ValueError("evaluation: None; the plan asks for no training from scratch")
        return replace(self, method=None, search=None, genotype=_genotype(genotype, self.space))

    @classmethod
    def from_json(cls, content: dict, *, space=None, data=None, method=None, device=None) -> Plan:
        """The plan of which `content` is the `to_json`; a setting that `content` does not name has its default.

        `space`, `data` and `method` are needed where they were the user's own objects, not names. Raises ValueError
        where something does not fit, KeyError or TypeError where `content` is no plan.
        """
        data = _data(content["data"]["name"] if data is None else data)
        kinds = tasks.of(data).scales["paper"]
        search, evaluation = content["settings"], content["evaluation"]
        search = None if search is None else from_values(type(kinds.search), search)
        evaluation = None if evaluation is None else from_values(type(kinds.evaluation), evaluation)
        space = _space_of(content, space)
        if search is None:
            method = None if content["method"] is None else Method(content["method"])
        else:
            method = methods.get(method or content["method"])
            if search.parity:
                method = method.official(tasks.of(data).carries)
            _check_parts(method, content)
            space = _space(space, method, search)
        genotype = None if content["genotype"] is None else _genotype(content["genotype"], space)
        device = content["device"] if device is None else str(device)
        return cls(space, data, method, content["scale"], content["seed"], search, evaluation, genotype, device)


def changed(settings) -> dict:
    """The settings that differ from the defaults of their class, as JSON can hold them: name -> value."""
    values, defaults = (json.loads(json.dumps(asdict(one))) for one in (settings, type(settings)()))
    return {name: value for name, value in values.items() if value != defaults[name]}


def of_search(space, data, method, scale, seed, device=None, **settings) -> Plan:
    """The plan of a search; arguments as for `Search`. Raises ValueError, naming the argument, for what is not
    allowed."""
    method, data = methods.get(method), _data(data)
    task = tasks.of(data)
    scale = scales.get(scale, task.domain)
    search = override(scale.search, **(method.defaults(scale) | settings))
    if search.parity:
        method, code = method.official(task.carries), method.code if search.parity is True else search.parity
        search = override(search, **(OFFICIAL | settings | {"parity": code}))
    space = _space(task.space if space is None else space, method, search)
    data = scale.data(data)
    device = None if device is None else str(choose_device(device)[0])
    return Plan(space, data, method, scale.name, seed, search, device=device)


def of_training(genotype, data, scale, seed, device=None, space=None, protocol="default", **settings) -> Plan:
    """The plan of a training from scratch; arguments as for `Training`. Raises as `of_search`."""
    genotype, data, scale, seed, space = found(genotype, data, scale, seed, space)
    data, space = _data(data), None if space is None else spaces.get(space)
    task = tasks.of(data)
    scale = scales.get(scale, task.domain)
    data = scale.data(data)
    genotype = _genotype(genotype, space)
    device = None if device is None else str(choose_device(device)[0])
    evaluation = _evaluation(scale, task, space, data, protocol, settings)
    return Plan(space, data, None, scale.name, seed, evaluation=evaluation, genotype=genotype, device=device)


class Found(NamedTuple):
    """A cell, and with what it is to be trained."""

    genotype: Genotype | str
    data: Any
    scale: Any
    seed: int
    space: Any


def found(cell, data=None, scale=None, seed=None, space=None) -> Found:
    """`cell` is a genotype or its text, and then `data` is by default "digits", `scale` "laptop", `seed` 0 and `space`
    None; or it is a Search or Training, a `runs.Run`, what `runs.read` gives, or a run directory: its cell, by default
    with its own data, scale, seed and space. Raises ValueError, naming the argument to pass, where these were the
    user's own objects and cannot be had from there, and where no epoch of a search is finished."""
    if isinstance(asked := getattr(cell, "plan", None), Plan):
        if asked.genotype is None and not cell.history:
            raise ValueError("genotype: the search has not finished its first epoch")
        genotype, own, known = cell.genotype, asked.space, asked.data
        names = asked.scale, asked.seed
    elif (run := _run_of(cell)) is None:
        return Found(cell, _or(data, "digits"), _or(scale, "laptop"), _or(seed, 0), space)
    else:
        try:
            names, own = (run.config["scale"], run.config["seed"]), _space_of(run.config, space)
            text = run.config.get("genotype")
            known = tasks.data_of(run, data)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"run: {str(run.path)!r} holds no cell that can be trained: {error!r}") from error
        genotype = runs.read(run.path).genotype if text is None else _genotype(text, own)
    data, scale, seed = _or(data, known), _or(scale, names[0]), _or(seed, names[1])
    if scale is names[0] and scale not in (there := tasks.of(_data(data)).scales):
        raise ValueError(f"scale: {scale!r} was a scale of your own; pass it as scale=, or one of {', '.join(there)}")
    return Found(genotype, data, scale, seed, _or(space, own))


def _or(given, default):
    return default if given is None else given


def _run_of(cell) -> runs.Run | None:
    """The run that `cell` is, or whose path it is or has."""
    if isinstance(cell, runs.Run):
        return cell
    path = cell.path if isinstance(cell, runs.Recorded) else cell
    if isinstance(path, os.PathLike):
        return runs.Run(Path(path))
    there = isinstance(path, str) and os.path.isfile(os.path.join(path, "config.json"))  # False for what is no path
    return runs.Run(path) if there else None


def of_job(job: dict) -> Plan:
    """The plan of a job of a sweep (see `studies.sweep`). Raises as `of_search`, and for settings that contradict the
    method, whose name would then mean something else."""
    if not isinstance(job, dict):
        raise ValueError(f"job: {job!r} is not allowed; it must be a dictionary of arguments of Search")
    settings = plain(job)
    names = {name: settings.pop(name, default) for name, default in JOB.items()}
    evaluation, genotype = settings.pop("evaluation", {}), settings.pop("genotype", None)
    protocol = settings.pop("protocol", "default")
    for name in ("data", "space", "method", "scale"):
        if not isinstance(names[name], str) and (name, names[name]) != ("space", None):
            kind = type(names[name]).__name__
            raise ValueError(f"{name}: {kind} is not allowed in a sweep; it must be a name")
    names["data"] = names["data"].lower()
    if names["data"] not in datasets.NAMES:
        raise ValueError(f"data: {names['data']!r} is not known in a sweep; known: {', '.join(datasets.NAMES)}")
    if names["space"] is None:
        names["space"] = tasks.of(names["data"]).space
    task, space = tasks.of(names["data"]), spaces.get(names["space"])
    scale = scales.get(names["scale"], task.domain)
    names["data"] = scale.data(names["data"])
    if genotype is None:
        task.check_cells(space, names["data"])
        method = methods.get(names["method"])
        _check_contradictions(method, settings, scale)
        plan = of_search(**names, **settings)
    else:
        if settings:
            name = ascii(next(iter(settings)))[1:-1][:80]
            raise ValueError(f"{name}: is not allowed beside a genotype, for which nothing is searched")
        if evaluation is None:
            raise ValueError("evaluation: None is not allowed beside a genotype, for which there is nothing else to do")
        genotype = _genotype(genotype)
        task.check_cells(genotype, names["data"])
        plan = Plan(space, names["data"], Method(names["method"]), scale.name, names["seed"], genotype=genotype)
    if evaluation is None:
        return plan
    if not isinstance(evaluation, dict):
        raise ValueError(f"evaluation: {evaluation!r} is not allowed; it must be a dictionary of settings, or None")
    if plan.search is not None and plan.search.parity:
        evaluation = {"parity": plan.search.parity} | evaluation
    return replace(plan, evaluation=_evaluation(scale, task, space, names["data"], protocol, evaluation))


def _check_parts(method: Method, content: dict) -> None:
    """Raises ValueError where `method` is not the one of a plan in JSON."""
    then, now = content["parts"], method.parts()
    for part in sorted(then.keys() | now.keys()):
        before, here = then.get(part, "the default"), now.get(part, "the default")
        if before != here:
            raise ValueError(
                f"method: {content['method']!r} had {part} {before}, this {method.name!r} has {here}; "
                "pass the method as method="
            )


def _check_contradictions(method: Method, settings: dict, scale) -> None:
    for name in sorted(settings.keys() & method.settings.keys()):
        if settings[name] != method.settings[name]:
            raise ValueError(
                f"{name}: {settings[name]!r} contradicts method {method.name!r}, which means {method.settings[name]!r}"
            )
    decay, plain = settings.get("weight_decay"), scale.search.weight_decay
    if method.strong_decay and decay is not None and decay <= plain:
        raise ValueError(f"weight_decay: {decay!r} contradicts method {method.name!r}, which means more than {plain!r}")


def _data(data):
    """The name of known data, in lower case, or data that can be searched on."""
    known = isinstance(data, str) and data.lower() in datasets.NAMES
    return data.lower() if known else datasets.load(data)


def _space_json(space: SearchSpace) -> dict:
    operations = {name: in_words(function) for name, function in space.operations.items()}
    return {"name": space.name, "cells": space.cells} | ({"operations": operations} if operations else {})


def _space_of(content: dict, space=None) -> SearchSpace | None:
    """`space`, or else that of a plan in JSON. Raises ValueError where that has operations of the user's own."""
    if space is not None:
        return spaces.get(space)
    if content["space"] is None:
        return None
    if own := content["space"].get("operations"):
        raise ValueError(f"space: has operations of your own ({', '.join(own)}); pass it as space=")
    return SearchSpace(**content["space"])


def _space(space, method: Method, settings: SearchSettings) -> SearchSpace:
    """The space that is searched: as many nodes as the settings say, without `none` where the method prunes."""
    space = spaces.get(space)
    if settings.nodes is not None:
        space = space.with_nodes(min(settings.nodes, space.nodes))
    return space.without(NONE) if method.pruning else space


def _genotype(genotype, space: SearchSpace | None = None) -> Genotype:
    return Genotype.of(genotype, KNOWN_OPERATIONS if space is None else space.names)


def _evaluation(scale, task, space, data, protocol, settings: dict) -> EvaluationSettings:
    scales.check_protocol(protocol)
    if scale.name == "paper" and space is not None:
        settings = task.published(space.name, data if isinstance(data, str) else data.name, protocol, settings)
    evaluation = override(scale.evaluation, **settings)
    return replace(evaluation, parity=ROBUSTDARTS) if evaluation.parity is True else evaluation
