"""The whole way of a volume: sampling, network, reconstruction, with progress, cancelling and a run record."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from LowResSegLib import engine, kernels
from LowResSegLib.confidence import Confidence, mark, review_limits
from LowResSegLib.errors import Cancelled, InputError
from LowResSegLib.inference import label, sample_grids
from LowResSegLib.memory import peak_memory_mb, plan_memory
from LowResSegLib.model import PASSES, Described, Model, load_model
from LowResSegLib.suitability import doubts
from LowResSegLib.version import __version__
from LowResSegLib.volume import Volume, check_scan

NOTICE = "For research use only. Not for diagnosis or treatment."

# Share of the whole run that is done when a step begins, for the progress bar. Network and reconstruction take turns
# where the run goes slab by slab; their shares are those of both together.
_BEGINS = {"model": 0.0, "sampling": 0.02, "network": 0.2, "reconstruction": 0.2}
_ENDS = {"model": 0.02, "sampling": 0.2, "network": 1.0, "reconstruction": 1.0}

_MOST_THREADS = 1024

Progress = Callable[[str, float], None]
Cancel = Callable[[], bool]


class Steps:
    """Times the steps, reports progress over the whole run and stops where the user asks for it.

    Args:
        progress, cancel: as in `segment`.
        begins, ends: for each step, in order, the share of the whole run that is done when it begins and ends.
    """

    def __init__(
        self,
        progress: Optional[Progress],
        cancel: Optional[Cancel],
        begins: Mapping[str, float] = _BEGINS,
        ends: Mapping[str, float] = _ENDS,
    ) -> None:
        self.progress, self.cancel, self.begins, self.ends = progress, cancel, begins, ends
        self.seconds = dict.fromkeys(begins, 0.0)
        self.began = self.last = time.perf_counter()
        self.current = next(iter(begins))

    def report(self, name: str, share: float) -> None:
        """Step `name` is being worked on, and `share` of it is done."""
        if name != self.current:
            self._close()
            self.current = name
        if self.cancel is not None and self.cancel():
            raise Cancelled("The run was cancelled.")
        if self.progress is not None:
            self.progress(name, min(1.0, self.begins[name] + (self.ends[name] - self.begins[name]) * share))

    def finish(self) -> dict[str, float]:
        """The run is done; returns the seconds of each step, and of all."""
        self._close()
        if self.progress is not None:
            self.progress("done", 1.0)
        return {name: round(value, 4) for name, value in {**self.seconds, "total": self.last - self.began}.items()}

    def _close(self) -> None:
        now = time.perf_counter()
        self.seconds[self.current] += now - self.last
        self.last = now


def segment(
    volume: Volume,
    model: Union[str, Path, Model] = "brain",
    progress: Optional[Progress] = None,
    cancel: Optional[Cancel] = None,
    *,
    backend: str = "auto",
    threads: Optional[int] = None,
    not_a_labelmap: bool = False,
    max_memory: Optional[float] = None,
    passes: Optional[int] = None,
) -> tuple[Volume, dict[str, Any]]:
    """Segment a volume.

    Args:
        volume: the scan, of any orientation and spacing; CT in Hounsfield units.
        model: name of an installed model, a model file, or a model.
        progress: called with the name of the step and the share of the whole run that is done, 0 to 1.
        cancel: asked again and again; where it returns true, the run ends with `Cancelled`; ONNX Runtime ends
            the operator that it is working on.
        backend: `auto`, or one of `engine.BACKENDS`.
        threads: at most so many; None means all cores. The numpy backend leaves threads to numpy,
            and its record says null.
        not_a_labelmap: the volume is a scan, although it looks like a labelmap, as pictures of phantoms do.
        max_memory: MB that this process may hold, with everything that it holds already; None means no limit. The
            run goes slab by slab where it has to, and where `backend` is `auto` it may take another one.
        passes: how often the network looks at the scan, 1, 2 or 4, not more often than the model asks for; fewer are
            faster and less steady. None means as often as the model asks for.

    Returns:
        The labelmap (uint8, with the volume's own geometry), and the run record: a dict for JSON with `model`,
        `backend`, `labels` (name, value, volume_ml and more of each structure), `warnings` (sentences, where the
        scan does not seem to be one that the model is for), `seconds` (of each step, and `total`), `peak_memory_mb` and
        what else describes the run. It names no person and no file.

    Raises:
        InputError: the volume cannot be segmented: it is no scan (see `volume.check_scan`), or does not fit the model
            or `max_memory`.
        ModelError: the model is unknown or refused.
        BackendError: the backend is not available.
        Cancelled: `cancel` returned true.
    """
    labelmap, record, _ = _segment(
        volume, model, progress, cancel, False, backend, threads, not_a_labelmap, max_memory, passes
    )
    return labelmap, record


def segment_with_confidence(
    volume: Volume,
    model: Union[str, Path, Model] = "brain",
    progress: Optional[Progress] = None,
    cancel: Optional[Cancel] = None,
    *,
    backend: str = "auto",
    threads: Optional[int] = None,
    not_a_labelmap: bool = False,
    max_memory: Optional[float] = None,
    passes: Optional[int] = None,
) -> tuple[Volume, dict[str, Any], Volume]:
    """Segment a volume, and tell how sure the network is; arguments and errors are those of `segment`.

    Returns:
        The labelmap and the run record of `segment`, and the confidence: the probability of the winning label in
        percent (uint8), on the model's grid, in the model's orientation, with the grid's own spacing, origin and
        direction, so that it lies on the scan. In the record each label has `confidence` too, the mean percent inside
        the structure (None where it wins no voxel of the grid), `review_below`, the structure's limit of it by the
        model's card, and `needs_review`, whether it is below. `max_memory` leaves out the byte a voxel of the grid that
        the confidence takes.
    """
    labelmap, record, confidence = _segment(
        volume, model, progress, cancel, True, backend, threads, not_a_labelmap, max_memory, passes
    )
    assert confidence is not None
    return labelmap, record, confidence


def _segment(
    volume: Volume,
    model: Union[str, Path, Model],
    progress: Optional[Progress],
    cancel: Optional[Cancel],
    with_confidence: bool,
    backend: str,
    threads: Optional[int],
    not_a_labelmap: bool,
    max_memory: Optional[float],
    passes: Optional[int],
) -> tuple[Volume, dict[str, Any], Optional[Volume]]:
    """Do what `segment` and `segment_with_confidence` promise."""
    check_threads(threads)
    if max_memory is not None and not 0 < max_memory < math.inf:
        raise InputError(f"The memory limit is a number of megabytes above 0, not {max_memory}.")
    steps = Steps(progress, cancel)
    steps.report("model", 0.0)
    network = load_model(model)
    looks = passes_of(network, passes)
    chosen = engine.choose_backend(backend, network)
    steps.report("sampling", 0.0)
    check_scan(volume, not_a_labelmap)
    warnings = doubts(volume, network)
    thickness = None
    if max_memory is not None:
        wanted = (chosen,) if backend != "auto" else engine.usable_backends(network)
        chosen, thickness = plan_memory(network, volume, looks, wanted, threads, max_memory)
    grids = sample_grids(volume, network, looks, lambda share: steps.report("sampling", share), threads)
    seen = Confidence(grids[0], len(network.labels), network.network.logit_unit) if with_confidence else None
    look = None if seen is None else seen.add
    labelmap = volume.with_array(label(network, grids, looks, chosen, threads, thickness, steps.report, look))
    seconds = steps.finish()
    record = {
        **run_record(labelmap, network, chosen, threads, grids[0].grid.shape, warnings),
        "passes": looks,
        "slab_slices": thickness,
        "seconds": seconds,
        "peak_memory_mb": round(peak_memory_mb(), 1),
    }
    if seen is None:
        return labelmap, record, None
    mark(record["labels"], seen.of_labels(), review_limits(network))
    return labelmap, record, seen.volume(volume, grids[0])


def check_threads(threads: Optional[int]) -> None:
    """Raise InputError where this is no number of threads."""
    if threads is not None and not 1 <= threads <= _MOST_THREADS:
        raise InputError(f"The number of threads is 1 to {_MOST_THREADS}, not {threads}.")


def passes_of(model: Described, passes: Optional[int]) -> int:
    """How often the network looks: as often as is asked for, or as the model asks for; raises InputError."""
    looks = model.passes if passes is None else passes
    if not isinstance(looks, int) or looks not in PASSES or looks > model.passes:
        allowed = ", ".join(str(number) for number in PASSES if number <= model.passes)
        raise InputError(f"The model {model.name} looks {model.passes} times at a scan; choose from: {allowed}.")
    return looks


def run_record(
    labelmap: Volume,
    model: Described,
    backend: str,
    threads: Optional[int],
    grid: tuple[int, ...],
    warnings: list[str],
) -> dict[str, Any]:
    """The run record of a labelmap, but for passes, slabs, seconds and memory; see `segment`.

    Args:
        labelmap: the result.
        model: what was run.
        backend: by which it was run.
        threads: at most so many.
        grid: its shape, (z, y, x).
        warnings: sentences.
    """
    counts = np.zeros(len(model.labels), np.int64)
    for plane in labelmap.array:  # all at once would be copied into 8 bytes a voxel
        counts += np.bincount(plane.ravel(), minlength=len(counts))
    labels = [
        {**label.to_dict(), "volume_ml": round(float(counts[label.value]) * labelmap.voxel_volume_ml, 4)}
        for label in model.labels
        if label.value
    ]
    return {
        "notice": NOTICE,
        "lowresseg": __version__,
        "model": model.name,
        "model_sha256": model.digest,
        "model_limits": model.card.get("limits", ""),
        "backend": backend,
        "threads": None if backend == "numpy" else threads or engine.cores(),
        "instruction_set": kernels.instruction_sets()[-1] if backend == "native" else None,
        "shape": list(labelmap.array.shape[::-1]),
        "spacing_mm": list(labelmap.spacing),
        "grid_shape": list(grid[::-1]),
        "grid_spacing_mm": model.grid.spacing,
        "window_hu": list(model.normalisation.window) if model.normalisation.window else None,
        "labels": labels,
        "warnings": warnings,
    }
