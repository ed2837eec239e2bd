"""Enhanced multi-frame DICOM: one file, many slices."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from LowResSegLib import Volume, read_volume

pydicom = pytest.importorskip("pydicom")

from dicom_checks import assert_same, made, refusal  # noqa: E402
from dicom_series import enhanced, item, save, save_all, slices  # noqa: E402
from pydicom.uid import RLELossless  # noqa: E402

from LowResSegLib.volume.dicom import read_dicom  # noqa: E402
from LowResSegLib.volume.dicom_series import find_series, list_series  # noqa: E402


@pytest.fixture
def scan(rng: np.random.Generator) -> Volume:
    return made(rng)


@pytest.mark.parametrize("kind", ["4.1", "4.4", "2.1", "2.2", "130", "128.1", "13.1.1", "13.1.2"])
@pytest.mark.parametrize("syntax", [None, RLELossless], ids=["plain", "RLE"])
@pytest.mark.parametrize("rescale", ["none", "same", "different"])
def test_enhanced_multi_frame(
    kind: Any, syntax: Any, rescale: str, rng: np.random.Generator, scan: Volume, tmp_path: Path
) -> None:
    count = len(scan.array)
    values = {
        "none": None,
        "same": [(1, -1024)] * count,
        "different": [(0.1 + index / 3, index - 7) for index in range(count)],
    }[rescale]
    order = rng.permutation(count)
    path = save(
        tmp_path / "a.dcm", enhanced(scan, order, values, pydicom.uid.UID(f"1.2.840.10008.5.1.4.1.1.{kind}")), syntax
    )
    read = read_volume(path)
    slope, intercept = np.transpose(values or [(1, 0)] * count)[:, :, None, None]
    assert_same(read, scan.with_array(scan.array * slope + intercept), 1e-3 if rescale == "different" else 0)
    assert find_series(tmp_path).files == [path]


def test_enhanced_multi_frame_with_several_volumes(scan: Volume, tmp_path: Path) -> None:
    data = enhanced(scan, [0, 0, 1, 1, 2, 2])
    for number, groups in enumerate(data.PerFrameFunctionalGroupsSequence):
        groups.MREchoSequence = item(EffectiveEchoTime=[5.0, 30.0][number % 2])
    save(tmp_path / "a.dcm", data)
    assert [each.part for each in list_series(tmp_path)] == ["echo time 30.0", "echo time 5.0"]
    assert_same(read_dicom(tmp_path, "2"), Volume(scan.array[:3], **scan.geometry))


def test_enhanced_multi_frame_without_places_or_without_pydicom(
    scan: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = enhanced(scan)
    path = save(tmp_path / "a.dcm", data)
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "pydicom":
            raise ImportError(name="pydicom")
        return real(name, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", without)
        assert "lowresseg[dicom]" in refusal(path)
        classic = save_all(tmp_path / "classic", slices(scan))
        assert_same(read_volume(classic), scan)
    twice = enhanced(scan, rescale=[(1, 0)] * len(scan.array))
    (shared,) = twice.SharedFunctionalGroupsSequence
    shared.PixelValueTransformationSequence = item(RescaleSlope=7, RescaleIntercept=1, RescaleType="US")
    assert "two rescale slopes" in refusal(save(path, twice))
    del data.PerFrameFunctionalGroupsSequence
    assert "without their places" in refusal(save(path, data))
