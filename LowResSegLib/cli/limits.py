"""`--max-memory`: what reading and writing take, checked before any work; `segment` plans what lies between."""

from __future__ import annotations

import argparse
import importlib.util
import math
from pathlib import Path
from typing import Optional

from LowResSegLib.errors import InputError
from LowResSegLib.memory import resident_bytes
from LowResSegLib.volume import Series, header_size

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


def check_memory(limit_mb: Optional[float], path: Path, series: Optional[Series]) -> None:
    """Refuse a scan that cannot be read, or its results not be written, within a limit.

    Raises:
        InputError: One sentence that names the file; also where its header cannot be read.
    """
    if limit_mb is None:
        return
    if series is None:
        voxels, held = header_size(path)
    else:
        voxels = series.slices * math.prod(series.matrix)
        held = 4 * voxels  # float32, where slices are rescaled
    picture = _PICTURE if importlib.util.find_spec("matplotlib") else 0.0
    reading = 2 * held  # ITK's image and the array
    writing = held + 3 * voxels + picture  # the labels twice as an image beside the array
    needed = resident_bytes() + _FIXED + max(reading, writing)
    if needed > limit_mb * 1e6:
        raise InputError(
            f"{path}: it takes about {needed / 1e6:.0f} MB of memory to read it and to write its results, more than "
            f"the {limit_mb:g} MB that are allowed; allow more, or crop the scan."
        )


def _megabytes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"{text} is not a number of megabytes above 0")
    return value
