"""What the Slicer application has and slicer-core lacks, as little of it as the module uses.

MRML, the segmentation library and slicer.util are Slicer's own. The rest here stands in for the application: a test
that passes says nothing about Qt.
"""

from __future__ import annotations

import sys
import types
import unittest
from typing import Any, Callable, ClassVar

import vtk


class QTimer:
    """A single-shot timer that fires when a test lets the event loop turn."""

    waiting: ClassVar[list[QTimer]] = []

    def __init__(self, parent: Any) -> None:
        self._slots: list[Callable[[], None]] = []

    def setSingleShot(self, on: bool) -> None:
        assert on, "this stand-in fires once"

    def connect(self, signal: str, slot: Callable[[], None]) -> None:
        assert signal == "timeout()", f"QTimer has no signal {signal}"
        self._slots.append(slot)

    def start(self, milliseconds: int) -> None:
        assert self not in QTimer.waiting
        QTimer.waiting.append(self)

    def deleteLater(self) -> None:
        self._slots.clear()

    @classmethod
    def turn(cls) -> None:
        """Fire every timer that waits."""
        waiting, cls.waiting[:] = list(cls.waiting), []
        for timer in waiting:
            for slot in tuple(timer._slots):
                slot()


class Logic:
    """ScriptedLoadableModuleLogic: a parameter node that is a singleton of the scene."""

    def __init__(self, parent: Any = None) -> None:
        self.moduleName = type(self).__name__[: -len("Logic")]

    def getParameterNode(self) -> Any:
        import slicer

        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.vtkMRMLScriptedModuleNode()
            node.SetSingletonTag(self.moduleName)
            node.SetAttribute("ModuleName", self.moduleName)
            node = slicer.mrmlScene.AddNode(node)
        return node


class Module:
    """ScriptedLoadableModule."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent


class Widget:
    """ScriptedLoadableModuleWidget; the panel itself is tested elsewhere."""


class Test(unittest.TestCase):
    """ScriptedLoadableModuleTest."""

    def delayDisplay(self, message: str, msec: int = 0) -> None:
        """Show nothing."""


def parameter_node_wrapper(cls: type) -> type:
    """parameterNodeWrapper for text and nodes, kept in the parameter node as Slicer keeps them."""

    def text(name: str, default: str) -> property:
        def get(self: Any) -> str:
            return self.parameterNode.GetParameter(name) or default

        return property(get, lambda self, value: self.parameterNode.SetParameter(name, value))

    def node(name: str) -> property:
        def put(self: Any, value: Any) -> None:
            self.parameterNode.SetNodeReferenceID(name, value.GetID() if value is not None else None)

        return property(lambda self: self.parameterNode.GetNodeReference(name), put)

    for name, kind in cls.__annotations__.items():
        setattr(cls, name, text(name, getattr(cls, name, "")) if kind is str else node(name))
    cls.__init__ = lambda self, parameterNode: setattr(self, "parameterNode", parameterNode)  # type: ignore[misc]
    return cls


def install(slicer: Any) -> None:
    """Give the package of slicer-core a scene, logics and the stand-ins above."""
    scene = slicer.vtkMRMLScene()
    application = slicer.vtkSlicerApplicationLogic()
    application.SetMRMLScene(scene)
    logics = {}
    for name, kind in (
        ("Colors", slicer.vtkSlicerColorLogic),
        ("Volumes", slicer.vtkSlicerVolumesLogic),
        ("Segmentations", slicer.vtkSlicerSegmentationsModuleLogic),
        ("Sequences", slicer.vtkSlicerSequencesLogic),
    ):
        logic = kind()
        logic.SetMRMLApplicationLogic(application)
        logic.SetMRMLScene(scene)
        application.SetModuleLogic(name, logic)
        logics[name.lower()] = logic
    slicer.mrmlScene = scene
    slicer.modules = types.SimpleNamespace(
        **{name: types.SimpleNamespace(logic=lambda logic=logic: logic) for name, logic in logics.items()}
    )
    slicer.app = types.SimpleNamespace(
        applicationLogic=lambda: application,
        moduleManager=lambda: None,
        slicerHome="",
        testingEnabled=lambda: True,
        processEvents=QTimer.turn,
    )
    _add_modules(slicer)
    _keep_subject_hierarchy(slicer, scene)


def _add_modules(slicer: Any) -> None:
    contents: dict[str, dict[str, Any]] = {
        "qt": {"QTimer": QTimer, "QTableWidgetItem": str},
        "slicer.i18n": {"tr": lambda text: text, "translate": lambda context, text: text},
        "slicer.parameterNodeWrapper": {"parameterNodeWrapper": parameter_node_wrapper},
        "slicer.ScriptedLoadableModule": {
            "ScriptedLoadableModule": Module,
            "ScriptedLoadableModuleLogic": Logic,
            "ScriptedLoadableModuleTest": Test,
            "ScriptedLoadableModuleWidget": Widget,
        },
    }
    for name, content in contents.items():
        module = types.ModuleType(name)
        vars(module).update(content)
        sys.modules[name] = module
        if name.startswith("slicer."):
            setattr(slicer, name.split(".")[1], module)


def _keep_subject_hierarchy(slicer: Any, scene: Any) -> None:
    """Give volumes and segmentations an item when they are added, as the application's plugins do."""

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def added(caller: Any, event: str, node: Any) -> None:
        if node.IsA("vtkMRMLScalarVolumeNode") or node.IsA("vtkMRMLSegmentationNode"):
            hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
            hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)

    scene.AddObserver(scene.NodeAddedEvent, added)
