"""What was to be reached, against what was found; and the front of Dice against time."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple, Optional

import numpy as np

from benchmarks.experiments import plan
from benchmarks.experiments.results import MISSING, Results, markdown

RUNTIMES = ("ORT float32", "OpenVINO float32", "ORT int8", "OpenVINO int8")


def front_arms(longer: bool = False) -> list[tuple[str, int, str]]:
    """Kind, width and arm of each point of the front; of those after three times as many steps if `longer`."""
    widths = plan.LONGER if longer else plan.FRONT
    return [(kind, width, plan.front_arm(kind, width, longer)) for kind in ("float", "ternary") for width in widths]


def int8_of(arm: str) -> str:
    """The arm of a float arm's networks in int8."""
    return f"{arm}/int8"


def arm_in(arm: str, runtime: str) -> str:
    """The arm whose Dice a float network has in a runtime."""
    return int8_of(arm) if runtime.endswith("int8") else arm


def goals(results: Results) -> str:
    """What was to be reached, and what was found."""

    def verdict(found: Optional[tuple[float, float, float]], least: float) -> str:
        if found is None:
            return MISSING
        return ("reached" if found[0] >= least else f"missed by {least - found[0]:.2f}") + (
            ", and the interval lies above it" if found[1] >= least else ""
        )

    def text(found: Optional[tuple[float, float, float]]) -> str:
        return MISSING if found is None else "{:+.2f} ({:+.2f} to {:+.2f})".format(*found)

    rows = []
    for name, steps in (("long", plan.STEPS_3D), ("longer", 3 * plan.STEPS_3D)):
        same = results.interval("b/ternary/half" + ("-longer" if name == "longer" else ""), f"b/float/half-{name}")
        goal = "ternary within 1.0 point of the same network in float (both went on from one float network for"
        rows.append([f"{goal} {steps:,} steps)", text(same), verdict(same, -1)])
    for name, steps in (("", plan.STEPS_3D), ("-longer", 3 * plan.STEPS_3D)):
        full = results.interval(f"b/ternary/half-fusion{name}", "b/float/full")
        goal = f"ternary at half resolution with our head, after {steps:,} steps, within 2 points of float at full"
        rows.append([f"{goal} resolution after {plan.STEPS_FULL:,}", text(full), verdict(full, -2)])
    # Our heads with and without the image, chosen on cases that this table has not; J-Net's own trunk comes first.
    trunks = sorted(plan.TRUNKS, key=lambda trunk: trunk != "elu_net")
    for size, head, trunk in itertools.product((16, 32), ("fusion", "shuffle"), trunks):
        j, ours = (results.interval(f"a/{trunk}/{name}/{size}", f"a/{trunk}/linear/{size}") for name in ("j", head))
        least = None if j is None else (2 * j[0] if j[1] > 0 else 1.0)  # it gains nothing where the interval has 0
        rows.append([
            f"{head} head, input {size}, {trunk}: twice the J head's gain over linear, or +1.0 where it has none "
            f"(J: {text(j)})",
            text(ours), MISSING if least is None else verdict(ours, least),
        ])  # fmt: skip
    for longer, steps in ((False, plan.STEPS_3D), (True, 3 * plan.STEPS_3D)):
        widths = plan.LONGER if longer else plan.FRONT
        steps_of = f"{steps:,} steps, " + ("both went on from float" if longer else "ternary went on from float")
        goal = "at every time that float needs, ternary ahead, or equal in a third of the time (2 threads, (c) and (d),"
        rows.append([f"{goal} {widths[0]} to {widths[-1]} channels, {steps_of})", *time_goal(results, longer)])
    rows.append(["weights at least 93 % smaller than in float32, at each width of the front", *size_goal(results)])
    return markdown(["goal", "points (95 %)", "verdict"], rows)


def weight_bytes(results: Results, width: int) -> Optional[tuple[int, int, float]]:
    """Bytes of a ternary network's weights in float32 and in its file, and by how many percent fewer those are."""
    arm = plan.front_arm("ternary", width)
    measured, found = results.times.get((arm, "")), results.seeds(arm)
    if measured is None or not found:
        return None
    whole = 4 * found[0]["parameters"]
    return whole, measured["bytes"], 100 * (1 - measured["bytes"] / whole)


def size_goal(results: Results) -> list[str]:
    """By how much the weights of each width are smaller."""
    sizes = {width: weight_bytes(results, width) for width in plan.FRONT}
    found = {width: each[2] for width, each in sizes.items() if each is not None}
    if len(found) < len(sizes):
        return [MISSING, MISSING]
    missed = [f"missed by {93 - percent:.1f} % at {width} channels" for width, percent in found.items() if percent < 93]
    said = "; ".join(f"{width} channels: {percent:.1f} %" for width, percent in found.items())
    return [said, "; ".join(missed) or "reached"]


class Point(NamedTuple):
    """A network of the front, float in its fastest runtime."""

    milliseconds: float  # on two threads
    dice: float
    runtime: str


def points(
    results: Results, longer: bool = False, runtimes: Sequence[str] = RUNTIMES
) -> Optional[dict[str, list[Point]]]:
    """Points of each kind, by width; None where one is missing."""
    found: dict[str, list[Point]] = {"float": [], "ternary": []}
    for kind, width, arm in front_arms(longer):
        keys = [(f"float/{width}", runtime) for runtime in runtimes]
        if kind == "ternary":
            keys = [(plan.front_arm(kind, width), "")]
        times = {key: results.times[key]["milliseconds"].get("2") for key in keys if key in results.times}
        if len(times) < len(keys) or None in times.values():
            return None
        fastest = min(times, key=lambda key: times[key])
        cases = results.by_case(arm_in(arm, fastest[1]))
        if cases is None:
            return None
        found[kind].append(Point(times[fastest], float(np.nanmean(cases)), fastest[1]))
    return found


def sparse_points(results: Results, longer: bool = False) -> Optional[list[Point]]:
    """Points of the ternary networks with other shares of zeros; None where one is missing."""
    found = []
    for threshold in plan.THRESHOLDS_LONGER if longer else plan.THRESHOLDS:
        measured = results.times.get((plan.threshold_arm(threshold), ""))
        cases = results.by_case(plan.threshold_arm(threshold, longer))
        if measured is None or cases is None:
            return None
        found.append(Point(measured["milliseconds"]["2"], float(np.nanmean(cases)), ""))
    return found


def time_goal(results: Results, longer: bool = False, runtimes: Sequence[str] = RUNTIMES) -> list[str]:
    """For each float width: the best ternary Dice within its time, and within a third of it, against its own."""
    found, sparse = points(results, longer, runtimes), sparse_points(results, longer)
    if found is None or sparse is None:
        return [MISSING, MISSING]
    ternary = [*found["ternary"], *sparse]
    said, reached = [], True

    def best_within(limit: float) -> float:
        return max((point.dice for point in ternary if point.milliseconds <= limit), default=-np.inf)

    for limit, dice, _ in found["float"]:
        ahead, third = best_within(limit) - dice, best_within(limit / 3) - dice
        reached &= ahead > 0 or third >= 0
        said.append(f"{limit:.2f} ms: {ahead:+.2f}" if np.isfinite(ahead) else f"{limit:.2f} ms: no ternary one")
    return ["; ".join(said), "reached" if reached else "missed"]
