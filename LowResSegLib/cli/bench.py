"""`lowresseg bench`: how fast a model runs on this computer, and what common volumes will cost."""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Callable
from typing import Any, Optional

import numpy as np

from LowResSegLib import engine, kernels
from LowResSegLib.cli.models import print_table
from LowResSegLib.cli.segment import threads_argument
from LowResSegLib.estimate import COMMON_VOLUMES, Speed, estimate, interleaved, measured_shape, processor, speed_here
from LowResSegLib.model import Model, load_model
from LowResSegLib.version import __version__

_ROUNDS = 3
_OURS, _FLOAT, _INT8 = "this", "ONNX Runtime float32", "ONNX Runtime int8"


def add(commands: Any) -> None:
    """Add the sub-command."""
    command = commands.add_parser(
        "bench",
        help="measure how fast a model runs here",
        description="Measure, in some seconds, how fast a model runs on this computer, beside ONNX Runtime where that "
        "is installed, and tell what common volumes will cost. Other work on the computer makes it slower.",
    )
    command.add_argument("--model", metavar="NAME|FILE", default="brain", help="default: %(default)s")
    command.add_argument("--backend", metavar="NAME", default="auto", help="auto (default), native, onnxruntime, numpy")
    command.add_argument("--threads", metavar="N", type=threads_argument, help="at most so many; default: all cores")
    command.add_argument("--json", action="store_true", help="print a JSON object")
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    model = load_model(args.model)
    speed = speed_here(model, args.threads, args.backend, again=True)
    report = _report(model, speed)
    if args.json:
        print(json.dumps(report, indent=1))
    else:
        _print(report)
    return 0


def _report(model: Model, speed: Speed) -> dict[str, Any]:
    """What is measured and expected, for JSON."""
    shape = measured_shape(model)
    comparison, missing = _comparison(model, speed, shape)
    volumes = []
    for name, size, spacing in COMMON_VOLUMES:
        expected = estimate(speed, model, size, spacing)
        volumes.append(
            {
                "name": name,
                "shape": list(size[::-1]),
                "spacing_mm": list(spacing),
                "seconds": round(expected.seconds, 3),
                "memory_mb": round(expected.megabytes),
            }
        )
    return {
        "lowresseg": __version__,
        "model": model.name,
        "model_sha256": model.digest,
        "processor": processor(),
        "backend": speed.backend,
        "instruction_set": speed.instruction_set or None,
        "native_kernels_missing": kernels.why_not() or None,
        "threads": speed.threads,
        "grid_shape": list(shape[::-1]),
        "gmac": round(model.network.operations_per_voxel() * math.prod(shape) / 1e9, 4),
        "gmac_per_second": round(speed.gmac_per_second(model), 2),
        "speed_up": comparison,
        "comparison_missing": missing,
        "volumes": volumes,
    }


def _comparison(model: Model, speed: Speed, shape: tuple[int, ...]) -> tuple[dict[str, float], Optional[str]]:
    """How many times faster than ONNX Runtime this is, and why that is not known where it is not."""
    if model.kind == "onnx":
        return {}, "it is what runs this model's float network"
    grid = np.random.default_rng(0).integers(0, 128, shape).astype(np.uint8)

    def run(backend: str) -> None:
        engine.run(model.plan, grid, backend, speed.threads)

    try:
        from LowResSegLib.estimate.float_network import float_run
    except ImportError as error:
        return {}, f"it cannot be loaded ({error})"
    runs: dict[str, Callable[[], object]] = {
        _OURS: lambda: run(speed.backend),
        _FLOAT: float_run(model.plan, shape, speed.threads),
        _INT8: lambda: run("onnxruntime"),
    }
    seconds = interleaved(runs, _ROUNDS, pause=0.02)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return {name: round(medians[name] / medians[_OURS], 2) for name in (_FLOAT, _INT8)}, None


def _print(report: dict[str, Any]) -> None:
    """The report for people."""
    size = " x ".join(map(str, report["grid_shape"]))
    backend = report["backend"]
    if report["instruction_set"]:
        backend += f", instruction set {report['instruction_set']}"
    rows: list[tuple[str, ...]] = [
        ("model", report["model"]),
        ("processor", report["processor"]),
        ("backend", backend),
        ("threads", str(report["threads"])),
        ("network", f"{report['gmac_per_second']:.0f} GMAC/s ({report['gmac']:.1f} GMAC on a grid of {size})"),
        *((f"over {name}", f"{times:.1f} times") for name, times in report["speed_up"].items()),
    ]
    if report["comparison_missing"]:
        rows.append(("over ONNX Runtime", f"not compared: {report['comparison_missing']}"))
    print_table(rows)
    if report["native_kernels_missing"]:
        print(f"\nThe native kernels cannot be used: {report['native_kernels_missing']}.")
    print()
    rows = [
        (
            volume["name"],
            " x ".join(map(str, volume["shape"])),
            " x ".join(f"{spacing:g}" for spacing in volume["spacing_mm"]),
            f"{volume['seconds']:.2f}",
            str(volume["memory_mb"]),
        )
        for volume in report["volumes"]
    ]
    print_table([("volume, about", "voxels", "mm", "seconds", "MB"), *rows])
