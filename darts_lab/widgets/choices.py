"""The controls: what is searched, how, and with which parameters; each says what it stands for."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace

import ipywidgets as widgets

from darts_lab import data as datasets
from darts_lab import methods, spaces, tasks
from darts_lab.checks import Seed, allow
from darts_lab.methods.method import Method
from darts_lab.methods.named import DROP_PATHS, L2_FACTORS, METHODS
from darts_lab.methods.schedules import FisherTrace
from darts_lab.settings import SearchSettings, override
from darts_lab.spaces import SPACES
from darts_lab.tasks import scales
from darts_lab.tasks.classification import SCALES
from darts_lab.tasks.scales import DOMAINS

_L2 = (0, *(round(factor / L2_FACTORS[0]) for factor in L2_FACTORS))  # times the decay of the scale
_DROP_PATH = (*DROP_PATHS, 0.8)
_RHO, _FACTOR, _WINDOW = (0.01, 0.03, 0.1, 0.3, 1.0), (1.05, 1.1, 1.2, 1.3, 1.5, 2.0), (1, 3, 5, 7, 9)
_BATCHES, _USUAL_BATCHES = (1, 2, 4, 8), 2  # not the one batch of the scales, so that there is an error bar
_GROWTH = (1.01, 1.02, 1.05, 1.1, 1.2)

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
}
_SCALES = {
    "tiny": "seconds; proves that it runs and nothing else",
    "laptop": "a minute or a few on two cores; the phenomena are there",
    "paper": "the papers' protocol; needs a GPU and hours",
}


class Menu(widgets.Dropdown):
    """A menu of names; an object of the user's own may stand among them. `chosen` is the object, or else the name."""

    def __init__(self, what: str, chosen, known, tooltip: str, width: str = "190px"):
        self._own = {}
        name = chosen if isinstance(chosen, str) else getattr(chosen, "name", "own")
        options = list(known)
        match = next((option for option in options if option.lower() == name.lower()), None)
        if not isinstance(chosen, str):
            self._own[name] = chosen
            options, match = [*(option for option in options if option != name), name], name
        if match is None:
            raise ValueError(f"{what}: {name!r} is not known; known: {', '.join(options)}")
        super().__init__(
            options=options, value=match, description=what, tooltip=tooltip, layout={"width": width},
            style={"description_width": "initial"},
        )  # fmt: skip
        self.add_class(f"darts-lab-{what}")
        self._all = options

    @property
    def chosen(self):
        return self.named(self.value)

    def named(self, name: str):
        """What a name in the menu stands for."""
        return self._own.get(name, name)

    def offer(self, fits) -> None:
        """Offers only what `fits`, a function of a name's object; keeps the value if it does."""
        offered = [name for name in self._all if fits(self.named(name))]
        if offered != list(self.options):
            value = self.value if self.value in offered else offered[0]
            self.options = offered  # which sets the first of them
            self.value = value


def slider(name: str, values, value: float, tooltip: str) -> widgets.SelectionSlider:
    """A slider over a few values; `value` is among them, whatever it is."""
    made = widgets.SelectionSlider(
        options=sorted({*values, value}), value=value, description=name, tooltip=tooltip, continuous_update=False,
        layout={"width": "250px"}, style={"description_width": "80px"},
    )  # fmt: skip
    made.add_class(f"darts-lab-{name.lower().replace(' ', '-')}")
    return made


def set_slider(made: widgets.SelectionSlider, value: float) -> None:
    """Sets a slider, to a value that may be new to it."""
    if value not in made.options:
        made.options = sorted({*made.options, value})  # which keeps the value that was chosen
    made.value = value


def task_of(data) -> type[tasks.Task]:
    """The task that goes with data, in whatever form `Search` takes them."""
    return tasks.of(data if isinstance(data, str) else datasets.load(data))


def data_names() -> list[str]:
    """The embedded data sets, and the real ones whose files are there."""
    there = datasets.available()
    return [name for name in datasets.NAMES if there.get(name, True)]


class Choices(widgets.VBox):
    """What is searched: task, space, data, scale and seed. Arguments as for `Search`."""

    def __init__(self, space, data, scale, seed):
        self.space = Menu("space", space, SPACES, "Which operations compete on which edge of a cell.", "150px")
        if isinstance(data, str) and data.lower() in datasets.NAMES and data.lower() not in data_names():
            datasets.load(data)  # which says where it was looked for
        self.data = Menu("data", data, data_names(), "What the network learns to tell apart.", "150px")
        self.scale = Menu("scale", scale, SCALES, "How large everything is.", "160px")
        domain = self.task.domain
        self.domain = Menu(
            "task", domain, DOMAINS, "What kind of data it is; data and spaces are those that fit.", "175px"
        )
        allow("seed", seed, Seed)
        self.seed = widgets.BoundedIntText(
            value=seed, min=0, max=2**31 - 1, description="seed", layout={"width": "130px"},
            tooltip="The same seed gives the same search, bit for bit.", style={"description_width": "initial"},
        )  # fmt: skip
        self.seed.add_class("darts-lab-seed")
        self.help = widgets.HTML()
        self.all = (self.domain, self.space, self.data, self.scale, self.seed)
        chosen = self.space.value
        self._offer()
        if self.space.value != chosen:
            fit = ", ".join(self.space.options)
            raise ValueError(f"space: {chosen!r} does not fit data {self.data.value!r}; {fit} would")
        self._first = [control.value for control in self.all]
        super().__init__([widgets.HBox(self.all, layout={"flex_flow": "row wrap"}), self.help])
        self.domain.observe(lambda _: self._offer(), "value")
        for control in self.all:
            control.observe(lambda _: self._explain(), "value")
        self._explain()

    @property
    def task(self) -> type[tasks.Task]:
        """The task of the chosen data."""
        return task_of(self.data.chosen)

    def _offer(self) -> None:
        """Data of the chosen task, and spaces whose cells they need."""
        self.data.offer(lambda data: task_of(data).domain == self.domain.value)
        self.space.offer(lambda space: spaces.get(space).cell_types == self.task.cell_types)

    def _explain(self) -> None:
        space = spaces.get(self.space.chosen)
        edges = [edge for edges in space.cells.values() for edge in edges]
        offered, same = dict.fromkeys(name for edge in edges for name in edge), len(set(edges)) == 1
        every = "every edge offers" if same else f"every edge offers {space.candidates} of"
        scale = _SCALES.get(self.scale.value, "of your own")
        words = f"<b>{space.name}</b>: {every} {', '.join(offered)}. <b>{self.scale.value}</b>: {scale}."
        self.help.value = f"<span style='color:#555'>{words}</span>"

    def reset(self) -> None:
        for control, value in zip(self.all, self._first, strict=True):
            control.value = value


class MethodChoice(widgets.VBox):
    """A method and its parameters. `settings` are those of the search that the user has fixed, L2 and drop path included.

    `settings_changed` is called with the name and the value of L2 ("weight_decay") or drop path ("drop_path") when the
    user moves one of these; all other parameters count when a search begins.
    """

    def __init__(self, method, choices: Choices, settings: dict, settings_changed):
        self.menu = Menu("method", method, METHODS, "How the mixing weights are found.")
        self._first, self._choices, self._fixed = self.menu.value, choices, dict(settings)
        self.help = widgets.HTML()
        usual = self._usual()
        self.weight_decay = slider(
            "L2", (), usual.weight_decay, "Weight decay of the network's weights. May be moved while a search runs."
        )
        self.drop_path = slider(
            "drop path", _DROP_PATH, usual.drop_path,
            "Largest probability with which paths are dropped; rises towards the end. May be moved while a search runs.",
        )  # fmt: skip
        self.batches = slider(
            "batches", _BATCHES, self._fixed.get("curvature_batches", _USUAL_BATCHES),
            "Validation batches, or as many as there are, on which the dominant eigenvalue is measured; two or more give it "
            "an error bar.",
        )  # fmt: skip
        self.live = {"weight_decay": self.weight_decay, "drop_path": self.drop_path}
        self._by_hand = True
        for name, control in self.live.items():
            control.observe(
                lambda change, name=name: settings_changed(name, change["new"]) if self._by_hand else None, "value"
            )
        self.parameters: dict[str, widgets.SelectionSlider] = {}  # those that only this method has
        self._box = widgets.HBox(layout={"flex_flow": "row wrap"})
        super().__init__([widgets.HBox([self.menu, self.help]), self._box])
        self.menu.observe(lambda _: self._begin(), "value")
        for control in (choices.scale, choices.data):
            control.observe(lambda _: self._begin(), "value")
        self._begin()

    def _usual(self) -> SearchSettings:
        """The settings of a search as method, scale and user have them."""
        method = methods.get(self.menu.chosen)
        scale = scales.get(self._choices.scale.chosen, self._choices.task.domain)
        return override(scale.search, **(method.defaults(scale) | self._fixed))

    def _decays(self) -> list[float]:
        """The L2 factors that are offered, for the scale and the domain that are chosen."""
        usual = scales.get(self._choices.scale.chosen, self._choices.task.domain).search.weight_decay
        return [float(f"{factor * usual:.6g}") for factor in _L2]

    def _begin(self) -> None:
        method, usual = methods.get(self.menu.chosen), self._usual()
        self._by_hand = False  # `show` listens to the user again
        self.weight_decay.options = sorted({usual.weight_decay, *self._decays()})
        self.show(**{name: getattr(usual, name) for name in self.live})
        set_slider(self.batches, self._fixed.get("curvature_batches", _USUAL_BATCHES))
        self.parameters = {}
        for name, (values, value, tooltip) in _parameters(method).items():
            self.parameters[name] = slider(name, values, value, tooltip)
        for control in self._box.children:
            if control not in (*self.live.values(), self.batches):
                control.close()
        self._box.children = (*self.live.values(), self.batches, *self.parameters.values())
        self.help.value = f"<span style='color:#555'>{_METHODS.get(method.name, '')}</span>"

    def show(self, **values: float) -> None:
        """Sets L2 or drop path to what a search has by now."""
        self._by_hand = False
        try:
            for name, value in values.items():
                if self.live[name].value != value:
                    set_slider(self.live[name], value)
        finally:
            self._by_hand = True

    def reset(self) -> None:
        self.menu.value = self._first
        self._begin()

    @property
    def method(self) -> Method:
        """The chosen method with the chosen parameters, which stand in its name where they are not its own."""
        method = methods.get(self.menu.chosen)
        usual = {name: value for name, (_, value, _) in _parameters(method).items()}
        chosen = {name: control.value for name, control in self.parameters.items()}
        moved = {name: value for name, value in chosen.items() if value != usual[name]}
        if not moved:
            return method
        changes = {"name": f"{method.name}({', '.join(f'{name} {value:g}' for name, value in moved.items())})"}
        if "rho" in moved:
            changes["terms"] = tuple(
                replace(term, rho=moved["rho"]) if _has_rho(term) else term for term in method.terms
            )
            changes["admm"] = replace(method.admm, rho=moved["rho"]) if method.admm is not None else None
        if "multiplier" in moved:
            changes["schedule"] = replace(method.schedule, growth=moved["multiplier"])
        of_rule = {name: moved[name] for name in ("window", "factor") if name in moved}
        if of_rule:
            changes["monitor"] = replace(method.monitor, rule=replace(method.monitor.rule, **of_rule))
        return replace(method, **changes)

    @property
    def settings(self) -> dict:
        return self._fixed | {name: control.value for name, control in self.live.items()}

    def lock(self, locked: bool) -> None:
        """Whether all but L2 and drop path are out of use."""
        for control in (self.menu, self.batches, *self.parameters.values()):
            control.disabled = locked


def _has_rho(term) -> bool:
    return is_dataclass(term) and any(field.name == "rho" for field in fields(term))


def _parameters(method: Method) -> dict[str, tuple[tuple, float, str]]:
    """The parameters that only some methods have: name -> (values, its own, what it is)."""
    found = {}
    rho = [term.rho for term in (*method.terms, method.admm) if term is not None and _has_rho(term)]
    if rho:
        found["rho"] = _RHO, rho[0], "How strongly mixing weights are pulled towards a discrete cell."
    if method.monitor is not None:
        rule = method.monitor.rule
        found["window"] = _WINDOW, rule.window, "Eigenvalues that are averaged, as many before as behind."
        found["factor"] = (
            _FACTOR,
            rule.factor,
            "How many times as large the average must become for the search to stop.",
        )
    if isinstance(method.schedule, FisherTrace):
        found["multiplier"] = (
            _GROWTH, method.schedule.growth,
            "By how much the threshold of the Fisher trace grows with every batch that alpha waits.",
        )  # fmt: skip
    return found
