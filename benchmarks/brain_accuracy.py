"""Dice of the brain model on synthetic T1-like scans of label maps that training did not see.

    python benchmarks/brain_accuracy.py --data FOLDER_OF_LABEL_MAPS [--model brain] [--scans 40] [--output FILE.json]

Needs the extra `train`. Prints a Markdown table: mean and standard deviation over scans of each structure.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np

import LowResSegLib
from LowResSegLib.training.evaluation import T1_LIKE, Case, ceiling, evaluate, synthetic_scans
from LowResSegLib.training.labels import LabelTable

TABLE = Path(LowResSegLib.__file__).parent / "training" / "configs" / "brain_labels.yaml"
CASES = [f"training_seg_{number}" for number in range(17, 21)]


def table(model: LowResSegLib.model.Model, rows: dict[str, list[Case]]) -> str:
    """Markdown table of mean (standard deviation) Dice, a column for each entry of `rows`."""
    lines = ["| structure | " + " | ".join(rows) + " |", "|---" * (len(rows) + 1) + "|"]
    means = {key: [] for key in rows}
    for label in model.labels[1:]:
        cells = []
        for key, cases in rows.items():
            scores = np.array([case.dice[label.value] for case in cases])
            means[key].append(np.nanmean(scores))
            cells.append(f"{np.nanmean(scores):.3f} ({np.nanstd(scores):.3f})")
        lines.append(f"| {label.name} | " + " | ".join(cells) + " |")
    lines.append("| **mean** | " + " | ".join(f"**{np.mean(values):.3f}**" for values in means.values()) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run the evaluation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of label maps and priors (SynthSeg)")
    parser.add_argument("--model", default="brain")
    parser.add_argument("--scans", type=int, default=40)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--ceiling", action="store_true", help="also what a perfect network would reach at 2 mm")
    parser.add_argument("--output", type=Path, help="JSON file of every scan's values")
    options = parser.parse_args()
    model = LowResSegLib.load_model(options.model)

    def scans():
        return synthetic_scans(options.data, CASES, LabelTable.read(TABLE), T1_LIKE, options.scans, options.seed)

    rows = {model.name: list(evaluate(model, scans()))}
    if options.ceiling:
        rows["ceiling"] = list(ceiling(scans(), model))
    print(f"{options.scans} synthetic T1-like scans of maps 17 to 20, 1 mm, seed {options.seed}; mean (std) Dice\n")
    print(table(model, rows))
    if options.output:
        content = [
            {"case": case.name, "dice": {k: None if math.isnan(v) else round(v, 4) for k, v in case.dice.items()}}
            for case in rows[model.name]
        ]
        options.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
