"""How sure the network is of its labels: the probability of the winning one, in percent, on the network's grid.

It is the softmax of the averaged logits, as the network was trained, so it tells how much the classes compete and not
how often the label is right: a network may be sure and wrong, above all on scans unlike those that it was trained on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional

import numpy as np

from LowResSegLib.model import Described
from LowResSegLib.model.plan import MAX_LOGIT
from LowResSegLib.sampling import NANOMETRES, LowResolution
from LowResSegLib.volume import Volume

REVIEW_BELOW = 80.0  # percent, for models whose card does not say; 3 % of the brain model's good structures are below
_CERTAIN = 0.995  # rounds to 100 percent
_MOST_LOGITS = 2 * MAX_LOGIT + 1  # differences of two logits
_COLUMNS = 101  # percents


def review_limits(model: Described) -> dict[str, float]:
    """For each structure, by its name, the mean confidence in percent below which it should be looked at.

    It is `review_below` of the model's card: one number, or numbers by name, where `default` is for structures that are
    not named. What is no percentage counts as not stated, and then the limit is REVIEW_BELOW.
    """
    stated = model.card.get("review_below")
    by_name = stated if isinstance(stated, Mapping) else {"default": stated}
    default = _percentage(by_name.get("default"), REVIEW_BELOW)
    return {label.name: _percentage(by_name.get(label.name), default) for label in model.labels[1:]}


def _percentage(stated: Any, otherwise: float) -> float:
    usable = isinstance(stated, (int, float)) and not isinstance(stated, bool) and 0 <= stated <= 100
    return float(stated) if usable else otherwise


class Confidence:
    """Collects the confidence of a grid, slab by slab; the slabs do not change it.

    Args:
        low: the volume on the model's grid.
        classes: number of classes, with the background.
        logit_unit: how much of a logit as trained one integer logit is.
    """

    def __init__(self, low: LowResolution, classes: int, logit_unit: float) -> None:
        self.percent = np.zeros(low.size, np.uint8)
        self._sums, self._counts = np.zeros(classes, np.int64), np.zeros(classes, np.int64)
        self._powers = np.exp(-logit_unit * np.arange(_MOST_LOGITS)).astype(np.float32)
        # Where the next best logit is so far behind, even all others together do not take a percent away.
        self._close = math.log(max(classes - 1, 1) * _CERTAIN / (1 - _CERTAIN)) / logit_unit

    def add(self, logits: np.ndarray, first: int, end: int, step: Optional[Callable[[], None]] = None) -> None:
        """Take in a slab.

        Args:
            logits: int16 (classes, z, y, x) on the padded grid, from slice `first` on; slices from `end` on are not
                looked at.
            first: slice of the grid that the logits begin with.
            end: slice of the grid.
            step: called after each slice; may raise to stop.
        """
        end = min(end, len(self.percent))
        height, width = self.percent.shape[1:]
        for z in range(first, end):
            winners, percent = self._plane(logits[:, z - first, :height, :width])
            self.percent[z] = percent
            # One count for each class and percent: integers, whose sums no order changes.
            both = winners.ravel().astype(np.intp) * _COLUMNS + percent.ravel()
            table = np.bincount(both, minlength=_COLUMNS * len(self._counts)).reshape(-1, _COLUMNS)
            self._counts += table.sum(1)
            self._sums += table @ np.arange(_COLUMNS)
            if step is not None:
                step()

    def _plane(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Winning class and its percent of one slice of the grid, logits (classes, y, x); the lower class of two."""
        best, second = logits[0].copy(), np.full(logits.shape[1:], -_MOST_LOGITS, np.int16)
        winners = np.zeros(best.shape, np.uint8)
        for number, values in enumerate(logits[1:], 1):
            np.maximum(second, np.minimum(best, values), out=second)
            np.copyto(winners, number, where=values > best, casting="unsafe")
            np.maximum(best, values, out=best)
        percent = np.full(best.shape, 100, np.uint8)
        where = np.nonzero(best - second < self._close)
        if len(where[0]):
            behind = best[where] - logits[:, where[0], where[1]]
            percent[where] = np.rint(100 / self._powers[behind].sum(0, dtype=np.float32))
        return winners, percent

    def of_labels(self) -> list[Optional[float]]:
        """For each class the mean percent of the grid's voxels that it wins; None where it wins none."""
        return [
            round(float(total) / count, 1) if count else None
            for total, count in zip(self._sums.tolist(), self._counts.tolist())
        ]

    def volume(self, volume: Volume, low: LowResolution) -> Volume:
        """The confidence as a volume, uint8 percent, in the model's orientation, where it lies in the patient.

        Args:
            volume: what was segmented.
            low: it, on the model's grid.
        """
        return grid_volume(self.percent, volume, low)


def grid_volume(array: np.ndarray, volume: Volume, low: LowResolution) -> Volume:
    """An array on a model's grid as a volume: its voxels lie in the patient where those of the grid do.

    Args:
        array: (z, y, x) in the model's orientation, from the grid's first voxel on.
        volume: the scan that the grid was made of. Grid and scan begin at the same edge, not at the same centre.
        low: the scan on the grid.
    """
    axes, flips = low.orientation.axes[::-1], low.orientation.flips[::-1]  # now of x, y and z
    columns = np.reshape(volume.direction, (3, 3))
    edge, spacing = np.array(volume.origin), low.spacing / NANOMETRES
    turned = np.empty((3, 3))
    for axis, (array_axis, flip) in enumerate(zip(axes, flips)):
        source = 2 - array_axis
        turned[:, axis] = -columns[:, source] if flip else columns[:, source]
        last = volume.array.shape[array_axis] - 1 if flip else 0
        edge = edge + columns[:, source] * volume.spacing[source] * last
        edge = edge + turned[:, axis] * (spacing - volume.spacing[source]) / 2
    return Volume(array, (spacing,) * 3, tuple(edge.tolist()), tuple(turned.ravel().tolist()))


def mark(entries: Sequence[dict[str, Any]], percents: Sequence[Optional[float]], limits: Mapping[str, float]) -> None:
    """Add `confidence` (mean percent), `review_below` (its limit) and `needs_review` to a record's entries of labels.

    A structure that has voxels in the scan, but wins none of the grid, is to be reviewed; one that was not found is
    not, as its volume of 0 says more.

    Args:
        entries: with `value`, `name` and `volume_ml`; they are changed.
        percents: of each class, None where it wins no voxel of the grid.
        limits: from `review_limits`.
    """
    for entry in entries:
        confidence, limit = percents[entry["value"]], limits[entry["name"]]
        entry["confidence"], entry["review_below"] = confidence, limit
        entry["needs_review"] = entry["volume_ml"] > 0 and (confidence is None or confidence < limit)
