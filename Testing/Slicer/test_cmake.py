"""The extension's install tree, made by CMake with stand-ins for Slicer's macros, and used from there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scans import REPOSITORY, head

MODULES = Path("lib/Slicer-5.12/qt-scripted-modules")
TRAINING = ("networks", "training")  # needs torch, which is not for Slicer
STAND_INS = Path(__file__).parent / "cmake"
RESOURCES = REPOSITORY / "Resources"
LIBRARY = {"win32": "lowresseg.dll", "darwin": "liblowresseg.dylib"}.get(sys.platform, "liblowresseg.so")
BUILT = shutil.ignore_patterns("__pycache__", LIBRARY)
NEEDED = ("cmake", os.environ.get("CC", "cc"), os.environ.get("CXX", "c++"))
MISSING = [name for name in NEEDED if shutil.which(name) is None]
needs_cmake = pytest.mark.skipif(bool(MISSING), reason=f"{' and '.join(MISSING)} is not installed")


def cmake(*arguments: object) -> str:
    """Run CMake; its output, and a failed test where it fails."""
    run = subprocess.run(["cmake", *map(str, arguments)], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the extension is made of, with one more resource than the repository need have."""
    copy = tmp_path_factory.mktemp("source") / "SlicerLowResSeg"
    for folder in ("LowResSeg", "LowResSegLib", "Resources"):
        if (REPOSITORY / folder).is_dir():
            shutil.copytree(REPOSITORY / folder, copy / folder, ignore=BUILT)
    shutil.copy(REPOSITORY / "CMakeLists.txt", copy)
    (copy / "Resources" / "Models").mkdir(parents=True, exist_ok=True)
    return copy


@pytest.fixture(scope="module")
def trees(checkout: Path, model: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of scripted modules in the build tree and in the installed extension; both trees and the checkout moved.

    What was installed can so find nothing of them.
    """
    shutil.copy(model, checkout / "Resources" / "Models" / "tiny.lowresseg")
    folder = tmp_path_factory.mktemp("extension")
    cmake("-S", checkout, "-B", folder / "build", f"-DSlicer_DIR={STAND_INS}", "-DBUILD_TESTING=ON")
    cmake("--build", folder / "build", "--parallel", os.cpu_count())
    cmake("--install", folder / "build", "--prefix", folder / "prefix")
    for moved in (checkout, folder / "build", folder / "prefix"):
        moved.rename(moved.with_name(f"moved {moved.name}"))
    return folder / "moved build" / MODULES, folder / "moved prefix" / MODULES


@pytest.fixture(scope="module")
def installed(trees: tuple[Path, Path]) -> Path:
    """The folder of scripted modules in the installed extension."""
    return trees[1]


def python(folder: Path, code: str, *arguments: object) -> str:
    """What a fresh Python prints that knows only `folder`, as Slicer's worker does."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LOWRESSEG", "XDG", "PYTHON"))}
    known = os.pathsep.join(map(str, (REPOSITORY / "Testing" / "without_editable", folder)))
    environment = {**kept, "PYTHONPATH": known, "HOME": str(folder.parents[2])}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=folder.parents[2], env=environment)
    assert run.returncode == 0, run.stderr
    return run.stdout


def scripts_in(folder: Path, without: tuple[str, ...] = ()) -> set[str]:
    found = (path.relative_to(folder) for path in folder.rglob("*.py"))
    return {path.as_posix() for path in found if path.parts[0] not in without}


def listed(folder: str, variable: str) -> list[str]:
    """The entries of a list in a folder's CMakeLists.txt."""
    text = (REPOSITORY / folder / "CMakeLists.txt").read_text(encoding="utf-8")
    match = re.search(rf"set\({variable}\s+([^)]*)\)", text)
    assert match, f"{variable} is not set in {folder}/CMakeLists.txt"
    return match[1].split()


def test_list_of_the_library_has_every_script() -> None:
    assert sorted(listed("LowResSegLib", "MODULE_PYTHON_SCRIPTS")) == sorted(
        scripts_in(REPOSITORY / "LowResSegLib", TRAINING)
    )


def test_library_has_no_other_files_to_install() -> None:
    folder = REPOSITORY / "LowResSegLib"
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    other = {path.as_posix() for path in files if path.parts[0] not in TRAINING and "__pycache__" not in path.parts}
    other = {name for name in other if not name.endswith(".py")}
    sources = {name for name in other if re.fullmatch(r"kernels/src/\w+\.[ch]", name)}
    assert other - sources - {f"kernels/{LIBRARY}"} == {"CMakeLists.txt", "kernels/CMakeLists.txt"}


def test_lists_of_the_module_have_every_script_and_resource() -> None:
    folder = REPOSITORY / "LowResSeg"
    resources = {path.relative_to(folder).as_posix() for path in (folder / "Resources").rglob("*") if path.is_file()}

    assert sorted(listed("LowResSeg", "MODULE_PYTHON_SCRIPTS")) == sorted(scripts_in(folder))
    assert sorted(listed("LowResSeg", "MODULE_PYTHON_RESOURCES")) == sorted(resources)


@needs_cmake
def test_builds_just_the_kernels_without_slicer(tmp_path: Path) -> None:
    for _ in range(2):  # the second time, what the first time found is in the cache
        assert "Slicer_DIR is not set" in cmake("-S", REPOSITORY, "-B", tmp_path)
    cmake("--build", tmp_path, "--parallel", os.cpu_count())
    cmake("--install", tmp_path, "--prefix", tmp_path / "prefix")
    files = [path for path in (tmp_path / "prefix").rglob("*") if path.is_file()]
    assert files == [tmp_path / "prefix" / "LowResSegLib" / "kernels" / LIBRARY]


@needs_cmake
def test_a_wrong_slicer_is_an_error(tmp_path: Path) -> None:
    command = ["cmake", "-S", str(REPOSITORY), "-B", str(tmp_path), f"-DSlicer_DIR={tmp_path / 'nosuch'}"]
    assert subprocess.run(command, capture_output=True).returncode != 0


@needs_cmake
def test_installs_module_library_and_resources_and_nothing_else(installed: Path) -> None:
    files = (path.relative_to(installed) for path in installed.rglob("*") if path.is_file())
    found = {path.as_posix() for path in files if "__pycache__" not in path.parts}
    library = {f"LowResSegLib/{name}" for name in scripts_in(REPOSITORY / "LowResSegLib", TRAINING)}
    bundled = {path.relative_to(REPOSITORY).as_posix() for path in RESOURCES.rglob("*") if path.is_file()}
    bundled = {f"LowResSegLib/{name}" for name in bundled | {"Resources/Models/tiny.lowresseg"}}
    module = scripts_in(REPOSITORY / "LowResSeg")
    own = {"Resources/Icons/LowResSeg.png", "Resources/UI/LowResSeg.ui"}

    assert found == library | bundled | module | own | {f"LowResSegLib/kernels/{LIBRARY}"}


@needs_cmake
@pytest.mark.parametrize("tree", [0, 1], ids=["build tree", "installed"])
def test_kernels_lie_beside_the_file_that_loads_them(tree: int, trees: tuple[Path, Path]) -> None:
    code = "from LowResSegLib import kernels; print(kernels.library()._name, *kernels.instruction_sets(), sep='\\n')"
    library, *instruction_sets = python(trees[tree], code).splitlines()
    assert Path(library) == trees[tree] / "LowResSegLib" / "kernels" / LIBRARY
    assert "word" in instruction_sets


@needs_cmake
def test_installed_library_segments_with_its_bundled_model(installed: Path, model: str, tmp_path: Path) -> None:
    from LowResSegLib import Volume, segment

    code = """
import sys
import numpy as np
import LowResSegLib
from LowResSegLib.jobs import Worker
volume = LowResSegLib.Volume(np.load(sys.argv[1]), (4.0, 4.0, 4.0))
with Worker() as worker:
    labelmap, record = worker.submit(volume, model="tiny").result(60)
np.save(sys.argv[2], labelmap.array)
print(LowResSegLib.__file__)
print(LowResSegLib.available_models()["tiny"])
print(any(name.split(".")[0] in ("torch", "SimpleITK", "LowResSeg") for name in sys.modules))
"""
    np.save(tmp_path / "in.npy", head())
    package, found, heavy = python(installed, code, tmp_path / "in.npy", tmp_path / "out.npy").splitlines()

    assert Path(package) == installed / "LowResSegLib" / "__init__.py"
    assert Path(found) == installed / "LowResSegLib" / "Resources" / "Models" / "tiny.lowresseg"
    assert heavy == "False"
    expected, _ = segment(Volume(head(), (4.0, 4.0, 4.0)), model)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected.array)


@needs_cmake
def test_every_bundled_model_is_found_in_the_installed_extension(installed: Path) -> None:
    code = "import json, LowResSegLib as l; print(json.dumps([l.load_model(n).name for n in l.available_models()]))"
    bundled = {path.stem for path in (RESOURCES / "Models").glob("*.lowresseg")}

    assert set(json.loads(python(installed, code))) == bundled | {"tiny"}


@needs_cmake
def test_installed_module_works_on_mrml(application: object, installed: Path) -> None:
    code = """
import sys
sys.path.insert(0, sys.argv[1])
import slicer, slicer.util, standins
standins.install(slicer)
sys.path.remove(sys.argv[1])
import numpy as np
import LowResSeg, LowResSegLib
node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Head")
node.SetSpacing(4, 4, 4)
slicer.util.updateVolumeFromArray(node, np.load(sys.argv[2]))
segmentation = LowResSeg.LowResSegLogic().process(node, "tiny")
print(LowResSeg.__file__)
print(LowResSegLib.__file__)
print(segmentation.GetSegmentation().GetNumberOfSegments())
"""
    scan = installed.parents[2] / "head.npy"
    np.save(scan, head())
    *_, module, library, segments = python(installed, code, Path(__file__).parent, scan).splitlines()

    assert Path(module) == installed / "LowResSeg.py"
    assert Path(library) == installed / "LowResSegLib" / "__init__.py"
    assert int(segments) == 3


def test_catalogue_entry_has_what_the_index_asks_for() -> None:
    entry = json.loads((REPOSITORY / "LowResSeg.json").read_text(encoding="utf-8"))
    top = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")

    assert {"$schema", "category", "scm_url"} <= set(entry)
    assert set(entry) <= {
        "$schema", "build_dependencies", "build_subdirectory", "category", "enabled", "scm_revision", "scm_type",
        "scm_url", "tier",
    }  # fmt: skip
    assert entry["scm_url"].rsplit("/", 1)[-1].startswith("Slicer")
    assert "project(LowResSeg)" in top  # the entry's file name
    assert entry["scm_url"] in top
