"""A run for the eye: the table of its volumes and times, and a sheet of pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

import numpy as np

from LowResSegLib.errors import InputError
from LowResSegLib.pipeline import NOTICE
from LowResSegLib.sampling import orientation_to
from LowResSegLib.volume import Label, Volume, replacing

_OPACITY = 0.5
_SLICES = (0.3, 0.5, 0.7)  # where the slices lie, as parts of the box around the labelled structures


def volume_table(record: Mapping[str, Any]) -> str:
    """Return the run record's volumes (ml), seconds a step, peak memory (MB), model and backend as aligned text.

    A record with confidence has a column of it (mean percent in the structure) and marks what needs review.
    """
    volumes = [(str(label["name"]), f"{label['volume_ml']:.2f}") for label in record["labels"]]
    seconds = [(str(step), f"{duration:.2f}") for step, duration in record["seconds"].items()]
    memory = ("peak memory, MB", f"{record['peak_memory_mb']:.0f}")
    width = max(len(name) for name, _ in [*volumes, *seconds, memory])
    figures = max(len(figure) for _, figure in [*volumes, *seconds, ("", "seconds"), memory])

    def rows(head: tuple[str, str], body: Sequence[tuple[str, str]]) -> list[str]:
        return [f"{name:<{width}}  {figure:>{figures}}" for name, figure in [head, *body]]

    table = rows(("structure", "ml"), volumes)
    if any("confidence" in label for label in record["labels"]):
        ends = ["confidence", *(_confidence(label) for label in record["labels"])]
        table = [f"{row}  {end}" for row, end in zip(table, ends)]
    return "\n".join(
        [
            *table,
            "",
            *rows(("step", "seconds"), seconds),
            "",
            *rows(memory, []),
            f"{'model':<{width}}  {record['model']}",
            f"{'backend':<{width}}  {record['backend']}",
        ]
    )


def _confidence(label: Mapping[str, Any]) -> str:
    """The end of a structure's row."""
    stated = "-" if label["confidence"] is None else f"{label['confidence']:.0f} %"
    return f"{stated:>{len('confidence')}}{'  needs review' if label['needs_review'] else ''}"


def write_sheet(
    path: Union[str, Path],
    image: Volume,
    labelmap: Volume,
    labels: Sequence[Label],
    title: str = "",
    window: Optional[Sequence[float]] = None,
) -> None:
    """Write a PNG sheet: three axial, coronal and sagittal slices with the labels in colour over the scan.

    Radiological convention: the patient's right is on the left. The slices are those of the scan's own grid, named
    after the nearest axis of the body; they lie in the box around the labelled structures, or, where there are none,
    around the whole scan.

    Args:
        path: File to write.
        image: The scan, (z, y, x), any orientation.
        labelmap: Whole numbers on the same grid.
        labels: Names and colours; value 0 is not drawn, a value without a label neither.
        title: Line at the top.
        window: The values that become black and white; None takes the range of the scan without its outliers.

    Raises:
        InputError: The two are not of one shape, or the file cannot be written.
        ImportError: matplotlib is not installed (the extra `picture` brings it).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    if image.array.shape != labelmap.array.shape:
        raise InputError(f"The labelmap's shape {labelmap.array.shape} is not the scan's {image.array.shape}.")
    labels = [label for label in labels if label.value != 0]
    figure = Figure(figsize=(12, 10), facecolor="black")
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, 3, gridspec_kw={"left": 0.01, "right": 0.73, "top": 0.94, "bottom": 0.03, "wspace": 0.02})
    black, white = _window(image.array) if window is None else window
    for plot, view in zip(axes.ravel(), _views(image, labelmap)):
        if window is not None:  # clipped first, as for the network: what is drawn is interpolated
            view = view._replace(gray=np.clip(view.gray, black, white))
        _draw(plot, view, (black, white), _colors(labels))
    handles = [Patch(color=np.divide(label.color, 255), label=label.name) for label in labels]
    place: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (0.74, 0.5)}
    legend = figure.legend(handles=handles, frameon=False, labelcolor="white", **place)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a name with dollar signs is a name
    figure.text(0.01, 0.965, title, color="white", fontsize=14, parse_math=False)
    figure.text(0.01, 0.008, NOTICE, color="white", fontsize=10)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png", facecolor="black")


class _View(NamedTuple):
    """One slice as it is shown: rows downwards, columns to the right."""

    name: str
    gray: np.ndarray
    labels: np.ndarray
    pixel: tuple[float, float]  # height and width, mm
    letters: tuple[str, str, str, str]  # the body's side at the top, bottom, left and right


def _views(image: Volume, labelmap: Volume) -> Iterator[_View]:
    """Yield three slices of each of the three views."""
    orientation = orientation_to(image, "LPS")
    gray, labels = (orientation.apply(volume.array) for volume in (image, labelmap))
    depth, height, width = (image.spacing[2 - axis] for axis in orientation.axes)
    z, y, x = _positions(labels)
    for k in z:
        yield _View("axial", gray[k], labels[k], (height, width), ("A", "P", "R", "L"))
    for k in y:
        yield _View("coronal", gray[::-1, k], labels[::-1, k], (depth, width), ("S", "I", "R", "L"))
    for k in x:
        yield _View("sagittal", gray[::-1, :, k], labels[::-1, :, k], (depth, height), ("S", "I", "A", "P"))


def _positions(labels: np.ndarray) -> list[list[int]]:
    """Return for each axis the indices of the slices to show."""
    positions = []
    for axis in range(3):
        labelled = np.flatnonzero(labels.any(axis=tuple(other for other in range(3) if other != axis)))
        first, last = (labelled[0], labelled[-1]) if labelled.size else (0, labels.shape[axis] - 1)
        positions.append([round(float(first + part * (last - first))) for part in _SLICES])
    return positions


def _window(array: np.ndarray) -> tuple[float, float]:
    """Return the intensities of black and of white; every eighth plane or so is enough to tell."""
    low, high = np.percentile(array[:: max(1, len(array) // 32)], (1, 99.5))
    return float(low), float(high) if high > low else float(low) + 1.0


def _colors(labels: Sequence[Label]) -> np.ndarray:
    """Return a table (value, RGBA), 0 to 1."""
    table = np.zeros((max((label.value for label in labels), default=0) + 1, 4))
    for label in labels:
        table[label.value] = (*np.divide(label.color, 255), _OPACITY)
    return table


def _draw(plot: Any, view: _View, window: tuple[float, float], colors: np.ndarray) -> None:
    rows, columns = view.gray.shape
    extent = (0, columns * view.pixel[1], rows * view.pixel[0], 0)
    values = np.where(view.labels < len(colors), view.labels, 0)
    plot.set_facecolor("black")
    plot.imshow(view.gray, cmap="gray", vmin=window[0], vmax=window[1], extent=extent, interpolation="bilinear")
    plot.imshow(colors[values], extent=extent, interpolation="nearest")
    plot.set_axis_off()
    places = {(0.5, 0.99): "top", (0.5, 0.01): "bottom", (0.01, 0.5): "left", (0.99, 0.5): "right"}
    for letter, ((x, y), side) in zip(view.letters, places.items()):
        vertical = side if side in ("top", "bottom") else "center"
        horizontal = side if side in ("left", "right") else "center"
        plot.text(x, y, letter, color="yellow", transform=plot.transAxes, va=vertical, ha=horizontal)
