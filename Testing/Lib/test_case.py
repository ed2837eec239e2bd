"""A case: results together or not at all, wherever it is cancelled, and files of before."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from scan_files import of

from LowResSegLib import read_volume
from LowResSegLib.case import (
    CONFIDENCE,
    LABELMAP,
    RECORD,
    SEGMENTATION,
    OutputFolder,
    check_memory,
    segment_case,
    spare,
)
from LowResSegLib.errors import Cancelled, InputError
from LowResSegLib.pipeline import segment

ENDINGS = (SEGMENTATION, LABELMAP, CONFIDENCE, RECORD)
OPTIONS = {"backend": "numpy"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return of("scan.nii.gz")(tmp_path)


def test_results_and_progress(path: Path, small_model: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, float]] = []
    with OutputFolder(tmp_path / "out", False) as output:
        record, names = segment_case(
            path,
            output,
            "case",
            ENDINGS,
            "small",
            progress=lambda step, share: seen.append((step, share)),
            options=OPTIONS,
        )
    assert names == sorted(f"case{ending}" for ending in ENDINGS)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == names
    labelmap = read_volume(tmp_path / "out" / f"case{LABELMAP}")
    np.testing.assert_array_equal(labelmap.array, segment(read_volume(path), "small", backend="numpy")[0].array)
    assert list(record["seconds"]) == [
        *("reading", "model", "sampling", "network", "reconstruction", "writing", "total")
    ]
    shares = [share for _, share in seen]
    steps = [step for step, _ in itertools.groupby(seen, key=lambda entry: entry[0])]
    assert shares == sorted(shares) and steps[0] == "reading" and steps[-2:] == ["done", "writing"]


def test_cancelled_anywhere_it_leaves_nothing(path: Path, small_model: Path, tmp_path: Path) -> None:
    """Also while files are written, until they are moved to their places."""

    def attempt(calls: int) -> bool:
        counter = itertools.count()
        try:
            with OutputFolder(tmp_path / "out", False) as output:
                segment_case(
                    path, output, "a", ENDINGS, "small", cancel=lambda: next(counter) >= calls, options=OPTIONS
                )
        except Cancelled:
            assert not (tmp_path / "out").exists()
            return False
        return True

    questions = next(calls for calls in range(500) if attempt(calls))
    assert questions > 10
    assert len(list((tmp_path / "out").iterdir())) == len(ENDINGS)


def test_the_staging_folder_can_be_named(tmp_path: Path) -> None:
    staging = tmp_path / "out" / ".mine"
    with OutputFolder(tmp_path / "out", False, staging=staging) as output:
        output.new("a.txt").write_text("new")
        assert (staging / "a.txt").is_file()
        assert output.publish() == ["a.txt"]
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["a.txt"]


def test_a_taken_name_is_refused_with_the_advice(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    with (
        OutputFolder(tmp_path, False, "ask before") as output,
        pytest.raises(InputError, match=r"already; ask before\."),
    ):
        output.new("a.txt")


@pytest.mark.parametrize("overwrite", [False, True])
def test_files_of_before_are_dropped_only_where_they_may_be_replaced(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "old.txt").write_text("old")
    with OutputFolder(tmp_path, overwrite) as output:
        output.new("new.txt").write_text("new")
        output.drop("old.txt")
        output.publish()
    assert (tmp_path / "old.txt").exists() is not overwrite


def test_inputs_are_spared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spare([Path("a.nii.gz")], [tmp_path / "a_labels.nii.gz"])
    with pytest.raises(InputError, match=r"over the input a_labels\.nii\.gz"):
        spare([Path("a.nii.gz"), Path("a_labels.nii.gz")], [tmp_path / "b" / ".." / "a_labels.nii.gz"])


def test_a_series_of_dicom_files_has_no_frames(small_model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    pytest.importorskip("pydicom")
    from dicom_checks import made
    from dicom_series import save_all, slices

    save_all(tmp_path / "study", slices(made(rng)))
    with OutputFolder(tmp_path / "out", False) as output, pytest.raises(InputError, match="has no frame 2, because"):
        segment_case(tmp_path / "study", output, "a", [LABELMAP], "small", frame=2)


def test_a_limit_counts_the_picture(path: Path, small_model: Path) -> None:
    """Between what is needed without one and what is needed with it."""
    limit = next(mb for mb in range(20, 4000) if _fits(path, mb))
    with pytest.raises(InputError, match="to read it and to write its results"):
        check_memory(path, None, "small", limit, backend="numpy", picture=True)


def _fits(path: Path, limit: float) -> bool:
    try:
        check_memory(path, None, "small", limit, backend="numpy")
    except InputError:
        return False
    return True
