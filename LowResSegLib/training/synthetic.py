"""Synthetic head scans from label maps, in the manner of SynthSeg.

A label map is deformed, each class is given a random mean and spread of intensity, and the picture is degraded by
a bias field, blurring and noise, so that a network learns shapes rather than one scanner's contrast. Source of the
method: Billot et al., "SynthSeg", Medical Image Analysis 2023. For training the generator makes crops on the
network's low-resolution grid directly (`render_grid`), for evaluation whole scans (`render_scan`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from torch.nn import functional

from LowResSegLib.errors import InputError

AIR, CSF = 0, 24
FIRST_CODE_OUTSIDE_BRAIN = 500


@dataclass(frozen=True)
class ContrastPriors:
    """Prior of the intensity of each class: arrays of shape (2, classes) hold mean and spread over subjects."""

    codes: np.ndarray
    classes: np.ndarray
    means: np.ndarray
    stds: np.ndarray

    @classmethod
    def read(cls, folder: Path) -> ContrastPriors:
        """Read the `.npy` files of the SynthSeg distribution (T1-weighted priors)."""
        names = ("generation_labels", "generation_classes_contrast_specific", "prior_means_t1", "prior_stds_t1")
        return cls(*(np.load(folder / f"{name}.npy") for name in names))

    def index(self) -> np.ndarray:
        """Lookup from a label code to its position in `codes`; codes that are not listed are air."""
        table = np.zeros(1024, np.uint8)
        table[self.codes] = np.arange(len(self.codes))
        return table


@dataclass(frozen=True)
class SyntheticSettings:
    """What the generator varies, and how much. Lengths in millimetres, angles in degrees."""

    crop: int = 48  # edge of a crop in low-resolution voxels
    spacing_factor: int = 2  # label-map voxels a low-resolution voxel
    rotation: float = 15.0  # at most, about each axis
    scaling: float = 0.15  # at most, as a share, along each axis
    displacement: float = 4.0  # spread of the smooth displacement
    skull_stripped: float = 0.3  # share of scans without what lies outside the brain
    random_contrast: float = 0.1  # share of scans whose contrast follows no prior
    prior_spread: float = 1.3  # spread of class means, in those of the prior
    bias: float = 0.3  # spread of the logarithm of the bias field's gain
    noise: float = 0.03  # largest spread, as a share of bright tissue
    thick_slices: float = 0.2  # share of scans with thick slices along one axis
    outside: float = 0.05  # share of crops centred anywhere in the head
    crops_per_deformation: int = 100
    pool: int = 16  # deformed heads kept at a time by each worker


def read_label_map(path: Path) -> np.ndarray:
    """Label map as uint16 array, cropped to the head; axes z, y, x run towards superior, anterior and right."""
    try:
        image = sitk.DICOMOrient(sitk.ReadImage(str(path)), "RAS")
    except RuntimeError as error:
        raise InputError(f"The label map {path} is missing or cannot be read.") from error
    array = sitk.GetArrayFromImage(image).astype(np.uint16)
    occupied = [np.flatnonzero(array.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    margin = 8
    window = tuple(slice(max(0, o[0] - margin), o[-1] + 1 + margin) for o in occupied)
    return np.ascontiguousarray(array[window])


def deform(labels: np.ndarray, settings: SyntheticSettings, rng: np.random.Generator) -> np.ndarray:
    """Random rotation, scaling, smooth displacement and left-right flip of a uint8 index map, same shape."""
    angles = np.deg2rad(rng.uniform(-settings.rotation, settings.rotation, 3))
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        first, second = [a for a in range(3) if a != axis]
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    matrix = matrix * rng.uniform(1 - settings.scaling, 1 + settings.scaling, 3)
    size = np.array(labels.shape[::-1], float)  # x, y, z as torch's grids have it
    # Normalised coordinates: scale to millimetres, turn, scale back.
    theta = matrix * (size[None, :] / size[:, None])
    grid = functional.affine_grid(
        torch.from_numpy(np.c_[theta, np.zeros(3)]).float()[None], [1, 1, *labels.shape], align_corners=False
    )
    for nodes, share in ((5, 0.7), (10, 0.3)):
        coarse = torch.from_numpy(rng.standard_normal((1, 3, nodes, nodes, nodes))).float()
        coarse *= settings.displacement * share * rng.uniform(0, 1)
        smooth = functional.interpolate(coarse, labels.shape, mode="trilinear", align_corners=True)[0]
        grid += (smooth * (2.0 / torch.tensor(size, dtype=torch.float32))[:, None, None, None]).permute(1, 2, 3, 0)
    source = torch.from_numpy(labels).float()[None, None]
    moved = functional.grid_sample(source, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    result = moved[0, 0].to(torch.uint8).numpy()
    return result[:, :, ::-1].copy() if rng.random() < 0.5 else result


def class_intensities(
    priors: ContrastPriors, settings: SyntheticSettings, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread of intensity for each entry of `priors.codes`, float32."""
    count = priors.means.shape[1]
    if rng.random() < settings.random_contrast:
        class_means: np.ndarray = np.asarray(rng.uniform(10, 240, count))
        class_spreads: np.ndarray = np.asarray(rng.uniform(0, 25, count))
    else:
        spread = settings.prior_spread
        class_means = priors.means[0] + spread * priors.means[1] * rng.standard_normal(count)
        class_spreads = np.abs(priors.stds[0] + spread * priors.stds[1] * rng.standard_normal(count))
        class_spreads *= rng.uniform(0.3, 1)
    means, spreads = class_means[priors.classes], class_spreads[priors.classes]
    # The prior joins cortex and deep grey matter in one class; real ones differ a little.
    means = means + 4.0 * rng.standard_normal(len(means))
    air = priors.codes == AIR
    means[air], spreads[air] = rng.uniform(0, 8), rng.uniform(0, 3)
    if rng.random() < settings.skull_stripped:
        outside = priors.codes >= FIRST_CODE_OUTSIDE_BRAIN
        if rng.random() < 0.5:
            outside = outside | (priors.codes == CSF)
        means[outside], spreads[outside] = 0.0, 0.0
    return np.clip(means, 0, None).astype(np.float32), spreads.astype(np.float32)


def _lowpass_axis(array: np.ndarray, axis: int, strength: float) -> np.ndarray:
    """Three-tap smoothing along one axis; strength 0 leaves the array, 1 averages three neighbours."""
    padded = np.pad(array, [(1, 1) if a == axis else (0, 0) for a in range(array.ndim)], mode="edge")
    before, after = (np.take(padded, range(s, s + array.shape[axis]), axis) for s in (0, 2))
    return array + (strength / 3.0) * (before + after - 2 * array)


def _downsample(array: np.ndarray, factor: int) -> np.ndarray:
    """Reduction of each axis by a whole factor through the mean of its blocks."""
    size = [n // factor for n in array.shape]
    shaped = array.reshape(size[0], factor, size[1], factor, size[2], factor)
    return shaped.mean(axis=(1, 3, 5), dtype=np.float32)


def _tissue(labels: np.ndarray, means: np.ndarray, spreads: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Float32 intensities of a map of class indices, each voxel drawn from its class."""
    image = rng.standard_normal(labels.shape, dtype=np.float32)
    image *= spreads.take(labels)
    image += means.take(labels)
    return image


def _degrade(image: np.ndarray, means: np.ndarray, settings: SyntheticSettings, rng: np.random.Generator) -> np.ndarray:
    """Blur, thick slices, bias field, gamma and noise; the result is scaled so that bright tissue is near one."""
    for axis in range(3):
        image = _lowpass_axis(image, axis, rng.uniform(0, 0.75))
    if rng.random() < settings.thick_slices:
        axis = int(rng.integers(3))
        for _ in range(int(rng.integers(1, 4))):
            image = _lowpass_axis(image, axis, 1.0)
    bias = torch.from_numpy(rng.standard_normal((1, 1, 4, 4, 4)) * settings.bias * rng.uniform(0, 1)).float()
    image *= np.exp(functional.interpolate(bias, image.shape, mode="trilinear", align_corners=True)[0, 0].numpy())
    top = float(means.max()) + 1e-3
    reference = np.percentile([*means[means > 0.15 * top], top], 75)
    image = np.maximum(image / np.float32(reference), 0) ** np.float32(np.exp(rng.normal(0, 0.15)))
    image += rng.standard_normal(image.shape, dtype=np.float32) * np.float32(settings.noise * rng.uniform(0, 1))
    return image


def render_grid(
    labels: np.ndarray, means: np.ndarray, spreads: np.ndarray, settings: SyntheticSettings, rng: np.random.Generator
) -> np.ndarray:
    """The network's grid (uint8, 0 to 127) of a crop of class indices at the label map's resolution.

    A crop does not show the whole scan's range of intensities, so instead of being normalised as a scan is, it is
    given a random gain that covers what normalisation makes of real ones.
    """
    image = _downsample(_tissue(labels, means, spreads, rng), settings.spacing_factor)
    image = _degrade(image, means, settings, rng) * np.float32(rng.uniform(45, 95))
    return np.clip(np.rint(image - rng.uniform(0, 3)), 0, 127).astype(np.uint8)


def render_scan(
    labels: np.ndarray, means: np.ndarray, spreads: np.ndarray, settings: SyntheticSettings, rng: np.random.Generator
) -> np.ndarray:
    """A scan (int16) of a whole map of class indices, at the label map's resolution, for evaluation."""
    image = _degrade(_tissue(labels, means, spreads, rng), means, settings, rng)
    return np.clip(np.rint(1000 * image), 0, 32767).astype(np.int16)


class SyntheticScans(torch.utils.data.IterableDataset[dict[str, torch.Tensor]]):
    """Endless crops: `image` uint8 (1, n, n, n) and `label` uint8 (n * factor, ...) at the label map's resolution.

    Args:
        maps: label maps as `read_label_map` gives them.
        lookup: from a code of the maps to a label value (`LabelTable.lookup`).
        priors, settings: of the intensities and of everything else.
        seed: each worker of a data loader draws from its own stream under this seed.
    """

    def __init__(
        self,
        maps: Sequence[np.ndarray],
        lookup: np.ndarray,
        priors: ContrastPriors,
        settings: SyntheticSettings,
        seed: int,
    ) -> None:
        index = priors.index()
        self.maps = [index[m] for m in maps]
        self.values = lookup[priors.codes]
        self.priors, self.settings, self.seed = priors, settings, seed

    def _crop(self, head: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        edge = self.settings.crop * self.settings.spacing_factor
        anywhere = rng.random() < self.settings.outside
        wanted = np.argwhere((head[::8, ::8, ::8] > 0) if anywhere else (self.values[head[::8, ::8, ::8]] > 0)) * 8
        centre = wanted[rng.integers(len(wanted))] if len(wanted) else np.array(head.shape) // 2
        start = centre - edge // 2 + rng.integers(-4, 5, 3)
        crop = np.zeros((edge,) * 3, np.uint8)
        inside = [(max(0, s), min(n, s + edge)) for s, n in zip(start, head.shape)]
        to = tuple(slice(a - s, b - s) for (a, b), s in zip(inside, start))
        crop[to] = head[tuple(slice(a, b) for a, b in inside)]
        return crop

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        pool: list[np.ndarray] = []
        drawn = 0
        while True:
            if len(pool) < self.settings.pool or drawn % self.settings.crops_per_deformation == 0:
                fresh = deform(self.maps[rng.integers(len(self.maps))], self.settings, rng)
                pool = [*pool[-(self.settings.pool - 1) :], fresh]
            drawn += 1
            head = pool[rng.integers(len(pool))]
            crop = self._crop(head, rng)
            image = render_grid(crop, *class_intensities(self.priors, self.settings, rng), self.settings, rng)
            yield {"image": torch.from_numpy(image)[None], "label": torch.from_numpy(self.values[crop])}
