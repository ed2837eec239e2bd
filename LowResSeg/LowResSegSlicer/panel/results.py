"""Section "Result": volumes, confidence, what to look at again, and the views."""

from __future__ import annotations

from typing import Any, Optional

import qt
import slicer
from slicer.i18n import tr as _

from LowResSegSlicer.nodes import run_record
from LowResSegSlicer.panel.section import Context, Section, say

_REVIEW = (255, 214, 122)  # behind structures to look at again
_ROW = 22  # height in pixels


class Results(Section):
    """What the run record says of the present result."""

    ui_file = "Result.ui"

    def __init__(self, context: Context) -> None:
        """Wire the widgets."""
        Section.__init__(self, context)
        self._shown: Optional[Any] = None  # the confidence map in the slice views
        header = self.ui.resultTable.horizontalHeader()
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        for column in (1, 2):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        self.ui.resultSection.connect("contentsCollapsed(bool)", self.on_collapsed)
        self.ui.confidenceButton.connect("toggled(bool)", self._on_confidence)

    def refresh(self) -> None:
        """Show the present result."""
        node = self.context.result
        rows = self.context.logic.review(node) if node is not None else []
        confidence = self.context.logic.confidence_node(node)
        is_segmentation = node is not None and node.IsA("vtkMRMLSegmentationNode")
        self.ui.show3DButton.setSegmentationNode(node if is_segmentation else None)
        self.ui.show3DButton.enabled = is_segmentation
        self.ui.confidenceButton.enabled = confidence is not None
        if confidence is None:
            self.ui.confidenceButton.checked = False
        self.ui.resultLabel.text = self._title(node, rows)
        self.ui.resultTable.visible = bool(rows)
        self._fill(rows, (run_record(node) or {}).get("labels", []))
        review = [row.structure for row in rows if row.needs_review]
        text = _("Look again at: {structures}. The network is unsure there.").format(structures=", ".join(review))
        say(self.ui.reviewLabel, text if review else "")

    def scene_closing(self) -> None:
        """Let go of the nodes."""
        self.ui.show3DButton.setSegmentationNode(None)
        self._shown = None

    def _title(self, node: Optional[Any], rows: list[Any]) -> str:
        if node is None:
            return _("There is no result yet.")
        if not rows:
            return _("{name} was not made by LowResSeg, so no volumes are known.").format(name=node.GetName())
        record = run_record(node) or {}
        return _("{name}, as the network gave it (model {model})").format(
            name=node.GetName(), model=record.get("model", "?")
        )

    def _fill(self, rows: list[Any], labels: list[Any]) -> None:
        table = self.ui.resultTable
        table.setColumnHidden(2, not any(row.confidence is not None for row in rows))
        table.setRowCount(len(rows))
        for number, (row, label) in enumerate(zip(rows, labels)):
            confidence = "" if row.confidence is None else _("{percent:.0f} %").format(percent=row.confidence)
            texts = (row.structure, f"{row.volume_ml:.1f}", confidence)
            for column, text in enumerate(texts):
                item = qt.QTableWidgetItem(text)
                if column:
                    item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
                if row.needs_review:
                    item.setToolTip(_("Look again: the network is unsure of this structure."))
                    item.setBackground(qt.QBrush(qt.QColor(*_REVIEW)))
                    item.setForeground(qt.QBrush(qt.QColor(0, 0, 0)))
                table.setItem(number, column, item)
            swatch = qt.QPixmap(12, 12)
            swatch.fill(qt.QColor(*label.get("color", (128, 128, 128))))
            table.item(number, 0).setIcon(qt.QIcon(swatch))
            table.setRowHeight(number, _ROW)
        table.setFixedHeight(_ROW * (1 + min(max(len(rows), 3), 10)) + 6)

    def _on_confidence(self, shown: bool) -> None:
        node = self.context.logic.confidence_node(self.context.result)
        if shown and node is not None:
            slicer.util.setSliceViewerLayers(foreground=node, foregroundOpacity=0.5)
            self._shown = node
        elif self._shown is not None:
            slicer.util.setSliceViewerLayers(foreground=None)
            self._shown = None
