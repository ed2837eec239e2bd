"""Data sets are read in every layout, what is wrong with one is told by the case's name, and splits are by case."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import case_sets
import numpy as np
import pytest
from data import data_file
from hypothesis import given
from hypothesis import strategies as st

from LowResSegLib.errors import InputError
from LowResSegLib.training.datasets import channel_files, find_dataset
from LowResSegLib.training.labelled import read_labelled
from LowResSegLib.training.splits import Split, check_split, make_splits, read_splits, write_splits


@pytest.mark.parametrize(("layout", "channels"), [("msd", 1), ("msd", 2), ("nnunet", 1), ("nnunet", 2), ("plain", 1)])
def test_each_layout_gives_the_same_cases(layout: str, channels: int, tmp_path: Path) -> None:
    make = getattr(case_sets, layout)
    found = find_dataset(make(tmp_path) if layout == "plain" else make(tmp_path, channels=channels))
    assert found.layout == layout and found.names == [f"case_{number:02d}" for number in range(6)]
    assert dict(found.labels) == ({} if layout == "plain" else case_sets.LABELS)
    assert len(found.channels) == (0 if layout == "plain" else channels)
    volumes, label = read_labelled(found.case("case_03"))
    image, truth = case_sets.picture(3)
    assert len(volumes) == channels == len(channel_files(found.case("case_03")))
    for number, volume in enumerate(volumes):
        np.testing.assert_allclose(volume.array, image * (1 + number), rtol=1e-5)
    np.testing.assert_array_equal(label.array, truth)


def test_labels_json_names_the_values_in_either_direction(tmp_path: Path) -> None:
    for number, labels in enumerate(({"1": "Outer", "2": "Inner"}, {"Outer": 1, "Inner": 2, "background": 0})):
        assert dict(find_dataset(case_sets.plain(tmp_path / str(number), 2, labels)).labels) == case_sets.LABELS


def test_lists_name_files_relative_to_themselves(tmp_path: Path) -> None:
    case_sets.plain(tmp_path, 2)
    rows = [
        {
            "case": "a",
            "image": "images/case_00.nii.gz",
            "image_1": "images/case_01.nii.gz",
            "label": "labels/case_00.nii.gz",
        },
        {
            "case": "b",
            "image": "images/case_01.nii.gz",
            "image_1": "images/case_00.nii.gz",
            "label": "labels/case_01.nii.gz",
        },
    ]
    with open(tmp_path / "some.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    (tmp_path / "some.json").write_text(json.dumps({"training": rows}))
    for name in ("some.csv", "some.json"):
        found = find_dataset(tmp_path / name)
        assert found.layout == "list" and found.names == ["a", "b"]
        volumes, _ = read_labelled(found.case("b"))
        np.testing.assert_allclose(volumes[1].array, case_sets.picture(0)[0], rtol=1e-5)


def test_the_real_hippocampus_is_read() -> None:
    found = find_dataset(data_file("Task04_Hippocampus"))
    assert found.layout == "msd" and len(found.cases) == 208
    assert dict(found.labels) == {0: "background", 1: "Anterior", 2: "Posterior"}


def broken(tmp_path: Path, how: str) -> Path:
    """A data set with one thing wrong in case_02."""
    folder = (case_sets.nnunet if how.startswith("nnunet") else case_sets.msd)(tmp_path)
    _, label = case_sets.picture(2)
    files = {kind: folder / f"{kind}sTr" / "case_02.nii.gz" for kind in ("image", "label")}
    if how == "no label":
        files["label"].unlink()
    elif how == "no image":
        files["image"].unlink()
    elif how == "shape":
        case_sets.write_image(files["label"], label[:, :-1])
    elif how == "spacing":
        case_sets.write_image(files["label"], label, spacing=(1, 1, 1.1))
    elif how == "origin":
        case_sets.write_image(files["label"], label, origin=(0, 0, 4))
    elif how == "direction":
        case_sets.write_image(files["label"], label, direction=(-1, 0, 0, 0, -1, 0, 0, 0, 1))
    elif how == "no numbers":
        case_sets.write_image(files["label"], label * np.float32(0.5))
    elif how == "damaged":
        files["image"].write_bytes(files["image"].read_bytes()[:200])
    elif how == "empty":
        files["label"].write_bytes(b"")
    elif how == "nnunet no image":
        (folder / "imagesTr" / "case_02_0000.mha").unlink()
    elif how == "nnunet no label":
        (folder / "labelsTr" / "case_02.mha").unlink()
    return folder


SENTENCES = {
    "no label": "case_02 lacks its label",
    "no image": "case_02 lacks its image",
    "nnunet no image": "case_02 lacks its image",
    "nnunet no label": "case_02 lacks its label",
    "shape": "case case_02 differ in shape",
    "spacing": "case case_02 differ in spacing",
    "origin": "case case_02 differ in origin",
    "direction": "case case_02 differ in direction",
    "no numbers": "case case_02 holds values that are not whole",
    "damaged": "case_02 cannot be read",
    "empty": "case_02 cannot be read",
}


@pytest.mark.parametrize("how", SENTENCES)
def test_what_is_wrong_is_told_with_the_name_of_the_case(how: str, tmp_path: Path) -> None:
    folder = broken(tmp_path, how)
    with pytest.raises(InputError, match=SENTENCES[how]) as caught:
        found = find_dataset(folder)
        for case in found.cases:
            read_labelled(case)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_folders_that_are_no_data_sets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        find_dataset(tmp_path / "none")
    with pytest.raises(InputError, match="is no data set"):
        find_dataset(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    with pytest.raises(InputError, match="no cases"):
        find_dataset(tmp_path)
    for text, sentence in (
        ("{", "not valid JSON"),
        ("[]", "must hold an object"),
        ('{"labels": {}}', "neither `training`"),
        ('{"training": [{"image": "a.nii"}], "labels": {"0": "b"}}', "lacks image or label"),
        ('{"training": [], "labels": {"0": "b", "x": "y"}}', "whole numbers"),
        ('{"file_ending": ".nii.gz", "labels": {"background": 0, "all": [1, 2]}}', "region"),
        ('{"file_ending": ".nii.gz", "labels": {"background": 0, "ignore": 1}}', "ignore"),
        ('{"file_ending": ".nii.gz", "labels": {"a": 1, "b": 1}}', "two names"),
    ):
        (tmp_path / "dataset.json").write_text(text)
        with pytest.raises(InputError, match=sentence):
            find_dataset(tmp_path)


def test_two_cases_of_one_name_are_refused(tmp_path: Path) -> None:
    case_sets.plain(tmp_path, 1)
    row = {"image": "images/case_00.nii.gz", "label": "labels/case_00.nii.gz"}
    (tmp_path / "cases.json").write_text(json.dumps([row, row]))
    with pytest.raises(InputError, match="two cases of the name case_00"):
        find_dataset(tmp_path)


@given(count=st.integers(4, 60), folds=st.integers(2, 4), seed=st.integers(0, 99), share=st.floats(0, 0.4))
def test_folds_share_out_all_cases(count: int, folds: int, seed: int, share: float) -> None:
    names = [f"n{number}" for number in range(count)]
    splits = make_splits(names, seed, folds, share) if round(share * count) <= count - folds else []
    validated: list[str] = []
    for split in splits:
        check_split(split, names)
        assert sorted(split.part("all")) == sorted(names) and split.test == splits[0].test
        assert len(split.test) == round(share * count)
        validated += split.validation
    assert not splits or sorted([*validated, *splits[0].test]) == sorted(names)


def test_splits_are_the_same_again_and_hang_on_the_seed(tmp_path: Path) -> None:
    names = [f"n{number}" for number in range(20)]
    splits = make_splits(names, 3, 5, test_cases=["n4"])
    assert splits == make_splits(names[::-1], 3, 5, test_cases=["n4"]) != make_splits(names, 4, 5, test_cases=["n4"])
    # Python's generator is the same in all its versions; if this changes, old runs cannot be gone on with.
    assert splits[0].validation == ("n12", "n16", "n3", "n6")
    write_splits(tmp_path / "splits.json", splits)
    assert read_splits(tmp_path / "splits.json") == splits


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('[{"train": ["a", "b"], "val": []}]', "no validation cases"),
        ('[{"train": [], "val": ["a"]}]', "no training cases"),
        ('[{"train": ["a", "b"], "val": ["b"]}]', "case b is in both training and validation"),
        ('[{"train": ["a", "a"], "val": ["b"]}]', "case a is in training twice"),
        ('[{"train": ["a"], "val": ["b"], "test": ["a"]}]', "case a is in both training and test"),
        ('[{"train": ["a"], "val": ["z"]}]', "validation case z of the split is not in the data set"),
        ('[{"train": "a", "val": ["b"]}]', "lists of names"),
        ("[]", "list of folds"),
        ("{", "not valid JSON"),
    ],
)
def test_wrong_splits_are_refused(content: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "splits.json").write_text(content)
    with pytest.raises(InputError, match=sentence):
        check_split(read_splits(tmp_path / "splits.json")[0], ["a", "b"])


def test_unknown_test_cases_and_too_many_folds_are_refused() -> None:
    with pytest.raises(InputError, match="test case z"):
        make_splits(["a", "b"], test_cases=["z"])
    with pytest.raises(InputError, match="make no 5 folds"):
        make_splits(["a", "b"])
    assert Split(("a",), ("b",)).part("all") == ("a", "b")
