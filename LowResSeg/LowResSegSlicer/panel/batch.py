"""Section "Batch": many scans, one after the other, with the model and the options chosen above."""

from __future__ import annotations

import time
from typing import Any, Callable, Optional

import qt
from slicer.i18n import tr as _

from LowResSegSlicer.nodes import scans
from LowResSegSlicer.panel import settings, words
from LowResSegSlicer.panel.section import Context, Section, say, sentence

_ROW = 22  # height in pixels
_SCENE, _FOLDER = 0, 1  # as they are listed


class Batch(Section):
    """A table of cases, each with its status."""

    ui_file = "Batch.ui"

    def __init__(
        self, context: Context, options: Callable[[], dict[str, Any]], model: Callable[[], Optional[Any]]
    ) -> None:
        """Wire the widgets.

        Args:
            context: of the panel.
            options: gives the options that are chosen for a run.
            model: gives the entry of the chosen model.
        """
        Section.__init__(self, context)
        self._options, self._model = options, model
        self._cases: list[Any] = []
        self._unchecked: set[Any] = set()  # sources that shall be left out
        self._began = 0.0
        self._problem = ""
        self._left: list[Any] = []  # cases that failed on another computer
        self._server: Optional[Any] = None  # of the present batch; None means this computer
        self._filling = False
        header = self.ui.batchTable.horizontalHeader()
        for column in (0, 1):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(2, qt.QHeaderView.Stretch)
        self.ui.batchTable.setFixedHeight(6 * _ROW)
        self.ui.batchFolder.currentPath = settings.text("batchFolder")
        self.ui.batchOutput.currentPath = settings.text("batchOutput")
        self.ui.batchSection.connect("contentsCollapsed(bool)", self.on_collapsed)
        self.ui.batchSourceSelector.connect("activated(int)", self._on_source)
        self.ui.batchFolder.connect("currentPathChanged(QString)", self._on_source)
        self.ui.batchOutput.connect("currentPathChanged(QString)", self._on_output)
        self.ui.batchTable.connect("itemChanged(QTableWidgetItem*)", self._on_item)
        self.ui.batchButton.connect("clicked(bool)", self._on_batch)
        self.ui.batchLocalButton.connect("clicked(bool)", self._on_local)

    def refresh(self) -> None:
        """Show the cases, and whether they can be begun."""
        folder = self.ui.batchSourceSelector.currentIndex == _FOLDER
        for widget in (self.ui.batchFolderLabel, self.ui.batchFolder, self.ui.batchOutputLabel, self.ui.batchOutput):
            widget.visible = folder
        if not self.ui.batchSection.collapsed and not self.runs:
            self._list_again()
        button = self.ui.batchButton
        button.text = _("Cancel") if self.runs else _("Segment all")
        count, entry = len(self._wanted()), self._model()
        usable = entry is not None and entry.problem is None
        button.enabled = self.runs or (count > 0 and usable and self.context.run is None)
        button.toolTip = "" if usable else _("Choose a model that can be used here.")
        if not self.runs and count:
            button.text = _("Segment {count} scans").format(count=count) if count > 1 else _("Segment 1 scan")
        self.ui.batchProgressBar.visible = self.runs
        self._left = [case for case in self._left if case in self._cases]
        self.ui.batchLocalButton.visible = (
            bool(self._left) and usable and entry.described is None
            and self.context.run is None and self.context.remote.wanted()
        )  # fmt: skip

    def scene_closing(self) -> None:
        """End the batch: its nodes go away. Files could go on, but not without the panel that shows them."""
        if self.runs:
            self.context.run.cancel()
        self._cases = [case for case in self._cases if case.is_file]
        self._unchecked.clear()
        self._show_cases()

    def _on_source(self) -> None:
        settings.remember("batchFolder", self.ui.batchFolder.currentPath)
        self._cases = []
        self.context.refresh()

    def _on_output(self) -> None:
        settings.remember("batchOutput", self.ui.batchOutput.currentPath)

    def _list_again(self) -> None:
        """List the cases where others are there than before; the status of those of before stays."""
        try:
            cases = self._found()
            self._problem = ""
        except Exception as error:
            cases, self._problem = [], sentence(error)
            say(self.ui.batchMessage, self._problem)
        if [case.source for case in cases] != [case.source for case in self._cases]:
            self._cases = cases
            say(self.ui.batchMessage, self._problem)
        self._show_cases()

    def _found(self) -> list[Any]:
        logic = self.context.logic
        if self.ui.batchSourceSelector.currentIndex == _SCENE:
            return list(logic.batch_cases_from_nodes(scans()))
        folder = self.ui.batchFolder.currentPath
        return list(logic.batch_cases_from_folder(folder)) if folder else []

    def _wanted(self) -> list[Any]:
        return [case for case in self._cases if case.source not in self._unchecked]

    def _show_cases(self) -> None:
        self._filling = True
        table = self.ui.batchTable
        table.setRowCount(len(self._cases))
        for number, case in enumerate(self._cases):
            item = qt.QTableWidgetItem(case.name)
            item.setFlags(qt.Qt.ItemIsUserCheckable | qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
            item.setCheckState(qt.Qt.Unchecked if case.source in self._unchecked else qt.Qt.Checked)
            table.setItem(number, 0, item)
            table.setRowHeight(number, _ROW)
            self._show_status(number, case)
        self._filling = False

    def _show_status(self, number: int, case: Any) -> None:
        status = _status_text(case)
        for column, text in ((1, status), (2, case.message)):
            item = self.ui.batchTable.item(number, column)
            if item is None:
                item = qt.QTableWidgetItem()
                item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
                self.ui.batchTable.setItem(number, column, item)
            item.setText(text)
            item.setToolTip(case.message)

    def _on_item(self, item: Any) -> None:
        if self._filling or item.column() != 0:
            return
        source = self._cases[item.row()].source
        if item.checkState() == qt.Qt.Checked:
            self._unchecked.discard(source)
        else:
            self._unchecked.add(source)
        self.context.refresh()

    def _on_batch(self, checked: bool = False) -> None:
        if self.runs:
            self.context.run.cancel()
            return
        self._left = []
        try:
            place = self.context.remote.place(lambda: _("the low-resolution grid of each of these scans"))
        except Exception as error:
            say(self.ui.batchMessage, sentence(error))
        else:
            if place is None:
                say(self.ui.batchMessage, _("Nothing was sent, and nothing was segmented."))
            else:
                self._begin(self._wanted(), place.server)
        self.context.refresh()

    def _on_local(self, checked: bool = False) -> None:
        cases, self._left = self._left, []
        self._begin(cases, None)
        self.context.refresh()

    def _begin(self, cases: list[Any], server: Optional[Any]) -> None:
        """Begin a batch on a server, or on this computer."""
        if self.context.chosen is None or self.context.run is not None:  # while the user was asked
            return
        options = self._options()
        if server is not None:
            options["max_memory"] = None  # it is about this computer's part, which is small then
        folder: Optional[str] = None
        if self.ui.batchSourceSelector.currentIndex == _FOLDER:
            folder = self.ui.batchOutput.currentPath or None
        self._server = server
        self._began = time.monotonic()
        self.ui.batchProgressBar.value = 0
        say(self.ui.batchMessage, words.progress_text("", 0, 0))
        try:
            run = self.context.logic.batch(
                cases,
                folder,
                model=self.context.chosen.model,
                changed=self._on_changed,
                finished=self._on_finished,
                server=server,
                **options,
            )
        except Exception as error:
            say(self.ui.batchMessage, sentence(error))
        else:
            self.started(run)

    def _on_changed(self, case: Any) -> None:
        if case in self._cases:
            self._filling = True
            self._show_status(self._cases.index(case), case)
            self._filling = False
        wanted = self._wanted()
        over = [each for each in wanted if each.status not in ("waiting", "running")]
        fraction = sum(1.0 if each in over else each.fraction for each in wanted) / max(1, len(wanted))
        self.ui.batchProgressBar.value = round(100 * fraction)
        step = _("{done} of {count} scans done").format(done=len(over), count=len(wanted))
        say(self.ui.batchMessage, words.progress_text(step, fraction, time.monotonic() - self._began))

    def _on_finished(self, run: Any) -> None:
        self.ended()
        done = [case for case in run.cases if case.status == "done"]
        failed = [case for case in run.cases if case.status == "failed"]
        text = _("{done} of {count} scans were segmented.").format(done=len(done), count=len(run.cases))
        if failed:
            text += " " + _("{count} failed; the table says why.").format(count=len(failed))
        if run.cancelled:
            text += " " + _("The rest was cancelled.")
        say(self.ui.batchMessage, text)
        self._left = failed if self._server is not None else []
        self.context.refresh()


def _status_text(case: Any) -> str:
    if case.status == "running":
        return _("running, {percent} %").format(percent=round(100 * case.fraction))
    return {
        "waiting": _("waiting"),
        "done": _("done"),
        "failed": _("failed"),
        "cancelled": _("cancelled"),
    }.get(case.status, case.status)
