"""The measures of each structure that two segmentations have."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from LowResSegLib.comparison.labelled import LabelledVolume
from LowResSegLib.comparison.measures import SURFACE_TOLERANCE_MM, dice, surface_dice_of, surface_distances
from LowResSegLib.comparison.pairing import Cancel, Pair, Pairing, Progress, check_cancel, pair
from LowResSegLib.errors import InputError


@dataclass(frozen=True)
class Row:
    """How a structure of the first segmentation differs from that of the second. What is not defined is None.

    Attributes:
        name: In the first segmentation.
        matched_by: `code` or `name`.
        color: In the first segmentation.
        dice: 0 to 1; 0 where one of the two is empty, None where both are.
        surface_dice: At a tolerance of 1 mm, 0 to 1; 0 where one of the two is empty, None where both are.
        hd95_mm: 95th percentile of the surfaces' distances; None where one of the two is empty.
        mean_surface_distance_mm: None where one of the two is empty.
        volume_first_ml, volume_second_ml: Each of its own voxels, before any resampling.
        volume_difference_ml: The second less the first.
        volume_difference_percent: Of the first; None where the first is empty.
    """

    name: str
    matched_by: str
    color: tuple[int, int, int]
    dice: Optional[float]
    surface_dice: Optional[float]
    hd95_mm: Optional[float]
    mean_surface_distance_mm: Optional[float]
    volume_first_ml: float
    volume_second_ml: float
    volume_difference_ml: float
    volume_difference_percent: Optional[float]


@dataclass(frozen=True)
class Comparison:
    """Two segmentations, compared structure by structure.

    Attributes:
        names: What the two are called.
        rows: One a structure that both have, in the order of the first.
        only_first, only_second: Names of structures without a partner.
        notices: Sentences for the user, such as one on what was resampled.
    """

    names: tuple[str, str]
    rows: tuple[Row, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    notices: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON has them."""
        return {
            "names": list(self.names),
            "surface_tolerance_mm": SURFACE_TOLERANCE_MM,
            "rows": [{**dataclasses.asdict(row), "color": list(row.color)} for row in self.rows],
            "only_first": list(self.only_first),
            "only_second": list(self.only_second),
            "notices": list(self.notices),
        }

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Comparison:
        """Make a comparison of what `to_dict` returned.

        Raises:
            InputError: Something is missing.
        """
        try:
            first, second = (str(name) for name in entry["names"])
            rows = []
            for row in entry["rows"]:
                red, green, blue = (int(part) for part in row["color"])
                values = {field.name: row[field.name] for field in dataclasses.fields(Row)}
                rows.append(Row(**{**values, "color": (red, green, blue)}))
            texts = [tuple(str(text) for text in entry[key]) for key in ("only_first", "only_second", "notices")]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"This is no comparison that LowResSeg wrote ({error}).") from error
        return cls((first, second), tuple(rows), texts[0], texts[1], texts[2])


def compare(
    first: Sequence[LabelledVolume],
    second: Sequence[LabelledVolume],
    *,
    names: tuple[str, str] = ("A", "B"),
    progress: Optional[Progress] = None,
    cancel: Optional[Cancel] = None,
) -> Comparison:
    """Compare two segmentations; see `Row` and `comparison.measures` for what the numbers are.

    Where the voxels of the two lie on one lattice, nothing is resampled, whatever their extents and the order of
    their axes. Else the second is brought onto the first's lattice by the nearest voxel, and a notice says so.

    Args:
        first: The layers of one.
        second: The layers of the other.
        names: What the two are called in notices and tables.
        progress: Called with the name of the step and the share of the work that is done, 0 to 1.
        cancel: Asked between steps of less than a second (for 256 voxels along each axis) whether to stop.

    Raises:
        InputError: A segmentation has no labelmap, or the two lie in different places.
        Cancelled: `cancel` returned true.
    """
    if progress is not None:
        progress("matching", 0.0)
    return measured(pair(first, second, (names[0], names[1]), cancel), progress, cancel)


def measured(pairing: Pairing, progress: Optional[Progress] = None, cancel: Optional[Cancel] = None) -> Comparison:
    """Measure what is matched already, as `compare` does."""
    costs = [1 + (0 if each.box is None else _voxels(each)) for each in pairing.pairs]
    rows = []
    for number, each in enumerate(pairing.pairs):
        check_cancel(cancel)
        if progress is not None:
            progress(f"comparing {each.name}", sum(costs[:number]) / sum(costs))
        rows.append(_row(each, pairing.frame.spacing, cancel))
    check_cancel(cancel)
    if progress is not None:
        progress("done", 1.0)
    alone = [tuple(structure.label.name for structure in side) for side in (pairing.only_first, pairing.only_second)]
    return Comparison(pairing.names, tuple(rows), alone[0], alone[1], pairing.notices)


def _voxels(each: Pair) -> int:
    box = each.box
    return 0 if box is None else math.prod(end - start for start, end in zip(*box))


def _row(each: Pair, spacing: tuple[float, float, float], cancel: Optional[Cancel]) -> Row:
    box = each.box
    overlap = surface = far = mean = None
    if box is not None:
        one, other = each.masks(box)
        check_cancel(cancel)
        overlap = dice(one, other)
        distances = surface_distances(one, other, spacing, lambda: check_cancel(cancel))
        surface = surface_dice_of(distances, some=True)
        far, mean = (None if math.isnan(value) else value for value in (distances.hd95, distances.mean))
    before, after = each.first.volume_ml, each.second.volume_ml
    return Row(
        name=each.name,
        matched_by=each.matched_by,
        color=each.first.label.color,
        dice=overlap,
        surface_dice=surface,
        hd95_mm=far,
        mean_surface_distance_mm=mean,
        volume_first_ml=before,
        volume_second_ml=after,
        volume_difference_ml=after - before,
        volume_difference_percent=100 * (after - before) / before if before else None,
    )
