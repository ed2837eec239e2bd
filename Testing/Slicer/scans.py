"""Small scans for tests, and what Slicer makes of scans."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def head(shape: tuple[int, int, int] = (19, 26, 23), seed: int = 0) -> np.ndarray:
    """A scan-like array (z, y, x): a bright object in dark noise, brighter towards one corner."""
    rng = np.random.default_rng(seed)
    z, y, x = np.ogrid[tuple(slice(-1, 1, 1j * n) for n in shape)]
    inside = (z / 0.8) ** 2 + (y / 0.9) ** 2 + (x / 0.7) ** 2 < 1
    return (np.where(inside, 500 + 200 * z + 130 * y + 90 * x, 20) + rng.uniform(0, 15, shape)).astype(np.int16)


def turned(*degrees: float) -> tuple[float, ...]:
    """Direction (LPS, row by row) of axes turned about x, y and z."""
    result = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        turn = np.eye(3)
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        result = turn @ result
    return tuple(result.ravel().tolist())


# Names of files and the direction of their axes: upright, oblique, and oblique in a left-handed order.
GEOMETRIES = {
    "upright.nii.gz": turned(0, 0, 0),
    "oblique.nii.gz": turned(20, -12, 31),
    "oblique.nrrd": turned(20, -12, 31),
    "oblique.mha": turned(-40, 25, 100),
    "mirrored.nrrd": tuple((np.reshape(turned(8, 170, 15), (3, 3)) * [1, -1, 1]).ravel().tolist()),
}


def write_scan(path: Path, direction: tuple[float, ...] = turned(20, -12, 31)) -> Path:
    """Write a small scan of anisotropic voxels."""
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
    image = sitk.GetImageFromArray(head())
    image.SetSpacing((1.1, 0.9, 2.3))
    image.SetOrigin((10.5, -20.25, 33.1))
    image.SetDirection(direction)
    sitk.WriteImage(image, str(path))
    return path


def load(slicer: Any, path: Path) -> Any:
    """Load a file as the application does; returns its vtkMRMLScalarVolumeNode."""
    node = slicer.modules.volumes.logic().AddArchetypeVolume(str(path), path.name.split(".")[0])
    assert node is not None
    return node


def right_handed(volume: Any) -> Any:
    """A volume with its slices in the order in which Slicer keeps them: it turns left-handed files on loading."""
    axes = np.reshape(volume.direction, (3, 3))
    if np.linalg.det(axes) > 0:
        return volume
    last = np.array(volume.origin) + axes[:, 2] * volume.spacing[2] * (len(volume.array) - 1)
    direction = tuple((axes * [1, 1, -1]).ravel())
    return dataclasses.replace(volume, array=volume.array[::-1], origin=tuple(last), direction=direction)


def labels_of(slicer: Any, segmentation: Any, volumeNode: Any) -> np.ndarray:
    """The labelmap (z, y, x) of a segmentation node on a volume's voxels, segment by segment through Slicer."""
    result = np.zeros(slicer.util.arrayFromVolume(volumeNode).shape, np.uint8)
    segments = segmentation.GetSegmentation()
    for identifier in segments.GetSegmentIDs():
        inside = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, identifier, volumeNode)
        result[inside > 0] = segments.GetSegment(identifier).GetLabelValue()
    return result
