"""A comparison as text for a terminal and as CSV."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Optional, Union

from LowResSegLib.comparison.compare import Comparison, Row
from LowResSegLib.comparison.measures import SURFACE_TOLERANCE_MM
from LowResSegLib.volume import replacing

_COLUMNS = (
    "first",
    "second",
    "structure",
    "matched_by",
    "dice",
    "surface_dice",
    "hd95_mm",
    "mean_surface_distance_mm",
    "volume_first_ml",
    "volume_second_ml",
    "volume_difference_ml",
    "volume_difference_percent",
)
# Columns of numbers: the field of a row, its heading with the names of the two, its digits.
_FIGURES = (
    ("dice", "Dice", 3),
    ("surface_dice", "surface Dice", 3),
    ("hd95_mm", "HD95 mm", 2),
    ("mean_surface_distance_mm", "mean mm", 2),
    ("volume_first_ml", "{0} ml", 2),
    ("volume_second_ml", "{1} ml", 2),
    ("volume_difference_ml", "difference ml", 2),
    ("volume_difference_percent", "%", 1),
)


def comparison_table(comparison: Comparison) -> str:
    """Return a comparison as aligned text: a line for each structure, the means, then sentences.

    A figure that is not defined is a dash; a mean is that of the figures that are defined.
    """
    cells = [["structure", *(heading.format(*comparison.names) for _, heading, _ in _FIGURES)]]
    for row in comparison.rows:
        cells.append([row.name, *(_figure(getattr(row, field), digits) for field, _, digits in _FIGURES)])
    if len(comparison.rows) > 1:
        means = [_figure(mean_of(comparison.rows, field), digits) for field, _, digits in _FIGURES[:4]]
        cells.append(["mean", *means, *("" for _ in _FIGURES[4:])])
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = [
        "  ".join(
            [f"{row[0]:<{widths[0]}}", *(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:]))]
        ).rstrip()
        for row in cells
    ]
    alone = [
        f"Only in {name}: {', '.join(structures)}."
        for name, structures in zip(comparison.names, (comparison.only_first, comparison.only_second))
        if structures
    ]
    first, second = comparison.names
    explanation = (
        f"Surface Dice at {SURFACE_TOLERANCE_MM:g} mm; HD95 and mean are distances of the surfaces; differences are "
        f"{second} less {first}."
    )
    return "\n".join([*lines, "", explanation, *alone, *comparison.notices])


def write_csv(path: Union[str, Path], comparisons: Sequence[Comparison]) -> None:
    """Write comparisons as one CSV file (UTF-8), a line for each structure of each comparison.

    A figure that is not defined is empty. A structure without a partner has `only first` or `only second` in the
    column matched_by, and no figures.

    Raises:
        InputError: The file cannot be written.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for comparison in comparisons:
            for row in comparison.rows:
                figures = (getattr(row, field) for field, _, _ in _FIGURES)
                texts = ("" if figure is None else f"{figure:.6g}" for figure in figures)
                writer.writerow([*comparison.names, row.name, row.matched_by, *texts])
            for matched_by, names in (("only first", comparison.only_first), ("only second", comparison.only_second)):
                for name in names:
                    writer.writerow([*comparison.names, name, matched_by, *("" for _ in _FIGURES)])


def mean_of(rows: Sequence[Row], field: str) -> Optional[float]:
    """The mean of a field of the rows where it is defined; None where it is nowhere."""
    values = [value for value in (getattr(row, field) for row in rows) if value is not None]
    return math.fsum(values) / len(values) if values else None


def _figure(value: Optional[float], digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
