"""The numpy engine: the oracle that every other engine is held to, and the fallback that always works.

Convolutions are float32 matrix products on integers. Sums stay below 2^21 (`check_plan` sees to it), so float32 is
exact in any order, with any BLAS and any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from LowResSegLib.model import Layer, Plan


def run(plan: Plan, grid: np.ndarray, step: Callable[[float], None]) -> np.ndarray:
    """Logits, int16 (classes, z, y, x), of a uint8 grid (z, y, x); see `engine.run`."""
    last_use = plan.last_uses()
    values: dict[int, np.ndarray] = {}
    for position, layer in enumerate(plan.layers):
        inputs = [values[source] for source in layer.inputs]
        values[position] = grid.astype(np.int8)[None] if layer.operation == "image" else _apply(layer, inputs)
        for source in set(layer.inputs):
            if last_use[source] == position:
                del values[source]
        step((position + 1) / len(plan.layers))
    return values[len(plan.layers) - 1]


def _apply(layer: Layer, inputs: list[np.ndarray]) -> np.ndarray:
    """Output of one layer, (channels, z, y, x): int8, or int16 for logits."""
    if layer.operation == "concatenate":
        return np.concatenate(inputs)
    (value,) = inputs
    if layer.operation == "max_pool":
        blocks = [part for size, factor in zip(value.shape[1:], layer.factor) for part in (size // factor, factor)]
        return value.reshape(len(value), *blocks).max(axis=(2, 4, 6))
    if layer.operation == "upsample":
        for axis, factor in enumerate(layer.factor):
            value = value.repeat(factor, axis + 1)
        return value
    return _convolve(layer, value)


def _convolve(layer: Layer, value: np.ndarray) -> np.ndarray:
    """Convolution with zero padding, then thresholds or offset.

    Slices are padded and laid out flat. One matrix product gives what every voxel of a slice adds to its neighbours
    through each tap of the kernel; as the slice is flat, adding it there is a shift. Positions in the padding are
    computed too, and cut away at the end, as are those between which a stride leaps.
    """
    assert layer.weights is not None
    depth, height, width = layer.kernel
    margin_z, margin_y, margin_x = (edge // 2 for edge in layer.kernel)
    step_z, step_y, step_x = layer.factor
    channels, size_z, size_y, size_x = value.shape
    wide = size_x + 2 * margin_x
    shifts = [dy * wide + dx for dy in range(height) for dx in range(width)]
    length = size_y * wide  # outputs of a slice: whole rows with their padding
    # (out, in, z, y, x) to one matrix for each z, whose rows are (y, x, out).
    taps = layer.weights.transpose(2, 3, 4, 0, 1).reshape(depth, -1, channels).astype(np.float32)
    around = [(0, 0), (margin_y, margin_y), (margin_x, margin_x)]
    kind = np.int16 if layer.operation == "logits" else np.int8
    result = np.empty((layer.channels, size_z // step_z, size_y // step_y, size_x // step_x), kind)
    for z in range(0, size_z, step_z):
        sums = np.zeros((layer.channels, length), np.float32)
        for dz in range(depth):
            source = z + dz - margin_z
            if not 0 <= source < size_z:
                continue
            padded = np.pad(value[:, source].astype(np.float32), around).reshape(channels, -1)
            # The last shift of the last position reads beyond the slice by 2 * margin_x.
            products = taps[dz] @ np.pad(padded, [(0, 0), (0, 2 * margin_x)])
            for shift, product in zip(shifts, products.reshape(len(shifts), layer.channels, -1)):
                sums += product[:, shift : shift + length]
        inside = sums.reshape(layer.channels, size_y, wide)[:, ::step_y, :size_x:step_x]
        result[:, z // step_z] = _finish(layer, inside)
    return result


def _finish(layer: Layer, sums: np.ndarray) -> np.ndarray:
    """Thresholded sums (int8), or logits (int16), of float32 sums (channels, y, x)."""
    if layer.operation == "logits":
        assert layer.offset is not None
        return (sums + layer.offset[:, None, None]).astype(np.int16)
    assert layer.lower is not None and layer.upper is not None
    at_least_upper = (sums >= layer.upper[:, None, None]).astype(np.int8)
    return at_least_upper - (sums < layer.lower[:, None, None])
