"""Milliseconds and bytes, apart from training: parts (c), (d) and (e) of docs/experiments.md, and the cost of heads.

    python -m benchmarks.experiments.measure [--runs runs/experiments] [--threads 1 2] [--again]

Needs the extras `train` and `bench`, the native kernels, and the checkpoints of seed 0. Run it on a quiet machine.
Ternary networks run in the native engine, float ones of the same layers in ONNX Runtime and OpenVINO, in float32 and in
int8; int8 is taken to keep the Dice of float32, which is in its favour. What is measured already stays, unless --again.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

BENCHMARKS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(BENCHMARKS))  # the other benchmarks are programs of that folder

import machine  # noqa: E402

from benchmarks.experiments import plan, table  # noqa: E402
from LowResSegLib import engine  # noqa: E402
from LowResSegLib.estimate.timing import interleaved  # noqa: E402
from LowResSegLib.model import Plan  # noqa: E402
from LowResSegLib.model.packing import pack  # noqa: E402
from LowResSegLib.networks.build import build_network  # noqa: E402
from LowResSegLib.networks.fold import fold  # noqa: E402
from LowResSegLib.networks.settings import NetworkSettings  # noqa: E402
from LowResSegLib.training.case_checkpoint import load_segmenter  # noqa: E402

TIMES = plan.FOLDER / "times.jsonl"
GRID = (24, 32, 24)  # of a hippocampus crop of 48 x 64 x 48 at half resolution
ROUNDS = 30


def plan_of(width: int) -> Plan:
    """A plan of fresh weights with the layers of a width, whose float form the runtimes are given."""
    torch.manual_seed(0)
    return fold(build_network(NetworkSettings("unet", 3, 1, (width, 2 * width, 4 * width), "ternary"), 3).eval())


def ternary_arms() -> list[str]:
    """Arms whose networks are timed in the native engine."""
    arms = ["b/ternary/half", *(f"c/threshold/{threshold:g}" for threshold in plan.THRESHOLDS)]
    return arms + [f"d/ternary/{width}" for width in plan.FRONT["ternary"] if width != 16]


def medians(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of things that take turns."""
    times = interleaved(runs, rounds, 0.002)
    return {name: round(1000 * statistics.median(values), 4) for name, values in times.items()}


def native(found: Plan, threads: list[int], rounds: int) -> dict[str, float]:
    """Milliseconds of a plan in the native engine, by number of threads."""
    grid = np.random.default_rng(0).integers(0, 128, GRID).astype(np.uint8)
    runs = {str(n): (lambda n=n: engine.run(found, grid, "native", n)) for n in threads}
    return medians(runs, rounds)


def floats(width: int, threads: list[int], rounds: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Each installed runtime's name, and its milliseconds for a width's float network by number of threads."""
    import baselines

    layers = plan_of(width).layers
    for kind in baselines.installed():
        made = {str(n): baselines.Baseline(kind, layers, (1, 1, *GRID), n) for n in threads}
        for baseline in made.values():
            baseline.check()
        yield kind, medians({n: baseline.run for n, baseline in made.items()}, rounds)


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


def measure(runs: Path, threads: list[int], rounds: int, known: set[str]) -> Iterator[dict[str, Any]]:
    """Rows of what is not known yet, and whose checkpoint is there."""
    for arm in ternary_arms():
        weights = plan.folder_of(runs, f"{arm}/0") / "weights.pt"
        if arm not in known and weights.exists():
            found = fold(load_segmenter(weights)[0].trunk)
            _, numbers = pack(found.layers)
            yield {"arm": arm, "milliseconds": native(found, threads, rounds), "bytes": len(numbers)}
    for width in plan.FRONT["float"]:
        if f"float/{width}" not in known:
            for kind, found in floats(width, threads, rounds):
                yield {"arm": f"float/{width}", "runtime": kind, "milliseconds": found}
    for unit in plan.units("a"):
        weights = plan.folder_of(runs, unit.key) / "weights.pt"
        if unit.seed == 0 and unit.arm not in known and weights.exists():
            yield {"arm": unit.arm, "milliseconds": head_milliseconds(weights, rounds)}


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/experiments"))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--again", action="store_true", help="measure everything anew")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.again:
        TIMES.unlink(missing_ok=True)
    known = {row["arm"] for row in table.lines(TIMES)}
    here = machine.sentence(machine.describe())
    for row in measure(options.runs, options.threads, options.rounds, known):
        table.append({**row, "grid": list(GRID), "machine": here, "date": time.strftime("%Y-%m-%d")}, TIMES)
        print(row, flush=True)


if __name__ == "__main__":
    main()
