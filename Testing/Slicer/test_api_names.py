"""Names in the .ui file and in the panel against what the widgets of Slicer 5.6, 5.8 and 5.12 have."""

from __future__ import annotations

import ast
import json
import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from scans import REPOSITORY

FACTS = Path(os.environ.get("LOWRESSEG_REFERENCE") or REPOSITORY.parent / "shared" / "reference") / "slicer_api.json"
MODULE = REPOSITORY / "LowResSeg"
VERSIONS = ("v5.6.2", "v5.8.1", "v5.12.3")

needs_facts = pytest.mark.skipif(not FACTS.is_file(), reason=f"{FACTS} is absent; set LOWRESSEG_REFERENCE")

# Qt's own classes are not among the facts: what the module uses of them, as in the documentation of Qt 5.15.
QT: dict[str, dict[str, Any]] = {
    "QObject": {"base": "", "invokable": ["property(const char*)", "deleteLater()"]},
    "QWidget": {
        "base": "QObject",
        "properties": ["enabled", "geometry", "toolTip", "visible"],
        "slots": ["hide()", "show()", "setEnabled(bool)", "setVisible(bool)"],
    },
    "QAbstractButton": {"base": "QWidget", "properties": ["text"], "signals": ["clicked(bool)"]},
    "QPushButton": {"base": "QAbstractButton"},
    "QLabel": {"base": "QWidget", "properties": ["text", "textInteractionFlags", "wordWrap"]},
    "QProgressBar": {"base": "QWidget", "properties": ["value"]},
    "QComboBox": {
        "base": "QWidget",
        "properties": ["currentText"],
        "signals": ["currentTextChanged(QString)"],
        "slots": ["setCurrentIndex(int)"],
        "invokable": ["addItems(QStringList)", "findText(QString)"],
    },
    "QTableWidget": {
        "base": "QWidget",
        "properties": ["editTriggers"],
        "invokable": ["setItem(int,int,QTableWidgetItem*)", "setRowCount(int)"],
    },
    "QTimer": {
        "base": "QObject",
        "signals": ["timeout()"],
        "slots": ["start()", "start(int)", "stop()"],
        "invokable": ["setSingleShot(bool)"],
    },
    "QTableWidgetItem": {"base": ""},
}


@cache
def classes(version: str) -> dict[str, dict[str, Any]]:
    """Facts about every class of one version, Slicer's, CTK's and Qt's."""
    facts = json.loads(FACTS.read_text(encoding="utf-8"))
    return {**QT, **facts["ctk"], **facts[version]}


def line_of(name: str, version: str) -> list[str]:
    """A class and its ancestors."""
    line = []
    while name:
        assert name in classes(version), f"{version} has no class {name}; look it up, then add it to the table above"
        line.append(name)
        name = classes(version)[name]["base"]
    return line


def members(name: str, kinds: tuple[str, ...], version: str) -> set[str]:
    """Signatures or names of some kinds that a class has or inherits."""
    return {
        member for each in line_of(name, version) for kind in kinds for member in classes(version)[each].get(kind, [])
    }


@cache
def panel() -> ElementTree.Element:
    return ElementTree.parse(MODULE / "Resources" / "UI" / "LowResSeg.ui").getroot()


def widgets() -> dict[str, str]:
    """Class of each named widget."""
    return {widget.attrib["name"]: widget.attrib["class"] for widget in panel().iter("widget")}


def scripts() -> Iterator[ast.Module]:
    for path in MODULE.rglob("*.py"):
        yield ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))


@needs_facts
@pytest.mark.parametrize("version", VERSIONS)
def test_widgets_of_the_ui_file_and_their_properties_exist(version: str) -> None:
    for widget in panel().iter("widget"):
        known = members(widget.attrib["class"], ("properties",), version)
        for entry in widget.findall("property"):
            if entry.get("stdset") != "0":  # else it is made up on the spot
                assert entry.attrib["name"] in known, f"{widget.attrib['name']} has no property {entry.attrib['name']}"


@needs_facts
@pytest.mark.parametrize("version", VERSIONS)
def test_custom_widgets_of_the_ui_file_are_declared_with_an_ancestor(version: str) -> None:
    declared = {entry.findtext("class", ""): entry.findtext("extends", "") for entry in panel().iter("customwidget")}
    assert set(declared) == {name for name in widgets().values() if name not in QT}
    for name, ancestor in declared.items():
        assert ancestor in line_of(name, version)[1:], f"{name} does not extend {ancestor}"


@needs_facts
@pytest.mark.parametrize("version", VERSIONS)
def test_connections_of_the_ui_file_exist(version: str) -> None:
    for connection in panel().iter("connection"):
        sender, signal, receiver, slot = (
            connection.findtext(part, "") for part in ("sender", "signal", "receiver", "slot")
        )
        assert signal in members(widgets()[sender], ("signals",), version)
        assert slot in members(widgets()[receiver], ("slots",), version)


def test_every_widget_of_the_scene_gets_the_scene() -> None:
    with_scene = {name for name, kind in widgets().items() if kind.startswith("qMRML")} - {"LowResSeg"}
    connected = {connection.findtext("receiver") for connection in panel().iter("connection")}
    assert with_scene == connected


def test_parameters_named_in_the_ui_file_are_those_of_the_parameter_node() -> None:
    named = {
        entry.findtext("string") for entry in panel().iter("property") if entry.get("name") == "SlicerParameterName"
    }
    parameters = {
        statement.target.id
        for tree in scripts()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.name == "LowResSegParameterNode"
        for statement in node.body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    }
    assert named == parameters - {"model"}  # a combo box of names that are found at run time is bound by hand


def uses(tree: ast.Module) -> Iterator[tuple[str, str, ast.Attribute]]:
    """Each use `self.ui.NAME.MEMBER`, also through a local variable: (NAME, MEMBER, where)."""

    def widget(node: ast.AST) -> str:
        is_ui = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "ui"
        return node.attr if is_ui else ""  # type: ignore[attr-defined]

    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        assignments = [node for node in ast.walk(function) if isinstance(node, ast.Assign)]
        local = {
            node.targets[0].id: widget(node.value) for node in assignments if isinstance(node.targets[0], ast.Name)
        }
        for node in ast.walk(function):
            if isinstance(node, ast.Attribute):
                name = local.get(node.value.id, "") if isinstance(node.value, ast.Name) else widget(node.value)
                if name:
                    yield name, node.attr, node


@needs_facts
@pytest.mark.parametrize("version", VERSIONS)
def test_members_used_by_the_panel_exist(version: str) -> None:
    found = [use for tree in scripts() for use in uses(tree)]
    assert len(found) > 15  # else the panel is written in a way that this test does not see
    for name, member, _ in found:
        assert name in widgets(), f"the .ui file has no widget {name}"
        signatures = members(widgets()[name], ("signals", "slots", "invokable"), version)
        known = members(widgets()[name], ("properties",), version) | {each.split("(")[0] for each in signatures}
        assert member in known | {"connect", "disconnect"}, f"{name} ({widgets()[name]}) has no {member}"


@needs_facts
@pytest.mark.parametrize("version", VERSIONS)
def test_signals_connected_by_the_panel_exist(version: str) -> None:
    seen = 0
    for tree in scripts():
        where = {id(node): widgets()[name] for name, member, node in uses(tree) if member == "connect"}
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if isinstance(call.func, ast.Attribute) and call.func.attr in ("connect", "disconnect"):
                kind = where.get(id(call.func), "QTimer")  # the only thing beside widgets that the module connects
                assert ast.literal_eval(call.args[0]) in members(kind, ("signals",), version)
                seen += 1
    assert seen >= 3


def test_names_taken_from_qt_are_known() -> None:
    for tree in scripts():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "qt":
                assert node.attr in QT


def test_names_taken_from_slicer_exist_in_slicer_core(application: Any) -> None:
    of_the_application = {"loadUI", "childWidgetVariables"}  # in slicer.util too, and they need Qt when called
    seen = 0
    for tree in scripts():
        for node in (node for node in ast.walk(tree) if isinstance(node, ast.Attribute)):
            text = ast.unparse(node.value)
            if text == "slicer" and node.attr.startswith("vtk"):
                assert hasattr(application, node.attr), node.attr
                seen += 1
            elif text == "slicer.util":
                assert hasattr(application.util, node.attr), node.attr
                seen += 1
    assert seen > 5 and all(hasattr(application.util, name) for name in of_the_application)


def test_the_module_imports_only_slicer_the_standard_library_numpy_and_vtk() -> None:
    standard = {"__future__", "collections", "json", "logging", "pathlib", "shutil", "sys", "typing"}
    allowed = standard | {"numpy", "vtk", "qt", "slicer", "LowResSegLib", "LowResSegSlicer"}
    for tree in scripts():
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= allowed, names
