"""Which cases train, which validate and which are held out: by case, with a seed, or from a file."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from LowResSegLib.errors import InputError
from LowResSegLib.volume import replacing


@dataclass(frozen=True)
class Split:
    """Names of the cases of each part; `test` is seen by nothing but the final evaluation."""

    training: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...] = ()

    def part(self, name: str) -> tuple[str, ...]:
        """Names of `training`, `validation`, `test` or `all`."""
        return self.training + self.validation + self.test if name == "all" else tuple(getattr(self, name))


def make_splits(
    names: Sequence[str],
    seed: int = 0,
    folds: int = 5,
    test_fraction: float = 0.0,
    test_cases: Sequence[str] = (),
) -> list[Split]:
    """Folds of a data set, drawn by case; equal names and numbers give equal folds on any machine.

    Args:
        names: of all cases.
        seed: of the draw.
        folds: how many; each case that is not held out validates once.
        test_fraction: share of the cases that is held out of all folds.
        test_cases: names that are held out; then no share is drawn.

    Raises:
        InputError: there are too few cases for that, or a name is unknown.
    """
    unknown = sorted(set(test_cases) - set(names))
    if unknown:
        raise InputError(f"The test case {unknown[0]} is not in the data set; check test_cases.")
    order = sorted(names)
    random.Random(seed).shuffle(order)  # Python keeps this order the same in all its versions
    held = list(test_cases) or order[: round(test_fraction * len(order))]
    rest = [name for name in order if name not in set(held)]
    if not 2 <= folds <= len(rest):
        raise InputError(
            f"{len(rest)} cases that are not held out make no {folds} folds; there are at least two folds, and each "
            "has at least one case."
        )
    return [
        Split(
            tuple(sorted(name for place, name in enumerate(rest) if place % folds != fold)),
            tuple(sorted(rest[fold::folds])),
            tuple(sorted(held)),
        )
        for fold in range(folds)
    ]


def write_splits(path: Path, splits: Sequence[Split]) -> None:
    """Write splits.json in nnU-Net's form: a list of {"train", "val"}, and "test" where cases are held out."""
    content = [
        {"train": split.training, "val": split.validation, **({"test": split.test} if split.test else {})}
        for split in splits
    ]
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_splits(path: Path) -> list[Split]:
    """Read splits.json (nnU-Net's splits_final.json too); raises InputError with the reason."""
    try:
        content: Any = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"The file of splits {path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise InputError(f"The file of splits {path} is not valid JSON: {error}.") from error
    folds = [content] if isinstance(content, dict) else content
    if not isinstance(folds, list) or not folds:
        raise InputError(f'{path} must hold a list of folds, each with "train" and "val".')
    splits = []
    for number, fold in enumerate(folds):
        parts = [fold.get(key, []) if isinstance(fold, dict) else None for key in ("train", "val", "test")]
        if not all(isinstance(part, list) and all(isinstance(name, str) for name in part) for part in parts):
            raise InputError(f'{path}: fold {number} must have lists of names, "train" and "val".')
        splits.append(Split(*(tuple(part) for part in parts if part is not None)))
    return splits


def check_split(split: Split, names: Sequence[str]) -> None:
    """Raise InputError unless a split has cases to train and to validate with, all known and none of them twice."""
    for part in ("training", "validation"):
        if not split.part(part):
            raise InputError(f"The split has no {part} cases; give it at least one.")
    known = set(names)
    seen: dict[str, str] = {}
    for part in ("training", "validation", "test"):
        for name in split.part(part):
            if name not in known:
                raise InputError(f"The {part} case {name} of the split is not in the data set.")
            if name in seen:
                where = f"both {seen[name]} and {part}" if seen[name] != part else f"{part} twice"
                raise InputError(f"The case {name} is in {where}; a case may be in one part of a split only.")
            seen[name] = part
