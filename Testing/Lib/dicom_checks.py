"""What the tests of DICOM compare: made-up scans, what is read of them, and the words of a refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_series import PATIENT

from LowResSegLib import InputError, Volume
from LowResSegLib.volume.dicom import read_dicom


def turned(rng: np.random.Generator) -> tuple[float, ...]:
    """Any right-handed directions, as DICOM has them."""
    matrix = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    matrix[:, 2] = np.cross(matrix[:, 0], matrix[:, 1])
    return tuple(matrix.ravel().tolist())


def made(rng: np.random.Generator, shape: tuple[int, ...] = (6, 7, 9), kind: str = "int16") -> Volume:
    """A small oblique scan of noise."""
    low, high = (0, 4000) if kind.startswith("u") else (-1000, 3000)
    return Volume(rng.integers(low, high, shape).astype(kind), (0.5, 0.75, 2.5), (-10.5, 20.25, 30.0), turned(rng))


def assert_same(read: Volume, scan: Volume, atol: float = 0) -> None:
    """The same voxels; the same geometry, as exactly as decimal strings of 16 letters can say it."""
    np.testing.assert_allclose(read.array, scan.array, rtol=0, atol=atol)
    assert read.spacing[:2] == scan.spacing[:2]
    np.testing.assert_allclose(read.spacing[2], scan.spacing[2], rtol=1e-12)
    np.testing.assert_allclose(read.origin, scan.origin, rtol=0, atol=1e-11)
    np.testing.assert_allclose(read.direction, scan.direction, rtol=0, atol=1e-12)


def refusal(path: Any, series: Any = None) -> str:
    """The one sentence with which a series is refused."""
    with pytest.raises(InputError) as caught:
        read_dicom(path, series)
    text = str(caught.value)
    assert text.endswith(".") and not text.endswith("..") and "\n" not in text and PATIENT not in text
    if isinstance(path, Path):
        assert str(path) in text
    return text
