"""Names in the .ui files and in the panel against what the widgets of Slicer 5.6, 5.8 and 5.12 have."""

from __future__ import annotations

import ast
import json
import os
import xml.etree.ElementTree as ElementTree
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from module_source import Use, panels, scripts, uses, widgets
from qt_names import QT
from scans import REPOSITORY

FACTS = Path(os.environ.get("LOWRESSEG_REFERENCE") or REPOSITORY.parent / "shared" / "reference") / "slicer_api.json"
VERSIONS = ("v5.6.2", "v5.8.1", "v5.12.3")
METHODS, PROPERTIES = ("signals", "slots", "invokable"), ("properties",)

needs_facts = pytest.mark.skipif(not FACTS.is_file(), reason=f"{FACTS} is absent; set LOWRESSEG_REFERENCE")
each_panel = pytest.mark.parametrize("panel", panels().values(), ids=list(panels()))
each_version = pytest.mark.parametrize("version", VERSIONS)


@cache
def classes(version: str) -> dict[str, dict[str, Any]]:
    """Facts about every class of one version, Slicer's, CTK's and Qt's."""
    facts = json.loads(FACTS.read_text(encoding="utf-8"))
    return {**QT, **facts["ctk"], **facts[version]}


def line_of(name: str, version: str) -> list[str]:
    """A class and its ancestors."""
    line = []
    while name:
        assert name in classes(version), f"{version} has no class {name}; look it up, then add it to qt_names.py"
        line.append(name)
        name = classes(version)[name]["base"]
    return line


def members(name: str, kinds: tuple[str, ...], version: str) -> set[str]:
    """Signatures or names of some kinds that a class has or inherits."""
    return {
        member for each in line_of(name, version) for kind in kinds for member in classes(version)[each].get(kind, [])
    }


@needs_facts
@each_panel
@each_version
def test_widgets_of_the_ui_file_and_their_properties_exist(panel: ElementTree.Element, version: str) -> None:
    for widget in panel.iter("widget"):
        known = members(widget.attrib["class"], PROPERTIES, version)
        for entry in widget.findall("property"):
            if entry.get("stdset") != "0":  # else it is made up on the spot
                assert entry.attrib["name"] in known, f"{widget.attrib['name']} has no property {entry.attrib['name']}"


@needs_facts
@each_panel
@each_version
def test_custom_widgets_of_the_ui_file_are_declared_with_an_ancestor(panel: ElementTree.Element, version: str) -> None:
    declared = {entry.findtext("class", ""): entry.findtext("extends", "") for entry in panel.iter("customwidget")}
    assert set(declared) == {name for name in widgets(panel).values() if name not in QT}
    for name, ancestor in declared.items():
        assert ancestor in line_of(name, version)[1:], f"{name} does not extend {ancestor}"


@needs_facts
@each_panel
@each_version
def test_connections_of_the_ui_file_exist(panel: ElementTree.Element, version: str) -> None:
    for connection in panel.iter("connection"):
        sender, signal, receiver, slot = (
            connection.findtext(part, "") for part in ("sender", "signal", "receiver", "slot")
        )
        assert signal in members(widgets(panel)[sender], ("signals",), version)
        assert slot in members(widgets(panel)[receiver], ("slots",), version)


@needs_facts
@each_panel
def test_every_widget_of_the_scene_gets_the_scene(panel: ElementTree.Element) -> None:
    (top,) = panel.findall("widget")
    assert top.attrib["class"] == "qMRMLWidget"
    takers = {kind for kind in widgets(panel).values() if "setMRMLScene(vtkMRMLScene*)" in _slots(kind)}
    with_scene = {name for name, kind in widgets(panel).items() if kind in takers} - {top.attrib["name"]}
    connected = {connection.findtext("receiver") for connection in panel.iter("connection")}
    assert with_scene == connected


def _slots(kind: str) -> set[str]:
    return members(kind, ("slots",), VERSIONS[0])


def test_names_of_widgets_are_unique_over_all_ui_files() -> None:
    names = [name for panel in panels().values() for name in widgets(panel)]
    assert len(names) == len(set(names))


@each_panel
def test_classes_of_nodes_are_not_translated(panel: ElementTree.Element) -> None:
    for entry in panel.iter("property"):
        if entry.get("name") in ("nodeTypes", "SlicerParameterName"):
            assert entry[0].get("notr") == "true", ElementTree.tostring(entry)


def test_parameters_named_in_the_ui_files_are_those_of_the_parameter_node() -> None:
    named = {
        entry.findtext("string")
        for panel in panels().values()
        for entry in panel.iter("property")
        if entry.get("name") == "SlicerParameterName"
    }
    parameters = {
        statement.target.id
        for script in scripts()
        for node in ast.walk(script.tree)
        if isinstance(node, ast.ClassDef) and node.name == "LowResSegParameterNode"
        for statement in node.body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    }
    assert named == parameters - {"model"}  # a combo box of names that are found at run time is bound by hand


@needs_facts
@each_version
def test_members_used_by_the_panel_exist(version: str) -> None:
    found = [(script, use) for script in scripts() for use in uses(script)]
    assert len(found) > 100  # else the panel is written in a way that this test does not see
    for script, use in found:
        for kind in use.kinds:
            assert _has(kind, use, version), f"{script.path.name}:{use.node.lineno}: {kind} has no {use.member}"


def _has(kind: str, use: Use, version: str) -> bool:
    """Whether a class has a member as it is used: methods are called, properties are not."""
    methods = {each.split("(")[0] for each in members(kind, METHODS, version)} | {"connect", "disconnect"}
    return use.member in (methods if use.called else members(kind, PROPERTIES, version))


@needs_facts
@each_version
def test_lists_of_nodes_can_leave_some_out(version: str) -> None:
    assert "sortFilterProxyModel()" in members("qMRMLNodeComboBox", METHODS, version)
    assert "hiddenNodeIDs" in classes(version)["qMRMLSortFilterProxyModel"]["properties"]


@needs_facts
@each_version
def test_signals_connected_by_the_panel_exist(version: str) -> None:
    seen = 0
    for script in scripts():
        kinds = {id(use.node): use.kinds for use in uses(script) if use.member in ("connect", "disconnect")}
        for call in (node for node in ast.walk(script.tree) if isinstance(node, ast.Call)):
            if isinstance(call.func, ast.Attribute) and call.func.attr in ("connect", "disconnect"):
                signal = ast.literal_eval(call.args[0])
                for kind in kinds.get(id(call.func)) or _kinds_of(call.func.value, script.path.name):
                    assert signal in members(kind, ("signals",), version), f"{script.path.name}: {kind}: {signal}"
                seen += 1
    assert seen >= 10


def _kinds_of(sender: ast.AST, file: str) -> tuple[str, ...]:
    """Classes of what the module connects beside widgets by their names."""
    known = {"slicer.app": "qSlicerApplication", "timer": "QTimer", "box": "QCheckBox"}
    text = ast.unparse(sender)
    assert text in known, f"{file} connects {text}, whose class is not known here"
    return (known[text],)


def test_names_taken_from_qt_are_known() -> None:
    for script in scripts():
        for node in (node for node in ast.walk(script.tree) if isinstance(node, ast.Attribute)):
            if isinstance(node.value, ast.Name) and node.value.id == "qt":
                assert node.attr in QT, f"{script.path.name}: qt.{node.attr}"
            elif ast.unparse(node.value).startswith("qt.") and isinstance(node.value, ast.Attribute):
                assert node.attr in QT[node.value.attr].get("enums", ()), f"{script.path.name}: {ast.unparse(node)}"


@needs_facts
@each_version
def test_names_taken_from_the_application_exist(version: str) -> None:
    seen = 0
    for script in scripts():
        for node in (node for node in ast.walk(script.tree) if isinstance(node, ast.Attribute)):
            if ast.unparse(node.value) == "slicer.app":
                signatures = members("qSlicerApplication", METHODS, version)
                known = {each.split("(")[0] for each in signatures} | members("qSlicerApplication", PROPERTIES, version)
                assert node.attr in known | {"connect", "disconnect"}, f"{script.path.name}: slicer.app.{node.attr}"
                seen += 1
    assert seen >= 3


def test_names_taken_from_slicer_exist_in_slicer_core(application: Any) -> None:
    seen = 0
    for script in scripts():
        for node in (node for node in ast.walk(script.tree) if isinstance(node, ast.Attribute)):
            text = ast.unparse(node.value)
            if text == "slicer" and node.attr.startswith("vtk"):
                assert hasattr(application, node.attr), node.attr
                seen += 1
            elif text == "slicer.util":
                assert hasattr(application.util, node.attr), node.attr
                seen += 1
    assert seen > 20
