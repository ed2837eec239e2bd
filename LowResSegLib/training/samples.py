"""Training samples of real cases: augmented by MONAI's transforms, cropped or sliced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Callable

import numpy as np
import torch
from monai.transforms import (
    Compose,
    RandAdjustContrastd,
    RandAffined,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandScaleIntensityd,
    RandShiftIntensityd,
)
from torch import Tensor

from LowResSegLib.training.cases import Case, Cases
from LowResSegLib.training.run_config import AugmentationSettings, DataSettings

_ALL = ("image", "label", "inside")
Arrays = dict[str, np.ndarray]


def transforms_of(settings: AugmentationSettings) -> Compose:
    """MONAI's transforms of a case: `image` (channels, z, y, x), `label` and `inside` (1, z, y, x)."""
    chosen: list[Any] = []
    rotation = tuple(float(np.deg2rad(angle)) for angle in settings.rotations)
    if settings.share and (any(rotation) or settings.scaling or settings.shift):
        chosen.append(
            RandAffined(
                _ALL,
                prob=settings.share,
                rotate_range=rotation,
                scale_range=(settings.scaling,) * 3,
                translate_range=(settings.shift,) * 3,
                mode=("bilinear", "nearest", "nearest"),
                padding_mode="zeros",
            )
        )
    chosen += [RandFlipd(_ALL, prob=0.5, spatial_axis=axis) for axis in settings.flips]
    if settings.blur:
        sigma = (0.25, settings.blur)
        chosen.append(RandGaussianSmoothd("image", sigma, sigma, sigma, prob=0.3))
    if settings.gain:
        chosen.append(RandScaleIntensityd("image", factors=settings.gain, prob=0.8))
    if settings.gamma:
        gamma = (max(0.2, 1 - settings.gamma), 1 + settings.gamma)
        chosen.append(RandAdjustContrastd("image", prob=0.5, gamma=gamma))
    if settings.offset:
        chosen.append(RandShiftIntensityd("image", offsets=settings.offset, prob=0.5))
    if settings.noise:
        chosen.append(RandGaussianNoised("image", prob=0.5, std=settings.noise))
    return Compose(chosen)


class Samples(torch.utils.data.IterableDataset[dict[str, Tensor]]):
    """Endless crops (3-D), slices or stacks (2-D) of the training cases.

    Each is a dict of `image` float32 (channels, *crop), `inside` float32 (1, *crop) and `label` int64 (*crop).

    Args:
        cases, names: where they come from, and which of them.
        settings, augmentation: of the run.
        seed: each process and each worker of a data loader draws from its own stream under this seed.
        rank: number of the process, where several train together.
    """

    def __init__(
        self,
        cases: Cases,
        names: Sequence[str],
        settings: DataSettings,
        augmentation: AugmentationSettings,
        seed: int,
        rank: int = 0,
    ) -> None:
        self.cases, self.names, self.settings, self.augmentation = cases, list(names), settings, augmentation
        self.seed, self.rank = seed, rank

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Draw for ever."""
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, self.rank, worker.id if worker else 0])
        transforms = transforms_of(self.augmentation)
        transforms.set_random_state(int(rng.integers(1 << 31)))
        order: list[str] = []
        pool: list[Arrays] = []
        drawn = 0
        while True:
            if len(pool) < self.augmentation.pool or drawn % self.augmentation.reuse == 0:
                if not order:  # each case once before any comes again
                    order = [self.names[place] for place in rng.permutation(len(self.names))]
                fresh = self._augmented(self.cases[order.pop()], transforms, rng)
                pool = [*pool[-(self.augmentation.pool - 1) :], fresh] if self.augmentation.pool > 1 else [fresh]
            drawn += 1
            arrays = pool[-1] if self.augmentation.reuse == 1 else pool[rng.integers(len(pool))]
            yield (self._slice if self.settings.dimensions == 2 else self._crop)(arrays, rng)

    def _augmented(self, case: Case, transforms: Callable[[Any], Any], rng: np.random.Generator) -> Arrays:
        """A case, padded to the crop and transformed. Slices lie in the middle, as in `Segmenter.predict`."""
        flat = self.settings.dimensions == 2
        crop = (1, *self.settings.crop) if flat else self.settings.crop
        missing = [max(0, edge - n) for edge, n in zip(crop, case.label.shape)]
        before = [m // 2 if flat else int(rng.integers(m + 1)) for m in missing]
        pads = [(first, m - first) for first, m in zip(before, missing)]
        arrays = {
            "image": np.pad(case.image, [(0, 0), *pads]),
            "label": np.pad(case.label, pads)[None],
            "inside": np.pad(np.ones(case.label.shape, np.float32), pads)[None],
        }
        made = transforms({key: torch.from_numpy(value) for key, value in arrays.items()})
        return {key: np.asarray(made[key].numpy()) for key in _ALL}

    def _crop(self, arrays: Arrays, rng: np.random.Generator) -> dict[str, Tensor]:
        label, crop = arrays["label"][0], self.settings.crop
        start = [int(rng.integers(n - edge + 1)) for n, edge in zip(label.shape, crop)]
        if any(n > edge for n, edge in zip(label.shape, crop)) and rng.random() < self.settings.foreground:
            start = self._around(label, crop, start, rng)
        window = tuple(slice(s, s + edge) for s, edge in zip(start, crop))
        return _tensors(
            arrays["image"][(slice(None), *window)], label[window], arrays["inside"][(slice(None), *window)]
        )

    @staticmethod
    def _around(label: np.ndarray, crop: Sequence[int], start: list[int], rng: np.random.Generator) -> list[int]:
        """Where a crop begins that holds a labelled voxel near its middle; `start` where nothing is labelled."""
        voxels = np.flatnonzero(label)
        if not len(voxels):
            return start
        centre = np.unravel_index(voxels[rng.integers(len(voxels))], label.shape)
        jitter = [int(rng.integers(-(edge // 4), edge // 4 + 1)) for edge in crop]
        return [
            int(np.clip(c - edge // 2 + j, 0, n - edge)) for c, j, edge, n in zip(centre, jitter, crop, label.shape)
        ]

    def _slice(self, arrays: Arrays, rng: np.random.Generator) -> dict[str, Tensor]:
        label = arrays["label"][0]
        labelled = np.flatnonzero(label.any((1, 2)))
        wanted = len(labelled) and rng.random() < self.settings.foreground
        z = int(labelled[rng.integers(len(labelled))] if wanted else rng.integers(len(label)))
        image, inside = stack_at(arrays["image"], arrays["inside"], z, self.settings)
        crop = self.settings.crop
        start = [int(rng.integers(n - edge + 1)) for n, edge in zip(label.shape[1:], crop)]
        if wanted and any(n > edge for n, edge in zip(label.shape[1:], crop)):
            start = self._around(label[z], crop, start, rng)
        window = tuple(slice(s, s + edge) for s, edge in zip(start, crop))
        return _tensors(image[(slice(None), *window)], label[z][window], inside[(slice(None), *window)])


def stack_at(image: np.ndarray, inside: np.ndarray, z: int, settings: DataSettings) -> tuple[np.ndarray, np.ndarray]:
    """Channels of the stack whose middle slice is `z`, and where it is inside; what lies beyond the ends is zero.

    Args:
        image: (channels, z, y, x).
        inside: (1, z, y, x).
        z: the labelled slice.
        settings: `slices` and `slice_step`.
    """
    if settings.slices == 1:
        return image[:, z], inside[:, z]
    places = z + (np.arange(settings.slices) - settings.slices // 2) * settings.slice_step
    known = (places >= 0) & (places < image.shape[1])
    planes = image[:, np.clip(places, 0, image.shape[1] - 1)] * known[None, :, None, None]
    return planes.reshape(-1, *image.shape[2:]), inside[:, z]


def _tensors(image: np.ndarray, label: np.ndarray, inside: np.ndarray) -> dict[str, Tensor]:
    return {
        "image": torch.from_numpy(np.ascontiguousarray(image, np.float32)),
        "inside": torch.from_numpy(np.ascontiguousarray(inside, np.float32)),
        "label": torch.from_numpy(np.ascontiguousarray(label).astype(np.int64)),
    }
