"""`--max-memory`: MB that a run may hold; `case.limits` looks after it."""

from __future__ import annotations

import argparse
import math


def add_argument(command: argparse.ArgumentParser) -> None:
    """Add the option."""
    command.add_argument(
        "--max-memory",
        metavar="MB",
        type=_megabytes,
        help="refuse, before any work, what would take more memory than this; go slab by slab where that helps (what "
        "--dicom-seg takes is not counted)",
    )


def _megabytes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"{text} is not a number of megabytes above 0")
    return value
