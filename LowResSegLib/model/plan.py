"""The plan of a ternary network: its layers in the order in which they run, with integers only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np

from LowResSegLib.errors import ModelError

MAX_INTENSITY = 127  # the input grid holds 0 to 127
MAX_FIRST_WEIGHT = 63  # doubled it fits int8, and two products with intensities fit int16: integer runtimes are exact
MAX_SUM = 1 << 21  # sums stay below this, so that float32 is exact on them in any order, and on twice their range
MAX_LOGIT = 4095  # so that interpolation with 6-bit weights on three axes stays within int32
MAX_LAYERS = 1000
MAX_BYTES_PER_VOXEL = 1000  # of the values that are alive at one time, one byte each, a voxel of the input grid
MAX_CHANNELS = 4096

OPERATIONS = ("image", "first", "ternary", "max_pool", "upsample", "concatenate", "logits")
CONVOLUTIONS = ("first", "ternary", "logits")

Halvings = tuple[int, int, int]  # along z, y and x


@dataclass(frozen=True, eq=False)
class Layer:
    """One step of a plan. Its values are (channels, z, y, x); all but image and logits are in {-1, 0, +1}.

    Attributes:
        operation: `image`: the grid, one channel, 0 to 127. `first`: convolution of intensities with integer
            weights, then two thresholds. `ternary`: convolution with weights in {-1, 0, +1}, then two thresholds.
            `max_pool`, `upsample`: by `factor`, upsampling by repetition. `concatenate`: channels of all
            inputs in order. `logits`: convolution with integer weights plus `offset`.
        inputs: positions in the plan of the layers that this one reads.
        channels: of the output.
        factor: (z, y, x), each 1 or 2: the stride of a ternary convolution, and by how much pooling and upsampling
            change the grid. A network of slices has (1, 2, 2).
        weights: (out, in, kz, ky, kx), int8 or int16, each edge 1, 3 or 5, zero padding by half of it. A network
            of slices has kz = 1.
        lower, upper: int32 (out,): the output is +1 where the sum is at least `upper`, -1 where it is below
            `lower`, else 0; -r - 1 <= lower < upper <= r + 2, where r is the largest sum possible.
        offset: int32 (out,), of logits.
    """

    operation: str
    inputs: tuple[int, ...]
    channels: int
    weights: Optional[np.ndarray] = None
    lower: Optional[np.ndarray] = None
    upper: Optional[np.ndarray] = None
    offset: Optional[np.ndarray] = None
    factor: tuple[int, int, int] = (1, 1, 1)

    @property
    def kernel(self) -> tuple[int, int, int]:
        """Edges (z, y, x) of the convolution's kernel."""
        assert self.weights is not None
        depth, height, width = self.weights.shape[2:]
        return depth, height, width


@dataclass(frozen=True, eq=False)
class Plan:
    """A checked sequence of layers; the last one gives the logits.

    Attributes:
        layers: in the order in which they run.
        logit_unit: one integer logit is this much of a logit as trained (for probabilities; labels need only the
            integers).
    """

    layers: tuple[Layer, ...]
    logit_unit: float

    @property
    def classes(self) -> int:
        """Number of classes, with the background."""
        return self.layers[-1].channels

    @property
    def depth(self) -> tuple[Halvings, ...]:
        """For each layer how often its grid was halved along z, y and x."""
        return _depths(self.layers)

    @property
    def size_divisor(self) -> int:
        """Each size of the input grid is a multiple of this."""
        return int(2 ** max(max(halvings) for halvings in self.depth))

    def last_uses(self) -> tuple[int, ...]:
        """For each layer the position of the last layer that reads it, after which its values can be let go."""
        return _last_uses(self.layers)

    def operations_per_voxel(self) -> float:
        """Multiply-accumulates (here: additions) for one voxel of the input grid, zero weights counted too."""
        return sum(
            layer.weights.size / 2 ** sum(halvings)
            for layer, halvings in zip(self.layers, self.depth)
            if layer.weights is not None
        )


def bytes_per_voxel(layers: Sequence[Layer]) -> float:
    """Most bytes for the layers' values at one time, a voxel of the input grid, with one byte a value."""
    depths = _depths(layers)
    last = _last_uses(layers)
    sizes = [layer.channels / 2 ** sum(halvings) for layer, halvings in zip(layers, depths)]
    return max(
        sum(sizes[other] for other in range(position + 1) if last[other] >= position or other == position)
        for position in range(len(layers))
    )


def _depths(layers: Sequence[Layer]) -> tuple[Halvings, ...]:
    depths: list[Halvings] = []
    for layer in layers:
        before = depths[layer.inputs[0]] if layer.inputs else (0, 0, 0)
        sign = -1 if layer.operation == "upsample" else 1
        z, y, x = (halvings + sign * (factor == 2) for halvings, factor in zip(before, layer.factor))
        depths.append((z, y, x))
    return tuple(depths)


def _last_uses(layers: Sequence[Layer]) -> tuple[int, ...]:
    last = list(range(len(layers)))
    for position, layer in enumerate(layers):
        for source in layer.inputs:
            last[source] = position
    return tuple(last)


def check_plan(layers: Sequence[Layer]) -> None:
    """Raise ModelError unless the layers are a network that every engine can run exactly."""
    if not 2 <= len(layers) <= MAX_LAYERS or layers[0].operation != "image" or layers[-1].operation != "logits":
        raise ModelError("The model's network does not begin with an image and end with logits.")
    depths: tuple[Halvings, ...] = ()
    for position, layer in enumerate(layers):
        problem = _problem(layer, position, layers, depths)
        if problem:
            raise ModelError(f"The model's network is damaged: layer {position} {problem}.")
        depths = _depths(layers[: position + 1])
        if max(depths[-1]) > 8:
            raise ModelError(f"The model's network is damaged: layer {position} halves the grid too often.")
    read = {source for layer in layers for source in layer.inputs}
    if read != set(range(len(layers) - 1)):
        raise ModelError("The model's network is damaged: it has a layer that no other one reads.")
    if bytes_per_voxel(layers) > MAX_BYTES_PER_VOXEL:
        raise ModelError("The model's network needs more memory than any that is meant to run on small computers.")
    if depths[-1] != (0, 0, 0):
        raise ModelError("The model's network does not return to the resolution of its input.")


def _problem(layer: Layer, position: int, layers: Sequence[Layer], depths: Sequence[Halvings]) -> Optional[str]:
    """What is wrong with one layer, or None."""
    if layer.operation not in OPERATIONS:
        return f"has the unknown operation {layer.operation!r}"
    if (layer.operation == "image") != (position == 0) or (layer.operation == "logits") != (
        position == len(layers) - 1
    ):
        return f"has the operation {layer.operation} in the wrong place"
    if any(not 0 <= source < position for source in layer.inputs):
        return "reads a layer that does not come before it"
    wanted = {"image": 0, "concatenate": len(layer.inputs)}.get(layer.operation, 1)
    if len(layer.inputs) != wanted or (layer.operation == "concatenate" and len(layer.inputs) < 2):
        return "has the wrong number of inputs"
    if not 1 <= layer.channels <= MAX_CHANNELS:
        return "has an impossible number of channels"
    if any(factor not in (1, 2) for factor in layer.factor) or len(layer.factor) != 3:
        return "changes its grid by something other than 1 or 2"
    if layer.operation in ("max_pool", "upsample") and max(layer.factor) == 1:
        return "is to change its grid, but does not"
    if layer.operation not in ("max_pool", "upsample", "ternary") and max(layer.factor) > 1:
        return "changes its grid where it must not"
    sources = [layers[source] for source in layer.inputs]
    reads_image = any(source.operation == "image" for source in sources)
    if reads_image != (layer.operation == "first"):
        return "reads intensities where it must not, or does not where it must"
    if layer.operation == "upsample" and any(
        factor == 2 and halvings < 1 for factor, halvings in zip(layer.factor, depths[layer.inputs[0]])
    ):
        return "enlarges the grid beyond its input"
    if layer.operation == "concatenate" and len({depths[source] for source in layer.inputs}) > 1:
        return "joins grids of different sizes"
    incoming = sum(source.channels for source in sources)
    if layer.operation in CONVOLUTIONS:
        return _convolution_problem(layer, incoming)
    if layer.channels != (1 if layer.operation == "image" else incoming):
        return "has the wrong number of channels"
    return None


def _convolution_problem(layer: Layer, incoming: int) -> Optional[str]:
    weights = layer.weights
    if (
        weights is None
        or weights.dtype not in (np.int8, np.int16)
        or weights.ndim != 5
        or weights.shape[:2] != (layer.channels, incoming)
    ):
        return "has weights of the wrong shape"
    if any(edge not in (1, 3, 5) for edge in weights.shape[2:]):
        return "has a kernel whose edges are not 1, 3 or 5"
    sums = np.abs(weights).reshape(len(weights), -1).sum(1, dtype=np.int64)
    if layer.operation == "logits":
        if layer.offset is None or layer.offset.shape != (layer.channels,):
            return "lacks the offsets of its logits"
        if (sums + np.abs(layer.offset.astype(np.int64)) > MAX_LOGIT).any():
            return "has logits that can grow too large"
        return None
    if layer.operation == "ternary" and np.abs(weights).max(initial=0) > 1:
        return "has weights other than -1, 0 and 1"
    if layer.operation == "first" and np.abs(weights).max(initial=0) > MAX_FIRST_WEIGHT:
        return f"has weights beyond {MAX_FIRST_WEIGHT}"
    reach = sums * (MAX_INTENSITY if layer.operation == "first" else 1)
    if (reach >= MAX_SUM).any():
        return "has sums that can grow too large"
    shape = (layer.channels,)
    if layer.lower is None or layer.upper is None or layer.lower.shape != shape or layer.upper.shape != shape:
        return "lacks its thresholds"
    if (layer.lower >= layer.upper).any() or (layer.lower < -reach - 1).any() or (layer.upper > reach + 2).any():
        return "has thresholds in the wrong order or out of range"
    return None
