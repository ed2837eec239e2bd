"""What the table shows about the goals, with its numbers, and what was tried where one is missed."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from benchmarks.experiments import plan
from benchmarks.experiments.goals import RUNTIMES, time_goal
from benchmarks.experiments.goals import points as front_points
from benchmarks.experiments.results import MISSING, Results


def findings(results: Results) -> str:
    """Paragraphs of Markdown."""

    def points(arm: str, other: str) -> str:
        return results.difference(f"b/{arm}", f"b/{other}")

    def heads(head: str, other: str, size: int, trunk: str = "elu_net") -> str:
        return results.difference(f"a/{trunk}/{head}/{size}", f"a/{trunk}/{other}/{size}")

    def trunks(head: str, size: int) -> str:
        return ", ".join(f"{trunk} {heads(head, 'linear', size, trunk)}" for trunk in plan.TRUNKS)

    def least_and_most(head: str) -> str:
        arms = [(f"a/{trunk}/{head}/{size}", f"a/{trunk}/linear/{size}") for trunk in plan.TRUNKS for size in (16, 32)]
        gains = [found[0] for found in (results.interval(*pair) for pair in arms) if found is not None]
        return f"{min(gains):+.2f} to {max(gains):+.2f}" if len(gains) == len(arms) else MISSING

    def best(among: Iterable[str]) -> str:
        gains = {head: results.interval(f"a/unet/{head}/16", "a/unet/linear/16") for head in among}
        found = {head: gain[0] for head, gain in gains.items() if gain is not None}
        name = max(found, key=lambda head: found[head], default=MISSING)
        return f"{name} ({heads(name, 'linear', 16, 'unet')})" if found else MISSING

    said = [
        f"""**Ternary against float.** After the same steps from the same float network ternary is at
        {points("ternary/half", "float/half-long")} points, after three times as many at
        {points("ternary/half-longer", "float/half-longer")}: it learns more slowly, and float gains nothing more by
        then: {points("float/half-longer", "float/half-long")}. A float network to start from and to learn from changes
        little in runs this short: without one ternary is at {points("ternary/half-scratch", "ternary/half")} against
        ternary with one. Ternary weights with activations in float are at
        {points("ternary_weights/half", "float/half-long")}, binary weights and activations at
        {points("binary/half", "float/half-long")}; TernaryNet's continuation changes ternary by
        {points("continuation/half", "ternary/half")}, and soft activations without it by
        {points("no-continuation/half", "ternary/half")}.""",
        f"""**Half the resolution.** Float at full resolution is {points("float/full", "float/half-long")} points above
        float at half: about what there is to give back at a factor of 2. The fusion head gives
        {points("ternary/half-fusion", "ternary/half")} to a ternary network and
        {points("float/half-fusion", "float/half")} to float, the J head {points("float/half-j", "float/half")}. At a
        quarter of the resolution float is at {points("float/quarter", "float/full")} against full, and ternary, which
        went on from it, at {points("ternary/quarter", "float/quarter")} against that; the fusion head gives
        {points("ternary/quarter-fusion", "ternary/quarter")} to ternary and
        {points("float/quarter-fusion", "float/quarter")} to float, the J head
        {points("float/quarter-j", "float/quarter")}.""",
        f"""**Heads.** At inputs of 16, a factor of 4, the image tells the fusion head where a boundary runs inside a
        low-resolution pixel. Over linear upsampling that is trained at high resolution it gains:
        {trunks("fusion", 16)}. At inputs of 32 there is less left to tell: {trunks("fusion", 32)}. Of the heads that do
        not see the image J-Net's gains {least_and_most("j")}, and shuffle {least_and_most("shuffle")}, over all trunks
        and both sizes. Tried, on U-Net at 16: every head that the library has; the best but fusion is
        {best(head for head in plan.HEADS if head not in ("linear", "fusion"))}.""",
        f"""**J-Net's gain.** J-Net's abstract reports +5.5 %, and leaves open of what measure and over which
        baseline. In its published way linear upsampling trained at high resolution gains
        {heads("published-linear", "published-base", 16)} points over the same network trained at low resolution and
        enlarged by nearest neighbour at inputs of 16, {heads("published-linear", "published-base", 32)} at 32; it has
        no parameter. The J head gains {heads("published-j", "published-base", 16)} and
        {heads("published-j", "published-base", 32)} after these {plan.STEPS_2D:,} steps at a constant rate; its seeds
        are far apart ({results.dice("a/elu_net/published-j/16")} and {results.dice("a/elu_net/published-j/32")}), so
        longer runs may differ. With this table's own loss and schedule the J head is at {heads("j", "linear", 16)} and
        {heads("j", "linear", 32)} over linear: what is gained here comes with linear upsampling and labels at high
        resolution, not with the head.""",
        _front(results),
    ]
    return "\n\n".join(textwrap.fill(" ".join(text.split()), 118, break_on_hyphens=False) for text in said)


def _front(results: Results) -> str:
    """Where ternary is ahead of float in the same time, and where not."""

    def against_float(longer: bool) -> str:
        found = front_points(results, longer)
        if found is None:
            return MISSING
        return "; ".join(
            f"{width} channels: {ternary.milliseconds / in_float.milliseconds:.2f} of the time of {in_float.runtime}, "
            f"{ternary.dice - in_float.dice:+.1f} points"
            for width, in_float, ternary in zip(plan.LONGER if longer else plan.FRONT, found["float"], found["ternary"])
        )

    def of_float32(longer: bool) -> str:
        return time_goal(results, longer, [runtime for runtime in RUNTIMES if runtime.endswith("float32")])[0]

    def gain(kind: str, width: int) -> str:
        return results.difference(plan.front_arm(kind, width, True), plan.front_arm(kind, width))

    def gains(kind: str) -> str:
        return ", ".join(f"{width} channels {gain(kind, width)}" for width in plan.LONGER)

    return f"""**The front.** Against the same network in the fastest runtime of float, ternary has after
        {plan.STEPS_3D:,} steps ({against_float(False)}), after {3 * plan.STEPS_3D:,} ({against_float(True)}). On a grid
        this small, half of a narrow network's time is not ternary convolutions, and float with fewer channels in int8
        saves about as much and loses less. Against float32 in the faster runtime the best ternary network in float's
        time is at ({of_float32(False)}) points, after {3 * plan.STEPS_3D:,} steps at ({of_float32(True)}). Tried:
        widths; more zeros, which (c) shows; longer training, after which float networks gain, too: {gains("float")};
        ternary ones: {gains("ternary")}. How much faster the engine is on larger grids is in
        [performance.md](performance.md)."""
