"""`--max-memory`: whether a scan can be read, segmented and written within it, asked of its header before any work.

`segment` plans once more when the scan is there, by then exactly.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
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


def add_argument(command: argparse.ArgumentParser) -> None:
    """Add the option."""
    command.add_argument(
        "--max-memory",
        metavar="MB",
        type=_megabytes,
        help="refuse, before any work, what would take more memory than this; go slab by slab where that helps (what "
        "--dicom-seg takes is not counted)",
    )


def check_memory(args: argparse.Namespace, path: Path, series: Optional[Series], model: Union[str, Model]) -> None:
    """Refuse a scan that cannot be read, segmented, or its results written, within `--max-memory`.

    Raises:
        InputError: One sentence that names the file; also where its header cannot be read.
        ModelError: The model is unknown or refused.
    """
    if args.max_memory is None:
        return
    volume = header_volume(path) if series is None else _series_volume(series)
    held = volume.array.size * volume.array.itemsize
    picture = _PICTURE if importlib.util.find_spec("matplotlib") else 0.0
    reading = 2 * held  # ITK's image and the array
    writing = held + 3 * volume.array.size + picture  # the labels twice as an image beside the array
    needed = resident_bytes() + _FIXED + max(reading, writing)
    with refusing(path):
        network = load_model(model)
        backends = usable_backends() if args.backend == "auto" else (args.backend,)
        passes = args.passes or network.passes
        plan_memory(network, volume, passes, backends, args.threads, args.max_memory, held)
        if needed > args.max_memory * 1e6:
            raise InputError(
                f"It takes about {needed / 1e6:.0f} MB of memory to read it and to write its results, more than the "
                f"{args.max_memory:g} MB that are allowed; allow more, or crop the scan."
            )


def _series_volume(series: Series) -> Volume:
    """A DICOM series as its headers describe it; float32, as where slices are rescaled."""
    shape = (series.slices, *series.matrix[::-1])
    return Volume(np.broadcast_to(np.float32(0), shape), series.spacing or (1.0, 1.0, 1.0))


def _megabytes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"{text} is not a number of megabytes above 0")
    return value
