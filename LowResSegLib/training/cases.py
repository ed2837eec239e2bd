"""A case on the grid that it is trained on: oriented, of one spacing, normalised as when deployed; and checked."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from LowResSegLib.errors import InputError
from LowResSegLib.sampling import orientation_to, resample
from LowResSegLib.training.datasets import Dataset, channel_files
from LowResSegLib.training.labelled import read_labelled
from LowResSegLib.training.run_config import DataSettings
from LowResSegLib.volume import Volume


@dataclass(frozen=True, eq=False)
class Case:
    """One case at high resolution, axes (z, y, x) in the orientation of the settings.

    Attributes:
        name: of the case.
        image: float32 (channels, z, y, x); 0 and 127 are the ends of the network's intensities, and what lies beyond
            is clipped after it was brought down.
        label: uint8 (z, y, x), number of the class.
        spacing: in mm, (z, y, x).
    """

    name: str
    image: np.ndarray
    label: np.ndarray
    spacing: tuple[float, ...]


class Cases:
    """The cases of a data set, read when they are asked for; some stay in memory.

    Args:
        dataset: where the files are.
        labels: name of each label value with the background; classes are numbered in the order of the values.
        settings: of the run.
    """

    def __init__(self, dataset: Dataset, labels: Mapping[int, str], settings: DataSettings) -> None:
        self.dataset, self.settings = dataset, settings
        merged = dict(settings.merge)
        unknown = sorted((set(merged) | set(merged.values())) - set(labels))
        if unknown:
            raise InputError(f"merge names the label value {unknown[0]}, which the data set does not have.")
        self.labels = {value: name for value, name in sorted(labels.items()) if value not in merged}
        self._lookup = np.full(256, 255, np.uint8)
        for number, value in enumerate(self.labels):
            self._lookup[value] = number
        for value, target in merged.items():
            self._lookup[value] = self._lookup[target]
        self._declared = set(labels)
        self.channels = len(channel_files(dataset.cases[0]))
        self._kept: OrderedDict[str, Case] = OrderedDict()
        self.spacings: set[tuple[float, ...]] = set()  # of all cases that were read, in mm to the micrometre

    @property
    def classes(self) -> int:
        """Number of classes with the background."""
        return len(self.labels)

    def __getitem__(self, name: str) -> Case:
        """A case by its name; raises InputError as `read_labelled`, or where a label value is not declared."""
        if name in self._kept:
            self._kept.move_to_end(name)
            return self._kept[name]
        volumes, label = read_labelled(self.dataset.case(name), self.channels)
        stray = sorted(set(np.unique(label.array).tolist()) - self._declared)
        if stray:
            declared = ", ".join(map(str, sorted(self._declared)))
            raise InputError(
                f"The label of case {name} holds the value {stray[0]}, which is not declared ({declared})."
            )
        try:
            case = self._prepare(name, volumes, label.with_array(self._lookup[label.array]))
        except InputError as error:
            raise InputError(f"The case {name} cannot be used. {error}") from error
        self.spacings.add(tuple(round(edge, 3) for edge in case.spacing))
        self._kept[name] = case
        if len(self._kept) > self.settings.cache:
            self._kept.popitem(last=False)
        return case

    def _prepare(self, name: str, volumes: Sequence[Volume], label: Volume) -> Case:
        settings = self.settings
        orientation = orientation_to(label, settings.orientation)
        spacing = tuple(label.spacing[2 - axis] for axis in orientation.axes)
        image = np.stack([self._normalised(orientation.apply(volume.array), spacing) for volume in volumes])
        labels = orientation.apply(label.array)
        if settings.spacing is not None and not np.allclose(spacing, settings.spacing, rtol=1e-3):
            ratios = tuple(settings.spacing / edge for edge in spacing)
            size = tuple(max(1, round(n / ratio)) for n, ratio in zip(labels.shape, ratios))
            image = np.stack([resample(channel, ratios, size, _no_progress) for channel in image])
            labels = _resample_labels(labels, ratios, size, self.classes)
            spacing = (settings.spacing,) * 3
        return Case(name, np.ascontiguousarray(image, np.float32), np.ascontiguousarray(labels), spacing)

    def _normalised(self, array: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
        """Levels by the line that the deployed model finds on its low-resolution grid; not yet clipped."""
        settings, window = self.settings, self.settings.normalisation.window
        factors = settings.factors if settings.dimensions == 3 else (1, *settings.factors)
        if settings.spacing is None:
            ratios = tuple(float(factor) for factor in factors)
        else:
            ratios = tuple(factor * settings.spacing / edge for factor, edge in zip(factors, spacing))
        size = tuple(max(1, int(np.ceil(n / ratio - 1e-6))) for n, ratio in zip(array.shape, ratios))
        low, scale = settings.normalisation.line(resample(array, ratios, size, _no_progress, window))
        values = array.astype(np.float32)
        return (values if window is None else np.clip(values, *window)) * scale - low * scale

    def check(self, names: Sequence[str], step: Callable[[int], None] = lambda done: None) -> None:
        """Read every case once, so that what is wrong is told before training; raises InputError."""
        for number, name in enumerate(names, 1):
            self[name]
            step(number)


def labels_of(dataset: Dataset, given: Mapping[int, str]) -> dict[int, str]:
    """Names of the label values: those of the configuration, or of the data set, or those that the files hold."""
    if given or dataset.labels:
        return dict(given or dataset.labels)
    values: set[int] = {0}
    for files in dataset.cases:
        values |= set(np.unique(read_labelled(files)[1].array).tolist())
    return {value: f"Label {value}" if value else "background" for value in sorted(values)}


def _resample_labels(labels: np.ndarray, ratios: tuple[float, ...], size: tuple[int, ...], classes: int) -> np.ndarray:
    """The class with the largest share after linear interpolation; a tie goes to the lower one."""
    best, found = np.full(size, -1.0, np.float32), np.zeros(size, np.uint8)
    for number in range(classes):
        share = resample((labels == number).astype(np.float32), ratios, size, _no_progress)
        better = share > best
        best[better], found[better] = share[better], number
    return found


def _no_progress(share: float) -> None:
    """Cases are small beside a run."""
