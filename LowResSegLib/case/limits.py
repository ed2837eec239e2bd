"""Whether a scan can be read, segmented and written within a memory limit, asked of its header before any work.

`segment` plans once more when the scan is there, by then exactly.
"""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Union

import numpy as np

from LowResSegLib.engine import usable_backends
from LowResSegLib.errors import InputError
from LowResSegLib.memory import plan_memory, resident_bytes
from LowResSegLib.model import Model, load_model
from LowResSegLib.volume import Series, Volume, header_volume
from LowResSegLib.volume.reading import refusing

# Bytes, somewhat more than was measured.
_PICTURE = 100e6  # matplotlib and its sheet
_FIXED = 20e6


def check_memory(
    path: Path,
    series: Optional[Series],
    model: Union[str, Model],
    max_memory: float,
    *,
    backend: str = "auto",
    threads: Optional[int] = None,
    passes: Optional[int] = None,
    picture: bool = False,
) -> None:
    """Refuse a scan that cannot be read, segmented, or its results written, within a limit.

    Args:
        path: The scan.
        series: It, where it is DICOM.
        model: Name of an installed model, a model file, or a model.
        max_memory: MB that this process may hold.
        backend: As in `segment`.
        threads: As in `segment`.
        passes: As in `segment`.
        picture: Whether a sheet of pictures will be drawn.

    Raises:
        InputError: One sentence that names the file; also where its header cannot be read.
        ModelError: The model is unknown or refused.
    """
    volume = header_volume(path) if series is None else _series_volume(series)
    held = volume.array.size * volume.array.itemsize
    reading = 2 * held  # ITK's image and the array
    writing = held + 3 * volume.array.size + _PICTURE * picture  # the labels twice as an image beside the array
    needed = resident_bytes() + _FIXED + max(reading, writing)
    with refusing(path):
        network = load_model(model)
        backends = usable_backends(network) if backend == "auto" else (backend,)
        plan_memory(network, volume, passes or network.passes, backends, threads, max_memory, held)
        if needed > max_memory * 1e6:
            raise InputError(
                f"It takes about {needed / 1e6:.0f} MB of memory to read it and to write its results, more than the "
                f"{max_memory:g} MB that are allowed; allow more, or crop the scan."
            )


def _series_volume(series: Series) -> Volume:
    """A DICOM series as its headers describe it; float32, as where slices are rescaled."""
    shape = (series.slices, *series.matrix[::-1])
    return Volume(np.broadcast_to(np.float32(0), shape), series.spacing or (1.0, 1.0, 1.0))
