"""The sources of the Slicer module, read and not run."""

from __future__ import annotations

import ast
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from scans import REPOSITORY

MODULE = REPOSITORY / "LowResSeg"


class Script(NamedTuple):
    """A Python file of the module."""

    path: Path
    tree: ast.Module


class Use(NamedTuple):
    """One use of a member of something whose class is known: `self.ui.NAME.MEMBER` or a local variable of it."""

    kinds: tuple[str, ...]
    member: str
    called: bool
    node: ast.Attribute


@cache
def scripts() -> tuple[Script, ...]:
    """All Python files of the module."""
    paths = sorted(path for path in MODULE.rglob("*.py") if "__pycache__" not in path.parts)
    return tuple(Script(path, ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))) for path in paths)


@cache
def panels() -> dict[str, ElementTree.Element]:
    """The .ui files by their names."""
    return {path.name: ElementTree.parse(path).getroot() for path in sorted(MODULE.rglob("*.ui"))}


def widgets(panel: ElementTree.Element) -> dict[str, str]:
    """Class of each named widget of a .ui file."""
    return {widget.attrib["name"]: widget.attrib["class"] for widget in panel.iter("widget")}


def widgets_of(script: Script) -> dict[str, str]:
    """Class of each widget that a script may use: those of the .ui file it names as `ui_file`, else of all."""
    named = [
        node.value.value
        for node in ast.walk(script.tree)
        if isinstance(node, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == "ui_file" for target in node.targets)
        and isinstance(node.value, ast.Constant)
    ]
    chosen = [panels()[name] for name in named] or list(panels().values())
    return {name: kind for panel in chosen for name, kind in widgets(panel).items()}


def uses(script: Script) -> Iterator[Use]:
    """Each use of a member of a widget, or of an object of Qt that is made on the spot.

    Raises:
        AssertionError: a widget that no .ui file has.
    """
    known = widgets_of(script)

    def kind_of(node: ast.AST) -> str:
        """Class of `self.ui.NAME`, `ui.NAME` or `qt.CLASS(...)`; empty for all else."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            made = node.func
            return made.attr if isinstance(made.value, ast.Name) and made.value.id == "qt" else ""
        if not isinstance(node, ast.Attribute):
            return ""
        holder = node.value
        is_ui = isinstance(holder, ast.Attribute) and holder.attr == "ui"
        is_ui = is_ui or (isinstance(holder, ast.Name) and holder.id == "ui")
        if is_ui:
            assert node.attr in known, f"{script.path.name} uses ui.{node.attr}, which its .ui file does not have"
        return known[node.attr] if is_ui else ""

    for function in (node for node in ast.walk(script.tree) if isinstance(node, ast.FunctionDef)):
        local: dict[str, tuple[str, ...]] = {}
        for target, values in _assignments(function):
            kinds = tuple(kind for kind in map(kind_of, values) if kind)
            if kinds:
                local[target] = (*local.get(target, ()), *kinds)
        called = {id(node.func) for node in ast.walk(function) if isinstance(node, ast.Call)}
        for node in ast.walk(function):
            if isinstance(node, ast.Attribute):
                kinds = local.get(node.value.id, ()) if isinstance(node.value, ast.Name) else (kind_of(node.value),)
                if any(kinds):
                    yield Use(kinds, node.attr, id(node) in called, node)


def _assignments(function: ast.FunctionDef) -> Iterator[tuple[str, list[ast.AST]]]:
    """Names that a function assigns to, each with what it may become: also of tuples, and in loops over tuples."""
    for node in ast.walk(function):
        if isinstance(node, ast.For) and isinstance(node.target, ast.Name) and isinstance(node.iter, ast.Tuple):
            yield node.target.id, list(node.iter.elts)
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            if isinstance(target, ast.Name):
                yield target.id, [node.value]
            elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                for name, value in zip(target.elts, node.value.elts):
                    if isinstance(name, ast.Name):
                        yield name.id, [value]
