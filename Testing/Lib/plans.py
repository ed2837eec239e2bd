"""Random plans, a plan of thresholds and reoriented volumes for tests."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Optional

import numpy as np

from LowResSegLib.model import Layer, Model, Plan, check_plan
from LowResSegLib.model.plan import MAX_FIRST_WEIGHT, MAX_INTENSITY, MAX_LOGIT
from LowResSegLib.sampling import GridSettings, Normalisation
from LowResSegLib.volume import Label, Volume

CT_WINDOW = (-1000.0, 1032.0)  # HU: 16 to each of the network's integers
CT_THRESHOLDS = (-304.0, 240.0)  # HU: in the middle between two of them, the upper of which is even, so it gets the tie


def thresholds(reach: np.ndarray, spread: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper thresholds, mostly where sums fall, some at and beyond the ends of their range."""
    lower = np.rint(-rng.uniform(0, 1.5, len(reach)) * spread)
    upper = lower + 1 + np.rint(rng.uniform(0, 2, len(reach)) * spread)
    where = rng.random(len(reach))
    lower, upper = np.where(where < 0.05, -reach - 1, lower), np.where(where < 0.05, -reach, upper)
    lower, upper = np.where(where > 0.95, reach + 1, lower), np.where(where > 0.95, reach + 2, upper)
    lower = np.clip(lower, -reach - 1, reach + 1)
    upper = np.clip(np.maximum(upper, lower + 1), -reach, reach + 2)
    return lower.astype(np.int32), upper.astype(np.int32)


def random_plan(
    rng: np.random.Generator,
    classes: int = 4,
    widths: tuple[int, ...] = (3, 5),
    *,
    kernel: tuple[int, int, int] = (3, 3, 3),
    factor: tuple[int, int, int] = (2, 2, 2),
    zeros: float = 1 / 3,
    strided: bool = False,
    last_kernel: tuple[int, int, int] = (1, 1, 1),
) -> Plan:
    """A small U-Net of random integers with as many levels as `widths` has entries.

    Args:
        rng: its only source of chance.
        classes, widths: of the logits, and channels of each level.
        kernel, last_kernel: of all convolutions but the logits', and of theirs.
        factor: by which levels differ.
        zeros: share of zero weights in ternary layers, 0 to 1.
        strided: go down by convolutions with a stride instead of pooling.
    """
    layers = [Layer("image", (), 1)]

    def convolution(source: int, channels: int, stride: tuple[int, int, int] = (1, 1, 1)) -> int:
        first = layers[source].operation == "image"
        shape = (channels, layers[source].channels, *kernel)
        if first:
            weights = rng.integers(-MAX_FIRST_WEIGHT, MAX_FIRST_WEIGHT + 1, shape)
        else:
            weights = rng.choice([-1, 1], shape) * (rng.random(shape) >= zeros)
        reach = np.abs(weights).reshape(channels, -1).sum(1) * (MAX_INTENSITY if first else 1)
        kind, operation = (np.int16, "first") if first else (np.int8, "ternary")
        spread = reach / 8 if first else np.sqrt(reach)  # about as far as sums spread
        limits = thresholds(reach, np.maximum(spread, 1), rng)
        layers.append(Layer(operation, (source,), channels, weights.astype(kind), *limits, factor=stride))
        return len(layers) - 1

    def other(operation: str, *sources: int) -> int:
        channels = sum(layers[source].channels for source in sources)
        changed = factor if operation in ("max_pool", "upsample") else (1, 1, 1)
        layers.append(Layer(operation, sources, channels, factor=changed))
        return len(layers) - 1

    skips, current = [], 0
    for level, width in enumerate(widths):
        if level and strided:
            current = convolution(current, width, factor)
        else:
            current = convolution(other("max_pool", current) if level else current, width)
        skips.append(current)
    for level in reversed(range(len(widths) - 1)):
        current = convolution(other("concatenate", skips[level], other("upsample", current)), widths[level])
    shape = (classes, widths[0], *last_kernel)
    most = min(300, (MAX_LOGIT - 50) // int(np.prod(shape[1:])))
    weights = rng.integers(-most, most + 1, shape).astype(np.int16)
    offset = rng.integers(-50, 51, classes).astype(np.int32)
    layers.append(Layer("logits", (current,), classes, weights, offset=offset))
    check_plan(layers)
    return Plan(tuple(layers), 0.01)


def random_model(rng: np.random.Generator, classes: int = 4, spacing: float = 2.0) -> Model:
    """A model around a random plan."""
    labels = tuple(Label(value, f"Structure {value}", (40 * value, 200, 10)) for value in range(classes))
    plan = random_plan(rng, classes)
    grid = GridSettings(spacing, "RAS", plan.size_divisor)
    card = {"title": "Random", "limits": "For tests alone.", "network": "Tiny"}
    return Model("random", labels, grid, Normalisation(), plan, card)


def ct_model(spacing: float = 3.0) -> Model:
    """A model for CT that looks at each voxel alone: air, and from the two CT_THRESHOLDS on soft tissue and bone."""
    weights = np.zeros((2, 1, 3, 3, 3), np.int16)
    weights[:, 0, 1, 1, 1] = 2  # even sums, so that there is a place between them for the lower threshold
    levels = [(threshold - CT_WINDOW[0]) * 127 / (CT_WINDOW[1] - CT_WINDOW[0]) for threshold in CT_THRESHOLDS]
    upper = 2 * np.ceil(levels).astype(np.int32)
    mixing = 100 * np.array([[-2, 0], [1, -1], [0, 2]], np.int16).reshape(3, 2, 1, 1, 1)
    layers = (
        Layer("image", (), 1),
        Layer("first", (0,), 2, weights, upper - 1, upper),
        Layer("logits", (1,), 3, mixing, offset=np.zeros(3, np.int32)),
    )
    check_plan(layers)
    labels = (Label(0, "Background"), Label(1, "Soft tissue", (220, 120, 100)), Label(2, "Bone", (240, 230, 200)))
    normalisation = Normalisation("window", *CT_WINDOW)
    card = {"title": "Thresholds", "modality": "CT", "limits": "For tests alone."}
    return Model("thresholds", labels, GridSettings(spacing, "LPS"), normalisation, Plan(layers, 0.01), card)


def random_volume(
    rng: np.random.Generator, shape: tuple[int, int, int] = (13, 17, 11), direction: Optional[np.ndarray] = None
) -> Volume:
    """A smooth random scan of anisotropic spacing with an object in it; `direction` is a 3 x 3 matrix (LPS)."""
    coarse = rng.uniform(0, 900, [-(-n // 3) for n in shape])
    array = coarse.repeat(3, 0).repeat(3, 1).repeat(3, 2)[tuple(slice(0, n) for n in shape)]
    array = (array + rng.uniform(0, 50, shape)).astype(np.int16)
    matrix = np.eye(3) if direction is None else direction
    return Volume(array, (1.0, 0.8, 1.7), (-31.5, 12.25, 7.0), tuple(matrix.ravel().tolist()))


def reoriented(volume: Volume) -> Iterator[tuple[Volume, tuple[int, ...], tuple[bool, ...]]]:
    """The 48 copies of a volume whose array is permuted and flipped and whose geometry says so.

    Yields each copy with the permutation and the flips, in (z, y, x), that were applied to the array.
    """
    direction = np.reshape(volume.direction, (3, 3))
    for order in itertools.permutations(range(3)):  # of the index axes x, y, z
        for flips in itertools.product((False, True), repeat=3):
            sizes = [volume.array.shape[2 - axis] for axis in order]
            spacing = [volume.spacing[axis] for axis in order]
            columns, origin = direction[:, order].copy(), np.array(volume.origin)
            for axis, flip in enumerate(flips):
                if flip:
                    origin = origin + columns[:, axis] * spacing[axis] * (sizes[axis] - 1)
                    columns[:, axis] *= -1
            array_order = tuple(2 - order[2 - axis] for axis in range(3))
            array_flips = tuple(flips[2 - axis] for axis in range(3))
            array = volume.array.transpose(array_order)
            array = array[tuple(slice(None, None, -1 if flip else 1) for flip in array_flips)]
            copy = replace(
                volume,
                array=np.ascontiguousarray(array),
                spacing=tuple(spacing),
                origin=tuple(origin.tolist()),
                direction=tuple(columns.ravel().tolist()),
            )
            yield copy, array_order, array_flips
