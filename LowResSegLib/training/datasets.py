"""Folders of volumes and labelmaps, read as they are: MSD, nnU-Net v2 raw, plain folders, and lists of files.

MSD         dataset.json with `training` (image and label of each case) and `labels` from value to name; images of
several channels are 4-D files
nnU-Net     dataset.json with `channel_names`, `file_ending` and `labels` from name to value; a file for each
channel, imagesTr/CASE_0000.nii.gz, and labelsTr/CASE.nii.gz
plain       images/ and labels/ with files of equal names; labels.json beside them may name the values
list        cases.csv or cases.json, or any such file: `image` and `label` of each case, `case` if it has a name
of its own, and `image_1`, `image_2` where there are several channels
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from LowResSegLib.errors import InputError
from LowResSegLib.volume import IMAGE_SUFFIXES, count_frames, image_suffix

_LISTS = ("cases.csv", "cases.json")
_MOST_LABELS = 255


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case: `images` has one for each channel, or one 4-D file; `label` is its labelmap."""

    name: str
    images: tuple[Path, ...]
    label: Path


@dataclass(frozen=True)
class Dataset:
    """A data set as its files describe it, before any volume is read.

    Attributes:
        root: the folder, or the list's file.
        layout: `msd`, `nnunet`, `plain` or `list`.
        labels: name of each value with the background, by value; empty where nothing declares them.
        channels: names of the channels; empty where nothing declares them.
        cases: in the order of their names.
    """

    root: Path
    layout: str
    labels: Mapping[int, str]
    channels: tuple[str, ...]
    cases: tuple[CaseFiles, ...]

    @property
    def names(self) -> list[str]:
        """Names of all cases."""
        return [case.name for case in self.cases]

    def case(self, name: str) -> CaseFiles:
        """One case; raises InputError where there is none of that name."""
        for case in self.cases:
            if case.name == name:
                return case
        raise InputError(f"{self.root} has no case {name}; check the names in the split or the configuration.")


def find_dataset(root: Path) -> Dataset:
    """Recognise the layout of a folder (or of a list's file), and find its cases.

    Raises:
        InputError: there is no data set, its description is damaged, a case lacks its image or its label, two cases
            have one name, or there is no case at all. One sentence that names the case.
    """
    root = Path(root)
    if not root.exists():
        raise InputError(f"{root} does not exist; give the folder of the data set.")
    listed = next((root / name for name in _LISTS if (root / name).exists()), None) if root.is_dir() else root
    if root.is_dir() and (root / "dataset.json").exists():
        description = _json(root / "dataset.json")
        if not isinstance(description, dict):
            raise InputError(f"{root / 'dataset.json'} must hold an object; write it as MSD or nnU-Net do.")
        found = _nnunet(root, description) if "file_ending" in description else _msd(root, description)
    elif listed is not None:
        found = _listed(root, listed)
    elif (root / "images").is_dir() and (root / "labels").is_dir():
        found = _plain(root)
    else:
        raise InputError(
            f"{root} is no data set: it has neither dataset.json (MSD, nnU-Net) nor the folders images and labels nor "
            f"{' or '.join(_LISTS)}."
        )
    if not found.cases:
        raise InputError(f"{root} has no cases; a case is an image with its labelmap.")
    seen: set[str] = set()
    for case in found.cases:
        if case.name in seen:
            raise InputError(f"{root} has two cases of the name {case.name}; give each case a name of its own.")
        seen.add(case.name)
        for path in case.images:
            if not path.exists():
                raise InputError(f"The case {case.name} lacks its image {path}; add the file, or leave the case out.")
        if not case.label.exists():
            raise InputError(f"The case {case.name} lacks its label {case.label}; add the file, or leave the case out.")
    return found


def channel_files(case: CaseFiles) -> list[tuple[Path, Optional[int]]]:
    """File and frame of each channel of a case; a 4-D file has one channel a frame."""
    if len(case.images) > 1:
        return [(path, None) for path in case.images]
    frames = count_frames(case.images[0])
    return [(case.images[0], frame if frames > 1 else None) for frame in range(frames)]


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON: {error}.") from error


def check_labels(path: Path, labels: Mapping[Any, Any]) -> dict[int, str]:
    """Names by value of a mapping that has them in either direction; the background is added where it lacks.

    Raises:
        InputError: the values are no whole numbers from 0 to 255, or one has two names.
    """
    named: dict[int, str] = {}
    for key, entry in labels.items():
        value, name = (key, entry) if re.fullmatch(r"\d+", str(key)) and not isinstance(entry, int) else (entry, key)
        if isinstance(value, (list, tuple)):
            raise InputError(
                f"{path}: the label {name} is a region of several values; give each value a name of its own."
            )
        if str(name).lower() == "ignore":
            raise InputError(f"{path}: the label `ignore` is not supported; leave such cases out.")
        if not re.fullmatch(r"\d+", str(value)) or int(value) > _MOST_LABELS:
            raise InputError(f"{path}: the label {name} has the value {value!r}; values are whole numbers up to 255.")
        if int(value) in named:
            raise InputError(f"{path}: the label value {value} has two names.")
        named[int(value)] = str(name)
    named.setdefault(0, "background")
    return dict(sorted(named.items()))


def _names(root: Path, description: Mapping[str, Any], *keys: str) -> tuple[str, ...]:
    """Names of the channels, which both layouts have by number."""
    for key in keys:
        entry = description.get(key)
        if isinstance(entry, dict):
            try:
                return tuple(str(entry[number]) for number in sorted(entry, key=int))
            except ValueError as error:
                raise InputError(f"{root / 'dataset.json'}: the keys of {key} must be 0, 1, 2, ...") from error
    return ()


def _labels_of(root: Path, description: Mapping[str, Any]) -> dict[int, str]:
    labels = description.get("labels")
    if not isinstance(labels, dict):
        raise InputError(f"{root / 'dataset.json'} lacks `labels`; they name each value of the labelmaps.")
    return check_labels(root / "dataset.json", labels)


def _msd(root: Path, description: Mapping[str, Any]) -> Dataset:
    entries = description.get("training")
    if not isinstance(entries, list):
        raise InputError(f"{root / 'dataset.json'} has neither `training` (MSD) nor `file_ending` (nnU-Net v2).")
    cases = []
    for entry in entries:
        if not (
            isinstance(entry, dict) and isinstance(entry.get("image"), str) and isinstance(entry.get("label"), str)
        ):
            raise InputError(f"{root / 'dataset.json'}: an entry of `training` lacks image or label: {entry!r}.")
        image = root / entry["image"]
        cases.append(CaseFiles(_stem(image), (image,), root / entry["label"]))
    labels = _labels_of(root, description)
    return Dataset(root, "msd", labels, _names(root, description, "modality"), _ordered(cases))


def _nnunet(root: Path, description: Mapping[str, Any]) -> Dataset:
    ending = str(description["file_ending"])
    channels = _names(root, description, "channel_names", "modality")
    labels = _labels_of(root, description)
    count = max(1, len(channels))
    images, labelmaps = root / "imagesTr", root / "labelsTr"
    pattern = re.compile(rf"(.+)_(\d{{4}}){re.escape(ending)}")
    matches = (pattern.fullmatch(path.name) for path in images.iterdir()) if images.is_dir() else ()
    names = {match[1] for match in matches if match}
    ends = len(ending)
    if labelmaps.is_dir():  # a label without an image is told of as a missing image
        names |= {path.name[:-ends] for path in labelmaps.iterdir() if path.name.endswith(ending)}
    cases = [
        CaseFiles(
            name,
            tuple(images / f"{name}_{channel:04d}{ending}" for channel in range(count)),
            labelmaps / f"{name}{ending}",
        )
        for name in names
        if not name.startswith(".")
    ]
    return Dataset(root, "nnunet", labels, channels, _ordered(cases))


def _plain(root: Path) -> Dataset:
    images, labelmaps = ({_stem(path): path for path in _volumes(root / name)} for name in ("images", "labels"))
    cases = [
        CaseFiles(
            name,
            (images.get(name, root / "images" / f"{name}{image_suffix(labelmaps.get(name, name)) or '.nii.gz'}"),),
            labelmaps.get(name, root / "labels" / f"{name}{image_suffix(images.get(name, name)) or '.nii.gz'}"),
        )
        for name in {**images, **labelmaps}
    ]
    return Dataset(root, "plain", _beside(root), (), _ordered(cases))


def _volumes(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if image_suffix(path) and not path.name.startswith(".")]


def _beside(folder: Path) -> dict[int, str]:
    """Labels of labels.json in a folder; empty where there is none."""
    path = folder / "labels.json"
    if not path.exists():
        return {}
    labels = _json(path)
    if not isinstance(labels, dict):
        raise InputError(f'{path} must name the label values, as {{"1": "Left", "2": "Right"}}.')
    return check_labels(path, labels)


def _listed(root: Path, path: Path) -> Dataset:
    folder = path.parent
    if path.suffix.lower() == ".csv":
        try:
            with open(path, encoding="utf-8-sig", newline="") as file:
                rows: Any = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{path} cannot be read as CSV ({error}).") from error
    elif path.suffix.lower() == ".json":
        content = _json(path)
        rows = content.get("training", content.get("cases")) if isinstance(content, dict) else content
    else:
        raise InputError(f"{path} is no list of cases; give a folder, or a .csv or .json file.")
    if not isinstance(rows, (list, tuple)):
        raise InputError(f"{path} must hold a list of cases, each with `image` and `label`.")
    cases = []
    for number, row in enumerate(rows, 1):
        images = _images_of(row) if isinstance(row, dict) else []
        if not images or not row.get("label"):
            raise InputError(f"{path}: case {number} lacks image or label.")
        name = str(row.get("case") or row.get("name") or _stem(Path(images[0])))
        cases.append(CaseFiles(name, tuple(folder / image for image in images), folder / str(row["label"])))
    return Dataset(root, "list", _beside(folder), (), _ordered(cases))


def _images_of(row: Mapping[str, Any]) -> list[str]:
    """`image` (a path or a list of paths), then `image_1`, `image_2`, ... of a list's row."""
    first = row.get("image") or row.get("image_0")
    images = [str(part) for part in first] if isinstance(first, list) else [str(first)] if first else []
    numbered = sorted((int(key[6:]), row[key]) for key in row if re.fullmatch(r"image_[1-9]\d*", str(key)) and row[key])
    return images + [str(image) for _, image in numbered]


def _stem(path: Path) -> str:
    name = path.name
    suffix = next((suffix for suffix in IMAGE_SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)]


def _ordered(cases: Sequence[CaseFiles]) -> tuple[CaseFiles, ...]:
    return tuple(sorted(cases, key=lambda case: case.name))
