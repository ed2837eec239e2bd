"""Section "Export": results as files."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from LowResSegSlicer.panel import settings
from LowResSegSlicer.panel.section import Context, Section, say, sentence


class Exporting(Section):
    """What is written, where, and in which formats."""

    ui_file = "Exporting.ui"

    def __init__(self, context: Context) -> None:
        """Wire the widgets."""
        Section.__init__(self, context)
        self._offered = ""  # the result that was last chosen by itself
        self._boxes = {
            "seg.nrrd": self.ui.exportSegmentationCheckBox,
            "labelmap": self.ui.exportLabelmapCheckBox,
            "record": self.ui.exportRecordCheckBox,
            "dicom": self.ui.exportDicomCheckBox,
        }
        self.ui.exportFolder.currentPath = settings.text("exportFolder")
        self.ui.exportSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_choice)
        self.ui.exportFolder.connect("currentPathChanged(QString)", self._on_choice)
        for name, box in self._boxes.items():
            box.checked = settings.flag(f"export.{name}", name == "seg.nrrd")
            box.connect("toggled(bool)", self._on_choice)
        self.ui.exportButton.connect("clicked(bool)", self._on_export)

    def refresh(self) -> None:
        """Choose a new result by itself, and show whether there is something to write."""
        result = self.context.result
        identifier = result.GetID() if result is not None else ""
        if identifier != self._offered:
            self._offered = identifier
            if result is not None:
                self.ui.exportSelector.setCurrentNode(result)
        self._show()

    def _formats(self) -> list[str]:
        return [name for name, box in self._boxes.items() if box.checked]

    def _show(self) -> None:
        button, folder = self.ui.exportButton, self.ui.exportFolder.currentPath
        node = self.ui.exportSelector.currentNode()
        button.enabled = node is not None and bool(folder) and bool(self._formats())
        if node is None:
            button.toolTip = _("Choose a segmentation or labelmap.")
        elif not folder:
            button.toolTip = _("Choose a folder.")
        else:
            button.toolTip = _("Write the files.") if self._formats() else _("Choose at least one kind of file.")

    def _on_choice(self) -> None:
        self._show()

    def _on_export(self, checked: bool = False) -> None:
        folder = self.ui.exportFolder.currentPath
        settings.remember("exportFolder", folder)
        for name, box in self._boxes.items():
            settings.remember(f"export.{name}", box.checked)
        try:
            files: list[Any] = self.context.logic.export(
                self.ui.exportSelector.currentNode(),
                folder,
                self._formats(),
                overwrite=self.ui.exportOverwriteCheckBox.checked,
            )
        except Exception as error:
            say(self.ui.exportMessage, sentence(error))
            return
        names = ", ".join(path.name for path in files)
        say(self.ui.exportMessage, _("Written to {folder}: {names}.").format(folder=folder, names=names))
