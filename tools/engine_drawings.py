"""Draw the pictures of docs/engine.md: small examples of the native engine, whose numbers are computed here.

Usage: python tools/engine_drawings.py [FOLDER]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from drawings.counting import draw_counter, draw_lists, draw_sum
from drawings.layout import draw_planes, draw_raster, draw_run, draw_stride

DRAWINGS = (draw_planes, draw_raster, draw_counter, draw_lists, draw_sum, draw_stride, draw_run)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = Path(__file__).resolve().parents[1] / "docs" / "pictures"
    parser.add_argument("folder", metavar="FOLDER", type=Path, nargs="?", default=default, help="else docs/pictures")
    target = parser.parse_args().folder
    for draw in DRAWINGS:
        draw().save(target)
