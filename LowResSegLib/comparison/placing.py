"""Two segmentations on one lattice.

The lattice is that of the first segmentation's first labelmap, without its ends: spacing, directions and the place of
one voxel. A labelmap whose voxels lie on it is only shifted by whole voxels, permuted and flipped; any other is
resampled. Everything is turned to the axes of the body first, so that how a file stores its axes does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Callable, Optional

import numpy as np

from LowResSegLib.comparison.labelled import LabelledVolume
from LowResSegLib.comparison.lattice import TIE, corners, gap_mm, index_map, lattice_offset, share_a_place, upright
from LowResSegLib.errors import InputError
from LowResSegLib.volume import Label, Volume
from LowResSegLib.volume.integrity import check_memory

_ONE_SCAN_MM = 300.0  # crops of one scan are not further apart, of a body's trunk
_LARGEST_TABLE = 1 << 20

Box = tuple[tuple[int, int, int], tuple[int, int, int]]  # first voxel and the one behind the last, (z, y, x)


@dataclass(frozen=True, eq=False)
class Layer:
    """A labelmap on the lattice.

    Attributes:
        array: (z, y, x), whose values are the structures' numbers in this layer, from 1.
        offset: Where its first voxel lies on the lattice, (z, y, x).
    """

    array: np.ndarray
    offset: tuple[int, int, int]

    def mask(self, number: int, box: Box) -> np.ndarray:
        """The voxels of a structure in a box of the lattice, which may reach beyond the array."""
        result = np.zeros(np.subtract(box[1], box[0]), bool)
        pairs = [
            (max(first, offset), min(end, offset + size))
            for first, end, offset, size in zip(*box, self.offset, self.array.shape)
        ]
        if all(first < end for first, end in pairs):
            there = tuple(slice(first - start, end - start) for (first, end), start in zip(pairs, box[0]))
            here = tuple(slice(first - start, end - start) for (first, end), start in zip(pairs, self.offset))
            result[there] = self.array[here] == number
        return result


@dataclass(frozen=True, eq=False)
class Structure:
    """A structure on the lattice.

    Attributes:
        label: What it is.
        layer: Where its voxels are.
        number: Their value there.
        box: Around them; None where there are none.
        volume_ml: Of its voxels as they were, before any resampling.
    """

    label: Label
    layer: Layer
    number: int
    box: Optional[Box]
    volume_ml: float

    def mask(self, box: Box) -> np.ndarray:
        """Its voxels in a box of the lattice."""
        return self.layer.mask(self.number, box)


@dataclass(frozen=True, eq=False)
class Placed:
    """Two segmentations on one lattice.

    Attributes:
        frame: The first segmentation's first labelmap, turned to the body's axes; the lattice is that of its voxels.
        first: The structures of the first segmentation, in their order.
        second: Those of the second.
        notices: Sentences on what was resampled.
    """

    frame: Volume
    first: tuple[Structure, ...]
    second: tuple[Structure, ...]
    notices: tuple[str, ...]


def place(
    first: Sequence[LabelledVolume],
    second: Sequence[LabelledVolume],
    names: tuple[str, str],
    step: Callable[[], None] = lambda: None,
) -> Placed:
    """Put two segmentations on the first one's lattice; `step` is called now and then, and may raise.

    Raises:
        InputError: A segmentation has no labelmap, or the two lie in different places.
    """
    for name, side in zip(names, (first, second)):
        if not side:
            raise InputError(f"{name} has no labelmap; give a segmentation with at least one.")
    frame = upright(first[0].volume)
    turned = [[upright(labelled.volume) for labelled in side] for side in (first, second)]
    notices = _check_overlap(turned[0], turned[1], frame, names)
    sides: list[list[Structure]] = []
    for name, labelled_volumes, volumes in zip(names, (first, second), turned):
        structures: list[Structure] = []
        for labelled, volume in zip(labelled_volumes, volumes):
            step()
            structures += _placed(volume, labelled.labels, frame, step)
            if lattice_offset(volume, frame) is None:
                notices.append(_resampled_notice(name, names[0], volume, frame))
        sides.append(structures)
    lost = [
        f"{structure.label.name} of {name} has no voxel left on the grid of {names[0]}."
        for name, structures in zip(names, sides)
        for structure in structures
        if structure.box is None and structure.volume_ml > 0
    ]
    return Placed(frame, tuple(sides[0]), tuple(sides[1]), tuple(dict.fromkeys([*notices, *lost])))


def _check_overlap(
    first: Sequence[Volume], second: Sequence[Volume], frame: Volume, names: tuple[str, str]
) -> list[str]:
    """Refuse segmentations no two labelmaps of which share a place, unless they may be crops of one scan.

    Those lie on one lattice and not far apart: Slicer crops to what is segmented. Then there is a notice.
    """
    if any(share_a_place(one, other) for one in first for other in second):
        return []
    sentence = f"{names[0]} and {names[1]} do not overlap in space"
    gaps = (gap_mm(one, other, frame) for one in first for other in second)
    if any(gap is not None and gap <= _ONE_SCAN_MM for gap in gaps):
        return [f"{sentence}, so every structure is somewhere else."]
    raise InputError(f"{sentence}; compare segmentations of one scan, or of scans that are aligned with each other.")


def _placed(volume: Volume, labels: Sequence[Label], frame: Volume, step: Callable[[], None]) -> Iterator[Structure]:
    array = _numbered(volume.array, [label.value for label in labels])
    step()
    counts, boxes = _counts_and_boxes(array, len(labels))
    volumes = [count * volume.voxel_volume_ml for count in counts]
    offset = lattice_offset(volume, frame)
    if offset is None:
        array, offset = _resampled(volume.with_array(array), boxes, frame, step)
        _, boxes = _counts_and_boxes(array, len(labels))
    layer = Layer(array, offset)
    for number, (label, box, volume_ml) in enumerate(zip(labels, boxes, volumes), 1):
        start = None if box is None else tuple(np.add(box[0], offset).tolist())
        end = None if box is None else tuple(np.add(box[1], offset).tolist())
        yield Structure(label, layer, number, None if start is None or end is None else (start, end), volume_ml)


def _numbered(array: np.ndarray, values: Sequence[int]) -> np.ndarray:
    """The array with the places of its values in a list, from 1, as its values, and 0 where a value is not in it."""
    kind = np.uint8 if len(values) < 256 else np.uint16
    low, high = int(array.min()), int(array.max())
    if not values or high == low == 0:
        return np.zeros(array.shape, kind)
    if high - low < _LARGEST_TABLE:
        table = np.zeros(high - low + 1, kind)
        for number, value in enumerate(values, 1):
            if low <= value <= high:
                table[value - low] = number
        if low == 0 and array.dtype.kind in "ui":
            return np.take(table, array)
        return np.stack([table[plane.astype(np.int64) - low] for plane in array])
    order = np.argsort(values)
    ordered = np.array(values, np.int64)[order]
    numbers = np.zeros(array.shape, kind)
    for plane, result in zip(array, numbers):
        places = np.minimum(np.searchsorted(ordered, plane.astype(np.int64)), len(values) - 1)
        result[...] = np.where(ordered[places] == plane, order[places] + 1, 0)
    return numbers


def _counts_and_boxes(array: np.ndarray, count: int) -> tuple[list[int], list[Optional[Box]]]:
    """How many voxels each number from 1 to `count` has, and the box around them."""
    counts = np.zeros(count + 1, np.int64)
    spans = []
    for axis in range(3):
        planes = [np.bincount(plane.ravel(), minlength=count + 1) for plane in np.moveaxis(array, axis, 0)]
        there = np.stack(planes) > 0
        counts = np.sum(planes, axis=0)
        spans.append(list(zip(there.argmax(axis=0).tolist(), (len(there) - there[::-1].argmax(axis=0)).tolist())))
    boxes: list[Optional[Box]] = []
    for number in range(1, count + 1):
        (z0, z1), (y0, y1), (x0, x1) = (span[number] for span in spans)
        boxes.append(((z0, y0, x0), (z1, y1, x1)) if counts[number] else None)
    return counts[1:].tolist(), boxes


def _resampled(
    volume: Volume, boxes: Sequence[Optional[Box]], frame: Volume, step: Callable[[], None]
) -> tuple[np.ndarray, tuple[int, int, int]]:
    """The volume's nearest values on the frame's lattice, where its structures are, and where on it they begin.

    Not by ITK: a place in the middle between two voxels, which are common where one spacing is twice the other, must
    get the same one however the arrays are stored and whatever rounding does.
    """
    there = [box for box in boxes if box is not None]
    if not there:
        return np.zeros((1, 1, 1), volume.array.dtype), (0, 0, 0)
    start = np.min([box[0] for box in there], axis=0)
    size = np.max([box[1] for box in there], axis=0) - start
    matrix, shift = index_map(volume, frame)
    part = Volume(np.broadcast_to(np.uint8(0), size))
    points = (corners(part, beyond=0.5) + start[::-1]) @ matrix.T + shift
    first = np.floor(points.min(axis=0)).astype(int)
    shape = (np.ceil(points.max(axis=0)).astype(int) - first + 1)[::-1]
    check_memory(math.prod(shape.tolist()) * volume.array.itemsize)
    back, back_shift = index_map(frame, volume)
    result = np.zeros(shape, volume.array.dtype)
    z, y, x = (np.arange(n) + begin for n, begin in zip(shape, first[::-1]))
    for index, plane in zip(z, result):
        step()
        # Index (x, y, z) in the volume of each place of the plane; a tie goes to the one further on in the body.
        places = [
            np.floor(row[0] * x[None, :] + row[1] * y[:, None] + (row[2] * index + begin) + 0.5 + TIE)
            for row, begin in zip(back, back_shift)
        ]
        inside = np.ones(plane.shape, bool)
        for place, n in zip(places, volume.array.shape[::-1]):
            inside &= (place >= 0) & (place < n)
        if inside.any():
            i, j, k = (place[inside].astype(np.intp) for place in places)
            plane[inside] = volume.array[k, j, i]
    z0, y0, x0 = first[::-1].tolist()
    return result, (z0, y0, x0)


def _resampled_notice(name: str, target: str, volume: Volume, frame: Volume) -> str:
    spacings = [" x ".join(f"{length:.3g}" for length in each.spacing) for each in (volume, frame)]
    subject = f"A layer of {name}" if name == target else name
    return (
        f"{subject} ({spacings[0]} mm) was resampled onto the grid of {target} ({spacings[1]} mm), each voxel from the "
        "nearest."
    )
