"""DICOM of all sorts, the whole way; the cases, and the tables of docs/dicom.md, are in dicom_table.py."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from LowResSegLib import read_volume, segment

pytest.importorskip("pydicom")

from case_tables import attempt, warnings, write_models
from dicom_checks import assert_same
from dicom_table import PAGE, REFUSED, TAKEN, DicomCase, page

from LowResSegLib.volume.dicom import read_dicom


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small model for each modality."""
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.mark.parametrize("case", TAKEN, ids=lambda case: case.what)
def test_good_dicom_gives_the_labelmap_of_what_was_put_in(
    case: DicomCase, models: dict[str, Path], tmp_path: Path
) -> None:
    if "--dicom-seg" in case.arguments:
        pytest.importorskip("highdicom")
    assert case.volume is not None
    status, said, out = attempt(case, tmp_path, models)
    assert status == 0, said
    (tmp_path / "again").mkdir()
    chosen = case.arguments[1] if "--series" in case.arguments else None
    rounded = 0.05 if "rounded" in case.what else 0.0  # mm
    read = read_dicom(case.make(tmp_path / "again"), chosen)
    if not rounded:
        assert_same(read, case.volume)
    np.testing.assert_allclose(read.origin, case.volume.origin, atol=rounded + 1e-11)
    labelmap = read_volume(next(out.glob("*_labels.nii.gz")))
    expected, _ = segment(case.volume, models[case.model], backend="numpy", not_a_labelmap=True)
    np.testing.assert_array_equal(labelmap.array, expected.array)
    np.testing.assert_allclose(labelmap.origin, read.origin, atol=1e-5)
    np.testing.assert_allclose(labelmap.direction, read.direction, atol=1e-6)
    assert len(warnings(out)) == bool(case.warning) and case.warning in "".join(warnings(out))
    assert ("--dicom-seg" in case.arguments) == any(out.glob("*_seg.dcm"))


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.what)
def test_bad_dicom_is_refused_in_a_sentence_and_leaves_nothing(
    case: DicomCase, models: dict[str, Path], tmp_path: Path
) -> None:
    if "--dicom-seg" in case.arguments:
        pytest.importorskip("highdicom")
    status, said, out = attempt(case, tmp_path, models)
    assert status == 2
    assert case.refusal in said and said.startswith("lowresseg: ") and said.endswith(".\n") and said.count("\n") == 1
    assert not out.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="the page has the paths of other systems")
def test_the_tables_of_the_page_are_what_happens(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    assert PAGE.read_text(encoding="utf-8") == page(tmp_path)
