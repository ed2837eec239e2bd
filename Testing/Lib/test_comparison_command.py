"""`lowresseg compare`: what it prints and writes, and what it refuses."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data import data_file
from plans import reoriented

from LowResSegLib import InputError, Label, Volume, read_volume, write_labelmap, write_segmentation
from LowResSegLib.cli import main
from LowResSegLib.comparison import Comparison, LabelledVolume, compare, read_segmentation
from LowResSegLib.comparison.compare import measured
from LowResSegLib.comparison.pairing import pair
from LowResSegLib.comparison.tables import comparison_table, write_csv

pytest.importorskip("SimpleITK")
LABELS = (Label(1, "Front foot", (255, 0, 0)), Label(2, "Left ear", (0, 0, 255)), Label(3, "Cost $x_$", (0, 255, 0)))


def body(shift: int = 0) -> Volume:
    array = np.zeros((14, 20, 16), np.uint8)
    array[2:9, 3 + shift : 12 + shift, 2:8], array[4:12, 12:18, 9:15] = 1, 2
    array[12, 2:5, 2:5] = 3
    return Volume(array, (1.0, 1.0, 2.0), (5.0, -3.0, 2.0))


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A segmentation, the same with a structure moved as a labelmap with its table, and one more."""
    write_segmentation(tmp_path / "Jane.seg.nrrd", body(), LABELS)
    write_labelmap(tmp_path / "John.nii.gz", body(1))
    write_segmentation(tmp_path / "Jim.seg.nrrd", body(2), LABELS)
    (tmp_path / "names.csv").write_text("value,name\n1,front_foot\n2,ear (L)\n3,cost $x_$\n4,absent in all\n")
    return [tmp_path / "Jane.seg.nrrd", tmp_path / "John.nii.gz", tmp_path / "Jim.seg.nrrd", tmp_path / "names.csv"]


def run(*arguments: Any) -> int:
    """The exit status of a command in this process."""
    try:
        return main(["compare", *(str(argument) for argument in arguments)])
    except SystemExit as end:  # argparse
        return int(end.code or 0)


def refused(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    return captured.err


def test_the_table_has_every_structure_and_names_no_file(files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(files[0], files[1], "--labels", files[3]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    expected = compare(read_segmentation(files[0]), read_segmentation(files[1], files[3]))
    foot = expected.rows[0]
    assert lines[0].split("  ")[0] == "structure" and "A ml" in lines[0] and "difference ml" in lines[0]
    assert f"{foot.dice:.3f}" in lines[1] and f"{foot.hd95_mm:.2f}" in lines[1] and lines[1].startswith("Front foot")
    assert [line.split("  ")[0] for line in lines[1:5]] == ["Front foot", "Left ear", "Cost $x_$", "mean"]
    assert len({line.index(cell) + len(cell) for line, cell in zip(lines[1:4], ("0.889", "1.000", "1.000"))}) == 1
    assert "Surface Dice at 1 mm" in captured.out and "B less A." in captured.out and "absent" not in captured.out
    assert "J" not in captured.out and captured.err == ""


def test_json_is_a_comparison_and_of_several_a_list(files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(files[0], files[2], "--json") == 0
    found = Comparison.from_dict(json.loads(capsys.readouterr().out))
    assert found == compare(read_segmentation(files[0]), read_segmentation(files[2]))
    assert run(files[0], files[2], files[0], "--json", "--names", "manual,first,second") == 0
    several = [Comparison.from_dict(each) for each in json.loads(capsys.readouterr().out)]
    assert [each.names for each in several] == [("manual", "first"), ("manual", "second")]
    assert several[0].rows == found.rows and several[1].rows[0].dice == 1.0


def test_csv_difference_and_one_structure(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--csv", tmp_path / "a.csv", "--difference", tmp_path / "d.seg.nrrd", "--structure", "front foot")
    assert run(*files[:2], "--labels", files[3], *arguments) == 0
    (row,) = csv.DictReader((tmp_path / "a.csv").read_text(encoding="utf-8").splitlines())
    (expected, *_) = compare(read_segmentation(files[0]), read_segmentation(files[1], files[3])).rows
    assert (row["first"], row["second"], row["structure"], row["matched_by"]) == ("A", "B", "Front foot", "name")
    assert float(row["dice"]) == pytest.approx(expected.dice, rel=1e-5) and float(row["hd95_mm"]) == expected.hd95_mm
    view = read_volume(tmp_path / "d.seg.nrrd")
    one, other = body().array == 1, body(1).array == 1
    np.testing.assert_array_equal(view.array, (one & ~other) * 1 + (other & ~one) * 2)
    (layer,) = read_segmentation(tmp_path / "d.seg.nrrd")
    assert [label.name for label in layer.labels] == ["only A", "only B", "labelled differently"]
    assert "Left ear" not in capsys.readouterr().out


def test_progress_as_json_lines_goes_up_to_one(files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(files[0], files[2], files[0], "--progress", "json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    fractions = [line["fraction"] for line in lines]
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == 1
    assert {"reading", "matching", "comparing Left ear", "writing"} <= {line["step"] for line in lines}


def test_what_cannot_be_compared_is_told_in_a_sentence(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = files[0], files[2]
    assert "does not exist" in refused(capsys, one, tmp_path / "absent.nii.gz")
    far = Volume(body().array, origin=(5000.0, 0.0, 0.0))
    write_labelmap(tmp_path / "far.nii.gz", far)
    sentence = refused(capsys, one, tmp_path / "far.nii.gz")
    assert "do not overlap in space" in sentence and "Jane.seg.nrrd" in sentence
    assert "'heart' is not one structure that both have" in refused(capsys, one, other, "--structure", "heart")
    assert "names.csv" in refused(capsys, one, other, "--csv", files[3])  # is there already
    assert "over an input" in refused(capsys, one, other, "--csv", one, "--overwrite")
    assert ".seg.nrrd" in refused(capsys, one, other, "--difference", tmp_path / "d.nii.gz")
    assert "two by two" in refused(capsys, one, other, one, "--difference", tmp_path / "d.seg.nrrd")
    assert "3 different names" in refused(capsys, one, other, one, "--names", "a,b")
    assert "no folder" in refused(capsys, one, other, "--csv", tmp_path / "no" / "a.csv")
    same = tmp_path / "x.seg.nrrd"
    assert "same name" in refused(capsys, one, other, "--csv", same, "--difference", same)
    assert "cannot be read" in refused(capsys, one, other, "--labels", tmp_path / "absent.csv")
    assert "required" in refused(capsys, one)
    assert sorted(file.name for file in tmp_path.iterdir() if "." not in file.name[:1]) == [
        *("Jane.seg.nrrd", "Jim.seg.nrrd", "John.nii.gz", "far.nii.gz", "names.csv")
    ]


def test_a_picture_without_matplotlib_is_refused_before_the_work(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "matplotlib" in refused(capsys, tmp_path / "absent", files[0], "--picture", tmp_path / "a.png")


def test_what_is_not_defined_is_a_dash_and_in_csv_empty(tmp_path: Path) -> None:
    first = [LabelledVolume(body(), (*LABELS, Label(9, "mine")))]
    second = [LabelledVolume(body().with_array(body().array * (body().array != 2)), (*LABELS, Label(8, "yours")))]
    found = compare(first, second)
    table = comparison_table(found)
    (line,) = (line for line in table.splitlines() if line.startswith("Left ear"))
    assert line.split()[2:6] == ["0.000", "0.000", "-", "-"] and line.endswith("-100.0")
    assert "Only in A: mine." in table and "Only in B: yours." in table
    write_csv(tmp_path / "a.csv", [found, found])
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert len(rows) == 10 and rows[1]["hd95_mm"] == "" and rows[1]["dice"] == "0"
    assert [(row["structure"], row["matched_by"]) for row in rows[3:5]] == [
        ("mine", "only first"),
        ("yours", "only second"),
    ]
    with pytest.raises(InputError, match="cannot be written"):
        write_csv(tmp_path / "no" / "a.csv", [found])


def pixels(path: Path) -> np.ndarray:
    from matplotlib.image import imread

    return np.rint(255 * np.asarray(imread(path))[..., :3])


def test_the_picture_has_outlines_of_both_in_every_orientation(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from LowResSegLib.comparison.difference import FIRST_COLOR, SECOND_COLOR
    from LowResSegLib.comparison.picture import write_picture

    def drawn(name: str, first: Volume, second: Volume) -> np.ndarray:
        pairing = pair([LabelledVolume(first, LABELS)], [LabelledVolume(second, LABELS)])
        write_picture(tmp_path / name, [measured(pairing)], [pairing])
        return pixels(tmp_path / name)

    windows = "matplotlib.pyplot" in sys.modules
    differ, same = drawn("a.png", body(), body(2)), drawn("b.png", body(), body())
    for color in (FIRST_COLOR, SECOND_COLOR):
        assert (np.abs(differ - color).max(axis=2) < 40).sum() > 300
    assert (differ != same).any() and ("matplotlib.pyplot" in sys.modules) == windows
    turned = [volume for volume, *_ in reoriented(body())]
    for number in (5, 22, 43):
        np.testing.assert_array_equal(drawn("c.png", turned[number], body(2)), differ)
    empty = body().with_array(body().array * 0)
    assert drawn("d.png", empty, empty).size and drawn("e.png", body(), empty).size


def test_slices_are_radiological() -> None:
    """Where the patient's right, front and lower structure is drawn, as the letters say."""
    figure_module = pytest.importorskip("matplotlib.figure")
    from LowResSegLib.comparison import picture

    array = np.zeros((10, 12, 14), np.uint8)
    array[1:6, 1:8, 1:9], array[5:9, 6:11, 7:13] = 1, 2  # right, front and low; left, back and high
    labels = (Label(1, "front foot", (250, 0, 0)), Label(2, "ear", (0, 0, 250)))
    for volume, *_ in list(reoriented(Volume(array, (1.0, 2.0, 3.0))))[::11]:
        layers = [LabelledVolume(volume, labels)]
        figure = figure_module.Figure(figsize=(12, 4))
        picture._draw_slices(figure, pair(layers, layers), 0.0, 1.0)
        for plot, side in zip(figure.axes, ("A", "S", "S")):
            places = []
            (image,) = plot.images
            for channel in (0, 2):
                rows, columns = np.nonzero(image.get_array()[..., channel])
                left, right, bottom, top = image.get_extent()
                x = left + (columns.mean() + 0.5) * (right - left) / image.get_array().shape[1]
                y = bottom + (rows.mean() + 0.5) * (top - bottom) / image.get_array().shape[0]
                places.append(plot.transData.transform((x, y)))
            foot, ear = places
            assert foot[0] < ear[0]  # right, and in the sagittal slice front, is on the left
            assert (foot[1] > ear[1]) if side == "A" else (foot[1] < ear[1])
            texts = {text.get_text(): text.get_position() for text in plot.texts}
            assert texts[side][1] > 0.9


def test_several_are_drawn_in_one_picture(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "a.png"
    assert run(files[0], files[2], "--picture", picture) == 0
    height = pixels(picture).shape[0]
    assert run(files[0], files[2], files[0], "--picture", picture, "--overwrite") == 0
    assert pixels(picture).shape[0] > height + 300


def test_a_real_labelmap_against_one_that_is_moved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = data_file("abdomen", "ct_labels.nii.gz")
    volume = read_volume(path)
    array = np.roll(volume.array.astype(np.uint8), 1, axis=2)
    write_labelmap(tmp_path / "moved.nii.gz", volume.with_array(array))
    (tmp_path / "names.csv").write_text("value,name\n1,spleen\n5,liver\n")
    assert run(path, tmp_path / "moved.nii.gz", "--labels", tmp_path / "names.csv", "--json") == 0
    found = Comparison.from_dict(json.loads(capsys.readouterr().out))
    liver = next(row for row in found.rows if row.name == "liver")
    assert liver.hd95_mm == 3.0 and 0.9 < liver.dice < 1 and liver.volume_difference_ml == 0 and len(found.rows) == 59
