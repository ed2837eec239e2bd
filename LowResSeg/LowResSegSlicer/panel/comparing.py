"""Section "Compare": how far two or more segmentations or labelmaps agree."""

from __future__ import annotations

import time
from typing import Any, Optional

import qt
import slicer
from slicer.i18n import tr as _

from LowResSegSlicer.panel import words
from LowResSegSlicer.panel.section import Context, Section, say, sentence

_ROW = 22  # height in pixels
_UNKNOWN = "-"


class Comparing(Section):
    """A comparison, its numbers, and the ways to see more of it."""

    ui_file = "Comparing.ui"

    def __init__(self, context: Context) -> None:
        """Wire the widgets."""
        Section.__init__(self, context)
        self._results: list[Any] = []
        self._began = 0.0
        self.ui.compareTable.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        self.ui.compareTable.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.Stretch)
        self.ui.compareSection.connect("contentsCollapsed(bool)", self.on_collapsed)
        self.ui.referenceSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_choice)
        self.ui.othersSelector.connect("checkedNodesChanged()", self._on_choice)
        self.ui.compareButton.connect("clicked(bool)", self._on_compare)
        self.ui.compareResultSelector.connect("activated(int)", self._on_result_chosen)
        self.ui.showTableButton.connect("clicked(bool)", self._on_table)
        self.ui.showPlotButton.connect("clicked(bool)", self._on_plot)

    def refresh(self) -> None:
        """Show whether there is something to compare, and the last comparison."""
        ready = bool(self._others()) and self.context.run is None
        button = self.ui.compareButton
        button.text = _("Cancel") if self.runs else _("Compare")
        button.enabled = self.runs or ready
        button.toolTip = (
            _("Compare the checked ones with the reference.")
            if ready or self.runs
            else _("Choose a reference, and check at least one other segmentation or labelmap.")
        )
        self.ui.compareProgressBar.visible = self.runs
        self._results = [each for each in self._results if slicer.mrmlScene.IsNodePresent(each.table)]
        self._show_results()

    def scene_closing(self) -> None:
        """End the run and forget the results: their nodes go away."""
        if self.runs:
            self.context.run.cancel()
        self._results = []
        say(self.ui.compareMessage, "")
        self._show_results()

    def _others(self) -> list[Any]:
        reference = self.ui.referenceSelector.currentNode()
        if reference is None:
            return []
        return [node for node in self.ui.othersSelector.checkedNodes() if node is not reference]

    def _on_choice(self) -> None:
        self.context.refresh()

    def _on_compare(self, checked: bool = False) -> None:
        if self.runs:
            self.context.run.cancel()
            return
        self._began = time.monotonic()
        self.ui.compareProgressBar.value = 0
        say(self.ui.compareMessage, words.progress_text("", 0, 0))
        try:
            run = self.context.logic.compare_all(
                self.ui.referenceSelector.currentNode(),
                self._others(),
                wait=False,
                progress=self._on_progress,
                finished=self._on_finished,
                difference=self.ui.differenceCheckBox.checked,
            )
        except Exception as error:
            say(self.ui.compareMessage, sentence(error))
        else:
            self.started(run)
        self.context.refresh()

    def _on_progress(self, step: str, fraction: float) -> None:
        self.ui.compareProgressBar.value = round(100 * fraction)
        say(self.ui.compareMessage, words.progress_text(step, fraction, time.monotonic() - self._began))

    def _on_finished(self, run: Any) -> None:
        self.ended()
        if run.error is not None:
            say(self.ui.compareMessage, sentence(run.error))
        elif run.cancelled:
            say(self.ui.compareMessage, _("Cancelled."))
        else:
            self._results = list(run.results)
            say(self.ui.compareMessage, "")
            selector = self.ui.compareResultSelector
            selector.clear()
            selector.addItems([self._title(each) for each in self._results])
        self.context.refresh()

    @staticmethod
    def _title(result: Any) -> str:
        first, second = result.comparison.names
        return _("{second} against {first}").format(first=first, second=second)

    def _chosen(self) -> Optional[Any]:
        index = self.ui.compareResultSelector.currentIndex
        return self._results[index] if 0 <= index < len(self._results) else None

    def _on_result_chosen(self) -> None:
        self._show_results()

    def _show_results(self) -> None:
        result = self._chosen()
        self.ui.compareResultSelector.visible = bool(self._results)
        for widget in (self.ui.compareTable, self.ui.showTableButton, self.ui.showPlotButton):
            widget.visible = result is not None
        if result is not None:
            self._fill(result)
            say(self.ui.compareMessage, "\n".join([*_partners(result.comparison), *result.notices]))

    def _fill(self, result: Any) -> None:
        table, rows = self.ui.compareTable, result.comparison.rows
        table.setRowCount(len(rows))
        for number, row in enumerate(rows):
            texts = (
                row.name,
                _number(row.dice, "{:.3f}"),
                _number(row.hd95_mm, "{:.1f}"),
                _number(row.mean_surface_distance_mm, "{:.2f}"),
                _number(row.volume_difference_percent, "{:+.1f} %"),
            )
            for column, text in enumerate(texts):
                item = qt.QTableWidgetItem(text)
                if column:
                    item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
                else:
                    item.setToolTip(text)  # long names are cut
                table.setItem(number, column, item)
            table.setRowHeight(number, _ROW)
        table.setFixedHeight(_ROW * (1 + min(max(len(rows), 2), 10)) + 6)

    def _on_table(self, checked: bool = False) -> None:
        selection = slicer.app.applicationLogic().GetSelectionNode()
        selection.SetActiveTableID(self._chosen().table.GetID())
        slicer.app.applicationLogic().PropagateTableSelection()
        _set_layout("SlicerLayoutFourUpTableView")

    def _on_plot(self, checked: bool = False) -> None:
        selection = slicer.app.applicationLogic().GetSelectionNode()
        selection.SetActivePlotChartID(self._chosen().chart.GetID())
        slicer.app.applicationLogic().PropagatePlotChartSelection()
        _set_layout("SlicerLayoutFourUpPlotView")


def _set_layout(name: str) -> None:
    """Change the layout of the views, where there is one."""
    manager = slicer.app.layoutManager()
    if manager is not None:
        manager.setLayout(getattr(slicer.vtkMRMLLayoutNode, name))


def _number(value: Optional[float], form: str) -> str:
    return _UNKNOWN if value is None else form.format(value)


def _partners(comparison: Any) -> list[str]:
    """What was not compared, because only one side has it."""
    only = zip(comparison.names, (comparison.only_first, comparison.only_second))
    return [
        _("Only in {name}: {structures}.").format(name=name, structures=", ".join(structures))
        for name, structures in only
        if structures
    ]
