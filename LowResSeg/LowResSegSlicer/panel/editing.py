"""Section "Edit": Slicer's Segment Editor with the result in it, the way back, and labelmaps there and back."""

from __future__ import annotations

from typing import Any, Optional

import slicer
from slicer.i18n import tr as _

from LowResSegSlicer.nodes import source_volume
from LowResSegSlicer.panel.section import Context, Section, say, sentence

_EDITOR_TAG = "LowResSegEditor"


class Editing(Section):
    """The embedded editor. It has nodes only while the section is open and the user is in the module."""

    ui_file = "Editing.ui"

    def __init__(self, context: Context) -> None:
        """Wire the widgets."""
        Section.__init__(self, context)
        self._followed: Optional[str] = None  # the result that was last put into the editor
        self._active = False
        self.ui.editSection.connect("contentsCollapsed(bool)", self._on_collapsed)
        self.ui.segmentEditorWidget.connect(
            "segmentationNodeChanged(vtkMRMLSegmentationNode*)", self._on_segmentation_changed
        )
        self.ui.restoreButton.connect("clicked(bool)", self._on_restore)
        self.ui.importLabelmapButton.connect("clicked(bool)", self._on_import)
        self.ui.exportLabelmapButton.connect("clicked(bool)", self._on_export)
        self.ui.labelmapSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_labelmap_changed)

    def refresh(self) -> None:
        """Have the present result in the editor, once it has changed, and enable what can be done."""
        if self._active:
            self._follow()
        self._show_buttons()

    def enter(self) -> None:
        """Go on with editing."""
        if not self.ui.editSection.collapsed:
            self._start()

    def exit(self) -> None:
        """Stop editing: effects and keys would act on in other modules."""
        self._stop()

    def scene_closing(self) -> None:
        """Let go of the nodes."""
        self._stop()
        self.ui.segmentEditorWidget.setMRMLSegmentEditorNode(None)
        self._followed = None

    def close(self) -> None:
        """Let go of everything."""
        self.scene_closing()

    def _on_collapsed(self, collapsed: bool) -> None:
        if collapsed:
            self._stop()
        elif self.context.entered and self.context.chosen is not None:
            self._start()
        self._show_buttons()

    def _start(self) -> None:
        editor = self.ui.segmentEditorWidget
        if editor.mrmlSegmentEditorNode() is None:
            editor.setMRMLSegmentEditorNode(_editor_node())
        if not self._active:
            self._active = True
            editor.setupViewObservations()
            editor.installKeyboardShortcuts()
        self._follow()
        editor.updateWidgetFromMRML()

    def _stop(self) -> None:
        if self._active:
            self._active = False
            editor = self.ui.segmentEditorWidget
            editor.setActiveEffect(None)
            editor.uninstallKeyboardShortcuts()
            editor.removeViewObservations()

    def _follow(self) -> None:
        """Put the result and its source volume into the editor when the result is another one than before."""
        node = self.context.result
        identifier = node.GetID() if node is not None else None
        if identifier != self._followed:
            self._followed = identifier
            if node is not None and node.IsA("vtkMRMLSegmentationNode"):
                self._edit(node)
            elif node is not None:
                self.ui.labelmapSelector.setCurrentNode(node)

    def _edit(self, segmentation: Any) -> None:
        editor = self.ui.segmentEditorWidget
        editor.setSegmentationNode(segmentation)
        volume = source_volume(segmentation)
        if volume is not None and volume.IsA("vtkMRMLLabelMapVolumeNode"):
            volume = self.context.chosen.inputVolume if self.context.chosen is not None else None
        if volume is not None:
            editor.setSourceVolumeNode(volume)

    def _edited(self) -> Optional[Any]:
        editor = self.ui.segmentEditorWidget
        return editor.segmentationNode() if editor.mrmlSegmentEditorNode() is not None else None

    def _show_buttons(self) -> None:
        node, labelmap = self._edited(), self.ui.labelmapSelector.currentNode()
        free = self.context.run is None
        original = self.context.logic.has_original(node)
        self.ui.restoreButton.enabled = free and original
        self.ui.restoreButton.toolTip = (
            _("Take back all edits: the segments become what the network gave.")
            if original
            else _("The network's own result was not kept for this segmentation.")
        )
        self.ui.importLabelmapButton.enabled = labelmap is not None
        self.ui.exportLabelmapButton.enabled = node is not None

    def _on_segmentation_changed(self, node: Any) -> None:
        self._show_buttons()

    def _on_labelmap_changed(self, node: Any) -> None:
        self._show_buttons()

    def _say(self, text: str) -> None:
        say(self.ui.editMessage, text)

    def _on_restore(self, checked: bool = False) -> None:
        node, editor = self._edited(), self.ui.segmentEditorWidget
        editor.setActiveEffect(None)
        editor.saveStateForUndo()  # so nothing is lost, and nobody has to be asked
        try:
            self.context.logic.restore(node)
        except Exception as error:
            self._say(sentence(error))
        else:
            done = _("{name} is again as the network gave it. The editor's Undo brings the edits back.")
            self._say(done.format(name=node.GetName()))
        editor.updateWidgetFromMRML()
        self.context.refresh()

    def _on_import(self, checked: bool = False) -> None:
        labelmap = self.ui.labelmapSelector.currentNode()
        try:
            node = self.context.logic.import_labelmap(labelmap)
        except Exception as error:
            self._say(sentence(error))
            return
        self._edit(node)
        self._say(
            _("{segmentation} was made of {labelmap}. The labelmap changes only when the edits are exported.").format(
                segmentation=node.GetName(), labelmap=labelmap.GetName()
            )
        )
        self.context.refresh()

    def _on_export(self, checked: bool = False) -> None:
        node, labelmap = self._edited(), self.ui.labelmapSelector.currentNode()
        if labelmap is not None:
            question = _("Shall the voxels of {labelmap} be replaced by those of {segmentation}?")
            question = question.format(labelmap=labelmap.GetName(), segmentation=node.GetName())
            if not slicer.util.confirmOkCancelDisplay(question, _("Export the edits")):
                return
        try:
            labelmap = self.context.logic.export_labelmap(node, outputNode=labelmap)
        except Exception as error:
            self._say(sentence(error))
            return
        self.ui.labelmapSelector.setCurrentNode(labelmap)
        self._say(
            _("{segmentation} was exported to the labelmap {labelmap}.").format(
                segmentation=node.GetName(), labelmap=labelmap.GetName()
            )
        )


def _editor_node() -> Any:
    """The editor's own parameters in the scene, apart from those of the Segment Editor module."""
    node = slicer.mrmlScene.GetSingletonNode(_EDITOR_TAG, "vtkMRMLSegmentEditorNode")
    if node is None:
        node = slicer.vtkMRMLSegmentEditorNode()
        node.SetSingletonTag(_EDITOR_TAG)
        node = slicer.mrmlScene.AddNode(node)
    return node
