"""The Slicer application around a panel, as little of it as the panel uses.

The scene, its nodes, the segmentation library, slicer.util (loadUI and childWidgetVariables too) are Slicer's own, of
slicer-core. Qt is PySide6 with the manners of PythonQt. All else here are stand-ins: a test that passes on them is not
a test in Slicer.
"""

from __future__ import annotations

import ctypes
import sys
import types
from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtWidgets

from . import ctk_widgets, loader, manners, node_widgets, parameters


class Application(QtCore.QObject):
    """`slicer.app`."""

    SIGNALS = {"startupCompleted()": "startupCompleted"}  # noqa: RUF012
    startupCompleted = QtCore.Signal()

    def __init__(self, logic: Any, folder: Path) -> None:
        super().__init__()
        self._logic = logic
        self._settings = QtCore.QSettings(str(folder / "settings.ini"), QtCore.QSettings.Format.IniFormat)

    def applicationLogic(self) -> Any:
        return self._logic

    def moduleManager(self) -> Any:
        return self

    def settings(self) -> Any:
        return self._settings

    def layoutManager(self) -> None:
        """None, as with --no-main-window."""

    def testingEnabled(self) -> bool:
        return True

    def processEvents(self) -> None:
        raise AssertionError("the panel must not turn the event loop itself")

    def pauseRender(self) -> None:
        pass

    def resumeRender(self) -> None:
        pass

    slicerHome = ""


class Parent(QtWidgets.QWidget):
    """qSlicerScriptedLoadableModuleWidget: what holds a panel, and knows whether the user is in it."""

    isEntered = False

    def __init__(self) -> None:
        super().__init__()
        QtWidgets.QVBoxLayout(self)

    def resourcePath(self, name: str) -> str:
        return str(Path(sys.modules["LowResSeg"].__file__).parent / "Resources" / name)


class ScriptedLoadableModule:
    """Base class of the module."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent


class ScriptedLoadableModuleWidget:
    """Base class of the panel: the layout it fills."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.layout = parent.layout()

    def setup(self) -> None:
        pass

    def resourcePath(self, name: str) -> str:
        return self.parent.resourcePath(name)

    def onReload(self) -> None:
        """Slicer loads the module's file again and makes a new panel; tests do that part."""


def _hold_constants() -> None:
    """Keep None, True and False alive: PySide6 6.12 gives references away that it does not have.

    From Python 3.12 on these objects are never freed, whatever their count is.
    """
    if sys.version_info < (3, 12):
        for constant in (None, True, False):
            ctypes.c_ssize_t.from_address(id(constant)).value += 1 << 40


def start(folder: Path) -> Any:
    """Give the package of slicer-core an application; called once a process.

    Args:
        folder: where settings are kept.

    Returns:
        The package `slicer`.
    """
    import slicer
    import slicer.util
    import standins

    _hold_constants()
    application = QtWidgets.QApplication([])
    application.setStyle("Fusion")
    QtCore.QSettings.setDefaultFormat(QtCore.QSettings.Format.IniFormat)
    QtCore.QSettings.setPath(QtCore.QSettings.Format.IniFormat, QtCore.QSettings.Scope.UserScope, str(folder))
    application.setOrganizationName("Slicer")
    application.setApplicationName("Slicer")
    standins.install(slicer)  # the scene, its logics and the subject hierarchy
    qt = manners.qt_module()
    loader.QUiLoader.widget_classes = (*ctk_widgets.WIDGETS, *node_widgets.WIDGETS)
    qt.QUiLoader = loader.QUiLoader
    sys.modules["qt"] = qt
    sys.modules["ctk"] = ctk = types.ModuleType("ctk")
    for kind in ctk_widgets.WIDGETS:
        setattr(ctk, kind.__name__, kind)
    for kind in node_widgets.WIDGETS:
        setattr(slicer, kind.__name__, kind)
    old = slicer.app
    slicer.app = Application(old.applicationLogic(), folder)
    for name in vars(old):
        if not hasattr(Application, name):
            object.__setattr__(slicer.app, name, getattr(old, name))
    modules = sys.modules["slicer.ScriptedLoadableModule"]
    modules.ScriptedLoadableModule = ScriptedLoadableModule
    modules.ScriptedLoadableModuleWidget = ScriptedLoadableModuleWidget
    sys.modules["slicer.parameterNodeWrapper"].parameterNodeWrapper = parameters.parameterNodeWrapper
    slicer._application = application  # Qt must outlive all widgets
    return slicer
