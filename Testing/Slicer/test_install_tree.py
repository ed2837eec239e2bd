"""The extension's install tree, made by CMake with stand-ins for Slicer's macros, and used from there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from install_tree import LIBRARY, TRAINING, Trees, install_extension, needs_cmake, python, scripts_in
from scans import REPOSITORY, head

pytestmark = needs_cmake

RESOURCES = REPOSITORY / "Resources"
TESTS = Path(__file__).parent

# Before it, the module as Slicer finds it; a scan that sys.argv[1] names; the terminologies' logic, as Slicer has it.
MODULE = """
import sys, types, time
import slicer, slicer.util, standins
standins.install(slicer)
terms = slicer.vtkSlicerTerminologiesModuleLogic()
slicer.modules.terminologies = types.SimpleNamespace(logic=lambda: terms)
import numpy as np
import LowResSeg, LowResSegLib
from LowResSegLib import kernels
node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Head")
node.SetSpacing(4, 4, 4)
slicer.util.updateVolumeFromArray(node, np.load(sys.argv[1]))
logic = LowResSeg.LowResSegLogic()
"""


@pytest.fixture(scope="module")
def trees(model: str, tmp_path_factory: pytest.TempPathFactory) -> Trees:
    return install_extension(tmp_path_factory.mktemp("extension"), model)


@pytest.fixture(scope="module")
def installed(trees: Trees) -> Path:
    """The folder of scripted modules in the installed extension."""
    return trees.installed


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scan") / "head.npy"
    np.save(path, head())
    return path


def in_module(installed: Path, code: str, scan: Path) -> dict[str, object]:
    """What code that fills `found` has found, run with the installed module on slicer-core."""
    report = "\nimport json; print('found', json.dumps(found, default=str))"
    printed = python(installed, MODULE + code + report, scan, known=(TESTS,))
    (line,) = (line for line in printed.splitlines() if line.startswith("found "))
    return json.loads(line[len("found ") :])


def test_installs_module_library_and_resources_and_nothing_else(installed: Path) -> None:
    files = (path.relative_to(installed) for path in installed.rglob("*") if path.is_file())
    found = {path.as_posix() for path in files if "__pycache__" not in path.parts}
    library = {f"LowResSegLib/{name}" for name in scripts_in(REPOSITORY / "LowResSegLib", TRAINING)}
    bundled = {path.relative_to(REPOSITORY).as_posix() for path in RESOURCES.rglob("*") if path.is_file()}
    bundled = {f"LowResSegLib/{name}" for name in bundled | {"Resources/Models/tiny.lowresseg"}}
    module = REPOSITORY / "LowResSeg"
    own = {path.relative_to(module).as_posix() for path in (module / "Resources").rglob("*") if path.is_file()}

    assert found == library | bundled | scripts_in(module) | own | {f"LowResSegLib/kernels/{LIBRARY}"}


@pytest.mark.parametrize("tree", [0, 1], ids=["build tree", "installed"])
def test_kernels_lie_beside_the_file_that_loads_them(tree: int, trees: Trees) -> None:
    code = "from LowResSegLib import kernels; print(kernels.library()._name, *kernels.instruction_sets(), sep='\\n')"
    library, *instruction_sets = python(trees[tree], code).splitlines()
    assert Path(library) == trees[tree] / "LowResSegLib" / "kernels" / LIBRARY
    assert "word" in instruction_sets


def test_installed_library_segments_with_its_bundled_model(
    installed: Path, model: str, scan: Path, tmp_path: Path
) -> None:
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
    package, found, heavy = python(installed, code, scan, tmp_path / "out.npy").splitlines()

    assert Path(package) == installed / "LowResSegLib" / "__init__.py"
    assert Path(found) == installed / "LowResSegLib" / "Resources" / "Models" / "tiny.lowresseg"
    assert heavy == "False"
    expected, _ = segment(Volume(head(), (4.0, 4.0, 4.0)), model)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected.array)


def test_every_bundled_model_is_found_in_the_installed_extension(installed: Path) -> None:
    code = "import json, LowResSegLib as l; print(json.dumps([l.load_model(n).name for n in l.available_models()]))"
    bundled = {path.stem for path in (RESOURCES / "Models").glob("*.lowresseg")}

    assert set(json.loads(python(installed, code))) == bundled | {"tiny"}


def test_every_installed_script_can_be_imported_without_training(application: object, installed: Path) -> None:
    assert not [name for name in scripts_in(installed / "LowResSegLib") if name.split("/")[0] in TRAINING]
    modules = [
        ".".join((package, *Path(name).with_suffix("").parts)).replace(".__init__", "")
        for package in ("LowResSegLib", "LowResSegSlicer")
        for name in sorted(scripts_in(installed / package))
        if not name.endswith("__main__.py")
    ]
    code = """
import sys, importlib
import slicer, slicer.util, standins
standins.install(slicer)
absent = set()
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:  # what the user may install beside it
        absent.add(error.name.split(".")[0])
print(*absent, any(name.split(".")[0] == "torch" for name in sys.modules))
"""
    *_, line = python(installed, code, *modules, known=(TESTS,)).splitlines()
    *absent, torch = line.split()
    assert torch == "False"
    assert set(absent) <= {"highdicom", "onnx", "onnxruntime", "pydicom"}


def test_installed_module_works_on_mrml_with_its_own_kernels_and_resources(
    application: object, installed: Path, scan: Path
) -> None:
    code = """
from LowResSegSlicer import startup, sampledata
from LowResSegSlicer.nodes import run_record
segmentation = logic.process(node, "tiny")
run = logic.process(node, "tiny", wait=False)
until = time.monotonic() + 60
while run.running and time.monotonic() < until:
    standins.QTimer.turn()
    time.sleep(0.02)
logic.close()
first, second = (
    [slicer.util.arrayFromSegmentBinaryLabelmap(each, name, node) for name in each.GetSegmentation().GetSegmentIDs()]
    for each in (segmentation, run.segmentation)
)
found = {
    "module": LowResSeg.__file__,
    "library": LowResSegLib.__file__,
    "kernels": kernels.library()._name,
    "segments": len(first),
    "equal": all(np.array_equal(*each) for each in zip(first, second)),
    "voxels": [int((each > 0).sum()) for each in first],
    "backends": [run_record(each)["backend"] for each in (segmentation, run.segmentation)],
    "terms": startup.load_terminology(),
    "terminology": startup.TERMINOLOGY,
    "icons": sampledata._ICONS,
}
"""
    found = in_module(installed, code, scan)

    assert found["module"] == str(installed / "LowResSeg.py")
    assert found["library"] == str(installed / "LowResSegLib" / "__init__.py")
    assert found["kernels"] == str(installed / "LowResSegLib" / "kernels" / LIBRARY)
    assert found["segments"] == 3 and found["equal"] and found["voxels"] != [0, 0, 0]
    assert found["backends"] == ["native", "native"]
    assert found["terms"] == "Segmentation category and type - LowResSeg"
    assert found["terminology"] == str(installed / "Resources" / "Terminologies" / "LowResSeg.term.json")
    assert found["icons"] == str(installed / "Resources" / "Icons")


@pytest.mark.parametrize("fault", ["broken", "cut off", "missing", "of another version"])
def test_module_works_on_when_the_native_library_does_not_load(
    application: object, installed: Path, scan: Path, fault: str
) -> None:
    library = installed / "LowResSegLib" / "kernels" / LIBRARY
    kept = library.with_name("kept")
    library.rename(kept)
    if fault == "broken":
        library.write_bytes(b"an installation that was not finished")
    elif fault == "cut off":  # which ends a process that loads it
        library.write_bytes(kept.read_bytes()[: kept.stat().st_size // 2])
    elif fault == "of another version":
        library.symlink_to(_other_library())
    code = """
from LowResSegSlicer.nodes import run_record
segmentation = logic.process(node, "tiny")
run = logic.process(node, "tiny", wait=False)
until = time.monotonic() + 60
while run.running and time.monotonic() < until:
    standins.QTimer.turn()
    time.sleep(0.02)
logic.close()
found = {
    "available": kernels.available(),
    "why": kernels.why_not(),
    "backends": [run_record(each)["backend"] for each in (segmentation, run.segmentation)],
    "voxels": [int((slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, name, node) > 0).sum())
               for name in segmentation.GetSegmentation().GetSegmentIDs()],
}
"""
    try:
        found = in_module(installed, code, scan)
    finally:
        library.unlink(missing_ok=True)
        kept.rename(library)
    assert found["available"] is False
    reasons = {"missing": "not part of this installation", "cut off": "its end is missing"}
    assert reasons.get(fault, "cannot be loaded") in str(found["why"])
    assert "native" not in found["backends"] and len(found["backends"]) == 2  # type: ignore[operator, arg-type]
    assert found["voxels"] != [0, 0, 0]


def _other_library() -> Path:
    """A library that loads and has none of the functions."""
    import _ctypes

    return Path(_ctypes.__file__)


# The panel on PySide6, with what Testing/Panel has for the application; what it shows is in `found`.
PANEL = """
import json, os, sys
from pathlib import Path
os.environ["QT_QPA_PLATFORM"] = "offscreen"
from host import application
slicer = application.start(Path(sys.argv[1]))
import LowResSeg
panel = LowResSeg.LowResSegWidget(application.Parent())
panel.setup()
panel.enter()
label = panel.segmenting.ui.kernelsLabel
found = {
    "module": LowResSeg.__file__,
    "models": panel.segmenting.ui.modelSelector.count,
    "says": "" if label.isHidden() else label.text,
    "sections": len(panel.sections),
}
panel.cleanup()
print("found", json.dumps(found), flush=True)
os._exit(0)  # Qt and VTK may not agree on who goes first
"""


@pytest.mark.parametrize("broken", [False, True], ids=["with kernels", "with a broken library"])
def test_installed_panel_opens_and_says_why_there_are_no_kernels(
    application: object, installed: Path, tmp_path: Path, broken: bool
) -> None:
    pytest.importorskip("PySide6", reason="PySide6 is not installed")
    library = installed / "LowResSegLib" / "kernels" / LIBRARY
    kept = library.with_name("kept")
    if broken:
        library.rename(kept)
        library.write_bytes(b"an installation that was not finished")
    try:
        printed = python(installed, PANEL, tmp_path, known=(REPOSITORY / "Testing" / "Panel", TESTS))
    finally:
        if broken:
            kept.replace(library)
    (line,) = (line for line in printed.splitlines() if line.startswith("found "))
    found = json.loads(line[len("found ") :])

    assert found["module"] == str(installed / "LowResSeg.py")
    assert found["models"] >= 2 and found["sections"] >= 7
    assert ("cannot be loaded" in found["says"] and LIBRARY in found["says"]) if broken else found["says"] == ""


def test_ctest_knows_the_tests_and_runs_them_without_a_main_window(trees: Trees) -> None:
    tests = {test["name"]: test["command"] for test in json.loads(trees.tests)["tests"]}

    assert set(tests) == {"py_LowResSeg", "py_in_application", "py_nomainwindow_LowResSeg"}
    assert all("--testing" in command for command in tests.values())
    assert "--no-main-window" in tests["py_in_application"]
    assert Path(tests["py_in_application"][-1]).parts[-3:] == ("Testing", "Slicer", "in_application.py")
