"""Wheels: with the native kernels where there is a compiler, without them where there is none, all else the same."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from builds import CHECKOUT, need

pytest.importorskip("scikit_build_core", reason="scikit-build-core is not installed")

LIBRARY = {"win32": "lowresseg.dll", "darwin": "liblowresseg.dylib"}.get(sys.platform, "liblowresseg.so")
COPIED = (
    "LowResSegLib", "LowResSeg", "Resources", "CMakeLists.txt", "README.md", "LICENSE", "pyproject.toml", ".gitignore",
    "constraints.txt",
)  # fmt: skip
BUILD = "import sys, scikit_build_core.build as b; print(getattr(b, 'build_' + sys.argv[1])(sys.argv[2]))"
TELL = """
import os, sys, site
if sys.argv[1:]:
    for name in [name for name in sys.modules if "editable" in name]:  # of this Python's own environment
        del sys.modules[name]
    sys.path.insert(0, sys.argv[1])
    site.addsitedir(sys.argv[1])
import LowResSegLib
from LowResSegLib import kernels
print(os.path.dirname(LowResSegLib.__file__))
print(LowResSegLib.available_models()["brain"])
print(kernels.library()._name if kernels.available() else kernels.why_not())
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what wheels are made of, in which somebody built the kernels for another machine."""
    copy = tmp_path_factory.mktemp("source") / "checkout"
    copy.mkdir()
    for name in COPIED:
        path = CHECKOUT / name
        if path.is_dir():
            shutil.copytree(path, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, copy)
    (copy / "LowResSegLib" / "kernels" / LIBRARY).write_bytes(b"old")
    return copy


def built(kind: str, source: Path, folder: Path, **environment: str) -> Path:
    """What the build backend makes in a folder: a `wheel`, an `editable` wheel or an `sdist`."""
    need("cmake")
    folder.mkdir()
    command = [sys.executable, "-c", BUILD, kind, str(folder)]
    run = subprocess.run(command, cwd=source, env={**os.environ, **environment}, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    (made,) = folder.iterdir()
    return made


def without_compiler(tmp_path: Path) -> dict[str, str]:
    """An environment in which CMake finds no compiler."""
    (tmp_path / "bin").mkdir()
    for program in ("cmake", "ninja", "make"):
        found = shutil.which(program)
        if found:
            (tmp_path / "bin" / program).symlink_to(found)
    return {"PATH": str(tmp_path / "bin"), "CC": str(tmp_path / "nosuch")}


def names(wheel: Path) -> set[str]:
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


def told(path: Path, *arguments: object) -> list[str]:
    """Where a Python that finds the package in a folder alone has it, the model `brain` and the library from."""
    folders = [str(CHECKOUT / "Testing" / "without_editable"), *([str(path)] if not arguments else [])]
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LOWRESSEG", "XDG", "PYTHON"))}
    environment = {**kept, "PYTHONPATH": os.pathsep.join(folders), "HOME": str(path)}
    command = [sys.executable, "-c", TELL, *map(str, arguments)]
    run = subprocess.run(command, cwd=path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def unpacked(wheel: Path) -> Path:
    folder = wheel.parent / "unpacked"
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel that was built with a compiler."""
    need("cc")
    return built("wheel", checkout, tmp_path_factory.mktemp("wheel") / "out")


def test_a_wheel_has_the_kernels_and_the_models_and_serves_every_python(wheel: Path) -> None:
    version = re.search(r'"(.+)"', (CHECKOUT / "LowResSegLib" / "version.py").read_text().split("=")[1])
    assert version and re.fullmatch(rf"lowresseg-{re.escape(version[1])}-py3-none-(?!any)\w+\.whl", wheel.name)
    package = {path.relative_to(CHECKOUT).as_posix() for path in (CHECKOUT / "LowResSegLib").rglob("*.py")}
    configs = {path.relative_to(CHECKOUT).as_posix() for path in (CHECKOUT / "LowResSegLib").rglob("*.yaml")}
    models = {f"LowResSegLib/Resources/Models/{path.name}" for path in (CHECKOUT / "Resources" / "Models").iterdir()}
    assert names(wheel) == package | configs | models | {f"LowResSegLib/kernels/{LIBRARY}"}

    folder = unpacked(wheel)
    assert told(folder) == [
        str(folder / "LowResSegLib"),
        str(folder / "LowResSegLib" / "Resources" / "Models" / "brain.lowresseg"),
        str(folder / "LowResSegLib" / "kernels" / LIBRARY),
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="Visual Studio is found without PATH")
@pytest.mark.parametrize("how", ["no compiler", "not wanted"])
def test_a_wheel_without_the_kernels_says_so_when_it_is_used(how: str, checkout: Path, tmp_path: Path) -> None:
    environment = without_compiler(tmp_path) if how == "no compiler" else {"LOWRESSEG_KERNELS": "none"}
    wheel = built("wheel", checkout, tmp_path / "out", **environment)
    assert wheel.name.endswith("-py3-none-any.whl")
    assert not any(name.endswith((".so", ".dylib", ".dll")) for name in names(wheel))
    folder = unpacked(wheel)
    package, model, library = told(folder)
    assert package == str(folder / "LowResSegLib") and model.startswith(package)
    assert "not part of this installation" in library


def test_a_source_distribution_makes_the_same_wheel(checkout: Path, wheel: Path, tmp_path: Path) -> None:
    archive = built("sdist", checkout, tmp_path / "sdist")
    with tarfile.open(archive) as content:
        content.extractall(tmp_path / "source")
    (source,) = (tmp_path / "source").iterdir()
    assert not list(source.rglob(LIBRARY))
    second = built("wheel", source, tmp_path / "out")
    assert second.name == wheel.name and names(second) == names(wheel)
    assert told(unpacked(second))[2].endswith(LIBRARY)


@pytest.mark.skipif(sys.platform == "win32", reason="Visual Studio is found without PATH")
@pytest.mark.parametrize("compiler", [True, False])
def test_an_editable_installation_has_its_library_in_the_environment(
    compiler: bool, checkout: Path, tmp_path: Path
) -> None:
    (checkout / "LowResSegLib" / "kernels" / LIBRARY).unlink(missing_ok=True)
    if compiler:
        need("cc")
    wheel = built("editable", checkout, tmp_path / "out", **({} if compiler else without_compiler(tmp_path)))
    folder = unpacked(wheel)
    package, model, library = told(tmp_path, folder)
    assert package == str(checkout / "LowResSegLib")
    assert model == str(checkout / "Resources" / "Models" / "brain.lowresseg")
    if compiler:
        assert library == str(folder / "LowResSegLib" / "kernels" / LIBRARY)
    else:
        assert "not part of this installation" in library
