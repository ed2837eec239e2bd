"""Where two segmentations differ, as a labelmap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import numpy as np

from LowResSegLib.comparison.labelled import LabelledVolume
from LowResSegLib.comparison.lattice import lattice_offset, upright
from LowResSegLib.comparison.matching import words_of
from LowResSegLib.comparison.pairing import Cancel, Pair, Pairing, Progress, check_cancel, enclosing, pair
from LowResSegLib.errors import InputError
from LowResSegLib.sampling import orientation_to
from LowResSegLib.volume import Label, Volume

ONLY_FIRST, ONLY_SECOND, OTHERWISE = 1, 2, 3
# Told apart by readers with any kind of colour vision (Okabe and Ito's set).
FIRST_COLOR, SECOND_COLOR, OTHERWISE_COLOR = (86, 180, 233), (230, 159, 0), (204, 121, 167)
_FIRST, _SECOND, _DIFFER = 1, 2, 4  # bits of a voxel: something in the first, in the second, and not the same


def difference(
    first: Sequence[LabelledVolume],
    second: Sequence[LabelledVolume],
    *,
    structure: Optional[str] = None,
    names: tuple[str, str] = ("A", "B"),
    progress: Optional[Progress] = None,
    cancel: Optional[Cancel] = None,
) -> LabelledVolume:
    """Return where two segmentations differ, as a labelmap.

    1 is where only the first has a structure, 2 where only the second has one, 3 where both have, but not the same.
    Structures without a partner are left out, as if they were background.

    Args:
        first: The layers of one.
        second: The layers of the other.
        structure: The name of one structure, in either; None for all that both have.
        names: What the two are called in the names of the labels.
        progress: Called with the name of the step and the share of the work that is done, 0 to 1.
        cancel: Asked between steps of less than a second whether to stop.

    Returns:
        A uint8 labelmap on the grid of the first one's first labelmap, in the order of its axes. Where structures
        reach beyond that grid, it is made larger by whole voxels.

    Raises:
        InputError: As `compare`; or no structure of that name is in both.
        Cancelled: `cancel` returned true.
    """
    pairing = pair(first, second, (names[0], names[1]), cancel)
    return difference_of(pairing, first[0].volume, structure, progress, cancel)


def difference_of(
    pairing: Pairing,
    grid: Volume,
    structure: Optional[str] = None,
    progress: Optional[Progress] = None,
    cancel: Optional[Cancel] = None,
) -> LabelledVolume:
    """Return where what is matched already differs, as `difference`; `grid` is the first one's first labelmap."""
    pairs = pairing.pairs if structure is None else [named(pairing, structure)]
    labels = (
        Label(ONLY_FIRST, f"only {pairing.names[0]}", FIRST_COLOR),
        Label(ONLY_SECOND, f"only {pairing.names[1]}", SECOND_COLOR),
        Label(OTHERWISE, "labelled differently", OTHERWISE_COLOR),
    )
    result = _result_grid(pairs, grid)
    offset = lattice_offset(upright(result), upright(grid))
    assert offset is not None
    bits = orientation_to(result, "LPS").apply(result.array)  # a view, in which voxels are set
    for number, each in enumerate(pairs):
        check_cancel(cancel)
        if progress is not None:
            progress(f"difference of {each.name}", number / len(pairs))
        box = each.box
        if box is None:
            continue
        one, other = each.masks(box)
        part = bits[tuple(slice(start - o, end - o) for start, end, o in zip(*box, offset))]
        part |= one * np.uint8(_FIRST) | other * np.uint8(_SECOND) | (one ^ other) * np.uint8(_DIFFER)
    table = np.zeros(8, np.uint8)
    table[[_FIRST | _DIFFER, _SECOND | _DIFFER, _FIRST | _SECOND | _DIFFER]] = ONLY_FIRST, ONLY_SECOND, OTHERWISE
    for plane in result.array:
        plane[...] = table[plane]
    if progress is not None:
        progress("done", 1.0)
    return LabelledVolume(result, labels)


def named(pairing: Pairing, structure: str) -> Pair:
    """The pair of a name: of the first, else of the second, else of either but for case and separators.

    Raises:
        InputError: No structure of that name is in both, or several are.
    """
    tests = (
        lambda each: each.first.label.name == structure,
        lambda each: each.second.label.name == structure,
        lambda each: words_of(structure) in (words_of(each.first.label.name), words_of(each.second.label.name)),
    )
    for test in tests:
        found = [each for each in pairing.pairs if test(each)]
        if len(found) == 1:
            return found[0]
    names = ", ".join(each.name for each in pairing.pairs) or "none"
    raise InputError(f"{structure!r} is not one structure that both have; these are: {names}.")


def _result_grid(pairs: Sequence[Pair], grid: Volume) -> Volume:
    """The grid with zeros, made larger where structures of the pairs reach beyond it."""
    orientation = orientation_to(grid, "LPS")
    straight = upright(grid)
    size = straight.array.shape
    boxes = [box for box in (each.box for each in pairs) if box is not None]
    whole = enclosing([((0, 0, 0), (size[0], size[1], size[2])), *boxes])
    assert whole is not None
    before = [-start for start in whole[0]]
    after = [end - n for end, n in zip(whole[1], size)]
    # Back to the order and sense of the grid's own axes.
    shape, steps = list(grid.array.shape), [0, 0, 0]
    for axis, (old, flip) in enumerate(zip(orientation.axes, orientation.flips)):
        shape[old] += before[axis] + after[axis]
        steps[old] = after[axis] if flip else before[axis]
    columns = np.reshape(grid.direction, (3, 3)) * np.array(grid.spacing)
    x, y, z = (np.array(grid.origin) - columns @ np.array(steps[::-1])).tolist() if any(steps) else grid.origin
    return Volume(np.zeros(shape, np.uint8), grid.spacing, (x, y, z), grid.direction)
