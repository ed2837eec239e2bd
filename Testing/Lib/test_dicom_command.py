"""The command line on DICOM: a folder in, a segmentation object out, and the list of series."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from plans import random_model

from LowResSegLib import Volume, read_volume, segment
from LowResSegLib.cli import main
from LowResSegLib.model import write_model

pydicom = pytest.importorskip("pydicom")

from dicom_checks import made  # noqa: E402
from dicom_series import PATIENT, save_all, slices  # noqa: E402
from pydicom.uid import generate_uid  # noqa: E402


@pytest.fixture
def scan(rng: np.random.Generator) -> Volume:
    return made(rng)


@pytest.fixture
def model(tmp_path: Path, rng: np.random.Generator) -> Path:
    """The file of a small model."""
    write_model(tmp_path / "small.lowresseg", random_model(rng))
    return tmp_path / "small.lowresseg"


def test_the_command_segments_a_folder_of_dicom_files(
    rng: np.random.Generator, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scans = [made(rng, (20, 21, 22)), made(rng, (18, 21, 22))]
    uids = [generate_uid(), generate_uid()]
    for number, (scan, uid) in enumerate(zip(scans, uids), 1):
        save_all(tmp_path / "study" / "deep" / str(number), slices(scan, uid, SeriesNumber=number))
    options = ["-o", str(tmp_path / "out"), "--model", str(model), "--backend", "numpy"]
    study = str(tmp_path / "study")
    assert main(["segment", study, *options]) == 2
    assert "2 series" in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert main(["segment", study, "--series", "2", *options]) == 0
    labelmap = read_volume(tmp_path / "out" / "study_labels.nii.gz")
    np.testing.assert_array_equal(labelmap.array, segment(scans[1], str(model), backend="numpy")[0].array)
    np.testing.assert_allclose(labelmap.origin, scans[1].origin, atol=1e-5)
    assert main(["segment", study, "--series", uids[0], "--overwrite", *options]) == 0
    assert main(["segment", study, "--series", "3", "--overwrite", *options]) == 2
    assert "no series 3" in capsys.readouterr().err
    one = str(tmp_path / "study" / "deep" / "1")
    assert main(["segment", one, "--frame", "1", *options]) == 2
    assert "no frame 1" in capsys.readouterr().err
    assert main(["segment", one, str(tmp_path / "study" / "deep" / "2"), *options]) == 0
    path = str(tmp_path / "out" / "study_labels.nii.gz")
    for option in (["--series", "1"], ["--dicom-seg"]):
        capsys.readouterr()
        assert main(["segment", path, *option, *options]) == 2
        assert option[0] in capsys.readouterr().err


def test_the_command_writes_dicom_seg(
    rng: np.random.Generator, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    highdicom = pytest.importorskip("highdicom")
    folder = save_all(tmp_path / "scan", slices(made(rng, (20, 21, 22))))
    command = ["segment", str(folder), "-o", str(folder), "--model", str(model), "--backend", "numpy", "--dicom-seg"]
    assert main(command) == 0
    labels = read_volume(folder / "scan_labels.nii.gz")
    seg = highdicom.seg.segread(folder / "scan_seg.dcm")
    found = np.zeros(labels.array.shape, bool)
    normal = np.reshape(labels.direction, (3, 3))[:, 2]
    for plane, groups in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence):
        place = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float) - labels.origin
        found[round(place @ normal / labels.spacing[2])] |= plane > 0
    np.testing.assert_array_equal(found, labels.array > 0)
    assert main([*command, "--skip-existing"]) == 0  # and the segmentation in the folder is not taken for a scan
    (folder / "scan_seg.dcm").unlink()
    capsys.readouterr()
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "highdicom" else real(name))
    assert main([*command, "--overwrite"]) == 2
    assert "lowresseg[dicom]" in capsys.readouterr().err


def test_the_command_lists_series(scan: Volume, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uids = [generate_uid(), generate_uid()]
    save_all(tmp_path / "a", slices(scan, uids[0], SeriesDescription="Head"))
    broken = slices(scan, uids[1], SeriesNumber=2)
    del broken[2]
    save_all(tmp_path / "b", broken)
    assert main(["series", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    header, first, second = printed.splitlines()
    assert "spacing in mm" in header and PATIENT not in printed and "IM0" not in printed
    assert first.split()[0] == "1" and "0.5 x 0.75 x 2.5" in first and uids[0] in first and first.endswith("Head")
    assert uids[1] in second and "as if 1 were missing" in second
    assert main(["series", str(tmp_path), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(one["number"], one["uid"], one["slices"]) for one in listed] == [(1, uids[0], 6), (2, uids[1], 5)]
    assert listed[1]["spacing_mm"] is None and "missing" in listed[1]["problem"]
    assert main(["series", str(tmp_path / "no")]) == 2


def test_a_memory_limit_is_checked_by_the_headers_of_a_series(
    scan: Volume, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save_all(tmp_path / "dicom", slices(scan))
    call = ["segment", str(folder), "-o", str(tmp_path / "out"), "--model", str(model)]
    assert main([*call, "--max-memory", "5"]) == 2
    assert "more than the 5 MB that are allowed" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*call, "--max-memory", "8000"]) == 0
