"""A trunk with its head: from a case at high resolution to labels at high resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from LowResSegLib.errors import InputError
from LowResSegLib.networks.build import build_network
from LowResSegLib.networks.heads import build_head
from LowResSegLib.networks.settings import HeadSettings, NetworkSettings
from LowResSegLib.training.cases import Case
from LowResSegLib.training.lowering import head_image, lower_image
from LowResSegLib.training.run_config import DataSettings
from LowResSegLib.training.samples import stack_at

_SLICES_AT_A_TIME = 32


@dataclass(frozen=True)
class Shape:
    """What a segmenter is built of; plain values, so that a checkpoint can hold them.

    Attributes:
        network, head: settings as a configuration has them.
        classes: with the background.
        channels: of the images.
        sigmoid: whether there is a logit for each structure (as J-Net has) instead of one for each class.
    """

    network: Mapping[str, Any]
    head: Mapping[str, Any]
    classes: int
    channels: int = 1
    sigmoid: bool = False


class Segmenter(nn.Module):
    """Brings an image down, runs the trunk on it, and the head on what the trunk found.

    Args:
        shape: of trunk and head.
        data: factors, dimensions and the way of bringing down.
    """

    def __init__(self, shape: Shape, data: DataSettings) -> None:
        super().__init__()
        self.shape, self.data = shape, data
        self.largest_logit = 0.0  # magnitude of any low-resolution logit in evaluation, for the unit of a model file
        outputs = shape.classes - 1 if shape.sigmoid else shape.classes
        try:
            network = NetworkSettings(
                **{**_tuples(shape.network), "dimensions": data.dimensions, "inputs": shape.channels * data.slices}
            )
            self.trunk = build_network(network, outputs)
            head = HeadSettings(**{"factor": data.factors, **_tuples(shape.head)})
            self.head = build_head(head, outputs, self.trunk.channels, data.dimensions)
        except (TypeError, ValueError) as error:
            raise InputError(f"The network cannot be built: {str(error).rstrip('.')}.") from error

    @property
    def divisor(self) -> int:
        """Sizes of the trunk's input are multiples of this."""
        return self.trunk.size_divisor

    def forward(self, image: Tensor, inside: Tensor) -> Union[Tensor, Sequence[Tensor]]:
        """Logits at the image's size; in training a head may give a list of levels, coarsest first.

        Args:
            image: (batch, channels, *size) of levels.
            inside: (batch, 1, *size).
        """
        features = self.trunk(self.lowered(image, inside))
        if not self.training:
            self.largest_logit = max(self.largest_logit, float(features.logits.detach().abs().max()))
        return self.raise_up(features, image, inside)

    def lowered(self, image: Tensor, inside: Tensor) -> Tensor:
        """The trunk's input."""
        return lower_image(image, inside, self.data.factors, self.data.downsampling)

    def raise_up(self, features: Any, image: Tensor, inside: Tensor) -> Union[Tensor, Sequence[Tensor]]:
        """The head's logits of what the trunk found; it sees the labelled slice of a stack, of the first channel."""
        middle = self.data.slices // 2  # channels come first, then their slices
        guide = head_image(image[:, middle : middle + 1], inside) if self.head.needs_image else None
        # Interpolation in half precision would move boundaries.
        exact = type(features)(features.logits.float(), features.features.float())
        return self.head(exact, guide, tuple(image.shape[2:]))

    def class_logits(self, logits: Tensor) -> Tensor:
        """A logit for each class; with sigmoids the background's is zero."""
        return functional.pad(logits, [0, 0] * (logits.ndim - 2) + [1, 0]) if self.shape.sigmoid else logits

    @torch.no_grad()
    def predict(self, case: Case, device: Optional[torch.device] = None) -> np.ndarray:
        """Class numbers (uint8, of the case's shape) of a whole case; the module is in evaluation afterwards."""
        self.eval()
        shape = case.label.shape
        step = [factor * self.divisor for factor in self.data.factors]
        flat = self.data.dimensions == 2
        size = shape[1:] if flat else shape
        least = self.data.crop if flat else (1,) * 3  # a scan that is deployed is padded at its end, and no more
        padded = [max(-(-n // s) * s, -(-edge // s) * s if flat else 0) for n, s, edge in zip(size, step, least)]
        missing = [p - n for p, n in zip(padded, size)]
        before = [m // 2 if flat else 0 for m in missing]
        pads = [(b, m - b) for b, m in zip(before, missing)]
        if flat:
            pads = [(0, 0), *pads]
        image = np.pad(case.image, [(0, 0), *pads])
        inside = np.pad(np.ones(shape, np.float32), pads)[None]
        found = self._slices(image, inside, device) if flat else self._labels(image[None], inside[None], device)[0]
        window = tuple(slice(b, b + n) for b, n in zip(before, size))
        return found[(slice(None), *window)] if flat else found[window]

    def _slices(self, image: np.ndarray, inside: np.ndarray, device: Optional[torch.device]) -> np.ndarray:
        made = []
        for first in range(0, image.shape[1], _SLICES_AT_A_TIME):
            stacks = [
                stack_at(image, inside, z, self.data)
                for z in range(first, min(first + _SLICES_AT_A_TIME, image.shape[1]))
            ]
            images, insides = (np.stack(parts) for parts in zip(*stacks))
            made.append(self._labels(images, insides, device))
        return np.concatenate(made)

    def _labels(self, image: np.ndarray, inside: np.ndarray, device: Optional[torch.device]) -> np.ndarray:
        device = device or next(self.parameters()).device
        logits = self(torch.from_numpy(image).to(device), torch.from_numpy(inside).to(device))
        last = logits if isinstance(logits, Tensor) else logits[-1]
        return self.class_logits(last).argmax(1).to(torch.uint8).cpu().numpy()


def _tuples(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Lists of a YAML file as the tuples that settings have."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
