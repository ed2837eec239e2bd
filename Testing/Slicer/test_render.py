"""A result in Slicer's real slice and 3-D views, drawn offscreen: `make test-render`.

It needs trame-slicer, which needs an older slicer-core than the other tests have, so it has an environment of its own
and runs in a process of its own.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scans import REPOSITORY, turned, write_scan

if importlib.util.find_spec("trame_slicer") is None:
    if os.environ.get("LOWRESSEG_RENDER") == "required":
        raise ImportError("trame-slicer is not installed")
    pytest.skip("trame-slicer is not installed (make test-render)", allow_module_level=True)

# Draws a scan under a linear transform, alone, with its result, and in 3-D with its surfaces.
DRAW = """
import json, sys
from pathlib import Path
import numpy as np
import slicer, vtk
from views import Views
scan, model, pictures = map(Path, sys.argv[1:])
views = Views(300)
volume = views.load(scan)
moved = views.app.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Moved")
matrix = vtk.vtkMatrix4x4()
matrix.SetElement(0, 3, 25.0)
matrix.SetElement(2, 3, -40.0)
moved.SetMatrixTransformToParent(matrix)
volume.SetAndObserveTransformNodeID(moved.GetID())
views.fit()
before = views.pictures()
from LowResSeg import LowResSegLogic
result = LowResSegLogic().process(volume, str(model))
after = views.pictures()
result.CreateClosedSurfaceRepresentation()
views.fit()
np.savez(pictures, **{f"{when} {name}": each for when, drawn in
    (("before", before), ("after", after), ("surfaces", views.pictures())) for name, each in drawn.items()})
segments = result.GetSegmentation()
print("found", json.dumps([segments.GetSegment(each).GetColor() for each in segments.GetSegmentIDs()]))
"""


@pytest.fixture(scope="module")
def drawn(model: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, np.ndarray], list[list[float]]]:
    """The pictures and the colours of the segments."""
    folder = tmp_path_factory.mktemp("render")
    scan = write_scan(folder / "scan.nii.gz", turned(20, -12, 31))
    command = [sys.executable, "-c", DRAW, str(scan), model, str(folder / "pictures.npz")]
    paths = os.pathsep.join(map(str, (Path(__file__).parent, REPOSITORY)))
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}, timeout=300)
    assert run.returncode == 0, run.stderr[-3000:]
    (line,) = (line for line in run.stdout.splitlines() if line.startswith("found "))
    with np.load(folder / "pictures.npz") as pictures:
        return dict(pictures), json.loads(line[len("found ") :])


@pytest.mark.parametrize("view", ["axial", "coronal", "sagittal"])
def test_slice_views_show_outlines_in_the_colours_of_the_segments_where_the_head_is(
    view: str, drawn: tuple[dict[str, np.ndarray], list[list[float]]]
) -> None:
    pictures, colors = drawn
    before, after = pictures[f"before {view}"], pictures[f"after {view}"]
    outlined = [(np.abs(after - 255 * np.array(color)).max(axis=-1) < 2).sum() for color in colors[:2]]
    never = [(np.abs(before - 255 * np.array(color)).max(axis=-1) < 2).sum() for color in colors[:2]]
    assert min(outlined) > 20 and max(never) == 0  # the third structure is never found

    head = before.max(axis=-1) > 60
    labelled = (before != after).any(axis=-1)
    assert head.sum() > 2000
    assert (head & labelled).sum() / (head | labelled).sum() > 0.8


def test_the_3d_view_shows_surfaces_in_the_colours_of_the_segments(
    drawn: tuple[dict[str, np.ndarray], list[list[float]]],
) -> None:
    pictures, colors = drawn
    picture = pictures["surfaces 3D"].astype(float)
    saturated = np.ptp(picture, axis=-1) > 60
    assert not (np.ptp(pictures["before 3D"].astype(float), axis=-1) > 60).any()
    hues = picture[saturated] / picture[saturated].max(axis=-1, keepdims=True)
    seen = [
        (np.abs(hues - np.array(color) / max(color)).max(axis=-1) < 0.25).sum() for color in colors[:2]
    ]  # light makes them darker, and does not change their hue
    assert max(seen) > 500
    assert saturated.mean() > 0.02
