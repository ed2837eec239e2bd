"""Segment a scan in Slicer without its window, and write the results to a folder.

    Slicer --no-splash --no-main-window --python-script segment_headless.py -- SCAN FOLDER [--model NAME]
        [--format seg.nrrd] [--format labelmap] [--format record] [--compare OTHER.seg.nrrd]

Without --format the first three are written. Slicer's exit status is 0 where all went well, and 1 where something did
not; the reason is printed. Where LowResSeg is not installed as an extension, tell Slicer where it is:
`--additional-module-paths .../LowResSeg` before `--python-script`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import slicer


def main(arguments: Sequence[str]) -> int:
    """Do what the arguments ask for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="segment_headless.py", description="Segment a scan in Slicer.")
    parser.add_argument("scan", type=Path, help="a file that Slicer loads as a volume")
    parser.add_argument("folder", type=Path, help="where the results go")
    parser.add_argument("--model", default="brain", help="name of an installed model, or a model file")
    parser.add_argument("--format", action="append", dest="formats", help="seg.nrrd, labelmap, record or dicom")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="a segmentation to compare the result with")
    parser.add_argument("--overwrite", action="store_true", help="replace files of before")
    chosen = parser.parse_args([argument for argument in arguments if argument != "--"])

    from LowResSeg import LowResSegLogic
    from LowResSegLib.errors import LowResSegError

    logic = LowResSegLogic()
    try:
        segmentation = logic.process(slicer.util.loadVolume(str(chosen.scan)), chosen.model)
        for row in logic.review(segmentation):
            print(f"{row.structure}: {row.volume_ml:.2f} ml")
        formats = chosen.formats or ("seg.nrrd", "labelmap", "record")
        for file in logic.export(segmentation, chosen.folder, formats, overwrite=chosen.overwrite):
            print(f"wrote {file}")
        if chosen.compare is not None:
            other = slicer.util.loadSegmentation(str(chosen.compare))
            for row in logic.compare(segmentation, other, difference=False).comparison.rows:
                print(f"{row.name}: Dice {'not defined' if row.dice is None else round(row.dice, 3)}")
    except (LowResSegError, RuntimeError) as error:  # the latter is Slicer's, where a file cannot be loaded
        print(f"segment_headless.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    slicer.util.exit(main(sys.argv[1:]))
