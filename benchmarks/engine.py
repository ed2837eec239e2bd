"""The engine's speed and memory, beside ONNX Runtime and OpenVINO.

    python benchmarks/engine.py [--parts layers unet whole growth] [--threads 1 2] [--rounds 9]
                                [--backends native ...] [--json FILE] [--write]

Needs the extra `bench`; without OpenVINO its rows say so. Parts:

    layers  ternary convolutions of several sizes, each a chain of four divided by four. Ours is the difference between
            a network with five of them and one with one. All methods take turns in each round; medians are printed.
    unet    a ternary U-Net with widths 16, 32, 64 and 128 on 96 x 96 x 96 voxels, whole.
    whole   the bundled model from array to labelmap: an MRI and a field of view like that of a CT.
    growth  the same from 64 x 64 x 64 to 768 x 768 x 512 voxels, with what `LowResSegLib.estimate` expects.

A backend `native:avx2` is the native kernels with that instruction set; whole and growth run the first backend that is
named, with the best instruction set and the largest number of threads. --json keeps in its file what other parts left
there. --write puts the tables of the parts that were run into docs/performance.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import machine
import networks
import numpy as np
import tables
from whole import TEMPLATE, measure_fresh

from LowResSegLib import engine, load_model
from LowResSegLib.errors import BackendError, ModelError
from LowResSegLib.estimate import estimate, instruction_set, interleaved, measure
from LowResSegLib.model import Plan

_CHAIN = 4
_PAUSE = 0.02  # seconds of rest between two methods
_WHOLE = (((256, 256, 256), (1.0, 1.0, 1.0)), ((300, 512, 512), (0.8, 0.8, 1.0)))
_GROWTH = (
    ((64, 64, 64), (1.0, 1.0, 1.0)),
    ((128, 128, 128), (1.0, 1.0, 1.0)),
    ((192, 192, 192), (1.0, 1.0, 1.0)),
    ((256, 256, 256), (1.0, 1.0, 1.0)),
    ((384, 384, 384), (0.8, 0.8, 0.8)),
    ((512, 512, 512), (0.8, 0.8, 0.8)),
    ((512, 768, 768), (0.65, 0.65, 1.0)),
)


def _ours(plan: Plan, shape: tuple[int, ...], backend: str, threads: int) -> Callable[[], object]:
    """A run of a plan on a grid of noise; `backend` may name an instruction set after a colon."""
    grid = np.random.default_rng(3).integers(0, 128, shape).astype(np.uint8)
    name, _, instructions = backend.partition(":")
    if not instructions:
        return lambda: engine.run(plan, grid, name, threads)
    from LowResSegLib.engine import native

    return lambda: native.run(plan, grid, threads, lambda share: None, instruction_set=instructions)


def _timed(runs: dict[str, Callable[[], object]], rounds: int) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds of all rounds, and the GMAC/s of float32 matrix products that took their turns among them."""
    import baselines

    products = {kind: baselines.matrix_product(kind) for kind in baselines.installed() if "float32" in kind}
    peaks = {f"peak {kind}": run for kind, (run, _) in products.items()}
    seconds = interleaved({**runs, **peaks}, rounds, _PAUSE)
    rates = {kind: gmac / statistics.median(seconds.pop(f"peak {kind}")) for kind, (_, gmac) in products.items()}
    return seconds, rates


def _baselines(layers: Sequence[Any], shape: tuple[int, ...], threads: int) -> dict[str, Any]:
    """The runtimes that are installed, each with the network and looked at whether it is int8 where it shall be."""
    import baselines

    found = {kind: baselines.Baseline(kind, layers, shape, threads) for kind in baselines.installed()}
    for baseline in found.values():
        baseline.check()
    return found


def layer(workload: networks.Workload, threads: int, rounds: int, backends: Sequence[str]) -> dict[str, Any]:
    """One convolution of a workload on each runtime and backend."""
    one, five = (networks.chain(workload, count) for count in (1, 1 + _CHAIN))
    layers = networks.open_chain(five, _CHAIN)
    depth, height, width = workload.shape
    flat = workload.kernel[0] == 1
    batched = (depth, workload.channels, height, width) if flat else (1, workload.channels, *workload.shape)
    others = _baselines(layers, batched, threads)
    runs = {kind: baseline.run for kind, baseline in others.items()}
    for backend in backends:
        for count, plan in (("one", one), ("five", five)):
            runs[f"{backend} {count}"] = _ours(plan, workload.shape, backend, threads)
    seconds, peaks = _timed(runs, rounds)
    for backend in backends:
        pairs = zip(seconds.pop(f"{backend} five"), seconds.pop(f"{backend} one"))
        seconds[backend] = [five - one for five, one in pairs]
    return _result(workload.title, workload.gmac, threads, seconds, peaks, others, _CHAIN)


def unet(threads: int, rounds: int, backends: Sequence[str]) -> dict[str, Any]:
    """The U-Net on each runtime and backend."""
    plan, shape = networks.u_net(), networks.U_NET_SHAPE
    others = _baselines(plan.layers, (1, 1, *shape), threads)
    runs = {kind: baseline.run for kind, baseline in others.items()}
    runs.update((backend, _ours(plan, shape, backend, threads)) for backend in backends)
    seconds, peaks = _timed(runs, rounds)
    gmac = plan.operations_per_voxel() * math.prod(shape) / 1e9
    return _result("U-Net 16-32-64-128, 96³", gmac, threads, seconds, peaks, others, 1)


def _result(
    title: str, gmac: float, threads: int, seconds: dict[str, list[float]], peaks: dict[str, float],
    others: dict[str, Any], divisor: int,
) -> dict[str, Any]:  # fmt: skip
    """For JSON: milliseconds are medians of the rounds, each divided by how many networks a run computes."""
    rounds = {method: [round(1e3 * value / divisor, 4) for value in values] for method, values in seconds.items()}
    result = {
        "title": title,
        "gmac": round(gmac, 4),
        "threads": threads,
        "milliseconds": {method: round(statistics.median(values), 4) for method, values in rounds.items()},
        "rounds": rounds,
        "peaks": {kind: round(rate, 1) for kind, rate in peaks.items()},
        "convolutions": {kind: sorted(set(baseline.convolutions)) for kind, baseline in others.items()},
    }
    say(f"{title}, {threads} thread(s): {result['milliseconds']} ms; convolutions: {result['convolutions']}")
    return result


def say(text: str) -> None:
    """Tell on standard error how far the program is."""
    print(text, file=sys.stderr, flush=True)


def _layers(options: argparse.Namespace) -> list[dict[str, Any]]:
    results = []
    for threads in options.threads:
        for workload in networks.WORKLOADS:
            if workload.key not in options.layers:
                continue
            try:
                results.append(layer(workload, threads, options.rounds, options.backends))
            except ModelError as error:
                say(f"{workload.title} is left out: {error}")
    return results


def _unet(options: argparse.Namespace) -> list[dict[str, Any]]:
    return [unet(threads, options.rounds, options.backends) for threads in options.threads]


def _volume(shape: tuple[int, ...], spacing: tuple[float, ...], options: argparse.Namespace) -> dict[str, Any]:
    backend = options.backends[0].partition(":")[0]
    result = measure_fresh(shape, spacing, options.model, max(options.threads), backend, min(options.rounds, 3))
    say(f"{result['shape']}: {result['seconds']} s, {result['peak_memory_mb']} MB")
    return result


def _whole(options: argparse.Namespace) -> list[dict[str, Any]]:
    return [_volume(shape, spacing, options) for shape, spacing in _WHOLE]


def _growth(options: argparse.Namespace) -> list[dict[str, Any]]:
    model, results = load_model(options.model), []
    speed = measure(model, max(options.threads), options.backends[0].partition(":")[0])
    for shape, spacing in _GROWTH:
        expected = estimate(speed, model, shape, spacing)
        found = _volume(shape, spacing, options)
        results.append({**found, "estimate": {"seconds": expected.seconds, "megabytes": expected.megabytes}})
    return results


PARTS = {"layers": _layers, "unet": _unet, "whole": _whole, "growth": _growth}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--layers", metavar="KEYS", default="abcde", help="of the part layers, some of a to e")
    parser.add_argument("--threads", metavar="N", nargs="+", type=int, default=[1, 2], help="default: 1 2")
    parser.add_argument("--rounds", metavar="N", type=int, default=9, help="default: %(default)s")
    parser.add_argument("--backends", metavar="NAME", nargs="+", help="default: all that are here but numpy")
    parser.add_argument("--model", metavar="NAME|FILE", default="brain", help="of whole and growth; default: brain")
    parser.add_argument("--json", metavar="FILE", type=Path)
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    options = parser.parse_args()
    if not options.backends:
        options.backends = [name for name in engine.available_backends() if name != "numpy"] or ["numpy"]
    try:
        for name in options.backends:
            engine.choose_backend(name.partition(":")[0])
    except BackendError as error:
        parser.error(str(error))
    best = f"native:{instruction_set('native')}"
    options.backends = [best if name == "native" else name for name in options.backends]
    if importlib.util.find_spec("onnxruntime") is None:
        parser.error("ONNX Runtime is not installed: pip install lowresseg[bench]")
    if not TEMPLATE.is_file():
        say("The parts whole and growth use an ellipsoid; `make run` fetches a head.")
    return options


def main() -> None:
    """Measure, print and write."""
    options = _arguments()
    done: dict[str, Any] = {}
    for name in options.parts:
        # Whole runs are those of most threads.
        threads = options.threads if name in ("layers", "unet") else [max(options.threads)]
        command = f"python benchmarks/engine.py --parts {name} --threads {' '.join(map(str, threads))}"
        results = PARTS[name](options)
        content = {
            "command": f"{command} --rounds {options.rounds} --backends {' '.join(options.backends)}",
            "machine": machine.describe(),
            "results": results,
        }
        done[name] = content
        print(f"## {name}\n\n{tables.part(name, content)}\n", flush=True)
        if options.json:  # as it goes, so that an interrupted run leaves what it has
            kept = json.loads(options.json.read_text(encoding="utf-8")) if options.json.is_file() else {}
            options.json.write_text(json.dumps({**kept, name: content}, indent=1) + "\n", encoding="utf-8")
    if options.write:
        tables.write_page(done)


if __name__ == "__main__":
    main()
