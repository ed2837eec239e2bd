"""The bundled hippocampus models on the cases that no training saw: Dice, distances, and seconds side by side.

    python -m benchmarks.hippocampus_accuracy --data Task04_Hippocampus [--write]

Needs the extra `onnx` for the float models. Prints a Markdown table; --write puts it into docs/hippocampus_models.md,
and each case's values into docs/hippocampus_accuracy.json. The cases are those of benchmarks/experiments/splits.json
that are held out there too. Times are of the whole way, array to labelmap, with all models in turn.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT / "benchmarks"))  # the other benchmarks are programs of that folder

import machine  # noqa: E402
from tables import table  # noqa: E402

from benchmarks.experiments.table import bootstrap  # noqa: E402
from LowResSegLib import load_model, segment  # noqa: E402
from LowResSegLib.estimate.timing import interleaved  # noqa: E402
from LowResSegLib.model import PASSES  # noqa: E402
from LowResSegLib.training.accuracy import Evaluation, evaluate  # noqa: E402
from LowResSegLib.training.datasets import find_dataset  # noqa: E402
from LowResSegLib.training.labelled import read_labelled  # noqa: E402

SPLITS = CHECKOUT / "benchmarks" / "experiments" / "splits.json"
PAGE, VALUES = CHECKOUT / "docs" / "hippocampus_models.md", CHECKOUT / "docs" / "hippocampus_accuracy.json"
MODELS = ("hippocampus", "hippocampus-float", "hippocampus-float-small")

Way = tuple[str, int]  # a model's name, and passes


def ways() -> list[Way]:
    """Each model with each number of passes that it has."""
    return [(name, passes) for name in MODELS for passes in PASSES if passes <= load_model(name).passes]


def milliseconds(data: Path, name: str, threads: int, rounds: int) -> dict[Way, float]:
    """Median of the whole way of one case, by each model in turn."""
    volume = read_labelled(find_dataset(data).case(name))[0][0]
    loaded = {name: load_model(name) for name in MODELS}
    runs = {
        way: (lambda way=way: segment(volume, loaded[way[0]], threads=threads, passes=way[1]))  # type: ignore[misc]
        for way in ways()
    }
    return {way: 1000 * statistics.median(times) for way, times in interleaved(runs, rounds, 0.05).items()}


def by_case(found: Evaluation) -> np.ndarray:
    """Mean Dice of the structures of each case."""
    return np.array([np.mean(list(case.values["dice"].values())) for case in found.cases])


def accuracy(found: dict[Way, Evaluation], times: dict[int, dict[Way, float]]) -> str:
    """A row a model and number of passes."""
    labels = next(iter(found.values())).labels
    head = ["model", "passes", *labels.values(), "Dice", "over hippocampus-float (95 %)", "HD95, mm"]
    head += ["surface Dice, 1 mm", *(f"ms, {threads} thread{'s' * (threads > 1)}" for threads in times), "file, kB"]
    rows = []
    for way, evaluation in found.items():
        dice = evaluation.mean("dice")
        means = [f"{dice[str(value)]:.3f}" for value in labels] + [f"**{dice['all']:.3f}**"]
        difference = 100 * (by_case(evaluation) - by_case(found[MODELS[1], 1]))
        low, high = bootstrap(difference)
        against = "" if way == (MODELS[1], 1) else f"{difference.mean():+.2f} ({low:+.2f} to {high:+.2f}) points"
        distances = [f"{evaluation.mean('hd95_mm')['all']:.2f}", f"{evaluation.mean('surface_dice')['all']:.3f}"]
        took = [f"{each[way]:.1f}" for each in times.values()]
        size = (CHECKOUT / "Resources" / "Models" / f"{way[0]}.lowresseg").stat().st_size / 1000
        rows.append([f"`{way[0]}`", str(way[1]), *means, against, *distances, *took, f"{size:.0f}"])
    return table(head, rows)


def write(text: str) -> None:
    """Put the table into the page."""
    page = PAGE.read_text(encoding="utf-8")
    places = re.compile(r"(<!-- accuracy: .*? -->\n).*?(<!-- end of accuracy -->)", re.DOTALL)
    PAGE.write_text(places.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page), encoding="utf-8")


def main() -> None:
    """Evaluate, time, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="Task04 of the Medical Segmentation Decathlon")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    found = {way: evaluate(way[0], options.data, "test", SPLITS, passes=way[1]) for way in ways()}
    first = next(iter(found.values()))
    times = {n: milliseconds(options.data, first.cases[0].name, n, options.rounds) for n in options.threads}
    text = (
        f"{len(first.cases)} held-out cases; one training run of each network. Times on "
        f"{machine.sentence(machine.describe())}\n\n{accuracy(found, times)}"
    )
    print(text)
    if options.write:
        write(text)
        content: list[dict[str, Any]] = [{"passes": passes, **each.to_dict()} for (_, passes), each in found.items()]
        VALUES.write_text(json.dumps(content) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
