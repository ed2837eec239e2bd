"""Draw the thumbnail that Slicer's Sample Data module shows: a head scan, labelled on one side.

Usage: python thumbnail.py SCAN.nii.gz [FILE.png]

The scan of the picture is the MNI152 template (tools/mni152.py), not the sample itself.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]
THUMBNAIL = REPOSITORY / "LowResSeg" / "Resources" / "Icons" / "LowResSegT1Head.png"
_WIDTH, _HEIGHT = 260, 280  # what Slicer asks for
_CORONAL = 0.5  # the slice, as a share of the way from back to front


def draw(scan: Path, picture: Path) -> None:
    """Write the picture: a coronal slice, grey on its left side and with labels on its right."""
    from matplotlib.image import imsave

    from LowResSegLib import load_model, read_volume, segment

    volume, model = read_volume(scan), load_model("brain")
    labelmap, _ = segment(volume, model)
    place = round(_CORONAL * (volume.array.shape[1] - 1))
    grey, labels = (np.flipud(array[:, place, :]) for array in (volume.array, labelmap.array))
    brightest = np.percentile(volume.array, 99.5)
    result = np.repeat(np.clip(grey / brightest, 0, 1)[..., None], 3, axis=-1)
    colors = np.zeros((256, 3))
    for label in model.labels:
        colors[label.value] = np.array(label.color) / 255
    coloured = (labels > 0) & (np.arange(labels.shape[1]) >= labels.shape[1] // 2)
    result[coloured] = 0.45 * result[coloured] + 0.55 * colors[labels[coloured]]

    rows, columns = np.nonzero(grey > 0.1 * brightest)
    result = result[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    step = max(result.shape[0] / (_HEIGHT - 20), result.shape[1] / (_WIDTH - 10))
    places = [np.arange(int(size / step)) * step for size in result.shape[:2]]
    small = result[np.ix_(*(place.astype(int) for place in places))]
    canvas = np.zeros((_HEIGHT, _WIDTH, 3))
    top, left = (_HEIGHT - small.shape[0]) // 2, (_WIDTH - small.shape[1]) // 2
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    imsave(picture, canvas)


if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY))
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scan", metavar="SCAN", type=Path)
    parser.add_argument("picture", metavar="FILE", type=Path, nargs="?", default=THUMBNAIL)
    arguments = parser.parse_args()
    draw(arguments.scan, arguments.picture)
