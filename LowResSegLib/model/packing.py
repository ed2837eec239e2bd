"""The numbers of a plan as bytes: ternary weights in 2 bits each, everything else as little-endian integers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from LowResSegLib.errors import ModelError
from LowResSegLib.model.plan import CONVOLUTIONS, Layer

_CHANGES_GRID = ("max_pool", "upsample", "ternary")


def pack_trits(trits: np.ndarray) -> bytes:
    """Values in {-1, 0, +1}, four a byte, the first in the lowest bits, as 0, 1, 2 (value + 1)."""
    codes = (trits.ravel().astype(np.int8) + 1).astype(np.uint8)
    codes = np.pad(codes, (0, -len(codes) % 4))
    return (codes[0::4] | codes[1::4] << 2 | codes[2::4] << 4 | codes[3::4] << 6).astype(np.uint8).tobytes()


def unpack_trits(packed: bytes, count: int) -> np.ndarray:
    """The first `count` values, int8; raises ModelError where a code is none of the three."""
    raw = np.frombuffer(packed, np.uint8)
    codes = np.stack([raw & 3, raw >> 2 & 3, raw >> 4 & 3, raw >> 6 & 3], 1).ravel()[:count]
    if (codes > 2).any():
        raise ModelError("The model's network is damaged: a weight is none of -1, 0 and 1.")
    return codes.astype(np.int8) - 1


def pack(layers: Sequence[Layer]) -> tuple[list[dict[str, Any]], bytes]:
    """Description of the layers for `model.json`, and their numbers one after another."""
    described, chunks = [], []
    for layer in layers:
        entry: dict[str, Any] = {
            "operation": layer.operation,
            "inputs": list(layer.inputs),
            "channels": layer.channels,
        }
        if layer.operation in _CHANGES_GRID:
            entry["factor"] = list(layer.factor)
        if layer.weights is not None:
            entry["kernel"] = list(layer.kernel)
            if layer.operation == "ternary":
                chunks.append(pack_trits(layer.weights))
            else:
                chunks.append(layer.weights.astype("<i2").tobytes())
            numbers = (layer.offset,) if layer.operation == "logits" else (layer.lower, layer.upper)
            chunks.extend(array.astype("<i4").tobytes() for array in numbers if array is not None)
        described.append(entry)
    return described, b"".join(chunks)


def _triple(numbers: Any) -> tuple[int, int, int]:
    """Three numbers above 0, for z, y and x."""
    z, y, x = (int(number) for number in numbers)
    if min(z, y, x) < 1:
        raise ModelError("The model's network is damaged: a layer is described wrongly.")
    return z, y, x


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.content, self.position = content, 0

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        piece = self.content[self.position : self.position + count]
        if len(piece) != count:
            raise ModelError("The model's network is damaged: it ends too early.")
        self.position += count
        return piece

    def integers(self, count: int, kind: str) -> np.ndarray:
        """The next `count` integers in native byte order."""
        array = np.frombuffer(self.take(count * np.dtype(kind).itemsize), kind)
        return array.astype(array.dtype.newbyteorder("="))


def unpack(described: Sequence[dict[str, Any]], content: bytes) -> tuple[Layer, ...]:
    """The layers of a description and its numbers; raises ModelError where they do not fit each other.

    The result is not yet checked as a network (`check_plan`).
    """
    reader, layers = _Reader(content), []
    for entry in described:
        operation, inputs = str(entry["operation"]), tuple(int(i) for i in entry["inputs"])
        channels = int(entry["channels"])
        factor = _triple(entry.get("factor", [1, 1, 1]))
        if operation not in CONVOLUTIONS:
            layers.append(Layer(operation, inputs, channels, factor=factor))
            continue
        kernel = _triple(entry["kernel"])
        if len(inputs) != 1 or not 0 <= inputs[0] < len(layers) or max(kernel) > 5 or channels < 1:
            raise ModelError("The model's network is damaged: a convolution is described wrongly.")
        shape = (channels, layers[inputs[0]].channels, *kernel)
        count = int(np.prod(shape, dtype=object))
        if operation == "ternary":
            weights = unpack_trits(reader.take(-(-count // 4)), count).reshape(shape)
        else:
            weights = reader.integers(count, "<i2").reshape(shape)
        if operation == "logits":
            layers.append(Layer(operation, inputs, channels, weights, offset=reader.integers(channels, "<i4")))
        else:
            lower, upper = reader.integers(channels, "<i4"), reader.integers(channels, "<i4")
            layers.append(Layer(operation, inputs, channels, weights, lower, upper, factor=factor))
    if reader.position != len(content):
        raise ModelError("The model's network is damaged: it has bytes that belong to no layer.")
    return tuple(layers)
