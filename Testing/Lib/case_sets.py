"""Small data sets in the layouts that training reads: two nested balls in noise, at places that differ by case."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

LABELS = {0: "background", 1: "Outer", 2: "Inner"}


def picture(seed: int, shape: Sequence[int] = (12, 20, 16), contrast: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Image (float32) and labelmap (uint8) of one case, (z, y, x)."""
    rng = np.random.default_rng(seed)
    centre = np.array(shape) / 2 + rng.uniform(-1, 1, 3)
    places = np.indices(shape).reshape(3, -1).T
    radius = np.sqrt((((places - centre) / (np.array(shape) * 0.42)) ** 2).sum(1)).reshape(shape)
    label = np.select([radius < 0.5, radius < 1], [2, 1], 0).astype(np.uint8)
    image = np.array([10.0, 60.0, 120.0])[label] * contrast + rng.normal(0, 4, shape)
    return image.astype(np.float32), label


def write_image(path: Path, array: np.ndarray, **geometry: Any) -> None:
    """Write a NIfTI or MetaImage file; a 4-D array is (channels, z, y, x)."""
    import SimpleITK as sitk

    path.parent.mkdir(parents=True, exist_ok=True)
    if array.ndim == 4:
        image = sitk.JoinSeries([sitk.GetImageFromArray(channel) for channel in array])
    else:
        image = sitk.GetImageFromArray(array)
        for name, value in geometry.items():
            getattr(image, f"Set{name.capitalize()}")(value)
    sitk.WriteImage(image, str(path))


def msd(folder: Path, count: int = 6, channels: int = 1, shape: Sequence[int] = (12, 20, 16)) -> Path:
    """A Decathlon task with 4-D images where there are several channels."""
    entries = []
    for number in range(count):
        image, label = picture(number, shape)
        array = image if channels == 1 else np.stack([image * (1 + channel) for channel in range(channels)])
        write_image(folder / "imagesTr" / f"case_{number:02d}.nii.gz", array)
        write_image(folder / "labelsTr" / f"case_{number:02d}.nii.gz", label)
        name = f"case_{number:02d}.nii.gz"
        entries.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
    description = {
        "modality": {str(channel): f"MR{channel}" for channel in range(channels)},
        "labels": {str(value): name for value, name in LABELS.items()},
        "training": entries,
    }
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


def nnunet(folder: Path, count: int = 6, channels: int = 1) -> Path:
    """A raw data set of nnU-Net v2."""
    for number in range(count):
        image, label = picture(number)
        for channel in range(channels):
            write_image(folder / "imagesTr" / f"case_{number:02d}_{channel:04d}.mha", image * (1 + channel))
        write_image(folder / "labelsTr" / f"case_{number:02d}.mha", label)
    description = {
        "channel_names": {str(channel): f"MR{channel}" for channel in range(channels)},
        "labels": {name: value for value, name in LABELS.items()},
        "numTraining": count,
        "file_ending": ".mha",
    }
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


def plain(folder: Path, count: int = 6, labels: Optional[dict[str, Any]] = None) -> Path:
    """images/ and labels/, with labels.json where labels are given."""
    for number in range(count):
        image, label = picture(number)
        write_image(folder / "images" / f"case_{number:02d}.nii.gz", image)
        write_image(folder / "labels" / f"case_{number:02d}.nii.gz", label)
    if labels is not None:
        (folder / "labels.json").write_text(json.dumps(labels))
    return folder


# A run of a few steps on such a data set.
SMALL: dict[str, Any] = {
    "name": "small",
    "data": {"dimensions": 3, "factor": 2, "crop": [16, 24, 16]},
    "network": {"name": "unet", "widths": [4, 6], "precision": "ternary"},
    "augmentation": {"reuse": 2, "pool": 3},
    "split": {"folds": 3},
    "steps": 4,
    "batch": 2,
    "validate_every": 2,
    "tensorboard": False,
}


def write_run(path: Path, changes: Optional[dict[str, Any]] = None) -> Path:
    """The small run with changes; a nested mapping is joined to the one that is there."""
    import yaml

    made = dict(SMALL)
    for key, value in (changes or {}).items():
        made[key] = {**made[key], **value} if isinstance(value, dict) and isinstance(made.get(key), dict) else value
    path.write_text(yaml.safe_dump(made))
    return path
