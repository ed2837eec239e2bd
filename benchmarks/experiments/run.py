"""Train the next missing units of a part, and add their rows to the table.

    python -m benchmarks.experiments.run --part a --data Task04_Hippocampus --budget-minutes 30

One thread a process; several processes may run at once, each takes a unit that no other has. A unit that the time stops
goes on from its checkpoint the next time. Checkpoints are kept in runs/experiments, which git ignores: where a unit
starts from another whose row is in the table but whose checkpoint is not here, that one is trained again first.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import logging
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from benchmarks.experiments import plan, table
from benchmarks.experiments.plan import Unit
from benchmarks.experiments.zeros import zeros
from LowResSegLib.comparison import measures
from LowResSegLib.networks.cost import count_macs, count_parameters
from LowResSegLib.networks.heads import HEADS
from LowResSegLib.training.case_checkpoint import load_segmenter
from LowResSegLib.training.case_run import train_on_cases
from LowResSegLib.training.cases import Cases, labels_of
from LowResSegLib.training.datasets import find_dataset
from LowResSegLib.training.evaluation import dice_by_label
from LowResSegLib.training.run_config import RunConfig
from LowResSegLib.training.segmenter import Segmenter
from LowResSegLib.training.splits import read_splits

RUNS = Path("runs/experiments")


def config_of(unit: Unit, runs: Path, split: Path = plan.SPLIT) -> RunConfig:
    """The configuration of a unit's run."""
    changes: dict[str, Any] = {}
    for key, arm in (("teacher", unit.teacher), ("start_from", unit.start)):
        if arm:
            changes[key] = plan.folder_of(runs, f"{arm}/{unit.seed}") / "weights.pt"
    steps = unit.config["steps"]
    return RunConfig.from_dict(
        {
            "name": unit.key.replace("/", "-"),
            "split": {"file": split},
            "validate_every": max(1, steps // 4),
            "tensorboard": False,
            **unit.config,
            **changes,
            "seed": unit.seed,
        }
    )


def train(unit: Unit, data: Path, runs: Path, minutes: float, split: Path = plan.SPLIT) -> Optional[Path]:
    """Train a unit, or go on with it; the checkpoint, or None where the time was up."""
    config = config_of(unit, runs, split)
    folder = plan.folder_of(runs, unit.key)
    began = time.monotonic()
    weights = train_on_cases(config, data, folder, resume=True, max_minutes=minutes)
    spent = folder / "minutes.txt"
    before = float(spent.read_text()) if spent.exists() else 0.0
    spent.write_text(f"{before + (time.monotonic() - began) / 60:.3f}")
    return weights if is_trained(unit, runs, split) else None


def is_trained(unit: Unit, runs: Path, split: Path = plan.SPLIT) -> bool:
    """Whether the checkpoint of a unit's last step is here."""
    weights = plan.folder_of(runs, unit.key) / "weights.pt"
    return weights.exists() and load_segmenter(weights)[1]["step"] >= config_of(unit, runs, split).all_steps


@torch.no_grad()
def evaluate(segmenter: Segmenter, cases: Cases, names: tuple[str, ...]) -> dict[str, dict[str, list[Any]]]:
    """Dice, HD95 (mm) and surface Dice at 1 mm of each structure and case, at the scan's own resolution."""
    found: dict[str, dict[str, list[Any]]] = {name: {} for name in ("dice", "hd95", "surface_dice")}
    for name in names:
        case = cases[name]
        labels = segmenter.predict(case)
        dice = dice_by_label(labels, case.label, range(1, cases.classes))
        for value in range(1, cases.classes):
            ours, truth = labels == value, case.label == value
            distances = measures.surface_distances(ours, truth, case.spacing[::-1])
            some = bool(ours.any() or truth.any())
            row = (dice[value], distances.hd95, measures.surface_dice_of(distances, some))
            for measure, number in zip(found, row):
                found[measure].setdefault(str(value), []).append(None if np.isnan(number) else round(float(number), 4))
    return found


def row_of(unit: Unit, weights: Path, data: Path, runs: Path, split: Path = plan.SPLIT) -> dict[str, Any]:
    """A unit's line of the table."""
    segmenter, content = load_segmenter(weights)
    dataset = find_dataset(data)
    cases = Cases(dataset, labels_of(dataset, {}), segmenter.data)
    held = read_splits(split)[0].test
    low = [edge // factor for edge, factor in zip(segmenter.data.crop, segmenter.data.factors)]
    return {
        "unit": unit.key,
        "part": unit.part,
        "arm": unit.arm,
        "seed": unit.seed,
        "protocol": plan.protocol_of(unit.key),
        "steps": content["step"],
        "minutes": float((plan.folder_of(runs, unit.key) / "minutes.txt").read_text()),
        "parameters": count_parameters(segmenter.trunk),
        "head_parameters": count_parameters(segmenter.head),
        "macs": count_macs(segmenter.trunk, (1, segmenter.shape.channels, *low)),
        "zeros": zeros(segmenter, cases[held[0]]),
        **evaluate(segmenter, cases, held),
    }


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Whether a unit's folder is ours while the block runs; another process that has it is left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True


def to_train(unit: Unit, runs: Path, split: Path = plan.SPLIT) -> Iterator[Unit]:
    """A unit after those it needs that are not trained here, whether or not the table has their rows."""
    for needed in map(plan.unit_of, unit.needs):
        if not is_trained(needed, runs, split):
            yield from to_train(needed, runs, split)
    yield unit


def add_row(unit: Unit, data: Path, runs: Path, minutes: float, split: Path = plan.SPLIT) -> Optional[bool]:
    """Train a unit that the table lacks, and what it needs before, and add its row.

    Returns:
        Whether a row was added: not where another process has one of the units. None where the time was up.
    """
    end = time.monotonic() + 60 * minutes
    for each in to_train(unit, runs, split):
        with claimed(plan.folder_of(runs, each.key)) as ours:
            if not ours or unit.key in table.rows():
                return False
            began = time.monotonic()
            left = max(0.1, (end - began) / 60)  # 0 would be for ever
            weights = train(each, data, runs, left, split)
            if weights is None:
                print(f"{each.key}: stopped by the budget; it goes on next time", flush=True)
                return None
            if each.key not in table.rows():
                row = row_of(each, weights, data, runs, split)
                table.append(row)
                seconds = time.monotonic() - began
                print(f"{each.key}: Dice {np.nanmean(table.values(row)):.4f}, {seconds:.0f} s", flush=True)
    return True


def main() -> None:
    """Run until the budget is spent or nothing is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=plan.PARTS, action="append", help="a to d; all in turn without")
    parser.add_argument("--budget-minutes", type=float, default=30)
    parser.add_argument("--data", type=Path, help="the folder Task04_Hippocampus")
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of the checkpoints")
    parser.add_argument("--match", default="", help="only units whose name holds this text")
    parser.add_argument("--list", action="store_true", help="say what is there and what is missing, and end")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    wanted = [u for part in options.part or plan.PARTS for u in plan.units(part) if options.match in u.key]
    if options.data is None and not options.list:
        parser.error("--data is needed: the folder Task04_Hippocampus")
    if options.list:
        there = table.rows()
        for unit in wanted:
            print(f"{'done   ' if unit.key in there else 'missing'} {unit.key}")
        return
    end = time.monotonic() + 60 * options.budget_minutes
    progress = True
    while progress and time.monotonic() < end:
        progress = False
        for unit in wanted:
            left = (end - time.monotonic()) / 60
            if left <= 0.2:
                return
            if unit.key in table.rows() or unit.config["head"]["name"] not in HEADS:
                continue
            added = add_row(unit, options.data, options.runs, left)
            if added is None:
                return
            progress = progress or added


if __name__ == "__main__":
    main()
