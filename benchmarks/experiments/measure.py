"""Milliseconds and bytes, apart from training: parts (c), (d) and (e) of docs/experiments.md, and the cost of heads.

    python -m benchmarks.experiments.measure [--runs runs/experiments] [--threads 1 2] [--again]

Needs the extras `train` and `bench`, the native kernels, and the checkpoints of seed 0. Run it on a quiet machine.
Ternary networks run in the native engine, float ones of the same layers in ONNX Runtime and OpenVINO, in float32 and in
int8. All of them take turns, so they are measured together each time; heads of part (a) that are measured already stay,
unless --again.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

BENCHMARKS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(BENCHMARKS))  # the other benchmarks are programs of that folder

import machine  # noqa: E402

from benchmarks.experiments import plan, table  # noqa: E402
from LowResSegLib import engine  # noqa: E402
from LowResSegLib.model import Plan  # noqa: E402
from LowResSegLib.model.packing import pack  # noqa: E402
from LowResSegLib.networks.build import build_network  # noqa: E402
from LowResSegLib.networks.fold import fold  # noqa: E402
from LowResSegLib.networks.settings import NetworkSettings  # noqa: E402
from LowResSegLib.training.case_checkpoint import load_segmenter  # noqa: E402
from LowResSegLib.volume import replacing  # noqa: E402

TIMES = plan.FOLDER / "times.jsonl"
GRID = (24, 32, 24)  # of a hippocampus crop of 48 x 64 x 48 at half resolution
ROUNDS, RUNS = 11, 5
PAUSE = 0.02  # seconds before each turn, in which threads of the turn before fall asleep


def plan_of(width: int) -> Plan:
    """A plan of fresh weights with the layers of a width, whose float form the runtimes are given."""
    torch.manual_seed(0)
    return fold(build_network(NetworkSettings("unet", 3, 1, (width, 2 * width, 4 * width), "ternary"), 3).eval())


def ternary_arms() -> list[str]:
    """Arms whose networks are timed in the native engine."""
    arms = ["b/ternary/half", *(plan.threshold_arm(threshold) for threshold in plan.THRESHOLDS)]
    return arms + [plan.front_arm("ternary", width) for width in plan.FRONT if width != 16]


def medians(runs: Mapping[Any, Callable[[], object]], rounds: int) -> dict[Any, float]:
    """Median milliseconds of things that take turns; in a turn each runs some times, the first of which does not count.

    Each turn has an order of its own, so that nothing always follows the same thing. These networks take about a
    millisecond, and the first run after another's finds caches and cores asleep.
    """
    seconds: dict[Any, list[float]] = {name: [] for name in runs}
    order, rng = list(runs.items()), random.Random(0)
    for _ in range(rounds):
        rng.shuffle(order)
        for name, run in order:
            time.sleep(PAUSE)
            run()
            began = time.perf_counter()
            for _ in range(RUNS):
                run()
            seconds[name].append((time.perf_counter() - began) / RUNS)
    return {name: round(1000 * statistics.median(values), 4) for name, values in seconds.items()}


def front(runs: Path, threads: list[int], rounds: int) -> list[dict[str, Any]]:
    """Rows of the ternary networks that are trained, and of float ones in each installed runtime, all in turn."""
    import baselines

    rows: list[dict[str, Any]] = []
    turns: dict[tuple[int, str], Callable[[], object]] = {}
    grid = np.random.default_rng(0).integers(0, 128, GRID).astype(np.uint8)
    for arm in ternary_arms():
        weights = plan.folder_of(runs, f"{arm}/0") / "weights.pt"
        if weights.exists():
            found = fold(load_segmenter(weights)[0].trunk)
            for n in threads:
                turns[len(rows), str(n)] = lambda found=found, n=n: engine.run(found, grid, "native", n)
            rows.append({"arm": arm, "bytes": len(pack(found.layers)[1])})
    for width in plan.FRONT:
        layers = plan_of(width).layers
        for kind in baselines.installed():
            for n in threads:
                baseline = baselines.Baseline(kind, layers, (1, 1, *GRID), n)
                baseline.check()
                turns[len(rows), str(n)] = baseline.run
            rows.append({"arm": f"float/{width}", "runtime": kind})
    times = medians(turns, rounds)
    for number, row in enumerate(rows):
        row["milliseconds"] = {str(n): times[number, str(n)] for n in threads}
    return rows


def head_milliseconds(weights: Path, rounds: int) -> dict[str, float]:
    """Milliseconds of trunk and head of one slice, in torch on one thread."""
    segmenter, _ = load_segmenter(weights)
    image, inside = torch.rand(1, 1, *segmenter.data.crop) * 100, torch.ones(1, 1, *segmenter.data.crop)
    with torch.no_grad():
        low = segmenter.lowered(image, inside)
        features = segmenter.trunk(low)
        return medians(
            {"trunk": lambda: segmenter.trunk(low), "head": lambda: segmenter.raise_up(features, image, inside)}, rounds
        )


def heads(runs: Path, rounds: int, known: set[str]) -> Iterator[dict[str, Any]]:
    """Rows of the networks of part (a) that are not known yet, and whose checkpoint is there."""
    for unit in plan.units("a"):
        weights = plan.folder_of(runs, unit.key) / "weights.pt"
        if unit.seed == 0 and unit.arm not in known and weights.exists():
            yield {"arm": unit.arm, "milliseconds": head_milliseconds(weights, rounds)}


def main() -> None:
    """Measure the front as a whole, and what is missing of the heads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/experiments"))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--again", action="store_true", help="measure the heads anew, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    kept = [] if options.again else [row for row in table.lines(TIMES) if row["arm"].startswith("a/")]
    here = {"grid": list(GRID), "machine": machine.sentence(machine.describe()), "date": time.strftime("%Y-%m-%d")}
    rows = [{**row, **here} for row in front(options.runs, options.threads, options.rounds)]
    rows += kept
    rows += [{**row, **here} for row in heads(options.runs, options.rounds, {row["arm"] for row in kept})]
    for row in rows:
        print({key: row[key] for key in row if key not in here}, flush=True)
    with replacing(TIMES) as temporary:
        for row in rows:
            table.append(row, temporary)


if __name__ == "__main__":
    main()
