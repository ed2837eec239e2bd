"""How much the labels of a scan change when the scan is turned or its slices become thick.

    python benchmarks/brain_geometry.py SCAN [--model brain] [--passes N]

Copies of the scan are segmented, their labelmaps brought back to the scan's own voxels (nearest neighbour), and
compared with the labelmap of the scan itself, for structures above 1 ml there. Prints a Markdown table of Dice.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import SimpleITK as sitk

import LowResSegLib
from LowResSegLib.training.evaluation import dice_by_label
from LowResSegLib.volume import Volume

DEGREES = 15.0
THICK = 5.0


def to_image(volume: Volume) -> sitk.Image:
    """The volume for SimpleITK."""
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(volume.spacing)
    image.SetOrigin(volume.origin)
    image.SetDirection(volume.direction)
    return image


def to_volume(image: sitk.Image) -> Volume:
    """The volume of an image of SimpleITK."""
    return Volume(sitk.GetArrayFromImage(image), image.GetSpacing(), image.GetOrigin(), image.GetDirection())


def rotation(axis: int) -> np.ndarray:
    """Turn about a patient axis, a 3 x 3 matrix."""
    turn = sitk.VersorTransform(np.eye(3)[axis].tolist(), np.deg2rad(DEGREES))
    return np.reshape(turn.GetMatrix(), (3, 3))


def header_turned(image: sitk.Image, axis: int) -> sitk.Image:
    """The same voxels, in a patient who lies turned."""
    copy, turn = sitk.Image(image), rotation(axis)
    copy.SetDirection((turn @ np.reshape(image.GetDirection(), (3, 3))).ravel().tolist())
    copy.SetOrigin((turn @ image.GetOrigin()).tolist())
    return copy


def scanned_turned(image: sitk.Image, axis: int) -> sitk.Image:
    """The same patient, scanned with turned axes: voxels resampled, the field of view wide enough for all of them."""
    direction = rotation(axis) @ np.reshape(image.GetDirection(), (3, 3))
    edge = np.linalg.norm(np.multiply(image.GetSize(), image.GetSpacing()))
    size = np.minimum(np.ceil(edge / np.array(image.GetSpacing())), 1.35 * np.array(image.GetSize())).astype(int)
    centre = np.array(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()]))
    origin = centre - direction @ (np.array(image.GetSpacing()) * (size - 1) / 2)
    return sitk.Resample(
        image, size.tolist(), sitk.Transform(), sitk.sitkBSpline, origin.tolist(), image.GetSpacing(),
        direction.ravel().tolist(), 0.0, image.GetPixelID(),
    )  # fmt: skip


def thick_slices(image: sitk.Image, axis: int) -> sitk.Image:
    """The scan with slices of 5 mm along one index axis and about 1 mm in their plane."""
    spacing = [1.0, 1.0, 1.0]
    spacing[axis] = THICK
    # A slice is sensitive over its thickness: a Gaussian whose full width at half maximum that is.
    blurred = sitk.RecursiveGaussian(sitk.Cast(image, sitk.sitkFloat32), THICK / 2.355, direction=axis)
    size = [max(1, int(n * s / t)) for n, s, t in zip(image.GetSize(), image.GetSpacing(), spacing)]
    first = [((t / s) - 1) / 2 for s, t in zip(image.GetSpacing(), spacing)]  # both grids begin at the same edge
    origin = image.TransformContinuousIndexToPhysicalPoint(first)
    return sitk.Resample(
        blurred, size, sitk.Transform(), sitk.sitkLinear, origin, spacing, image.GetDirection(), 0.0, sitk.sitkFloat32
    )


def main() -> None:
    """Segment the copies and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", metavar="SCAN", type=Path)
    parser.add_argument("--model", default="brain")
    parser.add_argument("--passes", type=int, help="how often the network looks; default: the model's")
    options = parser.parse_args()
    model = LowResSegLib.load_model(options.model)
    volume = LowResSegLib.read_volume(options.scan)
    image = to_image(volume)
    labelmap, record = LowResSegLib.segment(volume, model, passes=options.passes)
    large = [entry for entry in record["labels"] if entry["volume_ml"] > 1]
    names, patient = "xyz", ("left-right", "front-back", "foot-head")
    columns: dict[str, dict[int, float]] = {}
    for axis in range(3):
        turned, _ = LowResSegLib.segment(to_volume(header_turned(image, axis)), model, passes=options.passes)
        columns[f"header turned about {patient[axis]}"] = dice_by_label(
            turned.array, labelmap.array, [entry["value"] for entry in large]
        )
    for title, make, axes in (
        ("scanned turned about", scanned_turned, patient),
        (f"{THICK:g} mm slices along", thick_slices, names),
    ):
        for axis in range(3):
            found, _ = LowResSegLib.segment(to_volume(make(image, axis)), model, passes=options.passes)
            back = sitk.Resample(to_image(found), image, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
            columns[f"{title} {axes[axis]}"] = dice_by_label(
                sitk.GetArrayFromImage(back), labelmap.array, [entry["value"] for entry in large]
            )
    print("| structure | ml | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 2) + "|")
    for entry in large:
        scores = " | ".join(f"{scores[entry['value']]:.3f}" for scores in columns.values())
        print(f"| {entry['name']} | {entry['volume_ml']:.1f} | {scores} |")
    print("| **mean** | | " + " | ".join(f"{np.mean(list(scores.values())):.3f}" for scores in columns.values()) + " |")


if __name__ == "__main__":
    main()
