"""A grid cut into slabs that are segmented one after another, so that the network never holds the whole of it.

A slab is given to the network with as much of the grid around it as its logits depend on. They are then those of the
whole grid, of a ternary plan exactly and of a float network but for rounding, and only work is spent for what saves
memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from LowResSegLib.model import OnnxNetwork, Plan


@dataclass(frozen=True)
class Slab:
    """Slices of a grid along z.

    Attributes:
        first, end: those that the slab is for; source voxels between slices `end - 1` and `end` belong to it too.
        begins, stops: those that the network is given.
    """

    first: int
    end: int
    begins: int
    stops: int


def reach(plan: Plan, beyond: int = 0) -> int:
    """Slices of the grid, on each side, on which the logits of a slab depend.

    Args:
        plan: a ternary network; an ONNX graph comes with its reach.
        beyond: logits are wanted of so many slices beyond the slab, too.
    """
    needed = [0] * len(plan.layers)  # slices beyond the slab, in each layer's own resolution
    needed[-1] = beyond
    for position in reversed(range(len(plan.layers))):
        layer = plan.layers[position]
        here = needed[position]
        if layer.operation == "upsample":
            here = -(-here // layer.factor[0])
        else:
            here = here * layer.factor[0] + (layer.kernel[0] // 2 if layer.weights is not None else 0)
        for source in layer.inputs:
            needed[source] = max(needed[source], here)
    return needed[0]


def can_cut(network: Union[Plan, OnnxNetwork]) -> bool:
    """Whether it is known how far the logits of a network reach, so that its grid can be cut."""
    return isinstance(network, Plan) or network.reach is not None


def cut(network: Union[Plan, OnnxNetwork], slices: int, thickness: int) -> list[Slab]:
    """Slabs of a grid.

    Args:
        network: the network.
        slices: of the grid along z, a multiple of `network.size_divisor`.
        thickness: of a slab, rounded up to a multiple of `network.size_divisor`.

    Returns:
        Slabs in order. Pooling joins slices in pairs from the first one on, so they begin at multiples of the divisor.
        One slab for all, whatever the thickness, where `can_cut` is false.
    """
    if not can_cut(network):
        return [Slab(0, slices, 0, slices)]
    divisor = network.size_divisor
    thickness = -(-thickness // divisor) * divisor
    needed = reach(network, 1) if isinstance(network, Plan) else 1 + (network.reach or 0)
    around = -(-needed // divisor) * divisor
    return [
        Slab(first, min(first + thickness, slices), max(first - around, 0), min(first + thickness + around, slices))
        for first in range(0, slices, thickness)
    ]
