"""The list of models: what each is for, whether it fits the chosen volume, and its card."""

from __future__ import annotations

from typing import Any, Callable, Optional

import qt
import slicer
from slicer.i18n import tr as _

from LowResSegSlicer.models import unsuited
from LowResSegSlicer.panel import words
from LowResSegSlicer.panel.section import Context, sentence

_RUNTIME = "onnxruntime"


class ModelChoice:
    """The widgets around the list of models in the section "Segment"."""

    def __init__(self, context: Context, ui: Any, say: Callable[[str], None]) -> None:
        """Wire the widgets.

        Args:
            context: of the panel.
            ui: the section's widgets by their names.
            say: shows a sentence to the user.
        """
        self.context, self.ui, self.say = context, ui, say
        self.entries: list[Any] = []
        self._reasons: dict[tuple[str, str], Optional[str]] = {}
        self._offered: list[Any] = []  # of another computer
        ui.modelSelector.connect("activated(int)", self._on_chosen)
        ui.modelCardButton.connect("toggled(bool)", self._on_card)
        ui.installRuntimeButton.connect("clicked(bool)", self._on_install)

    def read(self) -> None:
        """List the models anew, after one was installed or removed."""
        self._offered = self.context.remote.offered()
        here = [entry for entry in self.context.logic.models() if entry.card or entry.problem is None]
        self.entries = [*here, *self._offered]
        self._reasons.clear()
        selector = self.ui.modelSelector
        selector.clear()
        for entry in self.entries:
            selector.addItem(self._title(entry))

    def chosen(self) -> Optional[Any]:
        """The entry of the chosen model; None where it is not installed here."""
        chosen = self.context.chosen
        found = [entry for entry in self.entries if chosen is not None and entry.name == chosen.model]
        return found[0] if found else None

    def refresh(self) -> None:
        """Show the chosen model, and with each model whether it fits the chosen volume."""
        if self.context.remote.offered() != self._offered:
            self.read()
        entry, chosen = self.chosen(), self.context.chosen
        volume = chosen.inputVolume if chosen is not None else None
        for index, each in enumerate(self.entries):
            reason = self._why_not(each, volume)
            self.ui.modelSelector.setItemText(
                index,
                self._title(each) if reason is None else _("{model} (does not fit)").format(model=each.title),
            )
            self.ui.modelSelector.setItemData(index, reason or "", qt.Qt.ToolTipRole)
        # A model that is not installed here leaves the list empty, so that any other can be chosen.
        self.ui.modelSelector.setCurrentIndex(self.entries.index(entry) if entry is not None else -1)
        self._show(entry, self._why_not(entry, volume) if entry is not None else None)

    def _show(self, entry: Optional[Any], reason: Optional[str]) -> None:
        chosen = self.context.chosen
        if entry is None:
            missing = chosen.model if chosen is not None else ""
            self.ui.modelInfoLabel.text = _("The model {name} is not installed here; choose another.").format(
                name=missing
            )
        else:
            facts = [entry.modality, _("{count} structures").format(count=len(entry.structures)), entry.licence]
            self.ui.modelInfoLabel.text = " · ".join(fact for fact in facts if fact)
            self.ui.modelInfoLabel.toolTip = ", ".join(entry.structures)
            self.ui.modelCardBrowser.setHtml(words.card_html(entry))
        self.ui.modelProblemLabel.text = reason or ""
        self.ui.modelProblemLabel.visible = reason is not None
        self.ui.modelCardButton.enabled = entry is not None
        self.ui.modelCardBrowser.visible = entry is not None and self.ui.modelCardButton.checked
        needed = entry is not None and entry.problem is not None and _RUNTIME in entry.problem
        self.ui.installRuntimeButton.visible = needed
        self.ui.installRuntimeButton.enabled = self.context.run is None

    @staticmethod
    def _title(entry: Any) -> str:
        if entry.described is None:
            return str(entry.title)
        return _("{model} (on the other computer)").format(model=entry.title)

    def _why_not(self, entry: Any, volume: Optional[Any]) -> Optional[str]:
        if entry.problem is not None:
            return str(entry.problem)
        key = (entry.name, volume.GetID() if volume is not None else "")
        if key not in self._reasons:
            if entry.described is None:
                self._reasons[key] = self.context.logic.why_not(entry.name, volume)
            else:
                self._reasons[key] = unsuited(entry.name, entry.modality, volume) if volume is not None else None
        return self._reasons[key]

    def _on_chosen(self, index: int) -> None:
        if self.context.chosen is not None and 0 <= index < len(self.entries):
            self.context.chosen.model = self.entries[index].name
            self.context.refresh()

    def _on_card(self, shown: bool) -> None:
        self.ui.modelCardBrowser.visible = shown

    def _on_install(self, checked: bool = False) -> None:
        """Install onnxruntime after consent. The window waits meanwhile, as with all packages in Slicer."""
        question = _(
            "This model needs the Python package onnxruntime. Shall it be downloaded from PyPI and installed into"
            " Slicer? Nothing of your scans is sent."
        )
        if not slicer.util.confirmOkCancelDisplay(question, _("Install onnxruntime")):
            return
        try:
            install_package(_RUNTIME)
        except Exception as error:
            self.say(_("onnxruntime could not be installed: {reason}").format(reason=sentence(error)))
            return
        self.context.logic.close()  # the worker process of before does not have it
        self.read()
        self.say(_("onnxruntime is installed."))
        self.context.refresh()


def install_package(name: str) -> None:
    """Install a Python package into Slicer, as the version of Slicer offers it."""
    try:
        from slicer import packaging  # since Slicer 5.11
    except ImportError:
        slicer.util.pip_install(name)
    else:
        packaging.pip_install(name)
