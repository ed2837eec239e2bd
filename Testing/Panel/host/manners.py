"""PySide6 with the manners of PythonQt, so that a panel that runs here is written as Slicer wants it.

PythonQt gives properties as values (`label.text`, not `label.text()`), connects by the signature of the signal
(`button.connect('clicked(bool)', function)`), and refuses attributes that a C++ object does not have. So does this.
"""

from __future__ import annotations

import ctypes
import sys
import traceback
from types import ModuleType
from typing import Any, Callable

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

_MODULES = (QtCore, QtGui, QtWidgets)

# Read through virtual functions, which Qt asks of Python for the stand-ins: as values they would ask Qt again.
_VIRTUAL = ("sizeHint", "minimumSizeHint")

# What slots raised: PythonQt prints it and goes on, so nobody else would tell a test.
slot_errors: list[BaseException] = []

# The classes' own __setattr__ cannot be called once it is replaced.
_generic_setattr = ctypes.pythonapi.PyObject_GenericSetAttr
_generic_setattr.argtypes = [ctypes.py_object] * 3


class Value:
    """A property of Qt as a value."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        return self if owner is None else owner.property(self.name)

    def __set__(self, owner: Any, value: Any) -> None:
        meta = owner.metaObject()
        if not meta.property(meta.indexOfProperty(self.name)).isWritable():
            raise AttributeError(f"{type(owner).__name__}.{self.name} cannot be set")
        if not owner.setProperty(self.name, value):
            raise TypeError(f"{type(owner).__name__}.{self.name} does not take {value!r}")


def connect(owner: Any, signal: str, function: Callable[..., Any]) -> bool:
    """`owner.connect('signal(type)', function)`."""
    connected = _connections(owner)
    if (signal, function) in connected:
        return True
    slot = connected[(signal, function)] = _slot(function)
    _signal(owner, signal).connect(slot)
    return True


def disconnect(owner: Any, signal: str, function: Callable[..., Any]) -> bool:
    """`owner.disconnect('signal(type)', function)`."""
    slot = _connections(owner).pop((signal, function), None)
    if slot is None:
        return False
    _signal(owner, signal).disconnect(slot)
    return True


def _connections(owner: Any) -> dict[Any, Any]:
    found = owner.property("_connections")
    if found is None:
        found = _Table()
        owner.setProperty("_connections", found)
    return found.rows


class _Table:
    """A dictionary that Qt keeps as it is: it would copy a dict."""

    def __init__(self) -> None:
        self.rows: dict[Any, Any] = {}


def _signal(owner: Any, signal: str) -> Any:
    """The signal of a signature, which the owner must have."""
    name, types = signal.split("(", 1)
    stated = getattr(type(owner), "SIGNALS", {}).get(signal)
    if stated is not None:  # a stand-in's, whose types PySide6 does not know
        return getattr(owner, stated)
    normal = QtCore.QMetaObject.normalizedSignature(signal).data().decode()
    if owner.metaObject().indexOfSignal(normal) < 0:
        raise ValueError(f"{type(owner).__name__} has no signal {signal}")
    found = QtCore.QObject.__getattribute__(owner, name)
    try:
        return found[tuple(types.rstrip(")").split(","))] if types != ")" else found
    except (IndexError, KeyError, TypeError):  # without overloads the name is enough
        return found


def _slot(function: Callable[..., Any]) -> Callable[..., None]:
    """Call a function as PythonQt does: with as many of the signal's values as it has arguments, defaults included."""
    code = getattr(function, "__code__", None) or getattr(getattr(function, "__func__", None), "__code__", None)
    taken = None
    if code is not None and not code.co_flags & 0x04:  # 0x04: it takes *args
        taken = code.co_argcount - (1 if hasattr(function, "__self__") else 0)

    def slot(*values: Any) -> None:
        try:
            function(*values[:taken])
        except BaseException as error:  # as PythonQt, which cannot raise through C++
            traceback.print_exc(file=sys.stderr)
            slot_errors.append(error)

    return slot


def _getattribute(original: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    def get(self: Any, name: str) -> Any:
        if name == "connect":
            return lambda signal, function: connect(self, signal, function)
        if name == "disconnect":
            return lambda signal, function: disconnect(self, signal, function)
        if name == "name":
            return self.property("objectName")
        if isinstance(getattr(type(self), name, None), QtCore.Property):
            return self.property(name)
        return original(self, name)

    return get


def _put(self: Any, name: str, value: Any) -> None:
    """Set an attribute that the class has; those of stand-ins themselves begin with an underscore.

    PySide6's QUiLoader gives the children of a panel to it as attributes; this is let through.
    """
    if not name.startswith("_") and not hasattr(type(self), name) and not isinstance(value, QtWidgets.QWidget):
        raise AttributeError(f"{type(self).__name__} has no attribute {name}")
    if isinstance(getattr(type(self), name, None), QtCore.Property):  # a stand-in's, which is no descriptor
        assert self.setProperty(name, value), f"{type(self).__name__}.{name} does not take {value!r}"
    elif _generic_setattr(self, name, value) != 0:
        raise AttributeError(name)


def _class_name(self: Any) -> str:
    return str(self.metaObject().className())


def _patch(kind: type) -> None:
    meta = kind.staticMetaObject  # type: ignore[attr-defined]
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        name = meta.property(index).name()
        if name not in _VIRTUAL:
            setattr(kind, name, Value(name))
    kind.__setattr__ = _put  # type: ignore[method-assign, assignment]


def qt_module() -> ModuleType:
    """The module `qt`: all names of QtCore, QtGui, QtWidgets and QtUiTools, with PythonQt's manners."""
    module = ModuleType("qt")
    patched: set[type] = set()
    for source in (*_MODULES, QtUiTools):
        for name in dir(source):
            thing = getattr(source, name)
            if isinstance(thing, type) and issubclass(thing, QtCore.QObject) and thing not in patched:
                patched.add(thing)
                _patch(thing)
            if not name.startswith("_"):
                setattr(module, name, thing)
    QtCore.QObject.__getattribute__ = _getattribute(QtCore.QObject.__getattribute__)  # type: ignore[method-assign, assignment]
    QtCore.QObject.className = _class_name  # type: ignore[attr-defined]
    return module
