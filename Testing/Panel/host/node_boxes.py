"""Stand-ins for the qMRML lists of nodes, on the real scene of slicer-core."""

from __future__ import annotations

from typing import Any, ClassVar, Optional

import shiboken6
from PySide6 import QtCore, QtWidgets


class qMRMLSortFilterProxyModel(QtCore.QObject):
    """What decides which nodes a combo box offers."""

    def __init__(self, box: Any) -> None:
        super().__init__(box)
        self._box = box
        self._hidden: list[str] = []

    def _hide(self, identifiers: list[str]) -> None:
        if list(identifiers) != self._hidden:
            self._hidden = list(identifiers)
            self._box._fill()

    hiddenNodeIDs = QtCore.Property("QStringList", lambda self: self._hidden, _hide)


class qMRMLNodeComboBox(QtWidgets.QWidget):
    """The nodes of some classes in the scene, one of them current."""

    SIGNALS: ClassVar[dict[str, str]] = {
        "currentNodeChanged(vtkMRMLNode*)": "_current_changed",
        "nodeAddedByUser(vtkMRMLNode*)": "_added_by_user",
    }
    _current_changed = QtCore.Signal(object)
    _added_by_user = QtCore.Signal(object)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._box = QtWidgets.QComboBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self._scene: Any = None
        self._tags: list[int] = []
        self._settings: dict[str, Any] = {
            "nodeTypes": [], "noneEnabled": False, "noneDisplay": "None", "addEnabled": True, "removeEnabled": True,
            "renameEnabled": False, "editEnabled": False, "showChildNodeTypes": True, "showHidden": False,
            "baseName": "", "selectNodeUponCreation": True,
        }  # fmt: skip
        self._nodes: list[Any] = []
        self._chosen: Optional[str] = None
        self._filling = False
        self._box.currentIndexChanged.connect(self._on_index)
        self._filter = qMRMLSortFilterProxyModel(self)

    def sortFilterProxyModel(self) -> qMRMLSortFilterProxyModel:
        return self._filter

    def setMRMLScene(self, scene: Any) -> None:
        if self._scene is not None:
            for tag in self._tags:
                self._scene.RemoveObserver(tag)
        self._scene = scene
        events = ("NodeAddedEvent", "NodeRemovedEvent", "EndCloseEvent", "EndImportEvent", "EndBatchProcessEvent")
        self._tags = [] if scene is None else [scene.AddObserver(getattr(scene, each), self._fill) for each in events]
        self._fill()

    def mrmlScene(self) -> Any:
        return self._scene

    def currentNode(self) -> Any:
        return self._scene.GetNodeByID(self._chosen) if self._scene is not None and self._chosen else None

    def setCurrentNode(self, node: Any) -> None:
        identifier = node.GetID() if node is not None and not isinstance(node, str) else node
        known = [each.GetID() for each in self._nodes]
        if identifier not in known:  # as Slicer's: what the box cannot show is none
            identifier = None if self._settings["noneEnabled"] or not known else self._chosen
        self._choose(identifier)

    setCurrentNodeID = setCurrentNode

    def nodeCount(self) -> int:
        return len(self._nodes)

    def nodeFromIndex(self, index: int) -> Any:
        return self._nodes[index] if 0 <= index < len(self._nodes) else None

    def addNode(self) -> Any:
        """What "Create new" in the list does."""
        kind = self._settings["nodeTypes"][0]
        name = self._settings["baseName"] or kind.replace("vtkMRML", "").replace("Node", "")
        node = self._scene.AddNewNodeByClass(kind, self._scene.GenerateUniqueName(name))
        self._choose(node.GetID())
        self._added_by_user.emit(node)
        return node

    def _accepts(self, node: Any) -> bool:
        if node.GetID() in self._filter._hidden:
            return False
        if node.GetHideFromEditors() and not self._settings["showHidden"]:
            return False
        kinds = self._settings["nodeTypes"]
        return node.GetClassName() in kinds or (
            self._settings["showChildNodeTypes"] and any(node.IsA(kind) for kind in kinds)
        )

    def _fill(self, caller: Any = None, event: Any = None) -> None:
        scene = self._scene
        if not shiboken6.isValid(self._box):  # Qt has deleted the panel, and nobody told this object
            for tag in self._tags:
                scene.RemoveObserver(tag)
            self._tags = []
            return
        nodes = [] if scene is None else [scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes())]
        self._nodes = [node for node in nodes if self._accepts(node)]
        self._show()
        known = [node.GetID() for node in self._nodes]
        if self._chosen not in known:
            self._choose(None if self._settings["noneEnabled"] or not known else known[0])

    def _show(self) -> None:
        self._filling = True
        self._box.clear()
        if self._settings["noneEnabled"]:
            self._box.addItem(self._settings["noneDisplay"], None)
        elif not self._nodes:
            self._box.addItem("Select a " + " or ".join(_plain(kind) for kind in self._settings["nodeTypes"][:1]))
        for node in self._nodes:
            self._box.addItem(node.GetName(), node.GetID())
        self._box.setCurrentIndex(max(0, self._box.findData(self._chosen)))
        self._filling = False

    def _choose(self, identifier: Optional[str]) -> None:
        changed = identifier != self._chosen
        self._chosen = identifier
        self._show()
        if changed:
            self._current_changed.emit(self.currentNode())

    def _on_index(self, index: int) -> None:
        if not self._filling:
            self._choose(self._box.itemData(index))

    def _get(name: str, kind: Any) -> Any:
        def put(self: Any, value: Any) -> None:
            self._settings[name] = list(value) if kind == "QStringList" else value
            self._fill()

        return QtCore.Property(kind, lambda self: self._settings[name], put)

    nodeTypes = _get("nodeTypes", "QStringList")
    noneEnabled = _get("noneEnabled", bool)
    noneDisplay = _get("noneDisplay", str)
    addEnabled = _get("addEnabled", bool)
    removeEnabled = _get("removeEnabled", bool)
    renameEnabled = _get("renameEnabled", bool)
    editEnabled = _get("editEnabled", bool)
    showChildNodeTypes = _get("showChildNodeTypes", bool)
    showHidden = _get("showHidden", bool)
    baseName = _get("baseName", str)
    selectNodeUponCreation = _get("selectNodeUponCreation", bool)
    currentNodeID = QtCore.Property(
        str, lambda self: self._chosen or "", lambda self, value: self.setCurrentNode(value)
    )


def _plain(kind: str) -> str:
    return kind.replace("vtkMRML", "").replace("Node", "")


class qMRMLCheckableNodeComboBox(qMRMLNodeComboBox):
    """The nodes of some classes, any number of them checked."""

    SIGNALS: ClassVar[dict[str, str]] = {**qMRMLNodeComboBox.SIGNALS, "checkedNodesChanged()": "_checked_changed"}
    _checked_changed = QtCore.Signal()

    def __init__(self, parent: Any = None) -> None:
        self._checked: set[str] = set()
        super().__init__(parent)

    def checkedNodes(self) -> list[Any]:
        return [node for node in self._nodes if node.GetID() in self._checked]

    def setCheckState(self, node: Any, state: Any) -> None:
        before = set(self._checked)
        (self._checked.discard if state == QtCore.Qt.CheckState.Unchecked else self._checked.add)(node.GetID())
        if before != self._checked:
            self._show()
            self._checked_changed.emit()

    def _fill(self, caller: Any = None, event: Any = None) -> None:
        super()._fill(caller, event)
        left = self._checked & {node.GetID() for node in self._nodes}
        if left != self._checked:
            self._checked = left
            self._checked_changed.emit()

    def _show(self) -> None:
        self._filling = True
        self._box.clear()
        self._box.addItem(", ".join(node.GetName() for node in self.checkedNodes()) or "None")
        self._filling = False
