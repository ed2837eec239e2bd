"""Two segmentations compared: rows, grids that differ, the difference view, cancelling."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from data import data_file
from plans import reoriented

from LowResSegLib import Cancelled, InputError, Label, Volume, read_volume
from LowResSegLib.comparison import Comparison, LabelledVolume, compare, difference
from LowResSegLib.comparison.measures import dice, hd95, mean_surface_distance, surface_dice
from LowResSegLib.comparison.pairing import pair

pytest.importorskip("SimpleITK")
LABELS = (Label(1, "cube", (255, 0, 0)), Label(2, "plate", (0, 255, 0)), Label(300, "rest", (0, 0, 255)))
TURN = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
GRID = {"spacing": (1.0, 0.8, 2.5), "origin": (-31.5, 12.25, 7.0), "direction": tuple(TURN.ravel().tolist())}


def body(shift: int = 0) -> np.ndarray:
    array = np.zeros((12, 15, 17), np.uint16)
    array[3:8, 4:9, 3 + shift : 9 + shift] = 1
    array[8:10, 3:13, 2 : 12 + shift] = 2
    array[1, 2:5, 2:5] = 300
    return array


def labelled(array: np.ndarray, **geometry: object) -> list[LabelledVolume]:
    return [LabelledVolume(Volume(array, **{**GRID, **geometry}), LABELS)]  # type: ignore[arg-type]


def figures(comparison: Comparison) -> list[float]:
    """All numbers of the rows, with -1000 where there is none."""
    values = [value for row in comparison.rows for value in dataclasses.astuple(row)[3:]]
    return [-1000 if value is None else value for value in values]


def part(whole: list[LabelledVolume], start: tuple[int, int, int], end: tuple[int, int, int]) -> list[LabelledVolume]:
    """A box of a labelmap, which lies where it was; beyond the labelmap are zeros."""
    volume = whole[0].volume
    margin = 20
    wide = np.pad(volume.array, margin)
    array = wide[tuple(slice(s + margin, e + margin) for s, e in zip(start, end))]
    columns = np.reshape(volume.direction, (3, 3)) * np.array(volume.spacing)
    origin = np.array(volume.origin) + columns @ np.array(start[::-1])
    return [replace(whole[0], volume=replace(volume, array=array, origin=tuple(origin.tolist())))]


def test_rows_have_the_measures_of_the_masks() -> None:
    one, other = body(), body(1)
    found = compare(labelled(one), labelled(other))
    assert [row.name for row in found.rows] == ["cube", "plate", "rest"]
    for row, value in zip(found.rows, (1, 2, 300)):
        first, second = one == value, other == value
        spacing = (1.0, 0.8, 2.5)
        assert row.dice == dice(first, second) and row.hd95_mm == pytest.approx(hd95(first, second, spacing))
        assert row.surface_dice == surface_dice(first, second, spacing)
        assert row.mean_surface_distance_mm == pytest.approx(mean_surface_distance(first, second, spacing))
        volumes = [mask.sum() * 2.0 / 1000 for mask in (first, second)]
        assert [row.volume_first_ml, row.volume_second_ml] == pytest.approx(volumes)
        assert row.volume_difference_ml == pytest.approx(volumes[1] - volumes[0])
        assert row.volume_difference_percent == pytest.approx(100 * (volumes[1] / volumes[0] - 1))
    assert found.rows[2].dice == 1 and 0 < found.rows[0].dice < 1 and found.rows[1].volume_difference_ml > 0
    assert not found.notices and not found.only_first and not found.only_second
    assert found.rows[0].color == (255, 0, 0)


def test_a_comparison_survives_json() -> None:
    found = compare(labelled(body()), labelled(body(1) * (body(1) != 2)), names=("manual", "network"))
    assert Comparison.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    with pytest.raises(InputError, match="no comparison"):
        Comparison.from_dict({"names": ["a", "b"], "rows": [{}]})


def test_structures_that_are_empty_or_alone() -> None:
    first = [replace(labelled(body())[0], labels=(*LABELS, Label(5, "nothing"), Label(6, "mine")))]
    second = [replace(labelled(body() * (body() != 1))[0], labels=(*LABELS, Label(5, "nothing"), Label(7, "yours")))]
    found = compare(first, second)
    cube, nothing = found.rows[0], found.rows[3]
    assert (cube.dice, cube.surface_dice, cube.hd95_mm, cube.mean_surface_distance_mm) == (0.0, 0.0, None, None)
    assert cube.volume_second_ml == 0 and cube.volume_difference_percent == -100
    assert (nothing.dice, nothing.surface_dice, nothing.hd95_mm) == (None, None, None)
    assert nothing.volume_difference_ml == 0 and nothing.volume_difference_percent is None
    assert found.only_first == ("mine",) and found.only_second == ("yours",)
    assert compare(second, first).rows[0].volume_difference_percent is None


def test_nothing_matches() -> None:
    other = [replace(labelled(body())[0], labels=(Label(1, "something else"),))]
    found = compare(labelled(body()), other)
    assert not found.rows and len(found.only_first) == 3 and "has a partner" in found.notices[0]
    assert not difference(labelled(body()), other).volume.array.any()


@pytest.mark.parametrize("second_spacing", [None, (1.3, 1.1, 1.7), (2.0, 1.6, 5.0)], ids=["same", "other", "double"])
def test_the_order_of_axes_and_oblique_grids_change_nothing(second_spacing: tuple[float, ...]) -> None:
    """Also where half the voxels lie in the middle between two of the other's: those go the same way."""
    first = labelled(body())
    other = body(1) if second_spacing is None else body(1)[::2, ::2, ::2]
    second = labelled(other, **({} if second_spacing is None else {"spacing": second_spacing}))
    expected, view = compare(first, second), difference(first, second)
    assert bool(expected.notices) == (second_spacing is not None)
    straight = {"direction": (1, 0, 0, 0, 1, 0, 0, 0, 1), "origin": (1, 2, 3)}
    if second_spacing is None:
        found = compare(labelled(body(), **straight), labelled(other, **straight))
        assert figures(found) == pytest.approx(figures(expected), rel=1e-6)
    turned_second = [volume for volume, *_ in reoriented(second[0].volume)]
    for number, (volume, order, flips) in enumerate(reoriented(first[0].volume)):
        one = [replace(first[0], volume=volume)]
        two = [replace(second[0], volume=turned_second[(7 * number + 3) % 48])]
        assert figures(compare(one, two)) == pytest.approx(figures(expected), rel=1e-6)
        result = difference(one, two).volume
        flipped = tuple(slice(None, None, -1 if flip else 1) for flip in flips)
        np.testing.assert_array_equal(result.array, view.volume.array.transpose(order)[flipped])


def test_other_extents_of_one_lattice_are_not_resampled() -> None:
    whole, other = labelled(body()), labelled(body(1))
    expected = compare(whole, other)
    assert compare(part(whole, (1, 1, 0), (11, 14, 15)), part(other, (-3, 2, 1), (12, 19, 20))) == expected
    assert compare(whole, part(other, (1, 2, 2), (11, 13, 13))) == expected
    # The file's rounding is no other lattice.
    nearly = replace(other[0].volume, origin=tuple(x + 1e-4 for x in other[0].volume.origin))
    assert compare(whole, [replace(other[0], volume=nearly)]) == expected


def test_another_lattice_is_resampled_to_the_nearest_voxel_and_it_says_so() -> None:
    first = labelled(body(), spacing=(1, 1, 1))
    fine = [replace(labelled(body().repeat(2, 0).repeat(2, 1).repeat(2, 2))[0])]
    moved = np.array(first[0].volume.origin) - TURN @ np.array((0.25, 0.25, 0.25))
    fine = [replace(fine[0], volume=replace(fine[0].volume, spacing=(0.5, 0.5, 0.5), origin=tuple(moved.tolist())))]
    for one, two in ((first, fine), (fine, first)):
        found = compare(one, two, names=("manual", "network"))
        assert [row.dice for row in found.rows] == [1.0, 1.0, 1.0]
        assert [row.hd95_mm for row in found.rows] == [0.0, 0.0, 0.0]
        assert [row.volume_difference_ml for row in found.rows] == pytest.approx([0, 0, 0], abs=1e-12)
        (notice,) = found.notices
        assert notice.startswith("network (") and "onto the grid of manual" in notice and "0.5 x 0.5 x 0.5" in notice
    aside = replace(first[0].volume, origin=tuple((np.array(first[0].volume.origin) + 0.3).tolist()))
    assert compare(first, [replace(first[0], volume=aside)]).notices


def test_a_structure_that_resampling_loses_is_told_and_each_plane_can_be_cancelled() -> None:
    coarse, fine = np.zeros((6, 6, 6), np.uint8), np.zeros((18, 18, 18), np.uint8)
    coarse[2:4, 2:4, 2:4], fine[6:12, 6:12, 6:12], fine[1, 1, 1] = 1, 1, 2
    labels = (Label(1, "cube"), Label(2, "dot"))
    one = [LabelledVolume(Volume(coarse, (3, 3, 3)), labels)]
    two = [LabelledVolume(Volume(fine), labels)]
    found = compare(one, two)
    assert found.notices[1] == "dot of B has no voxel left on the grid of A."
    dot = found.rows[1]
    assert dot.dice is None and dot.volume_second_ml == 0.001
    asked: list[int] = []
    wide = [LabelledVolume(Volume(fine.repeat(10, axis=0)), labels)]
    pair(one, wide, cancel=lambda: bool(asked.append(1)))
    assert len(asked) > 30  # as many planes of 3 mm as the structures take


def test_a_turned_grid_is_resampled_where_it_lies() -> None:
    """A ball stays where it is, whatever grid it is drawn on."""

    def ball(geometry: dict[str, object]) -> list[LabelledVolume]:
        volume = Volume(np.zeros((40, 40, 40), np.uint8), **geometry)  # type: ignore[arg-type]
        index = np.indices((40, 40, 40))[::-1].reshape(3, -1)
        columns = np.reshape(volume.direction, (3, 3)) * np.array(volume.spacing)
        place = (columns @ index).T + volume.origin - (5.0, -3.0, 8.0)
        inside = ((place**2).sum(axis=1) <= 100).reshape(40, 40, 40)
        return [LabelledVolume(volume.with_array(inside.astype(np.uint8)), (Label(1, "ball"),))]

    straight = {"origin": (-15.0, -22.0, -11.0)}
    corner = np.array((5.0, -3.0, 8.0)) - TURN @ np.full(3, 0.9 * 20)
    turned = {"spacing": (0.9, 0.9, 0.9), "direction": tuple(TURN.ravel()), "origin": tuple(corner.tolist())}
    (row,) = compare(ball(straight), ball(turned)).rows
    assert row.dice > 0.95 and row.hd95_mm <= 1.0 and abs(row.volume_difference_percent) < 2


def test_structures_beyond_the_first_one_s_grid_count() -> None:
    whole = labelled(body())
    small = part(whole, (2, 3, 2), (7, 14, 15))  # cuts the cube
    (cube, *_) = compare(small, whole).rows
    assert cube.dice == pytest.approx(2 * 4 / (4 + 5)) and cube.volume_second_ml > cube.volume_first_ml
    view = difference(small, whole)
    missing = np.count_nonzero(body()) - np.count_nonzero(small[0].volume.array)
    assert np.count_nonzero(view.volume.array == 2) == missing
    assert compare([replace(view, labels=(Label(2, "rest"),))], whole).notices == ()  # on the lattice still


def test_what_lies_elsewhere_is_refused() -> None:
    steps = TURN[:, 0] * 1.0
    for origin in ((1000.0, 0.0, 0.0), *(tuple((GRID["origin"] + n * steps).tolist()) for n in (17.5, 340))):
        with pytest.raises(InputError, match="manual and network do not overlap in space"):
            compare(labelled(body()), labelled(body(), origin=origin), names=("manual", "network"))
    with pytest.raises(InputError, match="B has no labelmap"):
        compare(labelled(body()), [])
    with pytest.raises(InputError, match="whole numbers"):
        labelled(body().astype(np.float32))
    with pytest.raises(InputError, match="same value"):
        LabelledVolume(Volume(body()), (Label(1, "a"), Label(1, "b")))


def test_crops_of_one_scan_that_do_not_meet_are_compared() -> None:
    """Slicer crops a segmentation to what is segmented."""
    array = np.zeros((4, 5, 60), np.uint8)
    array[1:3, 1:4, 2:5] = 1
    other = array[..., ::-1]
    whole, flipped = (labelled(each, spacing=(1.5, 1.0, 1.0)) for each in (array, other))
    expected = compare(whole, flipped)
    found = compare(part(whole, (1, 1, 2), (3, 4, 5)), part(flipped, (1, 1, 54), (3, 5, 58)))
    assert found.rows == expected.rows and found.rows[0].dice == 0 and found.rows[0].hd95_mm == 53 * 1.5
    assert found.notices == ("A and B do not overlap in space, so every structure is somewhere else.",)
    view = difference(part(whole, (1, 1, 2), (3, 4, 5)), part(flipped, (1, 1, 54), (3, 5, 58))).volume
    assert view.array.shape == (2, 3, 56) and np.bincount(view.array.ravel()).tolist() == [2 * 3 * 50, 18, 18]


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int64, np.uint64, bool])
def test_any_number_type_and_value(kind: type) -> None:
    low, high = (0, 1) if kind is bool else (0, 100) if kind is np.uint8 else (-3, 30000)
    high = 1 << 40 if kind in (np.int64, np.uint64) else high
    array = np.zeros((5, 6, 7), kind)
    array[1:3, 1:3, 1:3] = high
    if kind not in (bool, np.uint8, np.uint64):
        array[4] = low
    labels = (Label(int(high), "x"), Label(int(high) - 1, "y"))
    (row, *_) = compare([LabelledVolume(Volume(array), labels)], [LabelledVolume(Volume(array), labels)]).rows
    assert row.volume_first_ml == 0.008 and row.dice == 1


def test_the_difference_view_says_who_has_what() -> None:
    one, other = body(), body(1)
    found = difference(labelled(one), labelled(other), names=("manual", "network"))
    expected = np.select([one == other, other == 0, one == 0], [0, 1, 2], 3)
    np.testing.assert_array_equal(found.volume.array, expected)
    assert np.bincount(expected.ravel()).min() > 0  # there is some of each
    assert found.volume.geometry == labelled(one)[0].volume.geometry and found.volume.array.dtype == np.uint8
    assert [(label.value, label.name) for label in found.labels] == [
        (1, "only manual"),
        (2, "only network"),
        (3, "labelled differently"),
    ]
    cube = difference(labelled(one), labelled(other), structure="Cube")
    expected = np.where((one == 1) == (other == 1), 0, np.where(one == 1, 1, 2))
    np.testing.assert_array_equal(cube.volume.array, expected)
    with pytest.raises(InputError, match="'heart' is not one structure that both have; these are: cube, plate, rest"):
        difference(labelled(one), labelled(other), structure="heart")


def test_overlapping_layers() -> None:
    """A tumour in a liver: the same in two layers; in one layer it takes the liver's place."""
    liver, tumour = np.zeros((9, 9, 9), np.uint8), np.zeros((9, 9, 9), np.uint8)
    liver[2:8, 2:8, 2:8], tumour[4:6, 4:6, 4:6] = 1, 1
    parts = {"liver": liver, "tumour": tumour}
    layers = [LabelledVolume(Volume(array), (Label(1, name),)) for name, array in parts.items()]
    flat = [LabelledVolume(Volume(liver + tumour), (Label(1, "liver"), Label(2, "tumour")))]
    assert [row.dice for row in compare(layers, layers[::-1]).rows] == [1.0, 1.0]
    assert [row.dice for row in compare(layers, flat).rows] == [pytest.approx(2 * 208 / (216 + 208)), 1.0]
    assert not difference(layers, layers[::-1]).volume.array.any()
    np.testing.assert_array_equal(difference(layers, flat).volume.array, tumour * 3)


def test_progress_goes_up_to_one_and_cancelling_stops() -> None:
    told: list[tuple[str, float]] = []
    compare(labelled(body()), labelled(body(1)), progress=lambda step, part: told.append((step, part)))
    shares = [part for _, part in told]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1
    assert {"comparing cube", "comparing plate", "comparing rest"} <= {step for step, _ in told}
    calls = [compare, difference]
    for call in calls:
        asked = [0]

        def cancel(asked: list[int] = asked) -> bool:
            asked[0] += 1
            return asked[0] > 4

        with pytest.raises(Cancelled):
            call(labelled(body()), labelled(body(1)), cancel=cancel)


def test_cancel_answers_within_a_second_on_a_whole_head() -> None:
    """Also while it is resampled."""
    rng = np.random.default_rng(1)
    array = rng.integers(0, 18, (16, 16, 16)).astype(np.uint8).repeat(14, 0).repeat(14, 1).repeat(14, 2)
    labels = tuple(Label(value, f"part {value}") for value in range(1, 18))
    one = [LabelledVolume(Volume(array), labels)]
    two = [LabelledVolume(Volume(array, spacing=(1.1, 1.1, 1.1)), labels)]
    stop, ends = threading.Event(), []
    for wait in (0.4, 1.5):
        stop.clear()
        timer = threading.Timer(wait, lambda: (ends.append(time.perf_counter()), stop.set()))
        timer.start()
        with pytest.raises(Cancelled):
            compare(one, two, cancel=stop.is_set)
        assert time.perf_counter() - ends[-1] < 1.0


def test_a_real_labelmap_against_itself_and_shifted() -> None:
    volume = read_volume(data_file("abdomen", "ct_labels.nii.gz"))
    labels = tuple(Label(int(value), f"label {value:g}") for value in np.unique(volume.array) if value)
    array = volume.array.astype(np.uint8)
    first = [LabelledVolume(volume.with_array(array), labels)]
    columns = np.reshape(volume.direction, (3, 3)) * np.array(volume.spacing)
    moved = replace(first[0].volume, origin=tuple((np.array(volume.origin) + columns[:, 0]).tolist()))
    same, shifted = compare(first, first), compare(first, [replace(first[0], volume=moved)])
    assert len(same.rows) == 59 and all(row.dice == 1 and row.hd95_mm == 0 for row in same.rows)
    large = [row for row in shifted.rows if row.volume_first_ml > 100]
    assert len(large) > 10 and all(row.hd95_mm == 3.0 and 0.6 < row.dice < 1 for row in large)
    assert not shifted.notices
