"""The likelihood head with a pointwise network: no convolution at high resolution, so that in use it is a table."""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor, nn
from torch.nn import functional

from LowResSegLib.errors import InputError
from LowResSegLib.networks.heads.base import LEAD_LIMIT, leads
from LowResSegLib.networks.heads.guided import GuidedHead
from LowResSegLib.networks.heads.likelihood import LIMIT, LikelihoodHead
from LowResSegLib.networks.settings import HeadSettings
from LowResSegLib.networks.trunk import Features


class FusionHead(LikelihoodHead):
    """The likelihood head, and a small perceptron (3 -> 8 -> 1) that corrects its result voxel by voxel.

    The perceptron is the same for all classes, and reads a class's lead and its log-likelihood ratios, of the
    intensity here and of the one known at low resolution. What is added to a class's linearly upsampled logit is thus
    a function of three numbers (`correction_table`), and a scan's own table gives two of them by class and intensity.
    47 learnt numbers. It starts at linear.

    Options:
        guided: a fourth input, what the guided head would add; 26 learnt numbers more for the guided head, 8 for the
            input.
            There is then no table of three numbers.
    """

    OPTIONS = (*LikelihoodHead.OPTIONS, "guided")

    def __init__(self, settings: HeadSettings, classes: int, channels: int, dimensions: int) -> None:
        super().__init__(settings, classes, channels, dimensions)
        self.guided: Optional[GuidedHead] = None
        if self.option("guided", False):
            self.guided = GuidedHead(HeadSettings("guided", settings.factor), classes, channels, dimensions)
        self.enter, self.leave = nn.Linear(3 if self.guided is None else 4, 8), nn.Linear(8, 1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def fine(self, features: Features, image: Optional[Tensor]) -> Tensor:
        """See `Head.fine`."""
        assert image is not None
        logits = self.linear(features.logits)
        here, known = self.evidence(features.logits, image)
        detail = None if self.guided is None else self.guided.detail(features.logits, image)
        return logits + self.correction(leads(logits), here, known, detail)

    def correction(self, lead: Tensor, here: Tensor, known: Tensor, detail: Optional[Tensor] = None) -> Tensor:
        """What is added to logits, of the same shape as each of the inputs."""
        added = self.weight * (here - self.known * known)
        inputs = [lead, here, known]
        if self.guided is not None:
            assert detail is not None
            added = added + self.guided.strength * detail
            inputs.append(detail.clamp(-LIMIT, LIMIT))
        corrected: Tensor = self.leave(functional.relu(self.enter(torch.stack(inputs, -1))))
        return added + corrected[..., 0]

    def correction_table(self, lead_steps: int = 33, ratio_steps: int = 17) -> Tensor:
        """Corrections by lead, ratio here and ratio known, (lead_steps, ratio_steps, ratio_steps).

        Steps are of equal width, from -10 to 10 for leads and -5 to 5 for ratios, both ends included;
        odd numbers of steps have one at 0.

        Raises:
            InputError: the head has a fourth input.
        """
        if self.guided is not None:
            raise InputError("A fusion head with the option guided has no table of three numbers.")
        place = self.weight
        lead = torch.linspace(-LEAD_LIMIT, LEAD_LIMIT, lead_steps, device=place.device, dtype=place.dtype)
        ratio = torch.linspace(-LIMIT, LIMIT, ratio_steps, device=place.device, dtype=place.dtype)
        with torch.no_grad():
            return self.correction(*torch.meshgrid(lead, ratio, ratio, indexing="ij"))
