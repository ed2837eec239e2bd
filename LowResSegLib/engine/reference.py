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
        channels, z, y, x = value.shape
        return value.reshape(channels, z // 2, 2, y // 2, 2, x // 2, 2).max(axis=(2, 4, 6))
    if layer.operation == "upsample":
        return value.repeat(2, 1).repeat(2, 2).repeat(2, 3)
    return _convolve(layer, value)


def _convolve(layer: Layer, value: np.ndarray) -> np.ndarray:
    """Convolution with zero padding, then thresholds or offset.

    Slices are padded and laid out flat. One matrix product gives what every voxel of a slice adds to its neighbours
    through each tap of the kernel; as the slice is flat, adding it there is a shift. Positions in the padding are
    computed too, and cut away at the end.
    """
    assert layer.weights is not None
    kernel, margin = layer.kernel, layer.kernel // 2
    channels, size_z, size_y, size_x = value.shape
    wide = size_x + 2 * margin
    shifts = [dy * wide + dx for dy in range(kernel) for dx in range(kernel)]
    length = size_y * wide  # outputs of a slice: whole rows with their padding
    # (out, in, z, y, x) to one matrix for each z, whose rows are (y, x, out).
    taps = layer.weights.transpose(2, 3, 4, 0, 1).reshape(kernel, -1, channels).astype(np.float32)
    # The last shift of the last position reads beyond the slice by 2 * margin.
    around = [(0, 0), (margin, margin), (margin, margin)]
    kind = np.int16 if layer.operation == "logits" else np.int8
    result = np.empty((layer.channels, size_z, size_y, size_x), kind)
    for z in range(size_z):
        sums = np.zeros((layer.channels, length), np.float32)
        for dz in range(kernel):
            source = z + dz - margin
            if not 0 <= source < size_z:
                continue
            padded = np.pad(value[:, source].astype(np.float32), around).reshape(channels, -1)
            products = taps[dz] @ np.pad(padded, [(0, 0), (0, 2 * margin)])
            for shift, product in zip(shifts, products.reshape(len(shifts), layer.channels, -1)):
                sums += product[:, shift : shift + length]
        inside = sums.reshape(layer.channels, size_y, wide)[:, :, :size_x]
        result[:, z] = _finish(layer, inside)
    return result


def _finish(layer: Layer, sums: np.ndarray) -> np.ndarray:
    """Thresholded sums (int8), or logits (int16), of float32 sums (channels, y, x)."""
    if layer.operation == "logits":
        assert layer.offset is not None
        return (sums + layer.offset[:, None, None]).astype(np.int16)
    assert layer.lower is not None and layer.upper is not None
    at_least_upper = (sums >= layer.upper[:, None, None]).astype(np.int8)
    return at_least_upper - (sums < layer.lower[:, None, None])
