"""What is done for one scan of a file, by the command line and by the worker process."""

from __future__ import annotations

import importlib.util
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Union

from LowResSegLib import pipeline
from LowResSegLib.case.limits import check_memory
from LowResSegLib.case.outputs import OutputFolder
from LowResSegLib.errors import Cancelled, InputError
from LowResSegLib.model import Model
from LowResSegLib.report import write_sheet
from LowResSegLib.volume import (
    Label,
    Series,
    Volume,
    find_series,
    read_scan,
    read_series,
    replacing,
    write_dicom_seg,
    write_labelmap,
    write_segmentation,
)
from LowResSegLib.volume.reading import holds_dicom, naming, refusing

# What the names of results end with.
SEGMENTATION, LABELMAP, PICTURE, RECORD = ".seg.nrrd", "_labels.nii.gz", ".png", ".json"
DICOM_SEG, CONFIDENCE = "_seg.dcm", "_confidence.nii.gz"
# By the names that callers in Python use.
FORMATS = {"seg.nrrd": SEGMENTATION, "nii.gz": LABELMAP, "png": PICTURE, "json": RECORD, "dcm": DICOM_SEG}

# (volume, model, whether with confidence, options of `segment`, progress, cancel) -> labelmap, run record, confidence
Way = Callable[
    [Volume, Union[str, Model], bool, Mapping[str, Any], pipeline.Progress, pipeline.Cancel],
    tuple[Volume, dict[str, Any], Optional[Volume]],
]

# The part of the whole run that reading and the segmentation take, for the progress; the rest is writing.
_READ, _SEGMENTED = 0.05, 0.85


def dicom_series(path: Path) -> Optional[Series]:
    """The only DICOM series at a path; None where the path is not DICOM.

    Raises:
        InputError: There is none, or several.
    """
    return find_series(path) if holds_dicom(path) else None


def spare(paths: Sequence[Path], targets: Sequence[Path]) -> None:
    """Refuse to write results over an input, such as those of x.nii over x_labels.nii.gz, whatever may be replaced.

    Raises:
        InputError: One of the inputs is a target.
    """
    results = {os.path.abspath(target) for target in targets}
    for path in paths:
        if os.path.abspath(path) in results:
            raise InputError(f"The results would be written over the input {path}; choose another output folder.")


def segment_case(
    path: Path,
    output: OutputFolder,
    stem: str,
    endings: Sequence[str],
    model: Union[str, Model] = "brain",
    *,
    frame: Optional[int] = None,
    find: Callable[[Path], Optional[Series]] = dicom_series,
    replace_nonfinite: bool = False,
    progress: Optional[pipeline.Progress] = None,
    cancel: Optional[pipeline.Cancel] = None,
    options: Optional[Mapping[str, Any]] = None,
    way: Optional[Way] = None,
) -> tuple[dict[str, Any], list[str]]:
    """Segment a scan and write its results, all of them or none.

    Args:
        path: A scan, or a folder of DICOM files.
        output: The folder for the results, entered.
        stem: What the names of the results begin with.
        endings: What they end with: of this module's constants. With CONFIDENCE the record has the confidence, too. A
            picture is left out where matplotlib is not installed.
        model: Name of an installed model, a model file, or a model.
        frame: Which volume of a series of volumes, counted from 0.
        find: Gives the DICOM series of the path; None where it is not DICOM.
        replace_nonfinite: As in `read_scan`.
        progress: Called with each step and the share that is done of all.
        cancel: Asked again and again; where it returns true, the run ends with `Cancelled`.
        options: `backend`, `threads`, `not_a_labelmap`, `max_memory`, `passes` of `segment`.
        way: Segments the volume, elsewhere perhaps; by default `pipeline.segment` or `segment_with_confidence`.

    Returns:
        The run record and the names of the files.

    Raises:
        LowResSegError: As `read_scan`, `segment` and the writers; nothing is written then.
    """
    tell, asked = progress or (lambda step, share: None), cancel or (lambda: False)

    def step(name: str, share: float) -> None:
        if asked():
            raise Cancelled("The run was cancelled.")
        tell(name, share)

    given = dict(options or {})
    began = time.perf_counter()
    for ending in endings:
        output.new(f"{stem}{ending}")  # refuses before the work what could not be written after it
    step("reading", 0.0)
    source = find(path)
    if source is not None and frame:
        raise InputError(f"{path} has no frame {frame}, because a DICOM series is one volume.")
    if DICOM_SEG in endings:
        _check_dicom_seg(path, source)
    if given.get("max_memory") is not None:
        wanted = {name: given[name] for name in ("max_memory", "backend", "threads", "passes") if name in given}
        picture = PICTURE in endings and importlib.util.find_spec("matplotlib") is not None
        check_memory(path, source, model, picture=picture, **wanted)
    not_a_labelmap = bool(given.get("not_a_labelmap"))
    if source is None:
        volume, replaced = read_scan(path, frame, replace_nonfinite, not_a_labelmap)
    else:
        with naming(path):
            volume, replaced = read_series(source), 0
    reading = time.perf_counter() - began
    confidence: Optional[Volume] = None

    def segmenting(name: str, share: float) -> None:
        step(name, _READ + (_SEGMENTED - _READ) * share)

    with refusing(path):
        if way is not None:
            labelmap, record, confidence = way(volume, model, CONFIDENCE in endings, given, segmenting, asked)
        elif CONFIDENCE in endings:
            surely = pipeline.segment_with_confidence
            labelmap, record, confidence = surely(volume, model, segmenting, cancel, **given)
        else:
            labelmap, record = pipeline.segment(volume, model, segmenting, cancel, **given)
    if frame is not None:
        record["frame"] = frame
    if replace_nonfinite:
        record["nonfinite_voxels_replaced"] = replaced
    step("writing", _SEGMENTED)
    writing_began = time.perf_counter()
    _write(output, stem, endings, volume, labelmap, confidence, record, source, lambda: step("writing", _SEGMENTED))
    now = time.perf_counter()
    steps = {name: duration for name, duration in record["seconds"].items() if name != "total"}
    seconds = {"reading": reading, **steps, "writing": now - writing_began, "total": now - began}
    record["seconds"] = {name: round(duration, 4) for name, duration in seconds.items()}
    if RECORD in endings:
        with replacing(output.new(f"{stem}{RECORD}")) as file:
            file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    step("writing", _SEGMENTED)
    return record, output.publish()


def _check_dicom_seg(path: Path, source: Optional[Series]) -> None:
    if source is None:
        raise InputError(f"{path} is not DICOM, so there can be no DICOM segmentation object of it; leave that out.")
    if importlib.util.find_spec("highdicom") is None:
        raise InputError(
            "A DICOM segmentation object needs the package highdicom, which is not installed: pip install "
            "lowresseg[dicom]."
        )


def _write(
    output: OutputFolder,
    stem: str,
    endings: Sequence[str],
    volume: Volume,
    labelmap: Volume,
    confidence: Optional[Volume],
    record: dict[str, Any],
    source: Optional[Series],
    step: Callable[[], None],
) -> None:
    """Write all but the record; `step` is called between files and may raise."""
    labels = [Label.from_dict(entry) for entry in record["labels"]]
    if SEGMENTATION in endings:
        write_segmentation(output.new(f"{stem}{SEGMENTATION}"), labelmap, labels)
        step()
    if LABELMAP in endings:
        write_labelmap(output.new(f"{stem}{LABELMAP}"), labelmap)
        step()
    if confidence is not None:
        write_labelmap(output.new(f"{stem}{CONFIDENCE}"), confidence)
        step()
    else:
        output.drop(f"{stem}{CONFIDENCE}")
    if PICTURE in endings:
        if importlib.util.find_spec("matplotlib") is None:
            output.drop(f"{stem}{PICTURE}")
        else:
            # Without the stem, which is often a name: a picture is soon passed on.
            title = f"LowResSeg, model {record['model']}"
            write_sheet(output.new(f"{stem}{PICTURE}"), volume, labelmap, labels, title, record["window_hu"])
    if DICOM_SEG in endings and source is not None:
        step()
        path = output.new(f"{stem}{DICOM_SEG}")
        write_dicom_seg(path, labelmap, labels, source, record["model"], record["lowresseg"])
