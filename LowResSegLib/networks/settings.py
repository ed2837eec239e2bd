"""What a network and a head are built from, as it stands in configurations and checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Union

from LowResSegLib.errors import InputError

PRECISIONS = ("float", "ternary", "ternary_weights", "binary", "ternary_soft")


@dataclass(frozen=True)
class NetworkSettings:
    """A network without its number of classes.

    Attributes:
        name: see `build.NETWORKS`.
        dimensions: 2 for slices, 3 for volumes.
        inputs: channels of the input. A slice network may take neighbouring slices as channels.
        widths: channels of each level; networks that grow from one width take one number. Empty: the network's own.
        precision: `float`: convolution, batch norm, ReLU. `ternary`: ternary weights and activations, hard in
            training too; what is deployed. `ternary_weights`: ternary weights, ReLU. `binary`: weights of one
            magnitude, sign activations. `ternary_soft`: ternary weights and the ternary tanh, soft in training, hard
            in evaluation. In all but `float` the layer that reads the image has integer weights up to 63, and
            the last one float weights.
        beta: steepness with which `ternary_soft` starts (`set_beta` changes it).
        weight_threshold: of ternary weights, as a share of their mean magnitude; a larger one gives more zeros.
    """

    name: str = "unet"
    dimensions: int = 3
    inputs: int = 1
    widths: tuple[int, ...] = ()
    precision: str = "ternary"
    beta: float = 3.0
    weight_threshold: float = 0.7

    def __post_init__(self) -> None:
        widths = (self.widths,) if isinstance(self.widths, int) else tuple(self.widths)
        object.__setattr__(self, "widths", widths)
        if self.dimensions not in (2, 3):
            raise InputError(f"A network has 2 or 3 dimensions, not {self.dimensions}.")
        if self.precision not in PRECISIONS:
            raise InputError(f"There is no precision {self.precision!r}; choose one of {', '.join(PRECISIONS)}.")
        if self.inputs < 1 or any(not isinstance(width, int) or width < 1 for width in widths):
            raise InputError("A network's inputs and widths are whole numbers of at least 1.")
        if not 0 <= self.weight_threshold < 10:
            raise InputError(f"weight_threshold is a share of the mean magnitude, not {self.weight_threshold}.")
        if not self.beta > 0:
            raise InputError(f"beta is above 0, not {self.beta}.")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for YAML and checkpoints; `NetworkSettings(**values)` gives the settings back."""
        return {**asdict(self), "widths": list(self.widths)}


@dataclass(frozen=True)
class HeadSettings:
    """A head, which brings low-resolution logits to high resolution.

    Attributes:
        name: see `heads.HEADS`.
        factor: high-resolution voxels a low-resolution voxel, along each axis; one number, or one an axis (z, y, x).
        options: of the head itself, by name.
    """

    name: str = "linear"
    factor: Union[int, tuple[int, ...]] = 2
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.factor, int):
            object.__setattr__(self, "factor", tuple(self.factor))
        factors = (self.factor,) if isinstance(self.factor, int) else self.factor
        if not factors or any(not isinstance(factor, int) or not 1 <= factor <= 64 for factor in factors):
            raise InputError(f"A head's factor is a whole number from 1 to 64 (or one an axis), not {self.factor}.")

    def factors(self, dimensions: int) -> tuple[int, ...]:
        """The factor of each axis.

        Raises:
            InputError: it has another number of axes.
        """
        factors = (self.factor,) * dimensions if isinstance(self.factor, int) else self.factor
        if len(factors) != dimensions:
            raise InputError(f"The head has {len(factors)} factors for {dimensions} axes.")
        return factors

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for YAML and checkpoints; `HeadSettings(**values)` gives the settings back."""
        factor = self.factor if isinstance(self.factor, int) else list(self.factor)
        return {"name": self.name, "factor": factor, "options": dict(self.options)}
