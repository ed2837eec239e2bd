"""What the jobs do, on objects of this process; the worker's child and `InProcess` both call it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from LowResSegLib import pipeline
from LowResSegLib.errors import Cancelled, InputError
from LowResSegLib.model import Model
from LowResSegLib.volume import Volume

if TYPE_CHECKING:
    from LowResSegLib.case import Way
    from LowResSegLib.comparison import Comparison, LabelledVolume
    from LowResSegLib.estimate import Speed

Report = Callable[[str, float], None]
Cancel = Callable[[], bool]

_COMPARED = 0.8  # share of a comparison that its measures take


def options(
    backend: str, threads: Optional[int], not_a_labelmap: bool, max_memory: Optional[float], passes: Optional[int]
) -> dict[str, Any]:
    """Further arguments of `pipeline.segment` by their names."""
    return {
        "backend": backend,
        "threads": threads,
        "not_a_labelmap": not_a_labelmap,
        "max_memory": max_memory,
        "passes": passes,
    }


def segment(
    volume: Volume,
    model: Union[str, Model],
    confidence: bool,
    options: Mapping[str, Any],
    progress: Report,
    cancel: Cancel,
) -> tuple[Volume, dict[str, Any], Optional[Volume]]:
    """Segment a volume; `options` are further ones of `pipeline.segment`.

    Returns:
        Labelmap, run record, and the confidence if it was asked for.
    """
    if confidence:
        return pipeline.segment_with_confidence(volume, model, progress, cancel, **options)
    return (*pipeline.segment(volume, model, progress, cancel, **options), None)


def segment_file(
    path: Path,
    output_base: Path,
    model: str,
    formats: Sequence[str],
    overwrite: bool,
    frame: Optional[int],
    confidence: bool,
    options: Mapping[str, Any],
    progress: Report,
    cancel: Cancel,
    staging: Optional[Path] = None,
    way: Optional[Way] = None,
) -> dict[str, Any]:
    """Segment a file and write its results.

    See `Runner.submit_file`, for `staging` `case.OutputFolder`, and for `way` `case.segment_case`.

    Returns:
        The run record with `files`, the paths of the results.
    """
    from LowResSegLib import case

    unknown = [name for name in formats if name not in case.FORMATS]
    if unknown or not formats:
        wrong = f"{unknown[0]!r} is no format of results" if unknown else "No format of results is named"
        raise InputError(f"{wrong}; choose from {', '.join(case.FORMATS)}.")
    endings = [*(case.FORMATS[name] for name in formats), *([case.CONFIDENCE] if confidence else [])]
    folder, stem = output_base.parent, output_base.name
    case.spare([path], [folder / f"{stem}{ending}" for ending in endings])
    with case.OutputFolder(folder, overwrite, staging=staging) as output:
        record, names = case.segment_case(
            path, output, stem, endings, model, frame=frame, progress=progress, cancel=cancel, options=options, way=way
        )
    return {**record, "files": [str(folder / name) for name in names]}


def measure(model: str, backend: str, threads: Optional[int], progress: Report, cancel: Cancel) -> Speed:
    """The speed of a model here, measured now or before."""
    from LowResSegLib.estimate import speed_here
    from LowResSegLib.model import load_model

    def step(share: float) -> None:
        if cancel():
            raise Cancelled("The measurement was cancelled.")
        progress("measuring", 0.0)

    step(0.0)
    return speed_here(load_model(model), threads, backend, step=step)


def compare(
    first: Sequence[LabelledVolume],
    second: Sequence[LabelledVolume],
    names: tuple[str, str],
    progress: Report,
    cancel: Cancel,
) -> tuple[Comparison, LabelledVolume]:
    """Compare two segmentations, and say where they differ; they are placed and matched once for both."""
    from LowResSegLib.comparison.compare import measured
    from LowResSegLib.comparison.difference import difference_of
    from LowResSegLib.comparison.pairing import pair

    progress("matching", 0.0)
    pairing = pair(first, second, names, cancel)
    compared = measured(pairing, lambda step, share: progress(step, _COMPARED * share), cancel)
    differing = difference_of(
        pairing,
        first[0].volume,
        progress=lambda step, share: progress(step, _COMPARED + (1 - _COMPARED) * share),
        cancel=cancel,
    )
    return compared, differing
