"""The table and the sheet: the numbers of the record, slices the right way round, in every orientation."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data import CHECKOUT
from plans import reoriented

from LowResSegLib import InputError, Label, Volume, report
from LowResSegLib.report import volume_table, write_sheet

pytest.importorskip("matplotlib")

LABELS = [Label(0, "Background"), Label(1, "Right front foot", (255, 0, 0)), Label(2, "Left ear", (0, 0, 255))]


@pytest.fixture
def record() -> dict[str, Any]:
    return {
        "labels": [
            {"name": "Cerebral cortex", "value": 1, "volume_ml": 512.346},
            {"name": "Amygdala", "value": 2, "volume_ml": 0.0},
        ],
        "seconds": {"sampling": 1.204, "network": 12.5, "total": 13.8},
        "peak_memory_mb": 812.4,
        "model": "brain",
        "backend": "numpy",
    }


def test_the_table_has_every_number_in_aligned_columns(record: dict[str, Any]) -> None:
    lines = volume_table(record).splitlines()
    cells = [line.rsplit(maxsplit=1) for line in lines if line]
    assert ["Cerebral cortex", "512.35"] in cells and ["Amygdala", "0.00"] in cells
    assert ["network", "12.50"] in cells and ["total", "13.80"] in cells
    assert ["peak memory, MB", "812"] in cells and ["model", "brain"] in cells and ["backend", "numpy"] in cells
    assert len({len(line) for line in lines[:7] if line}) == 1


def body() -> tuple[Volume, Volume]:
    """A scan whose right-front-lower eighth is bright and labelled 1, the left-back-upper one 2; slabs of 3 mm."""
    image, labels = np.full((6, 20, 16), 100, np.int16), np.zeros((6, 20, 16), np.uint8)
    image[:3, :10, :8], labels[:3, :10, :8] = 900, 1
    image[3:, 10:, 8:], labels[3:, 10:, 8:] = 900, 2
    tilt = np.deg2rad(20)  # about the axis to the left
    direction = (1, 0, 0, 0, np.cos(tilt), -np.sin(tilt), 0, np.sin(tilt), np.cos(tilt))
    volume = Volume(image, (1.0, 1.0, 3.0), (5.0, -3.0, 2.0), direction)
    return volume, volume.with_array(labels)


def test_every_orientation_is_shown_alike() -> None:
    image, labelmap = body()
    expected = list(report._views(image, labelmap))
    for (turned, *_), (turned_labels, *_) in zip(reoriented(image), reoriented(labelmap)):
        for view, wanted in zip(report._views(turned, turned_labels), expected):
            np.testing.assert_array_equal(view.gray, wanted.gray)
            np.testing.assert_array_equal(view.labels, wanted.labels)
            assert (view.pixel, view.name, view.letters) == (wanted.pixel, wanted.name, wanted.letters)


def test_slices_are_radiological() -> None:
    """The patient's right and front are where the letters say, and a millimetre is as long in both directions."""
    image, labelmap = body()
    views = list(report._views(image, labelmap))
    assert [view.name for view in views] == ["axial"] * 3 + ["coronal"] * 3 + ["sagittal"] * 3
    assert [view.letters for view in views[::3]] == [("A", "P", "R", "L"), ("S", "I", "R", "L"), ("S", "I", "A", "P")]
    assert [view.pixel for view in views[::3]] == [(1, 1), (3, 1), (3, 1)]
    # What is labelled 1 is at the right, front and bottom of the body; 2 is opposite, in the last slice of each view.
    corners = [(view.labels[0, 0], view.labels[0, -1], view.labels[-1, 0], view.labels[-1, -1]) for view in views]
    assert corners[0] == (1, 0, 0, 0) and corners[2] == (0, 0, 0, 2)
    assert corners[3] == (0, 0, 1, 0) and corners[5] == (0, 2, 0, 0)
    assert corners[6] == (0, 0, 1, 0) and corners[8] == (0, 2, 0, 0)


def pixels(path: Path) -> np.ndarray:
    from matplotlib.image import imread

    return np.asarray(imread(path))[..., :3]


def test_the_sheet_shows_the_colours_of_the_labels(tmp_path: Path) -> None:
    image, labelmap = body()
    write_sheet(tmp_path / "with.png", image, labelmap, LABELS, "Title")
    write_sheet(tmp_path / "without.png", image, labelmap.with_array(labelmap.array * 0), [], "Title")
    colored, plain = pixels(tmp_path / "with.png"), pixels(tmp_path / "without.png")
    red, blue = (np.abs(colored - color).max(axis=2) < 0.3 for color in ((1, 0.3, 0.3), (0.3, 0.3, 1)))
    slices = slice(None, int(colored.shape[1] * 0.73))  # without the legend
    assert red[:, slices].sum() > 500 and blue[:, slices].sum() > 500
    assert not (np.abs(plain - (1, 0.3, 0.3)).max(axis=2) < 0.3).any()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["with.png", "without.png"]


def test_the_caller_s_pyplot_is_left_alone(tmp_path: Path) -> None:
    program = f"""
import sys
sys.path[:0] = {[str(CHECKOUT), str(Path(__file__).parent)]!r}
from test_report import LABELS, body, write_sheet
write_sheet({str(tmp_path / "a.png")!r}, *body(), LABELS)
assert "matplotlib.pyplot" not in sys.modules
"""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT / "Testing")}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


def test_a_flat_scan_and_a_value_without_a_label_are_drawn(tmp_path: Path) -> None:
    flat = Volume(np.zeros((1, 3, 4), np.int16))
    write_sheet(tmp_path / "a.png", flat, flat.with_array(np.full((1, 3, 4), 9, np.uint8)), LABELS)
    assert pixels(tmp_path / "a.png").size


def test_names_with_dollar_signs_are_names(tmp_path: Path) -> None:
    volume = Volume(np.arange(60).reshape(3, 4, 5))
    labels = [Label(1, "$\\frac$", (255, 0, 0))]
    write_sheet(tmp_path / "sheet.png", volume, volume.with_array(volume.array % 2), labels, "a$x_$")
    assert (tmp_path / "sheet.png").stat().st_size > 0


def test_a_sheet_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    image, labelmap = body()
    with pytest.raises(InputError, match="cannot be written"):
        write_sheet(tmp_path / "no" / "a.png", image, labelmap, LABELS)
    with pytest.raises(InputError, match="shape"):
        write_sheet(tmp_path / "a.png", image, Volume(labelmap.array[1:]), LABELS)
    assert not list(tmp_path.iterdir())


def test_a_window_says_what_is_black_and_white(tmp_path: Path) -> None:
    """Padding and metal do not make all tissue the same grey."""
    image, labelmap = body()
    padded = image.with_array(np.where(image.array == 900, 30000, -3024).astype(np.int16))
    for name, scan in (("clipped", padded.with_array(np.clip(padded.array, -1000, 1000))), ("padded", padded)):
        write_sheet(tmp_path / f"{name}.png", scan, labelmap, LABELS, "Title", (-1000.0, 1000.0))
    np.testing.assert_array_equal(pixels(tmp_path / "clipped.png"), pixels(tmp_path / "padded.png"))
