"""Section "Models": which models are installed, where, how large; install and remove."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any, Callable, Optional

import qt
import slicer
from slicer.i18n import tr as _

from LowResSegLib.model import read_model
from LowResSegSlicer.panel import words
from LowResSegSlicer.panel.section import Context, Section, say, sentence

_ROW = 22  # height in pixels


class Models(Section):
    """The models of this computer."""

    ui_file = "Models.ui"

    def __init__(self, context: Context, changed: Callable[[], None]) -> None:
        """Wire the widgets.

        Args:
            context: of the panel.
            changed: called when a model was installed or removed.
        """
        Section.__init__(self, context)
        self._changed = changed
        self._entries: list[Any] = []
        header = self.ui.modelsTable.horizontalHeader()
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        for column in (1, 2):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        self.ui.modelsTable.connect("itemSelectionChanged()", self._on_selection)
        self.ui.installModelButton.connect("clicked(bool)", self._on_install)
        self.ui.removeModelButton.connect("clicked(bool)", self._on_remove)
        self.ui.openFolderButton.connect("clicked(bool)", self._on_open)
        self.read()

    def read(self) -> None:
        """List the models anew."""
        table = self.ui.modelsTable
        self._entries = self.context.logic.models()
        table.setRowCount(len(self._entries))
        for number, entry in enumerate(self._entries):
            place = _("yours") if entry.removable else _("bundled")
            texts = (entry.title, words.size_text(entry.bytes), place)
            for column, text in enumerate(texts):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(entry.problem or str(entry.path))
                table.setItem(number, column, item)
            if entry.problem is not None:
                table.item(number, 2).setText(_("cannot be used"))
            table.setRowHeight(number, _ROW)
        table.setFixedHeight(_ROW * (1 + min(max(len(self._entries), 2), 8)) + 6)
        own = [entry for entry in self._entries if entry.removable]
        text = _("Your own models take {size}, in {folder}") if own else _("Your own models are kept in {folder}")
        folder = html.escape(str(self.context.logic.models_folder()))
        size = words.size_text(sum(entry.bytes for entry in own))
        self.ui.modelsFolderLabel.text = text.format(size=size, folder=folder)
        self._on_selection()

    def _selected(self) -> Optional[Any]:
        row = self.ui.modelsTable.currentRow()
        selected = self.ui.modelsTable.selectedItems()
        return self._entries[row] if selected and 0 <= row < len(self._entries) else None

    def _on_selection(self) -> None:
        entry = self._selected()
        self.ui.removeModelButton.enabled = entry is not None and entry.removable
        self.ui.removeModelButton.toolTip = (
            _("Models that come with LowResSeg cannot be removed.")
            if entry is not None and not entry.removable
            else _("Delete the chosen model from your folder. Asks first.")
        )
        say(self.ui.modelsMessage, (entry.problem or "") if entry is not None else "")

    def _on_install(self, checked: bool = False) -> None:
        path = qt.QFileDialog.getOpenFileName(None, _("Install a model"), "", _("Models (*.lowresseg)"))
        path = path[0] if isinstance(path, (tuple, list)) else path
        if path:
            self.install(path)

    def install(self, path: str) -> None:
        """Install a file, and ask before one of the same name is replaced."""
        try:
            name = read_model(Path(path)).name
            taken = any(entry.name == name and entry.removable for entry in self._entries)
            question = _("Your model {name} is installed already. Shall it be replaced?").format(name=name)
            if taken and not slicer.util.confirmOkCancelDisplay(question, _("Install a model")):
                return
            self.context.logic.install_model(path, overwrite=taken)
        except Exception as error:
            say(self.ui.modelsMessage, sentence(error))
            return
        self._changed()
        say(self.ui.modelsMessage, _("{name} is installed.").format(name=name))

    def _on_remove(self, checked: bool = False) -> None:
        entry = self._selected()
        question = _("Shall the model {name} be deleted from this computer?").format(name=entry.name)
        if not slicer.util.confirmOkCancelDisplay(question, _("Remove a model")):
            return
        try:
            self.context.logic.remove_model(entry.name)
        except Exception as error:
            say(self.ui.modelsMessage, sentence(error))
            return
        self._changed()
        say(self.ui.modelsMessage, _("{name} was removed.").format(name=entry.name))

    def _on_open(self, checked: bool = False) -> None:
        folder = self.context.logic.models_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            say(self.ui.modelsMessage, _("The folder cannot be made ({reason}).").format(reason=error.strerror))
            return
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(folder)))
