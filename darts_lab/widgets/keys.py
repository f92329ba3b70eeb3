"""The buttons of a lab, when they can be pressed, the keys that press them, and how clicks reach a busy kernel."""

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
    "Present": ("desktop", _ALWAYS, "Large type for a class, choices folded away; once more brings them back."),
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


def answer_beside_cells(widget: widgets.Widget) -> None:
    """Lets `widget` and everything in it hear of clicks while a cell runs, where kernel and page have subshells.

    ipykernel 7.4 sends what comes from the page to the shell that made the widget, which the running cell blocks,
    although JupyterLab (4.4 on) asks for a subshell. Older kernels have no subshells or do as they are asked.
    """
    if hasattr(widget.comm, "_reply_subshell_for"):
        widget.comm._reply_subshell_for = lambda data, asked: asked
    for child in getattr(widget, "children", ()):
        answer_beside_cells(child)


class Keys(anywidget.AnyWidget):
    """Keys for the buttons of the lab around it, from a click into that lab until Escape or a click elsewhere.
    `buttons` maps a key to names of buttons: the first enabled one is pressed, unless something is typed or Ctrl, Alt
    or Meta are held. `answered` counts the clicks that the kernel has heard of; where it does not within 250 ms, the
    page says so by itself."""

    _css = """
    .darts-lab-present .darts-lab-status { font-size: 20px; line-height: 1.35; }
    .darts-lab-present .darts-lab-title { font-size: 18px; }
    .darts-lab-present .darts-lab-kept { font-size: 16px; }
    """
    answered = traitlets.Int(0).tag(sync=True)
    buttons = traitlets.Dict({"k": ["keep"], "p": ["pause", "resume"], "n": ["step"]}).tag(sync=True)
    _esm = """
    export default {
      render({ model, el }) {
        const note = document.createElement("div");
        note.className = "darts-lab-waits";
        note.textContent = "The kernel is busy with a running cell. The click is kept and counts when that has ended.";
        note.style.cssText = "padding: 4px 8px; border-left: 4px solid #c98a00; background: #fff6df; color: #333;";
        note.hidden = true;
        el.append(note);
        let listens = false, waiting = null;
        const answered = () => { clearTimeout(waiting); note.hidden = true; };
        const pressing = (event) => {
          const button = event.target.closest?.("button.jupyter-button");
          if (!button || button.disabled || !lab()?.contains(button)) return;
          clearTimeout(waiting);
          waiting = setTimeout(() => { note.hidden = false; }, 250);
        };
        model.on("change:answered", answered);
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
        window.addEventListener("click", pressing, true);
        return () => {
          window.removeEventListener("pointerdown", clicked, true);
          window.removeEventListener("keydown", pressed, true);
          window.removeEventListener("click", pressing, true);
          model.off("change:answered", answered);
          clearTimeout(waiting);
        };
      },
    };
    """


class Seen(anywidget.AnyWidget):
    """Nothing to see; `seen` becomes true once the place where it stands is on the screen."""

    seen = traitlets.Bool(False).tag(sync=True)
    _esm = """
    export default {
      render({ model, el }) {
        el.style.height = "1px";
        const observer = new IntersectionObserver((entries) => {
          if (!entries.some((entry) => entry.isIntersecting)) return;
          observer.disconnect();
          model.set("seen", true);
          model.save_changes();
        });
        observer.observe(el);
        return () => observer.disconnect();
      },
    };
    """
