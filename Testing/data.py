"""Real volumes for tests, which the project does not ship.

They are looked for in the folder that the environment variable LOWRESSEG_DATA names, by default `../shared/data` beside
the checkout. A test whose data are absent is skipped and says so.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
BRAIN_SCANS = ("example_brain_t1", "seg3D_MR", "T2w", "stroke_T1", "stroke_T2", "stroke_FLAIR")


def data_file(*parts: str) -> Path:
    """Return the path of a file or folder of the data; skips the test where it is absent."""
    folder = Path(os.environ.get("LOWRESSEG_DATA") or CHECKOUT.parent / "shared" / "data")
    path = folder.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is absent; LOWRESSEG_DATA names the folder of the test data")
    return path


def brain_scan(name: str) -> Path:
    """Return the path of one of BRAIN_SCANS."""
    return data_file("brain_mri", f"{name}.nii.gz")
