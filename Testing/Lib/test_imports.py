"""The rooms import only what comes before them, and nothing heavy is loaded by accident."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info < (3, 10):
    pytest.skip("the names of the standard library's modules are known from Python 3.10 on", allow_module_level=True)

PACKAGE = Path(__file__).resolve().parents[2] / "LowResSegLib"

# In the order of the way: a room may import itself and what stands before it. docs/architecture.md has the same list.
ROOMS = [
    "version",
    "errors",
    "kernels",
    "volume",
    "sampling",
    "model",
    "suitability",
    "engine",
    "reconstruction",
    "slabs",
    "inference",
    "reduction",
    "confidence",
    "memory",
    "pipeline",
    "estimate",
    "report",
    "comparison",
    "case",
    "jobs",
    "remote",
    "networks",
    "training",
    "cli",
]
# Roots of third-party modules that a room may import; the core needs numpy alone, SimpleITK for files,
# pydicom for enhanced multi-frame DICOM and highdicom for DICOM SEG.
ALLOWED = {
    "volume": {"numpy", "SimpleITK", "pydicom", "highdicom"},
    "engine": {"numpy", "onnx", "onnxruntime"},
    "estimate": {"numpy", "onnx", "onnxruntime"},
    "report": {"numpy", "matplotlib"},
    "comparison": {"numpy", "SimpleITK", "highdicom", "matplotlib", "pydicom"},
    "remote": {"numpy", "fastapi", "starlette", "uvicorn", "h11", "cryptography"},
    "networks": {"numpy", "torch"},
    "training": {"numpy", "SimpleITK", "torch", "monai", "lightning", "yaml", "matplotlib", "onnxruntime"},
}


def sources() -> list[tuple[str, Path]]:
    """Each source file with its room; the package's own two files may import everything."""
    files = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).parts
        room = parts[0].removesuffix(".py")
        if room not in ("__init__", "__main__"):
            files.append((room, path))
    return files


def imported(path: Path) -> set[str]:
    """Names of all modules that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names.update([node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)])
    return names


@pytest.mark.parametrize(("room", "path"), sources(), ids=lambda value: getattr(value, "stem", value))
def test_rooms_import_only_what_comes_before_them(room: str, path: Path) -> None:
    assert room in ROOMS, f"{path.name} is in no room that docs/architecture.md names"
    earlier = ROOMS[: ROOMS.index(room) + 1]
    own = {name.split(".")[1] for name in imported(path) if name.startswith("LowResSegLib.")}
    assert own <= set(earlier)
    others = {name.split(".")[0] for name in imported(path)} - {"LowResSegLib"} - set(sys.stdlib_module_names)
    assert others <= ALLOWED.get(room, {"numpy"})


def test_the_architecture_page_names_the_rooms_in_this_order() -> None:
    text = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    places = [text.index(f"\n    {room} ") for room in ROOMS]
    assert places == sorted(places)


@pytest.mark.parametrize("statement", ["import LowResSegLib", "import LowResSegLib.cli", "import LowResSegLib.jobs"])
def test_importing_loads_no_third_party_module_but_numpy(statement: str) -> None:
    code = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    found = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=True)
    roots = {name.split(".")[0] for name in found.stdout.split()}
    heavy = {name for name in roots - set(sys.stdlib_module_names) if not name.startswith("_")}
    assert heavy <= {"LowResSegLib", "numpy"}
    assert "LowResSegLib" in heavy
