"""The child's side of each task of the protocol: from a request to the result of its answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from LowResSegLib.jobs import work
from LowResSegLib.jobs.exchange import put, put_labelled, take, take_labelled

if TYPE_CHECKING:
    from LowResSegLib.case import Way

Request = dict[str, Any]
Task = Callable[[Request, work.Report, work.Cancel], dict[str, Any]]


def segment(request: Request, progress: work.Report, cancel: work.Cancel, way: Way = work.segment) -> dict[str, Any]:
    """Segment a volume; `way` says where."""
    volume = take(request["volume"], mapped=True)
    labelmap, record, confidence = way(
        volume, request["model"], request["confidence"], request["options"], progress, cancel
    )
    folder = Path(request["folder"])
    return {
        "labelmap": put(folder / "labelmap.npy", labelmap),
        "confidence": None if confidence is None else put(folder / "confidence.npy", confidence),
        "record": record,
    }


def segment_file(
    request: Request, progress: work.Report, cancel: work.Cancel, way: Way = work.segment
) -> dict[str, Any]:
    """Segment a file and write its results; `way` says where it is segmented."""
    options = {key: request[key] for key in ("model", "formats", "overwrite", "frame", "confidence", "options")}
    path, base, staging = (Path(request[key]) for key in ("path", "output_base", "staging"))
    record = work.segment_file(path, base, **options, staging=staging, progress=progress, cancel=cancel, way=way)
    return {"record": record}


def _measure(request: Request, progress: work.Report, cancel: work.Cancel) -> dict[str, Any]:
    speed = work.measure(request["model"], request["backend"], request["threads"], progress, cancel)
    return {"speed": asdict(speed)}


def _compare(request: Request, progress: work.Report, cancel: work.Cancel) -> dict[str, Any]:
    first, second = (take_labelled(request[side], mapped=True) for side in ("first", "second"))
    names = request["names"]
    comparison, difference = work.compare(first, second, (names[0], names[1]), progress, cancel)
    return {
        "comparison": comparison.to_dict(),
        "difference": put_labelled(Path(request["folder"]), "difference", [difference]),
    }


TASKS: dict[str, Task] = {
    "segment": segment,
    "segment_file": segment_file,
    "measure": _measure,
    "compare": _compare,
}
