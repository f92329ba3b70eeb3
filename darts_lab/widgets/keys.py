"""The buttons of a lab, when they can be pressed, and the keys that press them."""

import anywidget
import ipywidgets as widgets
import traitlets

_AT_REST = ("idle", "stopped", "finished", "failed")
_ALWAYS = (*_AT_REST, "working", "paused")
_BUTTONS = {  # name: (icon, states of the lab in which it can be pressed, tooltip)
    "Start": ("play", _AT_REST, "Begins a new search with the choices above."),
    "Pause": ("pause", ("working",), "Holds everything before the next batch. Key: p"),
    "Resume": (
        "forward", ("idle", "stopped", "failed", "paused"),
        "Goes on: after a pause, a stop, or with the last unfinished run of these choices on disk. Key: p",
    ),
    "Step": ("step-forward", (*_AT_REST, "paused"), "One epoch, then a pause. Key: n"),
    "Stop": ("stop", ("working", "paused"), "Ends the search after this batch. Resume would go on with it."),
    "Reset": ("refresh", _ALWAYS, "Back to the beginning. Runs stay on disk, kept cells stay below."),
    "Keep": ("bookmark", _ALWAYS, "Keeps the cell of the last finished epoch in the list below. Key: k"),
    "Retrain": ("graduation-cap", _ALWAYS, "Keeps the cell and trains it from scratch; the search waits meanwhile."),
}  # fmt: skip


class Buttons(widgets.HBox):
    """The buttons, by name in `named`. A click calls `pressed` with the name in lower case."""

    def __init__(self, pressed):
        self.named = {}
        for name, (icon, _, tooltip) in _BUTTONS.items():
            button = widgets.Button(description=name, icon=icon, tooltip=tooltip, layout={"width": "98px"})
            button.on_click(lambda _, name=name: pressed(name.lower()))
            self.named[name] = button.add_class(f"darts-lab-{name.lower()}")
        self.named["Start"].button_style = "success"
        super().__init__([*self.named.values()], layout={"flex_flow": "row wrap", "margin": "8px 0"})

    def show(self, state: str, searched: bool) -> None:
        """Enables the buttons of a state; Keep and Retrain need a search."""
        for name, (_, states, _) in _BUTTONS.items():
            self.named[name].disabled = state not in states or name in ("Keep", "Retrain") and not searched


class Keys(anywidget.AnyWidget):
    """Keys for the buttons of the lab around it, from a click into that lab until Escape or a click elsewhere.
    `buttons` maps a key to names of buttons: the first enabled one is pressed, unless something is typed or Ctrl, Alt
    or Meta are held."""

    buttons = traitlets.Dict({"k": ["keep"], "p": ["pause", "resume"], "n": ["step"]}).tag(sync=True)
    _esm = """
    export default {
      render({ model, el }) {
        el.style.display = "none";
        let listens = false;
        const lab = () => el.closest(".darts-lab");
        const clicked = (event) => { listens = lab()?.contains(event.target) ?? false; };
        const pressed = (event) => {
          if (event.key === "Escape") listens = false;
          const typing = event.target.closest?.("input, select, textarea, [contenteditable=true], .noUi-handle");
          const names = model.get("buttons")[event.key];
          if (!listens || !names || typing || event.ctrlKey || event.altKey || event.metaKey) return;
          event.preventDefault();
          event.stopImmediatePropagation();  // the notebook has shortcuts of its own
          const buttons = names.map((name) => lab().querySelector(`button.darts-lab-${name}`));
          if (!event.repeat) buttons.find((button) => !button.disabled)?.click();
        };
        window.addEventListener("pointerdown", clicked, true);
        window.addEventListener("keydown", pressed, true);
        return () => {
          window.removeEventListener("pointerdown", clicked, true);
          window.removeEventListener("keydown", pressed, true);
        };
      },
    };
    """
