"""The part of slicer.parameterNodeWrapper that the module uses: text and nodes, bound to node selectors."""

from __future__ import annotations

from typing import Any

import vtk


def parameterNodeWrapper(kind: type) -> type:
    """A class whose annotated names are kept in a vtkMRMLScriptedModuleNode, as Slicer keeps them."""
    for name, annotation in kind.__annotations__.items():
        default = getattr(kind, name, "")
        setattr(kind, name, _text(name, default) if annotation is str else _node(name))
    for each in (__init__, AddObserver, RemoveObserver, connectParametersToGui, disconnectGui):
        setattr(kind, each.__name__, each)
    return kind


def _text(name: str, default: str) -> property:
    def get(self: Any) -> str:
        return self.parameterNode.GetParameter(name) or default

    return property(get, lambda self, value: self.parameterNode.SetParameter(name, value))


def _node(name: str) -> property:
    def put(self: Any, value: Any) -> None:
        self.parameterNode.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    return property(lambda self: self.parameterNode.GetNodeReference(name), put)


def __init__(self: Any, parameterNode: Any) -> None:
    self.parameterNode = parameterNode
    self._bound: dict[int, Any] = {}


def AddObserver(self: Any, *arguments: Any) -> int:
    return int(self.parameterNode.AddObserver(*arguments))


def RemoveObserver(self: Any, tag: int) -> None:
    self.parameterNode.RemoveObserver(tag)


def connectParametersToGui(self: Any, bound: dict[str, Any]) -> int:
    """Keep parameters and node selectors the same; returns a tag to disconnect with."""
    slots = []

    def show(caller: Any = None, event: Any = None) -> None:
        for parameter, widget in bound.items():
            widget.setCurrentNode(getattr(self, parameter))

    for parameter, widget in bound.items():
        assert hasattr(type(self), parameter), f"the parameter node has no {parameter}"

        def put(node: Any, parameter: str = parameter) -> None:
            setattr(self, parameter, node)

        slots.append((widget, _one(put)))
        widget.connect("currentNodeChanged(vtkMRMLNode*)", slots[-1][1])
    show()
    tag = self.parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, show)
    self._bound[tag] = slots
    return tag


def _one(put: Any) -> Any:
    return lambda node: put(node)


def disconnectGui(self: Any, tag: int) -> None:
    self.parameterNode.RemoveObserver(tag)
    for widget, slot in self._bound.pop(tag):
        widget.disconnect("currentNodeChanged(vtkMRMLNode*)", slot)
