"""The volumes of a case with its labelmap, checked to be of one geometry. Needs no torch."""

from __future__ import annotations

from typing import Optional

import numpy as np

from LowResSegLib.errors import InputError
from LowResSegLib.training.datasets import CaseFiles, channel_files
from LowResSegLib.volume import Volume, read_volume

_SPACING, _DIRECTION, _ORIGIN = 1e-3, 1e-3, 0.1  # relative; of unit vectors; in voxels


def read_labelled(files: CaseFiles, channels: Optional[int] = None) -> tuple[list[Volume], Volume]:
    """Volumes of the channels, and the labelmap, of one case.

    Raises:
        InputError: a file cannot be read, has another geometry than the labelmap, or the labelmap holds no whole
            numbers from 0 to 255, or the case has not so many channels. One sentence that names the case.
    """
    try:
        volumes = [read_volume(path, frame) for path, frame in channel_files(files)]
        label = read_volume(files.label)
    except InputError as error:
        raise InputError(f"The case {files.name} cannot be read. {error}") from error
    if channels is not None and len(volumes) != channels:
        raise InputError(f"The case {files.name} has {len(volumes)} channels where {channels} are expected.")
    for volume in volumes:
        _check_geometry(files.name, volume, label)
    array = label.array
    if array.dtype.kind == "f" and (array != np.rint(array)).any():
        raise InputError(f"The label of case {files.name} holds values that are not whole numbers.")
    if array.min() < 0 or array.max() > 255:
        raise InputError(
            f"The label of case {files.name} holds values from {array.min()} to {array.max()}, not 0 to 255."
        )
    return volumes, label.with_array(array.astype(np.uint8))


def _check_geometry(name: str, image: Volume, label: Volume) -> None:
    def refuse(what: str, of_image: object, of_label: object) -> None:
        raise InputError(
            f"Image and label of case {name} differ in {what}: {of_image} and {of_label}; resample one onto the other."
        )

    if image.array.shape != label.array.shape:
        refuse("shape (x, y, z)", image.array.shape[::-1], label.array.shape[::-1])
    if not np.allclose(image.spacing, label.spacing, rtol=_SPACING, atol=0):
        refuse("spacing", image.spacing, label.spacing)
    if not np.allclose(image.direction, label.direction, atol=_DIRECTION):
        refuse("direction", image.direction, label.direction)
    if not np.allclose(image.origin, label.origin, atol=_ORIGIN * min(image.spacing)):
        refuse("origin", image.origin, label.origin)
