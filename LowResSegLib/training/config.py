"""One training run as one YAML file."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from LowResSegLib.errors import InputError
from LowResSegLib.training.synthetic import SyntheticSettings
from LowResSegLib.training.yaml_files import read_yaml


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that a run depends on beside its data.

    Paths named here (`labels`, `start_from`, `teacher`) are relative to the YAML file's folder; data and output
    folders are given when the run is started, so that a run can go on elsewhere.
    """

    name: str
    labels: Path
    training_cases: list[str]
    validation_cases: list[str]
    widths: tuple[int, ...] = (16, 32, 64, 80)
    ternary: bool = True
    start_from: Optional[Path] = None  # small checkpoint whose weights the network starts with
    teacher: Optional[Path] = None  # small checkpoint of a float network of the same widths
    distillation: float = 0.5  # weight of the teacher's part of the loss
    steps: int = 10_000
    batch: int = 2
    learning_rate: float = 2e-3
    warm_up: int = 200
    class_weight_power: float = 0.25  # class weights in the cross-entropy: frequency to minus this power
    mixed_precision: bool = True  # bfloat16 where the processor or the GPU is faster with it
    channels_last: bool = True
    workers: int = 1
    validate_every: int = 1000
    validation_crops: int = 16
    statistics_batches: int = 100  # for batch norm, re-estimated at the end of a ternary run
    seed: int = 0
    synthetic: SyntheticSettings = field(default_factory=SyntheticSettings)

    @classmethod
    def read(cls, path: Path) -> TrainingConfig:
        """Read a YAML file; raises InputError naming what is wrong, unknown or missing in it."""
        raw: dict[str, Any] = read_yaml(path, dict)
        folder = Path(path).resolve().parent
        known = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(raw) - known)
        if unknown:
            raise InputError(f"{path}: unknown settings {', '.join(unknown)}.")
        for key in ("labels", "start_from", "teacher"):
            if raw.get(key):
                raw[key] = folder / raw[key]
        try:
            raw["synthetic"] = SyntheticSettings(**raw.get("synthetic", {}))
            raw["widths"] = tuple(raw.get("widths", cls.widths))
            return cls(**raw)
        except TypeError as error:
            raise InputError(f"{path}: {error}.") from error
