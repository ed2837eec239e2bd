"""Draw the brain model's result in Slicer's slice and 3-D views, for the documentation.

Usage: python slicer_views.py SCAN.nii.gz PICTURE.png

It needs trame-slicer: `make pictures-slicer` has an environment for it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]


def draw(scan: Path, picture: Path) -> None:
    """Write a picture of four views: axial and 3-D above, coronal and sagittal below."""
    from PIL import Image
    from views import Views  # of Testing/Slicer

    views = Views(420)
    volume = views.load(scan)
    from LowResSeg import LowResSegLogic

    for name, view in views.views.items():
        if name != "3D":
            view.zoom(1.5)
    result = LowResSegLogic().process(volume)
    result.GetSegmentation().SetConversionParameter("Decimation factor", "0.7")  # faster to draw, and looks the same
    result.CreateClosedSurfaceRepresentation()
    views.views["3D"].fit_view_to_content()
    camera = views.views["3D"].get_camera_node().GetCamera()
    camera.Azimuth(-50)
    camera.Elevation(15)
    drawn = views.pictures()
    rows = [np.hstack([drawn[name] for name in row]) for row in (("axial", "3D"), ("coronal", "sagittal"))]
    Image.fromarray(np.vstack(rows)).save(picture, optimize=True)


if __name__ == "__main__":
    sys.path[:0] = [str(REPOSITORY / "Testing" / "Slicer"), str(REPOSITORY)]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scan", metavar="SCAN", type=Path)
    parser.add_argument("picture", metavar="PICTURE", type=Path)
    arguments = parser.parse_args()
    draw(arguments.scan, arguments.picture)
