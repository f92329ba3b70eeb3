"""Keys for the buttons of a lab: the one that was clicked last hears them, until Escape."""

from __future__ import annotations

import anywidget
import traitlets


class Keys(anywidget.AnyWidget):
    """Presses the buttons of the lab around it: `buttons` is key -> the buttons' names, of which the first that is in use is
    pressed. Nothing is heard while something is typed into a field or a cell, nor with Ctrl, Alt or Meta.
    """

    buttons = traitlets.Dict().tag(sync=True)
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
