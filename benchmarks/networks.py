"""The networks of the engine's benchmark: random ternary weights, half of them zeros, and thresholds that fit them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from LowResSegLib import engine
from LowResSegLib.model import Layer, Plan, check_plan

CLASSES = 4
_TERCILE = 0.4307  # a third of a normal distribution lies above so many standard deviations
_CALIBRATION = 16  # edge of the grid on which thresholds are found


@dataclass(frozen=True)
class Workload:
    """A chain of equal convolutions.

    Attributes:
        key, title: short, and for a table.
        channels: in and out.
        shape: of the grid, (z, y, x).
        kernel: (z, y, x).
    """

    key: str
    title: str
    channels: int
    shape: tuple[int, int, int]
    kernel: tuple[int, int, int] = (3, 3, 3)

    @property
    def gmac(self) -> float:
        """Of one convolution, zero weights counted too."""
        return self.channels**2 * math.prod(self.kernel) * math.prod(self.shape) / 1e9


WORKLOADS = (
    Workload("a", "3-D 32→32, 64³", 32, (64, 64, 64)),
    Workload("b", "3-D 64→64, 32³", 64, (32, 32, 32)),
    Workload("c", "3-D 128→128, 16³", 128, (16, 16, 16)),
    Workload("d", "2-D 64→64, 128², 8 slices", 64, (8, 128, 128), (1, 3, 3)),
    Workload("e", "2-D 256→256, 32², 8 slices", 256, (8, 32, 32), (1, 3, 3)),
)
U_NET_SHAPE = (96, 96, 96)
U_NET_WIDTHS = (16, 32, 64, 128)


class _Maker:
    """Layers as they accumulate; each convolution's thresholds give about a third of each value."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.layers = [Layer("image", (), 1)]

    def first(self, channels: int, kernel: tuple[int, ...]) -> int:
        """The convolution of the image."""
        weights = self.rng.integers(-3, 4, (channels, 1, *kernel)).astype(np.int16)
        flat = weights.reshape(channels, -1).astype(np.int64)
        middle, spread = 63.5 * flat.sum(1), 36.9 * np.sqrt((flat**2).sum(1))  # of intensities that are noise
        lower = np.rint(middle - _TERCILE * spread).astype(np.int32)
        upper = np.maximum(lower + 1, np.rint(middle + _TERCILE * spread)).astype(np.int32)
        return self._add(Layer("first", (0,), channels, weights, lower, upper))

    def ternary(self, source: int, channels: int, kernel: tuple[int, ...]) -> int:
        """A convolution of trits: a quarter of its weights is -1, a quarter +1."""
        shape = (channels, self.layers[source].channels, *kernel)
        weights = self.rng.choice(np.array([-1, 0, 0, 1], np.int8), shape)
        lower, upper = self._terciles(source, weights)
        return self._add(Layer("ternary", (source,), channels, weights, lower, upper))

    def other(self, operation: str, *sources: int) -> int:
        """A pooling, an upsampling or a concatenation."""
        factor = (1, 1, 1) if operation == "concatenate" else (2, 2, 2)
        channels = sum(self.layers[source].channels for source in sources)
        return self._add(Layer(operation, sources, channels, factor=factor))

    def plan(self, source: int) -> Plan:
        """The network that ends with logits of the layer `source`."""
        channels = self.layers[source].channels
        most = 4000 // channels  # so that logits stay in their range
        weights = self.rng.integers(-most, most + 1, (CLASSES, channels, 1, 1, 1)).astype(np.int16)
        logits = Layer("logits", (source,), CLASSES, weights, offset=np.zeros(CLASSES, np.int32))
        layers = (*self.layers, logits)
        check_plan(layers)
        return Plan(layers, 0.01)

    def _add(self, layer: Layer) -> int:
        self.layers.append(layer)
        return len(self.layers) - 1

    def _terciles(self, source: int, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Thresholds from the convolution's own sums, which a network with the same weights as logits gives."""
        sums = Layer("logits", (source,), len(weights), weights, offset=np.zeros(len(weights), np.int32))
        grid = np.random.default_rng(0).integers(0, 128, (_CALIBRATION,) * 3).astype(np.uint8)
        values = engine.run(Plan((*self.layers, sums), 1.0), grid, "numpy").reshape(len(weights), -1)
        reach = np.abs(weights).reshape(len(weights), -1).sum(1)
        lower, upper = np.quantile(values, [1 / 3, 2 / 3], axis=1, method="higher").astype(np.int32)
        return np.clip(lower, -reach, reach), np.clip(np.maximum(upper, lower + 1), -reach, reach + 1)


@cache
def chain(workload: Workload, convolutions: int) -> Plan:
    """A first layer, so many ternary convolutions of a workload, and logits; raises ModelError where refused."""
    maker = _Maker(seed=1)
    current = maker.first(workload.channels, workload.kernel)
    for _ in range(convolutions):
        current = maker.ternary(current, workload.channels, workload.kernel)
    return maker.plan(current)


def open_chain(plan: Plan, convolutions: int) -> tuple[Layer, ...]:
    """The last ternary convolutions of a `chain` alone, from an image with as many channels as they have."""
    ternary = plan.layers[-1 - convolutions : -1]
    layers = [Layer("image", (), ternary[0].channels)]
    layers.extend(replace(layer, inputs=(position,)) for position, layer in enumerate(ternary))
    return tuple(layers)


@cache
def u_net() -> Plan:
    """The U-Net: two convolutions a level, down and up; 1 x 1 x 1 before each upsampling, which halves the channels."""
    maker, kernel = _Maker(seed=2), (3, 3, 3)
    skips, current = [], 0
    for level, width in enumerate(U_NET_WIDTHS):
        if level:
            current = maker.ternary(maker.other("max_pool", current), width, kernel)
        else:
            current = maker.first(width, kernel)
        current = maker.ternary(current, width, kernel)
        skips.append(current)
    for level in reversed(range(len(U_NET_WIDTHS) - 1)):
        width = U_NET_WIDTHS[level]
        narrow = maker.ternary(current, width, (1, 1, 1))
        current = maker.other("concatenate", skips[level], maker.other("upsample", narrow))
        current = maker.ternary(maker.ternary(current, width, kernel), width, kernel)
    return maker.plan(current)
