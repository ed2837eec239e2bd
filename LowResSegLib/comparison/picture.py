"""A comparison for the eye: the measures by structure, and slices where the two differ most."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

import numpy as np

from LowResSegLib.comparison.compare import Comparison
from LowResSegLib.comparison.difference import FIRST_COLOR, SECOND_COLOR
from LowResSegLib.comparison.pairing import Pairing, enclosing
from LowResSegLib.comparison.placing import Box
from LowResSegLib.pipeline import NOTICE
from LowResSegLib.volume import replacing

_WIDTH = 12.0  # inches, as the heights
_BAR_HEIGHT, _SLICE_HEIGHT, _EDGE = 0.24, 4.0, 0.85
_MARGIN = 3  # voxels around the structures in a slice
_DIM = 0.45  # of a structure's colour, under the outlines
_NAMES = ("axial", "coronal", "sagittal")
_LETTERS = (("A", "P", "R", "L"), ("S", "I", "R", "L"), ("S", "I", "A", "P"))


def write_picture(path: Union[str, Path], comparisons: Sequence[Comparison], pairings: Sequence[Pairing]) -> None:
    """Write a PNG picture of one comparison, or of several with the same first segmentation.

    Above are Dice and HD95 of each structure. Below are, for each comparison, the axial, coronal and sagittal slice
    with the most voxels that differ (structures in their colours as the first has them, outlines of the first in blue
    and of the second in orange). The patient's right is on the left.

    Args:
        path: File to write.
        comparisons: The figures.
        pairings: What they were measured on, in the same order.

    Raises:
        InputError: The file cannot be written.
        ImportError: matplotlib is not installed (the extra `picture` brings it).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(row.name for comparison in comparisons for row in comparison.rows))
    bars = _EDGE + _BAR_HEIGHT * max(2.0, len(names) * max(1.0, 0.6 * len(comparisons)))
    height = bars + _SLICE_HEIGHT * len(pairings) + 0.5
    figure = Figure(figsize=(_WIDTH, height), facecolor="white")
    FigureCanvasAgg(figure)
    _draw_bars(figure, comparisons, names, bottom=1 - (bars - 0.45) / height, top=1 - 0.4 / height)
    for number, pairing in enumerate(pairings):
        below = (0.4 + _SLICE_HEIGHT * (len(pairings) - 1 - number)) / height
        _draw_slices(figure, pairing, below, (_SLICE_HEIGHT - 0.45) / height)
    figure.text(0.01, 0.1 / height, NOTICE, fontsize=9)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def _draw_bars(figure: Any, comparisons: Sequence[Comparison], names: Sequence[str], bottom: float, top: float) -> None:
    """Draw Dice to the left and HD95 to the right, the first structure at the top."""
    places = {name: place for place, name in enumerate(names)}
    thickness = 0.8 / max(1, len(comparisons))
    pairs = (("dice", "Dice", 0.24), ("hd95_mm", "HD95, mm", 0.63))
    for field, title, left in pairs:
        plot = figure.add_axes((left, bottom, 0.35, top - bottom))
        for number, comparison in enumerate(comparisons):
            found = [(places[row.name], getattr(row, field)) for row in comparison.rows]
            known = [(place, value) for place, value in found if value is not None]
            shift = (number - (len(comparisons) - 1) / 2) * thickness
            plot.barh(
                [place + shift for place, _ in known],
                [value for _, value in known],
                height=thickness,
                color=f"C{number}",
                label=_literal(f"{comparison.names[1]} against {comparison.names[0]}"),
            )
        plot.set_ylim(len(names) - 0.5, -0.5)
        plot.set_yticks(range(len(names)), [_literal(name) for name in names] if left < 0.5 else [""] * len(names))
        plot.tick_params(axis="y", length=0, labelsize=8)
        plot.set_title(title, fontsize=10)
        plot.grid(axis="x", alpha=0.4)
        plot.set_axisbelow(True)
        if field == "dice":
            plot.set_xlim(0, 1)
        if field == "hd95_mm" and len(comparisons) > 1:
            below = -0.25 / ((top - bottom) * figure.get_figheight())
            plot.legend(fontsize=8, loc="upper right", bbox_to_anchor=(1, below), ncol=4, frameon=False)


def _literal(text: str) -> str:
    """A name with dollar signs is a name, no formula."""
    return text.replace("$", r"\$")


class _Slice(NamedTuple):
    """A plane of the lattice as it is shown: across which array axis, at which index."""

    axis: int
    place: int


def _draw_slices(figure: Any, pairing: Pairing, bottom: float, height: float) -> None:
    whole = _shown(pairing)
    if whole is None:
        return
    first, second = (_literal(name) for name in pairing.names)
    lines = {f"{first} ": FIRST_COLOR, f"{second} ": SECOND_COLOR}
    for number, plane in enumerate(_worst_slices(pairing, whole)):
        plot = figure.add_axes((0.01 + 0.33 * number, bottom, 0.32, height))
        _draw_slice(plot, pairing, whole, plane)
        plot.set_title(f"{_NAMES[number]}, where {first} and {second} differ most", fontsize=10)
        if number == 0:
            for place, (name, color) in enumerate(lines.items()):
                plot.text(
                    *(0.02, 0.06 - 0.05 * place),
                    name,
                    color=np.divide(color, 255),
                    transform=plot.transAxes,
                    fontsize=10,
                )


def _shown(pairing: Pairing) -> Optional[Box]:
    """The box around all that both have, with a margin; None where all is empty."""
    box = enclosing([box for box in (each.box for each in pairing.pairs) if box is not None])
    if box is None:
        return None
    (z0, y0, x0), (z1, y1, x1) = box
    return (z0 - _MARGIN, y0 - _MARGIN, x0 - _MARGIN), (z1 + _MARGIN, y1 + _MARGIN, x1 + _MARGIN)


def _worst_slices(pairing: Pairing, whole: Box) -> list[_Slice]:
    """For each axis the plane with the most voxels that differ; the middle one where nothing differs."""
    counts = [np.zeros(end - start, np.int64) for start, end in zip(*whole)]
    for each in pairing.pairs:
        if each.box is None:
            continue
        one, other = each.masks(each.box)
        differ = one ^ other
        for axis, (start, end) in enumerate(zip(*each.box)):
            others = tuple(k for k in range(3) if k != axis)
            counts[axis][start - whole[0][axis] : end - whole[0][axis]] += differ.sum(axis=others)
    places = [int(count.argmax()) if count.any() else len(count) // 2 for count in counts]
    return [_Slice(axis, place + whole[0][axis]) for axis, place in enumerate(places)]


def _draw_slice(plot: Any, pairing: Pairing, whole: Box, plane: _Slice) -> None:
    """Draw the structures of a plane: rows downwards, columns to the right."""
    box = _flat(whole, plane)
    rows, columns = (k for k in range(3) if k != plane.axis)
    shape = [box[1][k] - box[0][k] for k in (rows, columns)]
    steps = [pairing.frame.spacing[2 - k] for k in (rows, columns)]
    upwards = rows == 0  # the row axis is z, which goes to the head
    picture = np.zeros((*shape, 3))
    outlines: list[tuple[np.ndarray, tuple[int, int, int], float]] = []
    for each in pairing.pairs:
        if each.box is None or not each.box[0][plane.axis] <= plane.place < each.box[1][plane.axis]:
            continue
        one, other = (mask.reshape(shape) for mask in each.masks(box))
        picture[one] = _DIM * np.divide(each.first.label.color, 255)
        outlines += [(one, FIRST_COLOR, 1.5), (other, SECOND_COLOR, 0.8)]  # both are seen where they are the same
    extent = (0, shape[1] * steps[1], 0, shape[0] * steps[0])
    plot.set_facecolor("black")
    plot.imshow(picture, extent=extent, origin="lower", interpolation="nearest")
    y, x = ((np.arange(n) + 0.5) * step for n, step in zip(shape, steps))
    for mask, color, width in outlines:
        if mask.any() and min(shape) > 1:
            plot.contour(x, y, mask.astype(float), levels=[0.5], colors=[np.divide(color, 255)], linewidths=width)
    plot.set_aspect("equal")
    if not upwards:
        plot.invert_yaxis()
    plot.set_xticks([])
    plot.set_yticks([])
    places = {(0.5, 0.985): "top", (0.5, 0.015): "bottom", (0.015, 0.5): "left", (0.985, 0.5): "right"}
    for letter, ((x_place, y_place), side) in zip(_LETTERS[plane.axis], places.items()):
        vertical = side if side in ("top", "bottom") else "center"
        horizontal = side if side in ("left", "right") else "center"
        plot.text(x_place, y_place, letter, color="yellow", transform=plot.transAxes, va=vertical, ha=horizontal)


def _flat(whole: Box, plane: _Slice) -> Box:
    """The part of a box in a plane."""
    starts, ends = list(whole[0]), list(whole[1])
    starts[plane.axis], ends[plane.axis] = plane.place, plane.place + 1
    return (starts[0], starts[1], starts[2]), (ends[0], ends[1], ends[2])
