"""The extension built and installed by CMake, with stand-ins for Slicer's macros, and a Python that knows only that."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple, Optional

import pytest
from scans import REPOSITORY

MODULES = Path("lib/Slicer-5.12/qt-scripted-modules")
TRAINING = ("networks", "training")  # needs torch, which is not for Slicer
LIBRARY = {"win32": "lowresseg.dll", "darwin": "liblowresseg.dylib"}.get(sys.platform, "liblowresseg.so")
_STAND_INS = Path(__file__).parent / "cmake"
_BUILT = shutil.ignore_patterns("__pycache__", LIBRARY)
_NEEDED = ("cmake", os.environ.get("CC", "cc"), os.environ.get("CXX", "c++"))
_MISSING = [name for name in _NEEDED if shutil.which(name) is None]
needs_cmake = pytest.mark.skipif(bool(_MISSING), reason=f"{' and '.join(_MISSING)} is not installed")


class Trees(NamedTuple):
    """The folders of scripted modules in the build tree and in the installed extension, and the tests ctest has."""

    build: Path
    installed: Path
    tests: str


def cmake(*arguments: object, program: str = "cmake", folder: Optional[Path] = None) -> str:
    """Run CMake, or another program of it, in a folder; its output, and a failed test where it fails."""
    run = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, cwd=folder)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


def install_extension(folder: Path, model: str) -> Trees:
    """Build and install the extension from a copy of the sources that has `model` among its resources too.

    The copy, the build tree and the installed one are renamed afterwards: what was installed finds nothing of them by
    a path that was written down.
    """
    checkout = folder / "SlicerLowResSeg"
    for name in ("LowResSeg", "LowResSegLib", "Resources", "Testing/Slicer"):
        shutil.copytree(REPOSITORY / name, checkout / name, ignore=_BUILT)
    shutil.copy(REPOSITORY / "CMakeLists.txt", checkout)
    shutil.copy(model, checkout / "Resources" / "Models" / "tiny.lowresseg")
    cmake("-S", checkout, "-B", folder / "build", f"-DSlicer_DIR={_STAND_INS}", "-DBUILD_TESTING=ON")
    cmake("--build", folder / "build", "--parallel", 2)
    cmake("--install", folder / "build", "--prefix", folder / "prefix")
    tests = cmake("--show-only=json-v1", program="ctest", folder=folder / "build")
    for moved in (checkout, folder / "build", folder / "prefix"):
        moved.rename(moved.with_name(f"moved {moved.name}"))
    return Trees(folder / "moved build" / MODULES, folder / "moved prefix" / MODULES, tests)


def python(folder: Path, code: str, *arguments: object, known: tuple[Path, ...] = ()) -> str:
    """What a fresh Python prints that knows only `folder` and `known`, as Slicer's worker does."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LOWRESSEG", "XDG", "PYTHON"))}
    paths = (REPOSITORY / "Testing" / "without_editable", folder, *known)
    environment = {
        **kept,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(folder.parents[2]),
    }
    command = [sys.executable, "-c", code, *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=folder.parents[2], env=environment)
    assert run.returncode == 0, run.stderr
    return run.stdout


def scripts_in(folder: Path, without: tuple[str, ...] = ()) -> set[str]:
    """Python files of a folder, as paths relative to it."""
    found = (path.relative_to(folder) for path in folder.rglob("*.py"))
    return {path.as_posix() for path in found if path.parts[0] not in without}
