"""The controls: what is searched, with which method, and with which parameters."""

from dataclasses import fields, replace
from typing import Any

import ipywidgets as widgets

from darts_lab import data as datasets
from darts_lab import methods, spaces, tasks
from darts_lab.checks import Seed, allow
from darts_lab.methods.method import Method
from darts_lab.methods.named import DROP_PATHS, L2_FACTORS, METHODS
from darts_lab.methods.schedules import FisherTrace
from darts_lab.settings import override
from darts_lab.spaces import SPACES
from darts_lab.tasks import scales
from darts_lab.tasks.classification import SCALES
from darts_lab.tasks.scales import DOMAINS
from darts_lab.widgets.keys import answer_beside_cells

_L2 = (0, *(round(factor / L2_FACTORS[0]) for factor in L2_FACTORS))  # times the decay of the scale
_BATCHES = 2  # of the dominant eigenvalue; scales use one, but two give an error bar
_PARAMETERS = {  # those that only some methods have: name: (offered values, tooltip)
    "rho": ((0.01, 0.03, 0.1, 0.3, 1.0), "How strongly mixing weights are pulled towards a discrete cell."),
    "window": ((1, 3, 5, 7, 9), "Number of eigenvalues in an average, half of them before and half after."),
    "factor": ((1.05, 1.1, 1.2, 1.3, 1.5, 2.0), "How many times as large the average must become to stop the search."),
    "multiplier": ((1.01, 1.02, 1.05, 1.1, 1.2), "Growth of the Fisher trace's threshold with every batch of waiting."),
}

_METHODS = {
    "DARTS": "mixing weights by gradient descent on the validation loss",
    "DARTS-1st": "DARTS, first order: alpha's gradient at the current weights",
    "DARTS-2nd": "DARTS, second order: alpha's gradient after one unrolled step of the weights",
    "R-DARTS(L2)": "DARTS with a strong weight decay, against over-fitting",
    "R-DARTS(DP)": "DARTS with drop path and Cutout, against over-fitting",
    "DARTS-ES": "DARTS that stops when the dominant eigenvalue has risen too much",
    "DARTS-ADA": "DARTS that then goes back, and on with ten times the weight decay",
    "RS-ws": "no alpha: one random cell a batch, the best of many samples at the end",
    "DARTS-PRIME": "alpha waits for moments with a small Fisher trace, and is pulled towards discrete cells",
    "CRB": "weights between 0 and 1 that do not compete; what reaches 0 is pruned",
    "DARTS-PT": "DARTS, whose cell keeps at the end what the supernet misses most",
    "DARTS-PT(fixed alpha)": "alpha stays at zero; the cell keeps what the supernet misses most",
    "SDARTS-RS": "the weights see mixing weights that are shifted at random",
    "SDARTS-ADV": "the weights see mixing weights that are shifted against them",
    "PC-DARTS": "a quarter of the channels go through operations; edges have weights of their own",
    "DARTS-": "an auxiliary skip beside every edge fades out",
    "Fair-DARTS": "operations do not compete; all are pushed to 0 or 1",
    "beta-DARTS": "alpha pays for being large",
    "GDAS": "one operation an edge is drawn for every step",
    "DrNAS": "mixing weights are drawn from a distribution that is learnt",
    "OLES": "operations that begin to over-fit are frozen",
    "Lambda-DARTS": "the cells of the network shall agree on what they want of alpha",
}
_SCALES = {
    "tiny": "seconds; proves that it runs and nothing else",
    "laptop": "a minute or a few on two cores; the phenomena are there",
    "workstation": "cells of the papers' size on a fifth of their images; needs a GPU",
    "paper": "the papers' protocol; needs a GPU and hours",
}


class Menu(widgets.Dropdown):
    """A menu of names; one may stand for an object of the user's own, which then is `chosen` in place of its name."""

    options: Any
    value: Any

    def __init__(self, label: str, chosen, known, tooltip: str, width: str = "190px"):
        name = chosen if isinstance(chosen, str) else getattr(chosen, "name", "own")
        self._own = {} if isinstance(chosen, str) else {name: chosen}
        self._all = [*(option for option in known if option not in self._own), *self._own]
        match = name if self._own else next((one for one in self._all if one.lower() == name.lower()), None)
        if match is None:
            raise ValueError(f"{label}: {name!r} is not known; known: {', '.join(self._all)}")
        look = {"layout": {"width": width}, "style": {"description_width": "initial"}}
        super().__init__(options=self._all, value=match, description=label, tooltip=tooltip, **look)
        self.add_class(f"darts-lab-{label}")

    @property
    def chosen(self):
        return self._own.get(self.value, self.value)

    def offer(self, fits) -> None:
        """Offers only what `fits`, a function of the object or name, allows; keeps the value if it can."""
        offered = [name for name in self._all if fits(self._own.get(name, name))]
        if offered != list(self.options):
            value = self.value if self.value in offered else offered[0]
            self.options = offered  # which sets the first of them
            self.value = value


def slider(name: str, value: float, values, tooltip: str) -> widgets.SelectionSlider:
    """A slider over `values` and `value`."""
    look = {"layout": {"width": "250px"}, "style": {"description_width": "80px"}, "continuous_update": False}
    options = sorted({*values, value})
    control = widgets.SelectionSlider(options=options, value=value, description=name, tooltip=tooltip, **look)
    return control.add_class(f"darts-lab-{name.lower().replace(' ', '-')}")


def set_slider(control: widgets.SelectionSlider, value: float) -> None:
    """Sets a slider to a value that it may not offer yet."""
    if value not in control.options:
        control.options = sorted({*control.options, value})  # which keeps the chosen value
    control.value = value


def task_of(data) -> type[tasks.Task]:
    return tasks.of(data if isinstance(data, str) else datasets.load(data))


class Choices(widgets.VBox):
    """What is searched: task, space, data, scale and seed. Arguments as for `Search`."""

    def __init__(self, space, data, scale, seed):
        there = dict.fromkeys(datasets.NAMES, True) | datasets.available()
        if isinstance(data, str) and not there.get(data.lower(), True):
            datasets.load(data)  # raises, with the folder in which the files should be
        names = [name for name in there if there[name]]
        self.data = Menu("data", data, names, "What the network learns to tell apart.", "150px")
        self.space = Menu(
            "space",
            self.task.space if space is None else space,
            SPACES,
            "Which operations compete on which edge of a cell.",
            "150px",
        )
        self.scale = Menu("scale", scale, SCALES, "How large everything is.", "160px")
        self.domain = Menu("task", self.task.domain, DOMAINS, "Only data and spaces that fit are offered.", "175px")
        seed = allow("seed", seed, Seed)
        look = {"layout": {"width": "130px"}, "style": {"description_width": "initial"}}
        self.seed = widgets.BoundedIntText(seed, min=0, max=2**31 - 1, description="seed", **look)
        self.seed.tooltip = "The same seed gives the same search, bit for bit."
        self.seed.add_class("darts-lab-seed")
        self.help = widgets.HTML()
        self.all = (self.domain, self.space, self.data, self.scale, self.seed)
        chosen = self.space.value
        self._offer()
        if self.space.value != chosen:
            fit = ", ".join(self.space.options)
            raise ValueError(f"space: {chosen!r} does not fit data {self.data.value!r}; {fit} would")
        self._first = self.values
        super().__init__([widgets.HBox(self.all, layout={"flex_flow": "row wrap"}), self.help])
        self.domain.observe(lambda _: self._offer(), "value")
        for control in self.all:
            control.observe(lambda _: self._explain(), "value")
        self._explain()

    @property
    def task(self) -> type[tasks.Task]:
        return task_of(self.data.chosen)

    def _offer(self) -> None:
        # the scale first: what watches the data asks for the scale of their domain
        self.scale.offer(lambda scale: not isinstance(scale, str) or scale in DOMAINS[self.domain.value])
        self.data.offer(lambda data: task_of(data).domain == self.domain.value)
        self.space.offer(lambda space: spaces.get(space).cell_types == self.task.cell_types)

    def _explain(self) -> None:
        space = spaces.get(self.space.chosen)
        edges = [edge for edges in space.cells.values() for edge in edges]
        offered = dict.fromkeys(name for edge in edges for name in edge)
        every = "every edge offers" + ("" if len(set(edges)) == 1 else f" {space.candidates} of")
        scale = f"<b>{self.scale.value}</b>: {_SCALES.get(self.scale.value, 'of your own')}"
        words = f"<b>{space.name}</b>: {every} {', '.join(offered)}. {scale}."
        self.help.value = f"<span style='color:#555'>{words}</span>"

    @property
    def values(self) -> list:
        return [control.value for control in self.all]

    def put(self, values: list) -> None:
        """Sets all controls to `values` of before."""
        for control, value in zip(self.all, values, strict=True):
            control.value = value

    def reset(self) -> None:
        self.put(self._first)


class MethodChoice(widgets.VBox):
    """A method and its parameters. `settings` are the search settings that the user has fixed; `moved` is called with
    "weight_decay" or "drop_path" and its value when the user moves one of these. `chosen` are both as the method has
    them or the user has moved them; the sliders may show those of a search that has changed them by itself."""

    def __init__(self, method, choices: Choices, settings: dict, moved):
        self.menu = Menu("method", method, METHODS, "How the mixing weights are found.")
        self._first, self._choices, self._all_fixed = self.menu.value, choices, dict(settings)
        self._task = choices.task
        self.help = widgets.HTML()
        self.weight_decay = slider("L2", 0.0, (), "Weight decay. May be moved while a search runs.")
        words = "Largest probability of dropping a path, at the end. May be moved while a search runs."
        self.drop_path = slider("drop path", 0.0, (*DROP_PATHS, 0.8), words)
        words = "Validation batches, at most, of the dominant eigenvalue; two or more give it an error bar."
        self.batches = slider("batches", _BATCHES, (1, 2, 4, 8), words)
        self.live = {"weight_decay": self.weight_decay, "drop_path": self.drop_path}
        self.chosen: dict[str, float] = {}
        self._by_hand, self._tell = True, moved  # whether it is the user who moves a slider
        for name, control in self.live.items():
            control.observe(lambda event, name=name: self._moved(name, event["new"]), "value")
        self.parameters: dict[str, widgets.SelectionSlider] = {}  # those that only this method has
        self._box = widgets.HBox(layout={"flex_flow": "row wrap"})
        super().__init__([widgets.HBox([self.menu, self.help]), self._box])
        for control in (self.menu, choices.scale, choices.data):
            control.observe(lambda _: self._show_usual(), "value")
        self._show_usual()

    def _moved(self, name: str, value: float) -> None:
        if self._by_hand:
            self.chosen = self.chosen | {name: value}
            self._tell(name, value)

    def _show_usual(self) -> None:
        """Shows the parameters of the chosen method at their usual values, or as the user has fixed them."""
        method, scale = methods.get(self.menu.chosen), scales.get(self._choices.scale.chosen, self._choices.task.domain)
        own = self._choices.task is self._task  # another task may lack settings of this one
        known = {field.name for field in fields(scale.search)}
        self._fixed = {name: value for name, value in self._all_fixed.items() if own or name in known}
        usual = override(scale.search, **(method.defaults(scale) | self._fixed))
        offered = [float(f"{factor * scale.search.weight_decay:.6g}") for factor in _L2]
        self._by_hand = False  # until the end of `show`
        self.weight_decay.options = sorted({usual.weight_decay, *offered})
        self.chosen = {name: getattr(usual, name) for name in self.live}
        self.show(**self.chosen)
        set_slider(self.batches, self._fixed.get("curvature_batches", _BATCHES))
        for control in self.parameters.values():
            control.close()
        self.parameters = {name: slider(name, value, *_PARAMETERS[name]) for name, value in _parameters(method).items()}
        for control in self.parameters.values():
            answer_beside_cells(control)
        self._box.children = (*self.live.values(), self.batches, *self.parameters.values())
        self.help.value = f"<span style='color:#555'>{_METHODS.get(method.name, '')}</span>"

    def show(self, **values: float) -> None:
        """Sets the sliders of L2 or drop path to the values of a search."""
        self._by_hand = False
        try:
            for name, value in values.items():
                set_slider(self.live[name], value)
        finally:
            self._by_hand = True

    def reset(self) -> None:
        self.menu.value = self._first
        self._show_usual()

    @property
    def values(self) -> tuple:
        return self.menu.value, self.chosen, self.batches.value, {n: one.value for n, one in self.parameters.items()}

    def put(self, values: tuple) -> None:
        """Sets all controls to `values` of before."""
        self.menu.value, self.chosen, batches, parameters = values
        self.show(**self.chosen)
        set_slider(self.batches, batches)
        for name, value in parameters.items():
            set_slider(self.parameters[name], value)

    @property
    def method(self) -> Method:
        """The chosen method with the chosen parameters; its name has those that were moved."""
        method = methods.get(self.menu.chosen)
        own = _parameters(method)
        moved = {name: control.value for name, control in self.parameters.items() if control.value != own[name]}
        if not moved:
            return method
        words = ", ".join(f"{name} {value:g}" for name, value in moved.items())
        changes: dict[str, Any] = {"name": f"{method.name}({words})"}
        if "rho" in moved:
            terms: list[Any] = [*method.terms]  # of which some have a rho
            terms = [replace(term, rho=moved["rho"]) if _has_rho(term) else term for term in terms]
            admm = None if method.admm is None else replace(method.admm, rho=moved["rho"])
            changes |= {"terms": tuple(terms), "admm": admm}
        if "multiplier" in moved and isinstance(method.schedule, FisherTrace):
            changes["schedule"] = replace(method.schedule, growth=moved["multiplier"])
        rule = {name: moved[name] for name in ("window", "factor") if name in moved}
        if rule and method.monitor is not None:
            changes["monitor"] = replace(method.monitor, rule=replace(method.monitor.rule, **rule))
        return replace(method, **changes)

    @property
    def settings(self) -> dict:
        return self._fixed | self.chosen

    def lock(self, locked: bool) -> None:
        """Disables or enables all controls but L2 and drop path."""
        for control in (self.menu, self.batches, *self.parameters.values()):
            control.disabled = locked


def _has_rho(term) -> bool:
    return "rho" in getattr(term, "__dataclass_fields__", ())


def _parameters(method: Method) -> dict[str, float]:
    """Those parameters of a method that not every method has."""
    terms: list[Any] = [*method.terms, method.admm]
    rhos = [term.rho for term in terms if _has_rho(term)]
    values = {"rho": rhos[0]} if rhos else {}
    if method.monitor is not None:
        values |= {"window": method.monitor.rule.window, "factor": method.monitor.rule.factor}
    if isinstance(method.schedule, FisherTrace):
        values["multiplier"] = method.schedule.growth
    return values
