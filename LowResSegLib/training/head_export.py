"""From a trained fusion head to the numbers of a model file, and how much their labels differ from the head's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from LowResSegLib.errors import InputError
from LowResSegLib.model import Fusion
from LowResSegLib.model.fusion import (
    MAX_AIR,
    MAX_FLOOR,
    MAX_HALF_LIFE,
    MAX_LEAD_REACH,
    MAX_LEADS,
    MAX_SMOOTHING,
    MAX_TAP,
)
from LowResSegLib.model.plan import MAX_LOGIT
from LowResSegLib.networks.heads.base import Head
from LowResSegLib.networks.heads.fusion import FusionHead
from LowResSegLib.networks.heads.likelihood import LIMIT
from LowResSegLib.networks.ternary import INTENSITY_SCALE
from LowResSegLib.networks.trunk import Features
from LowResSegLib.reconstruction import reconstruct
from LowResSegLib.sampling import LowResolution, Orientation, Scan

# A class that is farther behind the best one than this, in logits, takes no part. On hippocampi labels were the same
# with 2 logits as with 6, but for a thousandth of the foreground.
REACH = 3.0
RATIOS = 33  # half as many doubled the differences from the head
TOLERANCE = 0.02  # of the voxels of structures in the scan of `check_fusion`
_LEAD_STEP = 0.4  # at most, in logits


def fusion_of(head: FusionHead, unit: float) -> Fusion:
    """The numbers of a model file.

    Args:
        head: trained.
        unit: an integer logit of the model is this much of a logit as trained.

    Raises:
        InputError: the head has an option that model files do not have.
    """
    if head.guided is not None or head.model != "histogram" or head.near:
        raise InputError("A model file has the head fusion without the options guided, model and near.")
    shift = max(0, min(11, math.floor(math.log2(_LEAD_STEP / unit))))
    steps = max(1, min(math.ceil(REACH / (unit * 2**shift)), MAX_LEADS // 2, MAX_LEAD_REACH >> shift))
    lead = (torch.arange(2 * steps + 1) - steps) * (unit * 2**shift)
    ratio = torch.linspace(-LIMIT, LIMIT, RATIOS)
    here, known, leads = torch.meshgrid(ratio, ratio, lead, indexing="ij")
    with torch.no_grad():
        added = head.cpu().correction(leads, here, known) / unit
        temperature, floor, width, air = (
            float(number.detach().exp())
            for number in (head.log_temperature, head.log_floor, head.log_width, head.log_air)
        )
    taps = np.rint(MAX_TAP * np.exp(-0.5 * (np.arange(MAX_SMOOTHING) / width) ** 2)).astype(int)
    return Fusion(
        added.round().clamp(-MAX_LOGIT, MAX_LOGIT).numpy().astype(np.int16),
        shift,
        int(np.clip(round(16 * temperature * math.log(2) / unit), 1, MAX_HALF_LIFE)),
        int(np.clip(round(256 * floor), 1, MAX_FLOOR)),
        int(np.clip(round(256 * air), 0, MAX_AIR)),
        tuple(int(tap) for tap in taps[: np.flatnonzero(taps)[-1] + 1]),
    )


@dataclass(frozen=True)
class Differences:
    """How labels differ, as shares of the voxels that a structure has.

    Attributes:
        deployed: those of the model's integers from those of the head.
        linear: those of linear interpolation from those of the head: what the head does at all.
    """

    deployed: float
    linear: float


@torch.no_grad()
def differences(
    head: Head, fusion: Fusion, unit: float, logits: np.ndarray, image: np.ndarray, grid: np.ndarray
) -> Differences:
    """Compare the labels of a model's integers with those of the trained head.

    Args:
        head: a fusion head.
        fusion: what `fusion_of` made of it.
        unit: see `fusion_of`.
        logits: float32 (classes, z, y, x) at low resolution, in the head's unit.
        image: (z, y, x) at high resolution, levels.
        grid: uint8 (z, y, x), the image at low resolution.
    """
    size = image.shape
    coarse = torch.from_numpy(np.ascontiguousarray(logits, np.float32))[None]
    levels = np.clip(np.rint(image), 0, 127).astype(np.float32)
    fine = torch.from_numpy(levels)[None, None] / INTENSITY_SCALE
    features = Features(coarse, coarse)
    wanted = head.eval()(features, fine, size).argmax(1)[0].numpy()
    plain = functional.interpolate(
        coarse, [n * f for n, f in zip(logits.shape[1:], head.factors)], mode="trilinear", align_corners=False
    ).argmax(1)[0][tuple(slice(0, n) for n in size)]
    straight = Orientation((0, 1, 2), (False,) * 3)
    scan = Scan(levels, np.float32(0), np.float32(1))
    factor = head.factors[0]
    low = LowResolution(grid, grid.shape, straight, size, (1, 1, 1), factor, scan)
    whole = np.clip(np.rint(logits / unit), -MAX_LOGIT, MAX_LOGIT).astype(np.int16)
    found = reconstruct(whole, low, fusion=fusion)
    inside = max(1, int(np.count_nonzero(wanted)))
    return Differences(
        float(np.count_nonzero(found != wanted)) / inside, float(np.count_nonzero(plain.numpy() != wanted)) / inside
    )


def check_fusion(head: Head, fusion: Fusion, unit: float) -> Differences:
    """Compare the labels of a made-up scan: soft balls in noise, whose logits are those of a network that blurs.

    Raises:
        ValueError: more than `TOLERANCE` of the structures' voxels have another label than by the trained head.
    """
    classes = head.classes
    rng = np.random.default_rng(0)
    factor = np.array(head.factors)
    size = tuple(int(n) for n in 12 * factor)
    places = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), -1)
    label = np.zeros(size, int)
    for number in range(1, classes):
        centre, radius = rng.uniform(0.25, 0.75, 3) * size, 0.25 * min(size)
        label[((places - centre) ** 2).sum(-1) < radius**2] = number
    image = np.clip(20 + 80 * label / max(1, classes - 1) + rng.normal(0, 6, size), 0, 127).astype(np.float32)
    blocks = [part for n, f in zip(size, factor) for part in (n // f, f)]

    def coarse(values: np.ndarray) -> np.ndarray:
        return np.asarray(values.reshape(blocks).mean((1, 3, 5)))

    shares = np.stack([coarse(label == number) for number in range(classes)])
    logits = np.clip(np.log(shares + 0.02) + rng.normal(0, 0.5, shares.shape), -MAX_LOGIT * unit, MAX_LOGIT * unit)
    found = differences(head, fusion, unit, logits, image, np.rint(coarse(image)).astype(np.uint8))
    if found.deployed > TOLERANCE:
        share = f"{found.deployed:.1%} of the structures' voxels"
        raise ValueError(f"The exported model has other labels than the trained head, as many as {share}.")
    return found
