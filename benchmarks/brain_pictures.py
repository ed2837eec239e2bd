"""Pictures of the brain model's labels on real scans.

    python benchmarks/brain_pictures.py SCAN [SCAN ...] [--model brain] [--output docs/pictures]

Needs matplotlib. Writes one sheet a scan, named after it, and prints the volumes found as a Markdown table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import LowResSegLib
from LowResSegLib.report import write_sheet
from LowResSegLib.volume import image_suffix


def main() -> None:
    """Segment each scan and draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", metavar="SCAN", nargs="+", type=Path)
    parser.add_argument("--model", default="brain")
    parser.add_argument("--output", type=Path, default=Path("docs/pictures"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    model = LowResSegLib.load_model(options.model)
    columns = {}
    for scan in options.scans:
        stem = scan.name[: -len(image_suffix(scan.name))]
        volume = LowResSegLib.read_volume(scan)
        labelmap, record = LowResSegLib.segment(volume, model)
        write_sheet(options.output / f"{stem}.png", volume, labelmap, model.labels, stem)
        columns[stem] = [entry["volume_ml"] for entry in record["labels"]]
    print("| volume, ml | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for row, label in enumerate(model.labels[1:]):
        print(f"| {label.name} | " + " | ".join(f"{volumes[row]:.1f}" for volumes in columns.values()) + " |")


if __name__ == "__main__":
    main()
