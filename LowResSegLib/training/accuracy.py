"""How well a model file segments the cases of a data set: Dice, HD95 and surface Dice at 1 mm. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from LowResSegLib.comparison.measures import dice, surface_dice_of, surface_distances
from LowResSegLib.errors import InputError
from LowResSegLib.model import Model, load_model
from LowResSegLib.pipeline import segment
from LowResSegLib.training.datasets import CaseFiles, Dataset, find_dataset
from LowResSegLib.training.labelled import read_labelled
from LowResSegLib.training.splits import check_split, read_splits
from LowResSegLib.volume import replacing

MEASURES = {"dice": "Dice", "hd95_mm": "HD95, mm", "surface_dice": "surface Dice at 1 mm"}
PARTS = ("training", "validation", "test", "all")


@dataclass(frozen=True)
class CaseScores:
    """One case: its name, and each measure of each label value; NaN where it is not defined."""

    name: str
    values: Mapping[str, Mapping[int, float]]


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Attributes:
        model, digest: name of the model, and what names its exact network.
        split: which part of the data set.
        labels: name of each label value of the data set, without the background.
        cases: in the order of their names.
    """

    model: str
    digest: str
    split: str
    labels: Mapping[int, str]
    cases: tuple[CaseScores, ...]

    def mean(self, measure: str) -> dict[str, float]:
        """Mean over cases of each label, by its value as text, and `all`, the mean of those; NaN is left out."""
        means = {
            str(value): _mean([case.values[measure].get(value, math.nan) for case in self.cases])
            for value in self.labels
        }
        return {**means, "all": _mean(list(means.values()))}

    def to_dict(self) -> dict[str, Any]:
        """For JSON: `cases`, each with values by label, and `mean`, which has `all` besides; null is not defined."""
        return {
            "model": self.model,
            "model_sha256": self.digest,
            "split": self.split,
            "labels": {str(value): name for value, name in self.labels.items()},
            "cases": [
                {
                    "case": case.name,
                    **{name: {str(v): _json(n) for v, n in found.items()} for name, found in case.values.items()},
                }
                for case in self.cases
            ],
            "mean": {name: {key: _json(number) for key, number in self.mean(name).items()} for name in MEASURES},
        }


def evaluate(
    model: Union[str, Path, Model],
    data: Union[str, Path],
    split: str = "all",
    splits: Optional[Union[str, Path]] = None,
    *,
    fold: int = 0,
    channel: Optional[int] = None,
    backend: str = "auto",
    threads: Optional[int] = None,
    passes: Optional[int] = None,
    progress: Optional[Callable[[str, float], None]] = None,
    cancel: Optional[Callable[[], bool]] = None,
) -> Evaluation:
    """Segment cases as a user would, and compare with their labelmaps at the scans' own resolution.

    Args:
        model: name of an installed model, a model file, or a model.
        data: a data set in any layout that `datasets.find_dataset` knows.
        split: `training`, `validation` or `test` of `splits`, or `all` cases of the data set.
        splits: splits.json of a run (or nnU-Net's); without it there is only `all`.
        fold: which of the folds in `splits`.
        channel: which channel the model gets; needed where there are several.
        backend: as `pipeline.segment` has it.
        threads: likewise.
        passes: likewise.
        progress: called with the name of the case and the share of all cases that is done, 0 to 1.
        cancel: as `pipeline.segment` has it.

    Raises:
        InputError: the data set cannot be used, the labels are not those of the model, or the split has no such part.
        ModelError, BackendError, Cancelled: as `pipeline.segment`.
    """
    network = load_model(model)
    dataset = find_dataset(Path(data))
    labels = _labels(dataset, network)
    names = _names(dataset, split, splits, fold)
    classes = _classes(labels, network)
    found = []
    for number, name in enumerate(names):
        if progress:
            progress(name, number / len(names))
        options = {"backend": backend, "threads": threads, "passes": passes, "cancel": cancel}
        found.append(_case(dataset.case(name), network, labels, classes, channel, options))
    if progress:
        progress("done", 1.0)
    return Evaluation(network.name, network.digest, split, labels, tuple(found))


def _case(
    files: CaseFiles,
    model: Model,
    labels: Mapping[int, str],
    classes: Mapping[int, int],
    channel: Optional[int],
    options: Mapping[str, Any],
) -> CaseScores:
    volumes, truth = read_labelled(files)
    if len(volumes) > 1 and channel is None:
        raise InputError(
            f"The case {files.name} has {len(volumes)} channels, the model takes one; choose with --channel."
        )
    if channel is not None and not 0 <= channel < len(volumes):
        raise InputError(f"The case {files.name} has no channel {channel}; they are counted from 0.")
    stray = sorted(set(np.unique(truth.array).tolist()) - {0, *labels})
    if stray:
        raise InputError(f"The label of case {files.name} holds the value {stray[0]}, which is not declared.")
    labelmap, _ = segment(volumes[channel or 0], model, **options)
    values: dict[str, dict[int, float]] = {name: {} for name in MEASURES}
    for value in labels:
        ours, theirs = labelmap.array == classes[value], truth.array == value
        distances = surface_distances(ours, theirs, truth.spacing)
        some = bool(ours.any() or theirs.any())
        for name, number in zip(values, (dice(ours, theirs), distances.hd95, surface_dice_of(distances, some))):
            values[name][value] = number
    return CaseScores(files.name, values)


def _labels(dataset: Dataset, model: Model) -> dict[int, str]:
    """Names by value; of a data set that declares none those of the model."""
    declared = dataset.labels or {label.value: label.name for label in model.labels}
    return {value: name for value, name in declared.items() if value}


def _classes(labels: Mapping[int, str], model: Model) -> dict[int, int]:
    """The model's label value of each of the data set's: by name, or where names differ altogether by value."""
    named = {label.name.casefold(): label.value for label in model.labels if label.value}
    if set(named) & {name.casefold() for name in labels.values()}:
        missing = [name for name in labels.values() if name.casefold() not in named]
        if missing:
            raise InputError(f"The model {model.name} does not label {missing[0]}, which the data set has.")
        return {value: named[name.casefold()] for value, name in labels.items()}
    if set(labels) - set(named.values()):
        raise InputError(
            f"The labels of the data set ({', '.join(labels.values())}) are not those of the model {model.name} "
            f"({', '.join(label.name for label in model.labels[1:])})."
        )
    return {value: value for value in labels}


def _names(dataset: Dataset, split: str, splits: Optional[Union[str, Path]], fold: int) -> list[str]:
    if split not in PARTS:
        raise InputError(f"There is no part {split!r} of a split; choose one of {', '.join(PARTS)}.")
    if split == "all":
        return dataset.names
    if splits is None:
        raise InputError(f"Which cases are {split} cases stands in a run's splits.json; give it with --splits.")
    folds = read_splits(Path(splits))
    if not 0 <= fold < len(folds):
        raise InputError(f"{splits} has no fold {fold}; it has {len(folds)}, counted from 0.")
    check_split(folds[fold], dataset.names)
    names = sorted(folds[fold].part(split))
    if not names:
        raise InputError(f"{splits} has no {split} cases in fold {fold}.")
    return names


def draw(evaluation: Evaluation, path: Path) -> None:
    """A picture (PNG, SVG or PDF by its name) of the Dice of each structure: a box, and a dot for each case."""
    from matplotlib.figure import Figure

    names = list(evaluation.labels.values())
    columns = [
        [case.values["dice"][v] for case in evaluation.cases if not math.isnan(case.values["dice"][v])]
        for v in evaluation.labels
    ]
    drawn = Figure(figsize=(2.5 + 0.8 * len(names), 4), layout="constrained")
    axes = drawn.add_subplot()
    axes.boxplot(columns, showfliers=False, medianprops={"color": "black"})
    rng = np.random.default_rng(0)
    for place, column in enumerate(columns, 1):
        axes.plot(place + rng.uniform(-0.15, 0.15, len(column)), column, "o", markersize=3, alpha=0.5)
    slanted: dict[str, Any] = {"rotation": 30, "ha": "right"} if len(names) > 3 else {}
    axes.set_xticks(range(1, len(names) + 1), names, **slanted)
    axes.set_ylabel("Dice")
    axes.set_ylim(0, 1)
    axes.set_title(f"{evaluation.model}, {len(evaluation.cases)} cases ({evaluation.split})", fontsize=10)
    with replacing(path) as temporary:
        drawn.savefig(temporary, dpi=150, format=path.suffix.lstrip(".") or "png")


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _json(number: float) -> Optional[float]:
    return None if math.isnan(number) else round(number, 4)
