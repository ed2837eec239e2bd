"""The numpy engine: the oracle that every other engine is held to, and the fallback that always works.

Convolutions are float32 matrix products on integers. Sums stay below 2^24 (`check_plan` sees to it), so float32 is
exact in any order, with any BLAS and any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from LowResSegLib.model import Layer, Plan

_CHUNK = 8192  # positions a matrix product; its input then stays in the processor's cache


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

    Each z slice is padded and laid out flat, so that the input of one kernel tap is the same flat array, shifted.
    The positions in the padding are computed too, and cut away at the end.
    """
    assert layer.weights is not None
    kernel, margin = layer.kernel, layer.kernel // 2
    channels, size_z, size_y, size_x = value.shape
    wide = size_x + 2 * margin
    shifts = [dy * wide + dx for dy in range(kernel) for dx in range(kernel)]
    length = size_y * wide  # outputs computed a slice: whole rows with their padding
    # (out, in, z, y, x) to a matrix whose columns are ordered as the rows gathered below: (z, y, x, in).
    matrix = layer.weights.transpose(0, 2, 3, 4, 1).reshape(layer.channels, -1).astype(np.float32)
    padding = [(0, 0), (margin, margin), (margin, margin), (margin, margin)]
    kind = np.int16 if layer.operation == "logits" else np.int8
    result = np.empty((layer.channels, size_z, size_y, size_x), kind)
    gathered = np.empty((kernel, len(shifts), channels, min(_CHUNK, length)), np.float32)
    sums = np.empty((layer.channels, length), np.float32)
    for z in range(size_z):
        low, high = max(0, z - margin), min(size_z, z + margin + 1)
        window = np.pad(value[:, low:high], [(0, 0), (low - (z - margin), z + margin + 1 - high), *padding[2:]])
        # The last shift of the last position reads beyond the slice by 2 * margin.
        flat = np.pad(window.reshape(channels, kernel, -1), [(0, 0), (0, 0), (0, 2 * margin)])
        for start in range(0, length, _CHUNK):
            count = min(_CHUNK, length - start)
            for dz in range(kernel):
                for tap, shift in enumerate(shifts):
                    gathered[dz, tap, :, :count] = flat[:, dz, start + shift : start + shift + count]
            rows = gathered[..., :count].reshape(-1, count)
            np.matmul(matrix, rows, out=sums[:, start : start + count])
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
