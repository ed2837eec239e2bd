"""What a run will cost here, measured in the worker process."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

from slicer.i18n import tr as _

from LowResSegLib.estimate import Speed, estimate
from LowResSegLib.model import load_model
from LowResSegSlicer.nodes import geometry_of
from LowResSegSlicer.sequences import frames_of


def estimate_text(
    volumeNode: Any, model: str, speed: Speed, passes: Optional[int] = None, confidence: bool = False
) -> str:
    """What segmenting a volume will take, in words.

    Args:
        volumeNode: a volume node, or one of a sequence, whose frames are counted.
        model: name of an installed model, or a file.
        speed: as it was measured here with this model.
        passes: how often the network looks at the scan; None means as often as the model asks for.
        confidence: whether a confidence map is made too; of a sequence its numbers alone are.

    Returns:
        A phrase such as "about 1.2 s and 310 MB on this computer"; empty for a volume without voxels.
    """
    found = voxels_of(volumeNode)
    if found is None:
        return ""
    costs = estimate(speed, load_model(model), found.shape, found.spacing, found.itemsize, passes, confidence)
    return _("about {seconds} and {megabytes} MB on this computer").format(
        seconds=_duration(costs.seconds * found.count), megabytes=f"{_rounded(costs.megabytes):.0f}"
    )


class Voxels(NamedTuple):
    """How many voxels there are: count of volumes, shape (z, y, x), spacing (x, y, z) in mm, bytes of a voxel."""

    count: int
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    itemsize: int


def voxels_of(volumeNode: Any) -> Optional[Voxels]:
    """The voxels of a volume, or of a sequence, whose frames are alike; None where there are none."""
    frames = frames_of(volumeNode)
    count = frames.count if frames is not None else 1
    grid = frames.sequence.GetNthDataNode(0) if frames is not None else volumeNode
    image = grid.GetImageData() if grid is not None and grid.IsA("vtkMRMLVolumeNode") else None
    if image is None or 0 in image.GetDimensions():
        return None
    shape = tuple(reversed(image.GetDimensions()))
    return Voxels(count, shape, geometry_of(grid)["spacing"], image.GetScalarSize())


def _duration(seconds: float) -> str:
    if seconds < 1:
        return _("{seconds} s").format(seconds=f"{max(seconds, 0.1):.1f}")
    if seconds < 60:
        return _("{seconds} s").format(seconds=f"{seconds:.1f}" if seconds < 10 else f"{seconds:.0f}")
    return _("{minutes} min").format(minutes=f"{seconds / 60:.0f}" if seconds >= 600 else f"{seconds / 60:.1f}")


def _rounded(number: float) -> float:
    """To two digits, as no estimate has more."""
    return float(f"{number:.2g}")
