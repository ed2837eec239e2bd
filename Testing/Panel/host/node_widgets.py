"""Stand-ins for the qMRML widgets that the panel uses, on the real scene of slicer-core."""

from __future__ import annotations

from typing import Any, ClassVar

from PySide6 import QtCore, QtWidgets

from .node_boxes import qMRMLCheckableNodeComboBox, qMRMLNodeComboBox


class qMRMLWidget(QtWidgets.QWidget):
    """A widget that hands the scene on to those connected with it."""

    SIGNALS: ClassVar[dict[str, str]] = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}
    mrmlSceneChanged = QtCore.Signal(object)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> Any:
        return self._scene


class qMRMLSegmentationShow3DButton(QtWidgets.QPushButton):
    """Shows a segmentation in 3-D: makes the closed surfaces and lets the display node show them."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self.setText("Show 3D")
        self.setCheckable(True)
        self.setEnabled(False)
        self.clicked.connect(self._show)

    def setSegmentationNode(self, node: Any) -> None:
        self._node = node
        self.setEnabled(node is not None)

    def segmentationNode(self) -> Any:
        return self._node

    def _show(self, on: bool) -> None:
        if self._node is not None and on:
            self._node.CreateClosedSurfaceRepresentation()
        elif self._node is not None:
            self._node.RemoveClosedSurfaceRepresentation()


class qMRMLSegmentEditorWidget(qMRMLWidget):
    """What the panel asks of the Segment Editor: nodes, effects by name and the list of segments. It edits nothing."""

    SIGNALS: ClassVar[dict[str, str]] = {
        **qMRMLWidget.SIGNALS,
        "segmentationNodeChanged(vtkMRMLSegmentationNode*)": "_segmentation_changed",
        "sourceVolumeNodeChanged(vtkMRMLVolumeNode*)": "_volume_changed",
    }
    _segmentation_changed = QtCore.Signal(object)
    _volume_changed = QtCore.Signal(object)

    def __init__(self, parent: Any = None) -> None:
        import slicer

        super().__init__(parent)
        self._parameters: Any = None
        self._effect: Any = None
        self._observed = self._shortcuts = False
        self._visible = {"segmentation": True, "volume": True}
        self._undo_states = 5  # as Slicer's begins
        self._history = slicer.vtkSegmentationHistory()
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._list = QtWidgets.QListWidget(self)
        self._list.setMaximumHeight(150)
        self._effects = QtWidgets.QLabel("Paint   Erase   Draw   Threshold   Smoothing   Islands", self)
        layout.addWidget(self._list)
        layout.addWidget(self._effects)
        self.setEnabled(False)

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        self._parameters = node
        self.updateWidgetFromMRML()

    def mrmlSegmentEditorNode(self) -> Any:
        return self._parameters

    def updateWidgetFromMRML(self) -> None:
        node = self.segmentationNode()
        self.setEnabled(node is not None)
        self._list.clear()
        if node is not None:
            segments = node.GetSegmentation()
            self._list.addItems([segments.GetSegment(each).GetName() for each in segments.GetSegmentIDs()])

    def segmentationNode(self) -> Any:
        return self._parameters.GetSegmentationNode() if self._parameters is not None else None

    def sourceVolumeNode(self) -> Any:
        return self._parameters.GetSourceVolumeNode() if self._parameters is not None else None

    def setSegmentationNode(self, node: Any) -> None:
        assert self._parameters is not None, "without a segment editor node the editor keeps nothing"
        self._parameters.SetAndObserveSegmentationNode(node)
        self.updateWidgetFromMRML()
        self._segmentation_changed.emit(node)

    def setSourceVolumeNode(self, node: Any) -> None:
        assert self._parameters is not None, "without a segment editor node the editor keeps nothing"
        self._parameters.SetAndObserveSourceVolumeNode(node)
        self._volume_changed.emit(node)

    def setActiveEffect(self, effect: Any) -> None:
        self._effect = effect

    def activeEffect(self) -> Any:
        return self._effect

    def saveStateForUndo(self) -> None:
        self._history.SetSegmentation(self.segmentationNode().GetSegmentation())
        assert self._history.SaveState()

    def undo(self) -> None:
        assert self._history.RestorePreviousState()

    def setupViewObservations(self) -> None:
        self._observed = True

    def removeViewObservations(self) -> None:
        self._observed = False

    def installKeyboardShortcuts(self) -> None:
        self._shortcuts = True

    def uninstallKeyboardShortcuts(self) -> None:
        self._shortcuts = False

    def _get(name: str) -> Any:
        return QtCore.Property(
            bool, lambda self: self._visible[name], lambda self, value: self._visible.__setitem__(name, value)
        )

    maximumNumberOfUndoStates = QtCore.Property(
        int, lambda self: self._undo_states, lambda self, value: setattr(self, "_undo_states", value)
    )
    segmentationNodeSelectorVisible = _get("segmentation")
    sourceVolumeNodeSelectorVisible = _get("volume")


WIDGETS = (
    qMRMLWidget, qMRMLNodeComboBox, qMRMLCheckableNodeComboBox, qMRMLSegmentationShow3DButton, qMRMLSegmentEditorWidget,
)  # fmt: skip
