"""One run on real data as one YAML file: data, network, head, losses, optimiser, schedule and augmentation."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, TypeVar

from LowResSegLib.errors import InputError
from LowResSegLib.sampling import GridSettings, Normalisation
from LowResSegLib.training.yaml_files import read_yaml

DOWNSAMPLING = ("triangle", "area", "nearest")
LOSSES = ("dice_ce", "cross_entropy", "bce_levels")
SCHEDULES = ("cosine", "constant", "decay")
PRECISIONS = ("32", "bf16", "16")

_Settings = TypeVar("_Settings")


@dataclass(frozen=True)
class DataSettings:
    """From a case's files to what the network and its head see. Sizes and factors are in the order z, y, x.

    Attributes:
        dimensions: 2 (slices along z of the oriented volume, or stacks of them) or 3.
        factor: edge of a low-resolution voxel in high-resolution ones; one number, or one along each axis. Slices are
            not brought down along z.
        crop: size of a training crop, in high-resolution voxels: (y, x) for slices, (z, y, x) for volumes; a multiple
            of `factor` and of what the network halves.
        spacing: of the high-resolution grid in mm, the same along each axis; None keeps each scan's own.
        orientation: three letters: where the x, y and z index increase to.
        downsampling: `triangle` (what is deployed), `area` (the mean of a low-resolution voxel) or `nearest` (one of
            its voxels, as J-Net's published code).
        normalisation: of each channel, as deployed.
        slices, slice_step: a stack for 2.5-D has so many slices, each `slice_step` further on; its label is the
            middle one's.
        foreground: share of training crops or slices that are centred on, or hold, a labelled voxel.
        merge: label values that count as one, as {2: 1}.
        cache: this many cases are kept in memory; the others are read when they are drawn.
    """

    dimensions: int = 3
    factor: Any = 2
    crop: tuple[int, ...] = (64, 64, 64)
    spacing: Optional[float] = None
    orientation: str = "RAS"
    downsampling: str = "triangle"
    normalisation: Normalisation = field(default_factory=Normalisation)
    slices: int = 1
    slice_step: int = 1
    foreground: float = 0.67
    merge: Mapping[int, int] = field(default_factory=dict)
    cache: int = 400

    def __post_init__(self) -> None:
        """Check the values; raises ValueError."""
        if self.dimensions not in (2, 3):
            raise ValueError(f"dimensions is 2 or 3, not {self.dimensions!r}")
        _choice("downsampling", self.downsampling, DOWNSAMPLING)
        crop = tuple(self.crop)
        if len(crop) != self.dimensions or not all(isinstance(edge, int) and edge > 0 for edge in crop):
            raise ValueError(f"crop has {self.dimensions} whole numbers, not {list(crop)}")
        object.__setattr__(self, "crop", crop)
        if not all(isinstance(factor, int) and 1 <= factor <= 64 for factor in self.factors):
            raise ValueError(f"factor is a whole number from 1 to 64, not {self.factor!r}")
        if any(edge % factor for edge, factor in zip(crop, self.factors)):
            raise ValueError(f"crop {list(crop)} must be a multiple of factor {self.factor}")
        for name in ("slices", "slice_step", "cache"):
            _number(name, getattr(self, name), 1)
        if self.slices > 1 and self.dimensions == 3:
            raise ValueError("slices above 1 make stacks for dimensions: 2")
        _number("foreground", self.foreground, 0, 1)
        if self.spacing is not None:
            _number("spacing", self.spacing, 1e-2, 100)
        GridSettings(1.0, self.orientation)

    @property
    def factors(self) -> tuple[int, ...]:
        """The factor along each axis of the network's input."""
        if isinstance(self.factor, (list, tuple)):
            if len(self.factor) != self.dimensions:
                raise ValueError(f"factor has {self.dimensions} numbers, not {list(self.factor)}")
            return tuple(self.factor)
        return (self.factor,) * self.dimensions


@dataclass(frozen=True)
class AugmentationSettings:
    """MONAI's random transforms of a whole case. Angles in degrees, shifts in voxels; 0 leaves a transform out.

    An augmented case serves `reuse` crops or slices before it is made anew; `pool` of them are kept at a time, so
    that a batch mixes cases.
    """

    rotation: Any = 12.0  # at most, about each axis; or three numbers, about z, y, x
    scaling: float = 0.12
    shift: float = 3.0
    flips: tuple[int, ...] = ()  # axes (0 z, 1 y, 2 x), each flipped in half of the cases
    gain: float = 0.2
    offset: float = 5.0  # of the levels 0 to 127
    gamma: float = 0.2  # spread about 1
    noise: float = 3.0
    blur: float = 0.0
    share: float = 0.8  # of the cases that are turned, scaled and shifted
    reuse: int = 1
    pool: int = 16

    def __post_init__(self) -> None:
        """Check the values; raises ValueError."""
        object.__setattr__(self, "flips", tuple(self.flips))
        if not set(self.flips) <= {0, 1, 2}:
            raise ValueError(f"flips are axes out of 0, 1 and 2, not {list(self.flips)}")
        for name in ("scaling", "shift", "gain", "offset", "gamma", "noise", "blur", "share"):
            _number(name, getattr(self, name), 0)
        if len(self.rotations) != 3:
            raise ValueError("rotation is one number, or three for z, y and x")
        for name in ("reuse", "pool"):
            _number(name, getattr(self, name), 1)

    @property
    def rotations(self) -> tuple[float, ...]:
        """Largest angle about each axis, in degrees."""
        one = not isinstance(self.rotation, (list, tuple))
        return (float(self.rotation),) * 3 if one else tuple(float(angle) for angle in self.rotation)


@dataclass(frozen=True)
class LossSettings:
    """Of the head's logits at high resolution.

    `dice_ce` is MONAI's DiceCELoss, `cross_entropy` its second half, with `class_weights` if given. `bce_levels` is
    J-Net's: the sum of binary cross-entropies over all levels of the head, each against the labels brought to its
    size; other heads have one level. `low_resolution` is the loss on the network's own logits against labels that are
    brought down by area, which the controls trained at low resolution need; the head is left out of it.
    """

    kind: str = "dice_ce"
    class_weights: Optional[tuple[float, ...]] = None
    low_resolution: bool = False

    def __post_init__(self) -> None:
        """Check the values; raises ValueError."""
        _choice("kind", self.kind, LOSSES)
        if self.class_weights is not None:
            object.__setattr__(self, "class_weights", tuple(float(weight) for weight in self.class_weights))


@dataclass(frozen=True)
class OptimiserSettings:
    """Adam. `cosine` ends at zero, `decay` multiplies the rate by `decay` at the start of each epoch."""

    learning_rate: float = 2e-3
    schedule: str = "cosine"
    warm_up: int = 50  # steps
    decay: float = 0.9
    weight_decay: float = 0.0
    gradient_clip: float = 5.0

    def __post_init__(self) -> None:
        """Check the values; raises ValueError."""
        _choice("schedule", self.schedule, SCHEDULES)
        _number("learning_rate", self.learning_rate, 1e-8, 10)

    def factor(self, step: int, steps: int, epoch_steps: int) -> float:
        """What the learning rate is multiplied by at a step of a run."""
        warmth = min(1.0, (step + 1) / self.warm_up) if self.warm_up else 1.0
        if self.schedule == "cosine":
            return warmth * 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, steps))))
        return warmth * (self.decay ** (step // epoch_steps + 1) if self.schedule == "decay" else 1.0)


@dataclass(frozen=True)
class SplitSettings:
    """Folds drawn by case (`splits.make_splits`), or those of a file (nnU-Net's splits_final.json is one)."""

    fold: int = 0
    folds: int = 5
    seed: int = 0
    test_fraction: float = 0.0
    test_cases: tuple[str, ...] = ()
    file: Optional[Path] = None


@dataclass(frozen=True)
class RunConfig:
    """Everything that a run depends on beside its data.

    `network` and `head` are those of `networks.NetworkSettings` and `networks.HeadSettings`; what follows from the data
    (dimensions, channels, factor) is not written there. Paths (`teacher`, `start_from`, `split.file`) are relative to
    the YAML file's folder.
    """

    name: str
    data: DataSettings
    network: Mapping[str, Any]
    head: Mapping[str, Any] = field(default_factory=lambda: {"name": "linear"})
    loss: LossSettings = field(default_factory=LossSettings)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)
    split: SplitSettings = field(default_factory=SplitSettings)
    labels: Mapping[int, str] = field(default_factory=dict)  # where the data set declares none
    card: Mapping[str, Any] = field(default_factory=dict)  # of the model file
    teacher: Optional[Path] = None  # small checkpoint of a network of the same classes
    distillation: float = 0.5  # weight of the teacher's part of the loss
    start_from: Optional[Path] = None  # small checkpoint of a network of the same shape
    head_only: bool = False  # the trunk stays as it is
    beta: tuple[float, float] = (3.0, 8.0)  # of soft ternary activations: at the first and at the last step
    steps: Optional[int] = None
    epochs: Optional[int] = None
    steps_per_epoch: int = 250
    batch: int = 2
    precision: str = "32"
    validate_every: Optional[int] = None  # steps; an epoch where it is not given
    statistics_batches: int = 0  # for batch norm, re-estimated at the end of the run
    workers: int = 0
    tensorboard: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values; raises ValueError."""
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs")
        for name in ("steps_per_epoch", "batch"):
            _number(name, getattr(self, name), 1)
        _choice("precision", str(self.precision), PRECISIONS)
        object.__setattr__(self, "precision", str(self.precision))
        object.__setattr__(self, "beta", tuple(float(value) for value in self.beta))

    @property
    def all_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.steps if self.steps is not None else (self.epochs or 0) * self.steps_per_epoch

    @classmethod
    def read(cls, path: Path) -> RunConfig:
        """Read a YAML file; raises InputError naming what is wrong, unknown or missing in it."""
        raw: dict[str, Any] = read_yaml(path, dict)
        folder = Path(path).resolve().parent
        for key in ("teacher", "start_from"):
            if raw.get(key):
                raw[key] = folder / raw[key]
        try:
            split = dict(raw.get("split") or {})
            if split.get("file"):
                split["file"] = folder / split["file"]
            return cls.from_dict({**raw, "split": split})
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}: {str(error).rstrip('.')}.") from error

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> RunConfig:
        """Make a configuration of nested mappings; raises ValueError or TypeError naming what is wrong."""
        values = dict(raw)
        parts = {
            "data": DataSettings,
            "loss": LossSettings,
            "optimiser": OptimiserSettings,
            "augmentation": AugmentationSettings,
            "split": SplitSettings,
        }
        for name, kind in parts.items():
            given = dict(values.get(name) or {})
            if name == "data" and "normalisation" in given:
                given["normalisation"] = _make(Normalisation, given["normalisation"], "data.normalisation")
            values[name] = _make(kind, given, name)
        if not isinstance(values.get("network"), Mapping) or "name" not in values["network"]:
            raise ValueError("network needs a name, such as unet")
        return _make(cls, values, "")


def _make(kind: type[_Settings], values: Mapping[str, Any], where: str) -> _Settings:
    """A dataclass of a mapping; what it does not know is named."""
    unknown = sorted(set(values) - {entry.name for entry in dataclasses.fields(kind)})  # type: ignore[arg-type]
    if unknown:
        raise ValueError(f"unknown settings {', '.join(unknown)}{' in ' + where if where else ''}")
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where + ': ' if where else ''}{error}") from error


def _choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is one of {', '.join(choices)}, not {value!r}")


def _number(name: str, value: object, least: float, most: float = math.inf) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise ValueError(f"{name} is a number from {least:g} to {most:g}, not {value!r}")
