"""Write docs/experiments.md, and its picture, from the tables. What is not there yet prints as missing.

python -m benchmarks.experiments.page
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.experiments import plan, table
from benchmarks.experiments.findings import findings
from benchmarks.experiments.goals import RUNTIMES, arm_in, front_arms, goals, weight_bytes
from benchmarks.experiments.results import MISSING, Results, markdown

PAGE = Path(__file__).resolve().parents[2] / "docs" / "experiments.md"
PICTURE = "pictures/experiments_front.png"
TIMES = plan.FOLDER / "times.jsonl"


def part_a(results: Results) -> str:
    """Heads on trunks, in slices."""
    texts = []
    for size in (16, 32):
        rows = []
        for trunk in plan.TRUNKS:
            arms = dict.fromkeys(
                u.arm for u in plan.units("a") if u.arm.startswith(f"a/{trunk}/") and u.arm.endswith(f"/{size}")
            )
            control = f"a/{trunk}/linear/{size}"
            for arm in arms:
                name = arm.split("/")[2]
                if name.startswith("published"):
                    continue
                gain = "" if arm == control else results.difference(arm, control)
                rows.append([
                    trunk, name, results.dice(arm), gain, results.mean(arm, "hd95"), results.number(arm, "parameters"),
                    results.number(arm, "head_parameters"), results.number(arm, "macs"),
                    results.milliseconds(arm, "trunk"), results.milliseconds(arm, "head"),
                ])  # fmt: skip
        head = [
            "trunk", "head", "Dice", "over linear (95 %)", "HD95, mm", "parameters", "of the head", "MACs a slice",
            "trunk, ms", "head, ms",
        ]  # fmt: skip
        texts.append(f"Input {size} x {size}, truth 64 x 64:\n\n{markdown(head, rows)}")
    rows = []
    for size in (16, 32):
        base, linear, j = (f"a/elu_net/published-{name}/{size}" for name in ("base", "linear", "j"))
        rows.append([
            str(size), results.dice(base), results.dice(linear), results.dice(j), results.difference(j, base),
            results.difference(j, linear),
        ])  # fmt: skip
    head = [
        "input",
        "low resolution, nearest",
        "linear, trained at high resolution",
        "J head",
        "J over nearest",
        "J over linear",
    ]
    published = (
        "J-Net's published way (ELU-Net of 16 channels, input by nearest neighbour, one sigmoid for the whole "
        "hippocampus, the sum of binary cross-entropies over all levels, a constant rate). Steps and batch are those "
        "of this table, not the published 200 epochs at a batch of 2:\n\n"
    )
    return "\n\n".join([*texts, published + markdown(head, rows)])


def part_b(results: Results) -> str:
    """Float against ternary, in volumes."""
    rows = [
        [
            arm[2:], results.dice(arm), results.mean(arm, "surface_dice", 3), results.mean(arm, "hd95"),
            "" if arm == "b/float/half-long" else results.difference(arm, "b/float/half-long"),
            "" if arm == "b/float/full" else results.difference(arm, "b/float/full"),
            results.number(arm, "parameters"), results.number(arm, "steps"),
        ]
        for arm in dict.fromkeys(unit.arm for unit in plan.units("b"))
    ]  # fmt: skip
    head = [
        "network", "Dice", "surface Dice, 1 mm", "HD95, mm", "over float/half-long (95 %)", "over float/full (95 %)",
        "parameters", "steps",
    ]  # fmt: skip
    return markdown(head, rows)


def part_c(results: Results) -> str:
    """Zeros."""
    rows = []
    arms = [(threshold, False) for threshold in sorted([*plan.THRESHOLDS, 0.7])]
    for threshold, longer in [*arms, *((threshold, True) for threshold in (0.7, *plan.THRESHOLDS_LONGER))]:
        arm = plan.threshold_arm(threshold, longer)
        found = [row["zeros"] for row in results.seeds(arm)]
        shares = [
            f"{100 * np.mean([zeros[key] for zeros in found]):.0f} %" if found else MISSING
            for key in ("weights", "activations")
        ]
        times = [results.milliseconds(plan.threshold_arm(threshold), n) for n in ("1", "2")]
        rows.append([f"{threshold:g}{', longer' if longer else ''}", *shares, results.dice(arm), *times])
    head = [
        "threshold, of the mean magnitude",
        "zeros, weights",
        "zeros, activations",
        "Dice",
        "ms, 1 thread",
        "ms, 2 threads",
    ]
    return markdown(head, rows)


def part_d(results: Results) -> str:
    """Dice against time."""
    rows = []
    for kind, width, arm in [*front_arms(), *front_arms(longer=True)]:
        longer = ", longer" if arm.endswith("longer") else ""
        for name, timed in _timed(kind, width):
            times = [results.milliseconds(timed[0], n, timed[1]) for n in ("1", "2")]
            rows.append([kind, f"{width}{longer}", name, results.dice(arm_in(arm, timed[1])), *times])
    return markdown(["network", "width", "runtime", "Dice", "ms, 1 thread", "ms, 2 threads"], rows)


def _timed(kind: str, width: int) -> list[tuple[str, tuple[str, str]]]:
    """Where networks of a kind and width run: the name, and arm and runtime of its line of times."""
    if kind == "ternary":
        return [("native", (plan.front_arm(kind, width), ""))]
    return [(runtime, (f"float/{width}", runtime)) for runtime in RUNTIMES]


def part_e(results: Results) -> str:
    """Size of the weights."""
    rows = []
    for width in plan.FRONT:
        found = weight_bytes(results, width)
        cells = [MISSING] * 3
        if found is not None:
            cells = [f"{found[0] / 1e3:.0f}", f"{found[1] / 1e3:.0f}", f"{found[2]:.1f} %"]
        rows.append([str(width), *cells])
    return markdown(["width", "float32, kB", "network.bin, kB", "smaller by"], rows)


def draw(results: Results, path: Path) -> bool:
    """The front as a picture; whether there is anything to draw."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    series: dict[tuple[str, bool], list[tuple[float, float, int]]] = {}
    for kind, width, arm in [*front_arms(), *front_arms(longer=True)]:
        for name, timed in _timed(kind, width):
            row, seeds = results.times.get(timed), results.by_seed(arm_in(arm, timed[1]))
            if row is None or not len(seeds):
                continue
            label = "ternary, native engine" if kind == "ternary" else f"float, {name}"
            point = row["milliseconds"]["2"], 100 * float(seeds.mean()), width
            series.setdefault((label, arm.endswith("longer")), []).append(point)
    colours: dict[str, str] = {}
    for (label, longer), found in series.items():
        style = "o-" if "ternary" in label else "s--"
        (line,) = axes.plot(
            [p[0] for p in found], [p[1] for p in found], style, fillstyle="none" if longer else "full",
            color=colours.get(label), linewidth=0.7 if longer else 1.5, label=None if longer else label,
        )  # fmt: skip
        colours[label] = line.get_color()
        for x, y, width in found:
            axes.annotate(str(width), (x, y), textcoords="offset points", xytext=(3, 4), fontsize=7)
    if not series:
        return False
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds of the network, two threads (a grid of 24 x 32 x 24)")
    axes.set_ylabel("mean Dice, points")
    axes.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    return True


def text(results: Results, picture: bool) -> str:
    """The page."""
    wanted = [unit.key for part in plan.PARTS for unit in plan.units(part)]
    done = len(results.rows.keys() & set(wanted))
    some = f'So far {done} of {len(wanted)} networks are trained; what is not there says "{MISSING}".'
    trained = f"All {done} networks are trained." if done == len(wanted) else some
    machines = sorted({row["machine"] for row in results.times.values()})
    front = f"\n\n![Dice against milliseconds]({PICTURE})" if picture else ""
    return f"""# Experiments

Float against ternary networks, and heads against each other, on real scans: Task04 of the Medical Segmentation
Decathlon (hippocampus MRI, 208 labelled cases; Antonelli et al., Nature Communications 2022, CC-BY-SA 4.0). This page
is written by `python -m benchmarks.experiments.page` from `benchmarks/experiments/results.jsonl`, to which `python -m
benchmarks.experiments.run` adds a row for each trained network, and from `times.jsonl` of `python -m
benchmarks.experiments.measure`. {trained}

How to read it:

- 48 cases are held out; nothing was chosen by them, and all numbers are theirs ({plan.SPLIT.name} names them). 140
  train, 20 were looked at while the settings were made.
- Dice is the mean of anterior and posterior hippocampus over the cases, in points (hundredths), at the scans' own 1 mm,
  with the standard deviation over three seeds. Each seed draws the weights and the order of the data, the same for all
  networks.
- Differences are paired by case, seeds averaged; in brackets the 95 % interval of 10,000 bootstrap draws of cases.
- Inputs are brought down by the filter that is deployed, an antialiased average, but for J-Net's published way.
- {plan.STEPS_2D:,} steps of 16 slices in (a), {plan.STEPS_3D:,} of 2 volumes in the others. These are short runs:
  longer ones raise those of ternary and of narrow networks (`longer`: three times as many).

## Goals

{goals(results)}

## What the data show

{findings(results)}

## (a) Heads, on slices

Each row is a network trained with its head. `linear` is linear upsampling trained against the high-resolution
labels, the fair control; `nearest-low` and `linear-low` were trained at low resolution. `j` is J-Net's head with the
loss on all its levels. likelihood, residual, guided, bilateral and fusion see the image at high resolution, the others
do not. Milliseconds are torch's, one slice on one thread.

{part_a(results)}

## (b) Float and ternary, on volumes

U-Nets of 16, 32 and 64 channels. `half` and `quarter` are the resolution of the grid. But for `scratch` the networks of
low precision start from `float/half` and learn from it; `float/half-long` is float going on for as many steps, and
`longer` ones go on for three times as many. `continuation` is the soft ternary activation made steeper while learning,
as TernaryNet was published; `no-continuation` keeps it soft in training, and is hard in evaluation.

{part_b(results)}

## (c) Zeros

Weights up to a threshold become zero; the engine skips them. `longer` is three times as many steps, with the same time.

{part_c(results)}

## (d) Dice against milliseconds

Milliseconds of the network alone, on a grid of 24 x 32 x 24. The widths are the channels of the first level, twice and
four times as many on the next two. `python -m benchmarks.experiments.int8` gives the Dice of int8. Those that say
`longer` (hollow in the picture) went on from float for three times as many steps, float ones too; of the others only
ternary ones went on from float, for {plan.STEPS_3D:,} steps.

{part_d(results)}{front}

## (e) Size

Bytes of the weights as they lie in the model file, with thresholds and the last layer, against four bytes a parameter.

{part_e(results)}

Machine of the times: {" ".join(machines) or MISSING}
"""


def main() -> None:
    """Write page and picture."""
    results = Results(table.rows(), table.lines(TIMES))
    picture = draw(results, PAGE.parent / PICTURE)
    PAGE.write_text(text(results, picture), encoding="utf-8")
    print(f"{PAGE}: {len(results.rows)} rows")


if __name__ == "__main__":
    main()
