"""Random fusions, and scans for them."""

from __future__ import annotations

import numpy as np

from LowResSegLib.model import Fusion
from LowResSegLib.model.fusion import MAX_AIR, MAX_FLOOR, MAX_HALF_LIFE, MAX_LEAD_REACH, MAX_TAP
from LowResSegLib.model.plan import MAX_LOGIT
from LowResSegLib.sampling import LowResolution, Orientation, Scan

KINDS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64", "bool", "int64")


def random_fusion(rng: np.random.Generator) -> Fusion:
    """Any numbers that a model file may have; corrections are of all magnitudes."""
    leads, ratios = 2 * int(rng.integers(1, 20)) + 1, 2 * int(rng.integers(1, 10)) + 1
    shift = int(rng.integers(0, (MAX_LEAD_REACH // (leads // 2)).bit_length()))
    most = int(rng.choice([3, 100, MAX_LOGIT]))
    half_life = int(2 ** rng.uniform(0, np.log2(MAX_HALF_LIFE)))
    floor = int(2 ** rng.uniform(0, np.log2(MAX_FLOOR)))
    air = int(rng.choice([0, 1, 300, MAX_AIR - 1]))
    smoothing = rng.integers(1, MAX_TAP + 1, int(rng.integers(1, 20)))
    corrections = rng.integers(-most, most + 1, (ratios, ratios, leads)).astype(np.int16)
    return Fusion(corrections, shift, half_life, floor, air, tuple(int(tap) for tap in smoothing))


def random_scan(rng: np.random.Generator, shape: tuple[int, ...], orientation: Orientation, kind: str) -> Scan:
    """A scan of this shape in the model's orientation; many of its values lie in the middle between two levels."""
    stored = orientation.undo(np.broadcast_to(np.uint8(0), shape)).shape
    values = rng.integers(0, 2 if kind == "bool" else 127, stored).astype(kind)
    if kind.startswith("float"):
        values = (rng.integers(-20, 300, stored) / 2).astype(kind)
    low, scale = np.float32(rng.choice([0.0, 3.25, 10.5])), np.float32(rng.choice([1.0, 0.5, 1.7]))
    return Scan(orientation.apply(values), low, scale, (5.5, 90.0) if rng.random() < 0.5 else None)


def random_low_resolution(
    rng: np.random.Generator,
    grid: tuple[int, ...],
    used: tuple[int, ...],
    source: tuple[int, ...],
    spacings: tuple[int, ...],
    spacing: int,
    orientation: Orientation,
) -> LowResolution:
    """A random grid and scan of these sizes, as `sampling.sample` would give them."""
    scan = random_scan(rng, source, orientation, str(rng.choice(KINDS)))
    levels = rng.integers(0, 128, grid).astype(np.uint8)
    return LowResolution(levels, used, orientation, source, spacings, spacing, scan)
