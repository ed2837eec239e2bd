"""What the brain model's confidence is worth, on synthetic scans.

    python benchmarks/brain_confidence.py --data FOLDER_OF_LABEL_MAPS [--scans 128] [--output FILE.json]
    python benchmarks/brain_confidence.py --saved FILE.json

Needs the extra `train`. The limits below which structures need review are chosen on scans of maps 1 to 16, which
training saw, and reported on maps 17 to 20, which it did not. Every second scan is T1-like; the others have random
contrasts, and half of them thick slices, as a confidence that is only right where all goes well is worth little.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tables import table

import LowResSegLib
from LowResSegLib.pipeline import segment_with_confidence
from LowResSegLib.training.evaluation import T1_LIKE, dice_by_label, synthetic_scans
from LowResSegLib.training.labels import LabelTable

TABLE = Path(LowResSegLib.__file__).parent / "training" / "configs" / "brain_labels.yaml"
HARD = dataclasses.replace(T1_LIKE, random_contrast=1.0, thick_slices=0.5)
KINDS = {"T1-like": T1_LIKE, "random contrast": HARD}
PARTS = {"chosen on maps 1 to 16": range(1, 17), "reported on maps 17 to 20": range(17, 21)}
BINS = (0, 50, 60, 70, 80, 90, 95, 100, 101)  # percent; a bin has its lower end, not its upper one
LIMITS = tuple(range(60, 96))
WRONG = 0.7  # Dice below which a structure should be looked at
CHANCES = (0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1)  # of that, from which on structures may be marked
_STEPS = 20  # of Newton's method, far more than it needs


def scans(data: Path, maps: range, count: int, seed: int) -> Iterator[tuple[str, int, LowResSegLib.Volume, np.ndarray]]:
    """Kind, map, scan and true labels; maps and kinds take turns, shifted so that each map meets each kind."""
    kinds = list(KINDS)
    for number in range(count):
        case = maps[number % len(maps)]
        kind = kinds[(number + number // len(maps)) % len(kinds)]
        names, labels = [f"training_seg_{case:02d}"], LabelTable.read(TABLE)
        _, volume, truth = next(synthetic_scans(data, names, labels, KINDS[kind], 1, seed + number))
        yield kind, case, volume, truth


def on_scan(percent: np.ndarray, shape: tuple[int, ...], spacing: float) -> np.ndarray:
    """The percent of the grid's voxel that each voxel of a scan of 1 mm lies in; axes are the grid's."""
    places = [((np.arange(n) + 0.5) / spacing).astype(int).clip(max=m - 1) for n, m in zip(shape, percent.shape)]
    return percent[np.ix_(*places)]


def judge(
    model: LowResSegLib.model.Model, kind: str, case: int, volume: LowResSegLib.Volume, truth: np.ndarray
) -> dict[str, Any]:
    """One scan's voxels by bin (all, right) where it or the truth has a structure; its structures' percent and Dice."""
    labelmap, record, confidence = segment_with_confidence(volume, model)
    percent = on_scan(confidence.array, truth.shape, model.grid.spacing)
    where = (labelmap.array > 0) | (truth > 0)
    right = labelmap.array[where] == truth[where]
    bins = np.digitize(percent[where], BINS) - 1
    dice = dice_by_label(labelmap.array, truth, [entry["value"] for entry in record["labels"]])
    structures = [
        (entry["name"], entry["confidence"] if entry["volume_ml"] else None, round(float(dice[entry["value"]]), 4))
        for entry in record["labels"]
        if not np.isnan(dice[entry["value"]])
    ]
    return {
        "kind": kind,
        "map": case,
        "stated": [round(total) for total in np.bincount(bins, percent[where], len(BINS) - 1).tolist()],
        "voxels": np.bincount(bins, minlength=len(BINS) - 1).tolist(),
        "right": np.bincount(bins[right], minlength=len(BINS) - 1).tolist(),
        "structures": structures,
    }


def reliability(results: list[dict[str, Any]]) -> str:
    """Stated confidence against the share of right voxels."""
    stated, voxels, right = (np.sum([result[key] for result in results], 0) for key in ("stated", "voxels", "right"))
    rows = []
    for number, (first, end) in enumerate(zip(BINS, BINS[1:])):
        if voxels[number]:
            name = "100" if first == 100 else f"{first} to {end - 1}"
            shares = (stated[number], 100 * right[number], 0)
            mean, correct, _ = (f"{share / voxels[number]:.0f}" for share in shares)
            rows.append((name, mean, correct, f"{100 * voxels[number] / voxels.sum():.1f}"))
    return table(("stated, %", "mean stated, %", "right, %", "share of voxels, %"), rows)


def marked(results: list[dict[str, Any]], limits: Mapping[str, float]) -> tuple[int, int, int, int]:
    """Structures with a Dice below WRONG that are marked, and all of them; the same of the others."""
    structures = [structure for result in results for structure in result["structures"]]
    pairs = [(percent is not None and percent < limits[name], dice < WRONG) for name, percent, dice in structures]
    return (
        sum(mark and wrong for mark, wrong in pairs),
        sum(wrong for _, wrong in pairs),
        sum(mark and not wrong for mark, wrong in pairs),
        sum(not wrong for _, wrong in pairs),
    )


def names_of(results: list[dict[str, Any]]) -> list[str]:
    """The structures, in the order of the model's labels."""
    return list(dict.fromkeys(name for result in results for name, _, _ in result["structures"]))


def one_limit(results: list[dict[str, Any]]) -> dict[str, int]:
    """A limit for all: the greatest share of wrong structures marked less the share of others; the lowest of equals."""

    def gain(limit: int) -> float:
        found, wrong, false, fine = marked(results, dict.fromkeys(names, limit))
        return found / max(wrong, 1) - false / max(fine, 1)

    names = names_of(results)
    return dict.fromkeys(names, max(LIMITS, key=lambda limit: (gain(limit), -limit)))


def limits_at(results: list[dict[str, Any]], chance: float) -> dict[str, int]:
    """The percent at which each structure has this chance of a Dice below WRONG, by logistic regression.

    All structures have one slope. What a structure has of its own is an offset alone, with a standard normal prior, so
    that one that is hardly ever wrong, or hardly ever right, has a limit near the others'.
    """
    names = names_of(results)
    rows = [row for result in results for row in result["structures"] if row[1] is not None]
    wrong = np.array([dice < WRONG for _, _, dice in rows], float)
    design = np.zeros((len(rows), 2 + len(names)))
    design[:, 0] = 1
    design[:, 1] = [percent / 10 - 8 for _, percent, _ in rows]  # of a size like the offsets'
    design[np.arange(len(rows)), [2 + names.index(name) for name, _, _ in rows]] = 1
    weights, prior = np.zeros(design.shape[1]), np.array([1e-3, 1e-3, *np.ones(len(names))])
    for _ in range(_STEPS):
        chances = 1 / (1 + np.exp(-design @ weights))
        slope = design.T @ (wrong - chances) - prior * weights
        weights += np.linalg.solve((design.T * (chances * (1 - chances))) @ design + np.diag(prior), slope)
    places = (np.log(chance / (1 - chance)) - weights[0] - weights[2:]) / weights[1]
    return {name: round(float(np.clip(10 * (place + 8), 0, 100))) for name, place in zip(names, places)}


def choose(results: list[dict[str, Any]]) -> dict[str, int]:
    """Limits by structure, at the greatest of CHANCES that finds as many wrong structures as one limit does.

    They are counted on one map after another, with limits of the scans of all other maps.
    """
    folds = [
        (
            [result for result in results if result["map"] != left],
            [result for result in results if result["map"] == left],
        )
        for left in sorted({result["map"] for result in results})
    ]
    wanted = sum(marked(test, one_limit(train))[0] for train, test in folds)
    for chance in CHANCES:
        if sum(marked(test, limits_at(train, chance))[0] for train, test in folds) >= wanted:
            return limits_at(results, chance)
    return one_limit(results)


def review(results: list[dict[str, Any]], limits: Mapping[str, Mapping[str, float]]) -> str:
    """How often structures are marked, by kind of scan and by limits, which have names."""
    rows = []
    for kind in (*KINDS, "all"):
        of_kind = [result for result in results if kind in (result["kind"], "all")]
        for name, chosen in limits.items():
            found, wrong, false, fine = marked(of_kind, chosen)
            rows.append((kind, name, f"{found} of {wrong}", f"{false} of {fine}"))
    return table(("scans", "limit", f"marked, Dice below {WRONG}", f"marked, Dice {WRONG} or more"), rows)


def limits_named(one: Mapping[str, float], each: Mapping[str, float]) -> dict[str, Mapping[str, float]]:
    """The limits that the tables compare."""
    return {f"{next(iter(one.values()))} % for all": one, "by structure": each}


def by_structure(results: list[dict[str, Any]], one: Mapping[str, float], each: Mapping[str, float]) -> str:
    """How often each structure is marked with one limit for all and with its own."""
    rows = []
    for name in each:
        own = [
            {**result, "structures": [entry for entry in result["structures"] if entry[0] == name]}
            for result in results
        ]
        counts = [marked(own, limits) for limits in (one, each)]
        rows.append(
            (
                name,
                str(each[name]),
                *(f"{found} of {wrong}" for found, wrong, _, _ in counts),
                *(f"{false} of {fine}" for _, _, false, fine in counts),
            )
        )
    heads = [f"{dice}, {limit}" for dice in (f"Dice below {WRONG}", "others") for limit in ("one limit", "its own")]
    return table(("structure", "limit, %", *heads), rows)


def main() -> None:
    """Run the evaluation, or print the tables of one that was saved."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of label maps and priors (SynthSeg)")
    parser.add_argument("--model", default="brain")
    parser.add_argument("--scans", type=int, default=128, help="in each of the two parts")
    parser.add_argument("--seed", type=int, default=500)
    parser.add_argument("--output", type=Path, help="JSON file of every scan's values")
    parser.add_argument("--saved", type=Path, help="such a file; nothing is run")
    options = parser.parse_args()
    if options.saved:
        results = json.loads(options.saved.read_text(encoding="utf-8"))
    else:
        model = LowResSegLib.load_model(options.model)
        results = {}
        for shift, (part, maps) in enumerate(PARTS.items()):
            made = scans(options.data, maps, options.scans, options.seed + 1000 * shift)
            results[part] = [judge(model, *scan) for scan in made]
    if options.output:
        options.output.write_text(json.dumps(results) + "\n", encoding="utf-8")
    chosen = next(iter(results.values()))
    one, each = one_limit(chosen), choose(chosen)
    print(f"Limits chosen: {each}\n")
    for part, scanned in results.items():
        print(f"{len(scanned)} scans, {part}\n")
        print(reliability(scanned), end="\n\n")
        print(review(scanned, limits_named(one, each)), end="\n\n")
        print(by_structure(scanned, one, each), end="\n\n")


if __name__ == "__main__":
    main()
