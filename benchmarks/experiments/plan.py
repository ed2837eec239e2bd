"""What is trained: the units of each part, in the order in which they are run.

(a) 2-D slices of the hippocampus at inputs of 16 and 32 with truth at 64 x 64, as in J-Net's regime; (b) volumes, float
against ternary and their controls; (c) the share of zeros; (d) widths. Parts (d) and (e) are timed and weighed by
`measure`. Thin first: early units answer the main questions with three seeds each, later ones add trunks, heads and
widths.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

FOLDER = Path(__file__).resolve().parent
SPLIT = FOLDER / "splits.json"  # 140 cases to train, 20 to look at while tuning, 48 that nothing but the table sees
SEEDS = (0, 1, 2)
# Raised whenever equal units would give other numbers; rows and checkpoints of before do not count.
PROTOCOL = 2
# For heads that read the scan's intensities padding was background until protocol 3; protocol 4 let them learn how much
# of it there is.
_LATER = {"fusion": 4, "likelihood": 4}
PARTS = ("a", "b", "c", "d")

STEPS_2D, STEPS_3D, STEPS_FULL = 1500, 3000, 3000
WIDTHS_2D, WIDTHS_3D = [16, 32, 64], [16, 32, 64]

HEADS = ("nearest", "linear", "j", "fusion", "likelihood", "shuffle", "residual", "guided", "bilateral", "blocks")
TRUNKS = {
    "unet": {"name": "unet", "widths": WIDTHS_2D},
    "elu_net": {"name": "elu_net"},
    "meshnet": {"name": "meshnet"},
    "unext": {"name": "unext"},
}
FRONT = (4, 8, 16, 32)  # widths of part (d), float and ternary
LONGER = (4, 8, 16)  # those that go on for three times as many steps; 32 would take an hour for each ternary network
THRESHOLDS = (0.3, 1.0, 1.3, 1.6)  # 0.7 is part (b)'s
THRESHOLDS_LONGER = (1.3,)  # those that go on for three times as many steps


def front_arm(kind: str, width: int, longer: bool = False) -> str:
    """The arm of a point of the front, `float` or `ternary`; part (b) has those of 16 channels."""
    return (f"b/{kind}/half" if width == 16 else f"d/{kind}/{width}") + ("-longer" if longer else "")


def threshold_arm(threshold: float, longer: bool = False) -> str:
    """The arm of a threshold of part (c), or of part (b)'s."""
    if threshold == 0.7:
        return front_arm("ternary", 16, longer)
    return f"c/threshold/{threshold:g}" + ("-longer" if longer else "")


def protocol_of(key: str) -> int:
    """The protocol of a unit or an arm, by its name."""
    return max((number for head, number in _LATER.items() if head in key), default=PROTOCOL)


def folder_of(runs: Path, key: str) -> Path:
    """The folder of a unit's run."""
    return runs / f"protocol-{protocol_of(key)}" / key


@dataclass(frozen=True)
class Unit:
    """One training run with its evaluation.

    Attributes:
        part: a to d.
        arm: what is varied, by name; `a/elu_net/linear/16`.
        seed: of weights and data.
        config: of `RunConfig.from_dict`, without split, seed and paths.
        teacher: arm whose checkpoint of the same seed is the teacher, or None.
        start: arm whose checkpoint of the same seed the weights come from, or None.
    """

    part: str
    arm: str
    seed: int
    config: Mapping[str, Any] = field(compare=False, hash=False)
    teacher: Optional[str] = None
    start: Optional[str] = None

    @property
    def key(self) -> str:
        """Its name in the table."""
        return f"{self.arm}/{self.seed}"

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys of the units that must be there before."""
        return tuple(f"{arm}/{self.seed}" for arm in dict.fromkeys((self.start, self.teacher)) if arm)


def _flat(
    factor: int, network: Mapping[str, Any], head: str, options: Optional[Mapping[str, Any]] = None, **changes: Any
) -> dict[str, Any]:
    """A run on slices."""
    config: dict[str, Any] = {
        "data": {"dimensions": 2, "factor": factor, "crop": [64, 64]},
        "network": {"precision": "float", **network},
        "head": {"name": head, "options": dict(options or {})},
        "augmentation": {"reuse": 16, "pool": 48},
        "steps": STEPS_2D,
        "batch": 16,
    }
    return _changed(config, changes)


def _solid(precision: str, width: int = 16, factor: int = 2, head: str = "linear", **changes: Any) -> dict[str, Any]:
    """A run on volumes."""
    config: dict[str, Any] = {
        "data": {"dimensions": 3, "factor": factor, "crop": [48, 64, 48] if factor > 1 else [40, 56, 40]},
        "network": {"name": "unet", "widths": [width, 2 * width, 4 * width], "precision": precision},
        "head": {"name": head},
        "augmentation": {"reuse": 4, "pool": 32},
        "steps": STEPS_3D if factor > 1 else STEPS_FULL,
        "batch": 2,
        "statistics_batches": 0 if precision == "float" else 40,
    }
    return _changed(config, changes)


def _changed(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    made = copy.deepcopy(dict(config))
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(made.get(key), dict):
            made[key] = {**made[key], **value}
        else:
            made[key] = value
    return made


# J-Net's published way: the input keeps one pixel of each block, one sigmoid for the whole hippocampus, the sum of
# binary cross-entropies over all levels, a constant rate. Batch and steps are this table's.
_PUBLISHED = {
    "data": {"downsampling": "nearest", "merge": {2: 1}},
    "loss": {"kind": "bce_levels"},
    "optimiser": {"learning_rate": 1e-3, "schedule": "constant", "warm_up": 0},
}


def _slices(trunk: str, size: int, arms: Iterator[str]) -> Iterator[Unit]:
    """Units of one trunk at one input size, arm by arm, each with all seeds."""
    network, factor = TRUNKS[trunk], 64 // size
    for arm in arms:
        if arm.startswith("published"):
            head = {"published-base": "nearest", "published-linear": "linear", "published-j": "j"}[arm]
            config = _flat(factor, network, head, **_PUBLISHED)
            config["loss"]["low_resolution"] = arm == "published-base"
        elif arm in ("nearest-low", "linear-low"):  # learnt at low resolution, as networks without a head are
            config = _flat(factor, network, arm.partition("-")[0], loss={"low_resolution": True})
        elif arm == "j-linear":
            config = _flat(factor, network, "j", {"start": "linear"})
        else:
            config = _flat(factor, network, arm)
        for seed in SEEDS:
            yield Unit("a", f"a/{trunk}/{arm}/{size}", seed, config)


def part_a() -> list[Unit]:
    """J-Net's trunk at 16 first, then at 32, then the other trunks; all heads on the U-Net at 16, where they differ."""
    main = ("linear", "j", "fusion", "shuffle", "published-base", "published-linear", "published-j")
    few = ("nearest", "linear", "j", "fusion", "shuffle")
    groups = [("elu_net", 16, main), ("elu_net", 32, main), ("unet", 16, HEADS), ("unet", 32, few)]
    groups += [("elu_net", 16, ("nearest", "nearest-low", "linear-low", "j-linear")), ("elu_net", 32, ("nearest",))]
    groups += [(trunk, size, few) for trunk in ("meshnet", "unext") for size in (16, 32)]
    return [unit for trunk, size, arms in groups for unit in _slices(trunk, size, iter(arms))]


def part_b() -> list[Unit]:
    """Float and ternary at half and a quarter of the resolution, with and without a head; float at full; controls."""
    float_half, taught = "b/float/half", {"teacher": "b/float/half"}
    from_quarter = {"teacher": "b/float/quarter", "start": "b/float/quarter"}
    rows: list[tuple[str, dict[str, Any], dict[str, str]]] = [
        ("b/float/half", _solid("float"), {}),
        ("b/ternary/half", _solid("ternary"), {**taught, "start": float_half}),
        ("b/ternary/half-fusion", _solid("ternary", head="fusion"), {**taught, "start": float_half}),
        ("b/float/quarter", _solid("float", factor=4), {}),
        ("b/float/quarter-fusion", _solid("float", factor=4, head="fusion"), {}),
        ("b/ternary/quarter-fusion", _solid("ternary", factor=4, head="fusion"), from_quarter),
        ("b/float/quarter-j", _solid("float", factor=4, head="j"), {}),
        ("b/float/full", _solid("float", factor=1), {}),
        ("b/ternary/quarter", _solid("ternary", factor=4), from_quarter),
        # Ternary goes on from float, so float going on for as many steps is its equal in training.
        ("b/float/half-long", _solid("float"), {"start": float_half}),
        ("b/ternary/half-longer", _solid("ternary", steps=3 * STEPS_3D), {**taught, "start": float_half}),
        ("b/float/half-longer", _solid("float", steps=3 * STEPS_3D), {"start": float_half}),
        (
            "b/ternary/half-fusion-longer",
            _solid("ternary", head="fusion", steps=3 * STEPS_3D),
            {**taught, "start": float_half},
        ),
        ("b/float/half-fusion", _solid("float", head="fusion"), {}),
        ("b/float/half-j", _solid("float", head="j"), {}),
        ("b/ternary/half-scratch", _solid("ternary"), {}),
        ("b/ternary_weights/half", _solid("ternary_weights"), {**taught, "start": float_half}),
        ("b/binary/half", _solid("binary"), {**taught, "start": float_half}),
        ("b/continuation/half", _solid("ternary_soft"), {**taught, "start": float_half}),
        ("b/no-continuation/half", _solid("ternary_soft", beta=[3.0, 3.0]), {**taught, "start": float_half}),
    ]
    return [Unit("b", arm, seed, config, **needs) for arm, config, needs in rows for seed in SEEDS]


def part_c() -> list[Unit]:
    """The ternary network of part (b) with other thresholds of its weights, which make other shares of zeros."""
    rows = [(threshold, False) for threshold in THRESHOLDS] + [(threshold, True) for threshold in THRESHOLDS_LONGER]
    return [
        Unit("c", threshold_arm(threshold, longer), seed, config, "b/float/half", "b/float/half")
        for threshold, longer in rows
        for steps in [STEPS_3D * (3 if longer else 1)]
        for config in [_solid("ternary", network={"weight_threshold": threshold}, steps=steps)]
        for seed in SEEDS
    ]


def part_d() -> list[Unit]:
    """Four widths of float and of ternary, some of them longer; those that part (b) has are not trained again."""
    units = []
    for width in FRONT:
        if width != 16:
            arm, config = f"d/float/{width}", _solid("ternary", width)
            units += [Unit("d", arm, seed, _solid("float", width)) for seed in SEEDS]
            units += [Unit("d", f"d/ternary/{width}", seed, config, arm, arm) for seed in SEEDS]
    for width in LONGER:
        if width != 16:
            start, in_float, ternary = f"d/float/{width}", _solid("float", width), _solid("ternary", width)
            in_float["steps"] = ternary["steps"] = 3 * STEPS_3D
            units += [Unit("d", front_arm("float", width, True), seed, in_float, start=start) for seed in SEEDS]
            units += [Unit("d", front_arm("ternary", width, True), seed, ternary, start, start) for seed in SEEDS]
    return units


def units(part: str) -> list[Unit]:
    """All units of a part in order."""
    return {"a": part_a, "b": part_b, "c": part_c, "d": part_d}[part]()


def unit_of(key: str) -> Unit:
    """A unit by its key."""
    return next(unit for unit in units(key[0]) if unit.key == key)
