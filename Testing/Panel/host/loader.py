"""QUiLoader that knows the stand-ins for the widgets of CTK and Slicer."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

from PySide6 import QtCore, QtUiTools


class QUiLoader(QtUiTools.QUiLoader):
    """Loads a .ui file; an unknown class, property or connection in it is an error, where Qt only warns.

    The signals of stand-ins carry Python objects, whose signatures Qt does not find, so connections are made here.
    """

    widget_classes: tuple[type, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        for kind in self.widget_classes:
            self.registerCustomWidget(kind)

    def load(self, file: Any, parent: Any = None) -> Any:
        """Read the file from an open QFile and make its widgets."""
        root = ElementTree.fromstring(bytes(file.readAll().data()))
        known = {kind.__name__ for kind in self.widget_classes}
        for entry in root.iter("customwidget"):
            assert entry.findtext("class") in known, f"the host has no stand-in for {entry.findtext('class')}"
        connections = root.find("connections")
        if connections is not None:
            root.remove(connections)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        panel = super().load(buffer, parent)
        assert panel is not None, self.errorString()
        self._check_properties(root, panel)
        for each in () if connections is None else connections:
            self._join(panel, *(each.findtext(part, "") for part in ("sender", "signal", "receiver", "slot")))
        return panel

    @staticmethod
    def _check_properties(root: Any, panel: Any) -> None:
        for entry in root.iter("widget"):
            widget = _child(panel, entry.attrib["name"])
            for each in entry.findall("property"):
                if each.get("stdset") != "0":
                    assert widget.metaObject().indexOfProperty(each.attrib["name"]) >= 0, (
                        f"{entry.attrib['name']} has no property {each.attrib['name']}"
                    )

    @staticmethod
    def _join(panel: Any, sender: str, signal: str, receiver: str, slot: str) -> None:
        _child(panel, sender).connect(signal, getattr(_child(panel, receiver), slot.split("(")[0]))


def _child(panel: Any, name: str) -> Any:
    found = panel if panel.objectName == name else panel.findChild(QtCore.QObject, name)
    assert found is not None, f"the .ui file has no widget {name}"
    return found
