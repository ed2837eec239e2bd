"""The module on Slicer's real MRML classes (slicer-core), with stand-ins for the application around them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(REPOSITORY / "LowResSeg"), str(REPOSITORY)]

from scans import GEOMETRIES, load, write_scan  # noqa: E402


@pytest.fixture(scope="session")
def application() -> ModuleType:
    """The package `slicer` as the module finds it in the application."""
    slicer = pytest.importorskip("slicer", reason="slicer-core is not installed (pip install slicer-core)")
    if not hasattr(slicer, "vtkMRMLScene"):
        pytest.skip("the installed package named slicer is not slicer-core")
    import slicer.util
    import standins

    standins.install(slicer)
    return slicer


@pytest.fixture
def slicer(application: ModuleType) -> Iterator[ModuleType]:
    """Slicer with an empty scene, which is found without errors and left without timers."""
    import standins

    application.mrmlScene.Clear()
    yield application
    standins.QTimer.turn()
    left = list(standins.QTimer.waiting)
    standins.QTimer.waiting.clear()
    assert not left, "a timer was left running"


@pytest.fixture
def logic(slicer: ModuleType) -> Iterator[Any]:
    """The module's logic."""
    from LowResSeg import LowResSegLogic

    logic = LowResSegLogic()
    yield logic
    logic.close()


@pytest.fixture
def volume(slicer: Any, tmp_path: Path) -> Any:
    """The node of a small oblique scan."""
    return load(slicer, write_scan(tmp_path / "scan.nii.gz"))


@pytest.fixture
def existing(slicer: Any) -> Any:
    """A segmentation node with a segment that must not be lost."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    node.GetSegmentation().AddEmptySegment("old", "Old")
    return node


@pytest.fixture
def finish(slicer: ModuleType) -> Callable[..., None]:
    """A function that lets the event loop turn until a run has ended."""
    import standins

    def finish(run: Any, seconds: float = 120.0) -> None:
        deadline = time.monotonic() + seconds
        while run.running:
            assert time.monotonic() < deadline, "the run has not ended"
            standins.QTimer.turn()
            time.sleep(0.02)

    return finish


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of a small model with three structures; one has a term of its own, one is never found."""
    from LowResSegLib.model import Layer, Model, Plan, write_model
    from LowResSegLib.sampling import GridSettings, Normalisation
    from LowResSegLib.volume import Label

    # Not the same in any two directions, so that a wrong orientation changes the labels.
    kernel = np.zeros((3, 3, 3), np.int16)
    kernel[1, 1, 1], kernel[1, 1, 2], kernel[1, 2, 1], kernel[2, 1, 1] = 8, 4, 2, -3
    bounds = np.array([[250, 500], [550, 800]], np.int32)
    layers = (
        Layer("image", (), 1),
        Layer("first", (0,), 2, np.stack([kernel, kernel])[:, None], bounds[:, 0], bounds[:, 1]),
        Layer(
            "logits",
            (1,),
            4,
            np.array([[0, 0], [200, 0], [200, 200], [0, 0]], np.int16).reshape(4, 2, 1, 1, 1),
            offset=np.array([0, 0, 0, -1000], np.int32),
        ),
    )
    tissue = ("91723000", "SCT", "Anatomical Structure")
    labels = (
        Label(0, "Background", (0, 0, 0)),
        Label(1, "Rim", (245, 128, 3)),
        Label(2, "Amygdala", (10, 200, 30), tissue, ("4958002", "SCT", "Amygdala")),
        Label(3, "Nowhere", (1, 2, 3)),
    )
    path = tmp_path_factory.mktemp("models") / "tiny.lowresseg"
    grid, card = GridSettings(2.0, "RAS"), {"title": "Tiny", "limits": "For tests alone."}
    write_model(path, Model("tiny", labels, grid, Normalisation(), Plan(layers, 0.01), card))
    return str(path)


@pytest.fixture(params=GEOMETRIES)
def scan(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A small scan in a file, of anisotropic voxels."""
    return write_scan(tmp_path / request.param, GEOMETRIES[request.param])
