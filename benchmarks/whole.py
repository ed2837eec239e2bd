"""The whole way of one volume, from the array in memory to the labelmap at full resolution, in a fresh process.

    python benchmarks/whole.py X Y Z [--spacing 1 1 1] [--model brain] [--threads 2] [--backend auto] [--repeats 3]
                               [--template FILE]

Prints a JSON object: the seconds of each step (medians of the repeated runs, and of the first run, which also loads
model and engine), and the process's peak memory after the first run. The volume is the template's head, resampled to
lie in the middle of the field, or, without a template, an ellipsoid of noise.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Optional

import numpy as np

import LowResSegLib
from LowResSegLib.estimate import grid_shape
from LowResSegLib.volume import Volume

TEMPLATE = Path(__file__).resolve().parents[1] / ".cache" / "mni152_t1_1mm.nii.gz"
_AXES_MM = (92.0, 108.0, 70.0)  # half axes z, y, x of the ellipsoid


def head(shape: tuple[int, ...], spacing: tuple[float, ...], template: Optional[Path]) -> Volume:
    """A head in the middle of a field of view, int16 with noise, the same on each call.

    Args:
        shape: (z, y, x).
        spacing: (x, y, z) in mm.
        template: a T1 scan to resample; None for an ellipsoid.
    """
    if template is None:
        inside, direction = _ellipsoid(shape, spacing), Volume(np.zeros((1, 1, 1))).direction
    else:
        scan = LowResSegLib.read_volume(template)
        inside, direction = _resampled(scan, shape, spacing), scan.direction
    generator = np.random.default_rng(7)
    array = np.empty(shape, np.int16)
    for z in range(shape[0]):
        array[z] = inside[z] + generator.normal(20, 5, shape[1:]).astype(np.float32)
    return Volume(array, spacing, direction=direction)


def _ellipsoid(shape: tuple[int, ...], spacing: tuple[float, ...]) -> np.ndarray:
    """600 in an ellipsoid as large as a head, float32."""
    places = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing[::-1])]
    z, y, x = (np.square(place / axis) for place, axis in zip(places, _AXES_MM))
    result = np.empty(shape, np.float32)
    for index, square in enumerate(z):
        result[index] = 600 * (y[:, None] + x[None] < 1 - square)
    return result


def _resampled(volume: Volume, shape: tuple[int, ...], spacing: tuple[float, ...]) -> np.ndarray:
    """The volume along its own axes, on a field of view around its centre; float32, 0 to 1000."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(volume.array.astype(np.float32) * np.float32(1000 / volume.array.max()))
    image.SetSpacing(volume.spacing)
    centre = [(n - 1) * s / 2 for n, s in zip(volume.array.shape[::-1], volume.spacing)]
    origin = [c - (n - 1) * s / 2 for c, n, s in zip(centre, shape[::-1], spacing)]
    field = sitk.Resample(
        image, list(shape[::-1]), sitk.Transform(), sitk.sitkLinear, origin, spacing, np.eye(3).ravel().tolist(), 0.0
    )
    return sitk.GetArrayFromImage(field)


def measure_fresh(
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    model: str,
    threads: int,
    backend: str = "auto",
    repeats: int = 3,
    template: Optional[Path] = TEMPLATE,
) -> dict[str, Any]:
    """The measurement that this program prints, made in a child process; arguments as those of `head`."""
    if template is not None and not template.is_file():
        template = None
    with tempfile.TemporaryDirectory() as folder:
        array, volume = Path(folder) / "volume.npy", head(shape, spacing, template)
        np.save(array, volume.array)
        case = {
            "array": str(array), "spacing": volume.spacing, "direction": volume.direction, "model": model,
            "threads": threads, "backend": backend, "repeats": repeats,
        }  # fmt: skip
        del volume
        command = [sys.executable, __file__, "--child", json.dumps(case)]
        child = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result = json.loads(child.stdout)
    return {**result, "content": "ellipsoid of noise" if template is None else "MNI152 T1"}


def _child(case: dict[str, Any]) -> dict[str, Any]:
    """Segment the volume of a case again and again."""
    volume = Volume(np.load(case["array"]), tuple(case["spacing"]), direction=tuple(case["direction"]))

    def run() -> dict[str, Any]:
        began = time.perf_counter()
        _, record = LowResSegLib.segment(volume, case["model"], backend=case["backend"], threads=case["threads"])
        record["seconds"]["total"] = round(time.perf_counter() - began, 4)  # with the making of the record
        return record

    first = run()
    records = [run() for _ in range(case["repeats"])] or [first]
    model = LowResSegLib.load_model(case["model"])
    steps = first["seconds"]
    return {
        "shape": list(volume.array.shape[::-1]),
        "spacing_mm": list(volume.spacing),
        "grid_shape": list(grid_shape(model.grid, volume.array.shape, volume.spacing)[::-1]),
        "model": model.name,
        "backend": first["backend"],
        "threads": case["threads"],
        "seconds": {step: round(statistics.median(record["seconds"][step] for record in records), 4) for step in steps},
        "first_seconds": steps,
        "peak_memory_mb": first["peak_memory_mb"],
        "volume_mb": round(volume.array.nbytes / 1e6, 1),
        "labelled_ml": round(sum(label["volume_ml"] for label in first["labels"]), 1),
    }


def main() -> None:
    """Measure one volume."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", metavar="N", type=int, nargs="*", help="voxels along x, y and z")
    parser.add_argument("--spacing", metavar="MM", type=float, nargs=3, default=(1.0, 1.0, 1.0))
    parser.add_argument("--model", default="brain")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--template", type=Path, default=TEMPLATE, help="default: what `make run` fetches, if there")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_child(options.child)))
        return
    if len(options.size) != 3:
        parser.error("give three sizes: x, y and z")
    result = measure_fresh(
        tuple(options.size[::-1]), tuple(options.spacing), options.model, options.threads, options.backend,
        options.repeats, options.template,
    )  # fmt: skip
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
