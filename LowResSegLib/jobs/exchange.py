"""Volumes on their way between the two sides of a worker process: an npy file, and the rest as JSON."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from LowResSegLib.errors import LowResSegError
from LowResSegLib.volume import Label, Volume

if TYPE_CHECKING:
    from LowResSegLib.comparison import LabelledVolume

_HEADER = 128  # bytes before the voxels, at least: numpy pads what it says of 3-D arrays to so many


def put(path: Path, volume: Volume) -> dict[str, Any]:
    """Write a volume's voxels and return what `take` needs.

    Raises:
        LowResSegError: They cannot be written.
    """
    try:
        np.save(path, volume.array, allow_pickle=False)
        # What is short of a block is written as the file is closed, and numpy does not tell if that fails.
        if path.stat().st_size < volume.array.nbytes + _HEADER:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise LowResSegError(f"No room for a temporary copy of the voxels ({error}); free some disk.") from error
    return {"array": str(path), **volume.geometry, "modality": volume.modality}


def take(described: dict[str, Any], mapped: bool = False) -> Volume:
    """Read a volume that `put` wrote.

    Args:
        described: What `put` returned.
        mapped: The voxels stay in the file, and are read as they are used.

    Raises:
        OSError: The file cannot be read.
        KeyError, TypeError, ValueError: The file or the description is damaged.
    """
    array = np.load(described["array"], mmap_mode="r" if mapped else None, allow_pickle=False)
    return Volume(array, **{key: described[key] for key in ("spacing", "origin", "direction", "modality")})


def put_labelled(folder: Path, name: str, layers: Sequence[LabelledVolume]) -> list[dict[str, Any]]:
    """Write labelled volumes into a folder, with file names that begin with `name`; raises as `put`."""
    return [
        {**put(folder / f"{name}-{number}.npy", layer.volume), "labels": [label.to_dict() for label in layer.labels]}
        for number, layer in enumerate(layers)
    ]


def take_labelled(described: Sequence[dict[str, Any]], mapped: bool = False) -> list[LabelledVolume]:
    """Read what `put_labelled` wrote; raises as `take`."""
    from LowResSegLib.comparison import LabelledVolume

    return [
        LabelledVolume(take(layer, mapped), tuple(Label.from_dict(entry) for entry in layer["labels"]))
        for layer in described
    ]
