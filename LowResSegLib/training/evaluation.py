"""How well a model does on synthetic scans of label maps that training did not see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from LowResSegLib.model import Model
from LowResSegLib.pipeline import segment
from LowResSegLib.reconstruction import reconstruct
from LowResSegLib.sampling import resample, sample
from LowResSegLib.training.labels import LabelTable
from LowResSegLib.training.synthetic import (
    ContrastPriors,
    SyntheticSettings,
    class_intensities,
    deform,
    read_label_map,
    render_scan,
)
from LowResSegLib.volume import Volume

# T1-like contrast at the label map's own resolution, skull present or removed.
T1_LIKE = SyntheticSettings(random_contrast=0.0, thick_slices=0.0, prior_spread=1.0)


@dataclass(frozen=True)
class Case:
    """One evaluated scan: its name, and the Dice of each structure by label value (NaN where it is in neither)."""

    name: str
    dice: dict[int, float]


def dice_by_label(found: np.ndarray, truth: np.ndarray, values: Sequence[int]) -> dict[int, float]:
    """Dice coefficient of each label value of two labelmaps of the same grid; NaN where a label is in neither."""
    size = max(values) + 1
    both = np.bincount(found[found == truth].ravel(), minlength=size)
    total = np.bincount(found.ravel(), minlength=size) + np.bincount(truth.ravel(), minlength=size)
    return {value: 2.0 * both[value] / total[value] if total[value] else float("nan") for value in values}


def synthetic_scans(
    data: Path, cases: Sequence[str], table: LabelTable, settings: SyntheticSettings, count: int, seed: int
) -> Iterator[tuple[str, Volume, np.ndarray]]:
    """Scans with their true labels: name, volume and uint8 labelmap (z, y, x) of the same grid.

    The maps of `cases` take turns; each scan is a new deformation with new intensities. The volume's axes run to
    right, anterior and superior, with 1 mm spacing.
    """
    priors, lookup = ContrastPriors.read(data), table.lookup()
    index, values = priors.index(), lookup[priors.codes]
    maps = {case: read_label_map(data / f"{case}.nii.gz") for case in cases}
    rng = np.random.default_rng(seed)
    for number in range(count):
        case = cases[number % len(cases)]
        labels = deform(index[maps[case]], settings, rng)
        scan = render_scan(labels, *class_intensities(priors, settings, rng), settings, rng)
        volume = Volume(scan, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0))
        yield f"{case}-{number:02d}", volume, values[labels]


def evaluate(model: Model, scans: Iterator[tuple[str, Volume, np.ndarray]], backend: str = "auto") -> Iterator[Case]:
    """Segment each scan the whole way and compare at its full resolution."""
    values = [label.value for label in model.labels if label.value]
    for name, volume, truth in scans:
        labelmap, _ = segment(volume, model, backend=backend)
        yield Case(name, dice_by_label(labelmap.array, truth, values))


def ceiling(scans: Iterator[tuple[str, Volume, np.ndarray]], model: Model) -> Iterator[Case]:
    """What a perfect network would reach on this grid: the true labels brought down, and linearly back up."""
    values = [label.value for label in model.labels if label.value]
    for name, volume, truth in scans:
        low = sample(volume, model.grid, model.normalisation)
        ratios = tuple(low.spacing / spacing for spacing in low.source_spacing)
        oriented = low.orientation.apply(truth)
        shares = [
            resample((oriented == value).astype(np.float32), ratios, low.size, lambda share: None)
            for value in range(len(model.labels))
        ]
        found = reconstruct(np.rint(4095 * np.stack(shares)).astype(np.int16), low)
        yield Case(name, dice_by_label(found, truth, values))
