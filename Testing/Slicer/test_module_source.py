"""What the module's sources keep to: imports, texts that can be translated, nothing printed."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from string import Formatter

import pytest
from module_source import MODULE, Script, scripts

OURS = {"LowResSegLib", "LowResSegSlicer", "LowResSeg"}
AT_FILE_SCOPE = {"numpy", "vtk", "qt", "ctk", "slicer"} | OURS
LATER = {"SampleData", "DICOMLib", "DICOMSegmentationPlugin"}  # modules of Slicer, imported where they are first used
STANDARD = set(getattr(sys, "stdlib_module_names", ())) | {"__future__"}

each_script = pytest.mark.parametrize(
    "script", scripts(), ids=lambda script: script.path.relative_to(MODULE).as_posix()
)


def imported(nodes: Iterator[ast.AST]) -> set[str]:
    """Top names of what is imported."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports depend on how Slicer has loaded the file"
            names.add(node.module or "")
    return {name.split(".")[0] for name in names}


def at_file_scope(tree: ast.AST) -> Iterator[ast.AST]:
    """What is run when the file is imported: all but the bodies of functions."""
    for node in ast.iter_child_nodes(tree):
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.Lambda)):
            yield from at_file_scope(node)


def translated(script: Script) -> Iterator[tuple[ast.Call, ast.expr]]:
    """Calls of `_` and `translate`, each with the text it is given."""
    for node in ast.walk(script.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("_", "translate"):
            yield node, node.args[-1]


@pytest.mark.skipif(not hasattr(sys, "stdlib_module_names"), reason="Python 3.9 does not list its standard library")
@each_script
def test_only_slicer_the_standard_library_numpy_and_vtk_are_imported(script: Script) -> None:
    assert imported(at_file_scope(script.tree)) <= STANDARD | AT_FILE_SCOPE
    assert imported(ast.walk(script.tree)) <= STANDARD | AT_FILE_SCOPE | LATER


@each_script
def test_nothing_is_printed(script: Script) -> None:
    calls = [node.func for node in ast.walk(script.tree) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call, ast.Name) and call.id == "print"], "use logging"


@each_script
def test_texts_can_be_translated(script: Script) -> None:
    for call, text in translated(script):
        where = f"{script.path.name}:{call.lineno}"
        # Not a variable, not an f-string, not text that is formatted already: it could not be looked up.
        assert isinstance(text, ast.Constant) and isinstance(text.value, str), where
        fields = [field for _, field, _, _ in Formatter().parse(text.value) if field is not None]
        assert all(field.isidentifier() for field in fields), f"{where}: name the placeholders"
        assert text.value.strip(), where


@each_script
def test_every_sentence_for_the_user_is_translated(script: Script) -> None:
    """Errors that the module itself raises, and what is put on a widget."""
    for node in ast.walk(script.tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
            name = ast.unparse(node.exc.func)
            if name in ("InputError", "OutputError", "ModelError"):
                assert not _is_bare(node.exc.args[0]), f"{script.path.name}:{node.lineno}: wrap the text in _()"
        elif isinstance(node, ast.Assign):
            shown = isinstance(node.targets[0], ast.Attribute) and node.targets[0].attr in ("text", "toolTip")
            assert not (shown and _is_bare(node.value)), f"{script.path.name}:{node.lineno}: wrap the text in _()"


def _is_bare(value: ast.AST) -> bool:
    """Whether this is a text with words in it that did not go through `_`."""
    if isinstance(value, ast.IfExp):
        return _is_bare(value.body) or _is_bare(value.orelse)
    if isinstance(value, ast.JoinedStr):
        return any(_is_bare(part) for part in value.values)
    return isinstance(value, ast.Constant) and isinstance(value.value, str) and any(map(str.isalpha, value.value))


def test_there_are_texts_to_look_at() -> None:
    assert sum(len(list(translated(script))) for script in scripts()) > 50
