"""The whole way of a volume whose network runs on a server."""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from LowResSegLib import pipeline
from LowResSegLib.confidence import grid_volume, mark, review_limits
from LowResSegLib.errors import InputError, ModelError, RemoteError
from LowResSegLib.inference import sample_grids
from LowResSegLib.jobs import work
from LowResSegLib.memory import peak_memory_mb
from LowResSegLib.model import SUFFIX, Described, Model, available_models, load_model
from LowResSegLib.pipeline import Cancel, Progress, Steps
from LowResSegLib.reconstruction import reconstruct
from LowResSegLib.remote.client.arrays import mean_confidences, travelling
from LowResSegLib.remote.client.server import Server, is_loopback
from LowResSegLib.remote.client.session import Session, told
from LowResSegLib.remote.client.trust import readable
from LowResSegLib.remote.packed import compress_body, unpack_labels, unpack_logits
from LowResSegLib.remote.protocol import RUNNING, JobRequest, JobStatus, ModelDescription
from LowResSegLib.sampling import LowResolution, grid_size
from LowResSegLib.suitability import doubts
from LowResSegLib.volume import Volume, check_scan

# Share of the whole run that is done when a step begins.
_BEGINS = {
    "model": 0.0,
    "sampling": 0.02,
    "sending": 0.15,
    "waiting": 0.25,
    "network": 0.25,
    "receiving": 0.85,
    "reconstruction": 0.88,
}
_ENDS = dict(zip(_BEGINS, [*list(_BEGINS.values())[1:], 1.0]))
_ENDS["waiting"] = _BEGINS["waiting"]  # it is not known for how long

_SLACK = 1 << 20  # bytes of a result that are not arrays


def segment_remotely(
    volume: Volume,
    model: Union[str, Model],
    server: Server,
    progress: Optional[Progress] = None,
    cancel: Optional[Cancel] = None,
    *,
    backend: str = "auto",
    threads: Optional[int] = None,
    not_a_labelmap: bool = False,
    max_memory: Optional[float] = None,
    passes: Optional[int] = None,
    confidence: bool = False,
    full_volume: bool = False,
    fallback: bool = False,
) -> tuple[Volume, dict[str, Any], Optional[Volume]]:
    """Segment a volume with a network that runs on a server.

    The scan is sampled here and labels are made here; the model's low-resolution grid alone is sent. The labelmap is
    the one that `pipeline.segment` gives. The server's files of the job are removed as soon as the result is here.

    Args:
        volume: as in `pipeline.segment`.
        model: name of a model of the server, or a model file or model that the server has, too. Where it is
            installed here as well, the server must have the very same network.
        server: which server.
        progress: as in `pipeline.segment`; steps are model, sampling, sending, waiting, network, receiving,
            reconstruction.
        cancel: as in `pipeline.segment`; the server's job is cancelled, too.
        backend: `auto`: the server chooses.
        threads: at most so many on this computer; the server has its own limit.
        not_a_labelmap: as in `pipeline.segment`.
        max_memory: None: what a server needs cannot be limited from here.
        passes: as in `pipeline.segment`.
        confidence: whether the confidence is wanted, too.
        full_volume: the scan itself is sent, and all is done on the server. A model that is not installed here and
            whose labels are not made by linear interpolation can be used in no other way.
        fallback: where the server cannot do it, this computer does, and the record's `warnings` say so.

    Returns:
        Labelmap, run record, and the confidence where it was asked for; see `pipeline.segment_with_confidence`. The
        record has `remote` too: what was sent, how many bytes, and the server's version and seconds. Its `backend`,
        `threads` and `instruction_set` are the server's. It names neither the server nor the token.

    Raises:
        RemoteError: the server cannot be reached, is not to be trusted, refuses, or its answer is damaged.
        InputError, ModelError, BackendError, Cancelled: as in `pipeline.segment`.
    """
    if fallback:
        options = work.options(backend, threads, not_a_labelmap, max_memory, passes)
        try:
            if backend == "auto" and max_memory is None:
                return segment_remotely(
                    volume,
                    model,
                    server,
                    progress,
                    cancel,
                    threads=threads,
                    not_a_labelmap=not_a_labelmap,
                    passes=passes,
                    confidence=confidence,
                    full_volume=full_volume,
                )
            raise RemoteError("A backend or a memory limit was asked for, which only this computer can keep.")
        except RemoteError as error:
            return _here(volume, model, confidence, options, progress, cancel, error)
    if backend != "auto":
        raise InputError("The server chooses its backend by itself; leave the backend out, or segment here.")
    if max_memory is not None:
        raise InputError("What a server needs cannot be limited from here; leave the limit out, or segment here.")
    if full_volume and confidence:
        raise InputError("The confidence comes with the grid alone; leave it out, or do not send the full volume.")
    pipeline.check_threads(threads)
    with _Run(server, Steps(progress, cancel, _BEGINS, _ENDS), threads) as run:
        return run.segment(volume, model, passes, not_a_labelmap, confidence, full_volume)


def _here(
    volume: Volume,
    model: Union[str, Model],
    confidence: bool,
    options: Mapping[str, Any],
    progress: Optional[Progress],
    cancel: Optional[Cancel],
    reason: RemoteError,
) -> tuple[Volume, dict[str, Any], Optional[Volume]]:
    """Segment on this computer, because of what the server did; raises that where the model is not here."""
    try:
        network = load_model(model)
    except ModelError:
        raise reason from None
    labelmap, record, percent = work.segment(
        volume, network, confidence, options, progress or (lambda step, share: None), cancel or (lambda: False)
    )
    record["warnings"].append(f"This computer did the work, because the server could not: {reason}")
    return labelmap, record, percent


class _Run:
    """One run; with its session, which it ends."""

    def __init__(self, server: Server, steps: Steps, threads: Optional[int]) -> None:
        self.steps, self.threads = steps, threads
        self.step, self.share = "model", 0.0
        self.session = Session(server, self._heard)
        self.job: Optional[JobStatus] = None
        near = is_loopback(server.host)  # compressing then takes longer than sending
        self.encoding = "raw" if near else "zlib"

    def __enter__(self) -> _Run:
        return self

    def __exit__(self, kind: object, error: object, where: object) -> None:
        if self.job is not None:
            self.session.abandon(self.job)
        self.session.connection.close()

    def _tell(self, step: str, share: float) -> None:
        self.step, self.share = step, share
        self.steps.report(step, share)

    def _heard(self) -> None:
        self.steps.report(self.step, self.share)

    def segment(
        self,
        volume: Volume,
        model: Union[str, Model],
        passes: Optional[int],
        not_a_labelmap: bool,
        confidence: bool,
        full_volume: bool,
    ) -> tuple[Volume, dict[str, Any], Optional[Volume]]:
        """Do what `segment_remotely` promises."""
        self._tell("model", 0.0)
        name, described = self._described(model)
        looks = pipeline.passes_of(described, passes)
        self._tell("sampling", 0.0)
        check_scan(volume, not_a_labelmap)
        warnings = doubts(volume, described)
        if isinstance(described, ModelDescription) and described.reconstruction != "linear" and not full_volume:
            raise InputError(
                f"The model {name} makes its labels with the scan's own intensities; install its file here, too, or "
                "let the whole scan be sent (--remote-volume)."
            )
        fusion = described.fusion if isinstance(described, Model) else None
        seen: Optional[Volume] = None
        means: list[Optional[float]] = []
        if full_volume:
            _, _, size = grid_size(volume, described.grid)
            shape = tuple(n + -n % described.grid.divisor for n in size)
            array, served = self._send_volume(name, described, looks, volume, not_a_labelmap)
        else:
            grids = sample_grids(volume, described, looks, lambda done: self._tell("sampling", done), self.threads)
            low, shape = grids[0], grids[0].grid.shape
            logits, percent, served = self._send_grids(name, described, looks, grids, confidence)
            self._tell("reconstruction", 0.0)
            if percent is not None:
                means = mean_confidences(logits, percent)
                seen = grid_volume(percent, volume, low)
            array = reconstruct(logits, low, lambda done: self._tell("reconstruction", done), self.threads, fusion)
        labelmap = volume.with_array(array)
        self._tell("reconstruction", 1.0)
        record = {
            **pipeline.run_record(labelmap, described, "", self.threads, shape, warnings),
            **{key: served.get(key) for key in ("backend", "threads", "instruction_set")},
            "passes": looks,
            "slab_slices": None,
            "remote": self._of_server("volume" if full_volume else "grid", served),
        }
        if seen is not None:
            mark(record["labels"], means, review_limits(described))
        record["seconds"] = self.steps.finish()
        record["peak_memory_mb"] = round(peak_memory_mb(), 1)
        pin = self.session.connection.pin
        if pin is not None and pin.fresh:
            record["warnings"].append(
                f"The server's certificate was seen for the first time and is trusted from now on; compare its "
                f"fingerprint with what the server prints: {readable(pin.fingerprint)}"
            )
        return labelmap, record, seen

    def _described(self, model: Union[str, Model]) -> tuple[str, Described]:
        """The name by which the server knows a model, and the model, or its description where it is not here."""
        if isinstance(model, str) and model in available_models():
            return model, load_model(model)
        served = {entry.name: entry for entry in self.session.models()}
        if isinstance(model, str) and model in served:
            return model, served[model]
        try:
            found = load_model(model)
        except ModelError:
            if isinstance(model, Model) or Path(model).suffix == SUFFIX:
                raise
            names = ", ".join(served) or "none"
            raise ModelError(
                f"Neither this computer nor the server has a model named {model!r}; the server has: {names}."
            ) from None
        name = next((name for name, entry in served.items() if entry.digest == found.digest), None)
        if name is None:
            raise RemoteError(f"The server does not have the model {found.name} as it is here; install it there, too.")
        return name, found

    def _send_grids(
        self, name: str, model: Described, looks: int, grids: list[LowResolution], confidence: bool
    ) -> tuple[np.ndarray, Optional[np.ndarray], dict[str, Any]]:
        """Logits that have the labels of the network's, the confidence, and the server's record."""
        array = np.stack([low.grid for low in grids])
        size = tuple(int(n) for n in grids[0].size)
        classes = len(model.labels)
        result, served = self._do(
            name, model, "grid", array, 4 * classes * math.prod(size), size=size, passes=looks, confidence=confidence
        )
        with told():
            logits, percent = unpack_logits(result, classes, size)
        if confidence and percent is None:
            raise RemoteError("The server's answer lacks the confidence; update LowResSeg on the server.")
        return logits, percent if confidence else None, served

    def _send_volume(
        self, name: str, model: Described, looks: int, volume: Volume, not_a_labelmap: bool
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """The labels that the server made of a volume, and its record."""
        array = travelling(volume.array)
        result, served = self._do(
            name,
            model,
            "volume",
            array,
            2 * array.size,
            passes=looks,
            modality=volume.modality[:16],
            not_a_labelmap=not_a_labelmap,
            **volume.geometry,
        )
        with told():
            labels = unpack_labels(result, array.shape)
        if int(labels.max()) >= len(model.labels):
            raise RemoteError("The server's labelmap has labels that the model does not know; it was thrown away.")
        return labels, served

    def _do(
        self, name: str, model: Described, kind: str, array: np.ndarray, most: int, **more: Any
    ) -> tuple[bytearray, dict[str, Any]]:
        """Run a job: the bytes of its result, and the server's run record; `most` is what the result may take."""
        self._tell("sending", 0.0)
        body = compress_body(array, self.encoding)
        request = JobRequest(
            key=str(uuid.uuid4()),
            kind=kind,
            model=name,
            digest=model.digest,
            shape=tuple(int(n) for n in array.shape),
            dtype=array.dtype.name,
            bytes=len(body),
            sha256=hashlib.sha256(body).hexdigest(),
            encoding=self.encoding,
            answer=self.encoding,
            **more,
        )
        self.job = self.session.create(request)
        self.session.upload(self.job, body, lambda done: self._tell("sending", done))
        del body
        self._tell("waiting", 0.0)

        def heard(status: JobStatus) -> None:
            if status.state == RUNNING:
                self._tell("network", status.fraction)

        result = self.session.result(self.job, most + _SLACK, heard)
        self._tell("receiving", 1.0)
        served = self.session.record(self.job)
        self.session.drop(self.job)
        self.job = None
        return result, served

    def _of_server(self, kind: str, served: Mapping[str, Any]) -> dict[str, Any]:
        """What the record has of the server's part."""
        connection = self.session.connection
        return {
            "sent": kind,
            "bytes_sent": connection.sent,
            "bytes_received": connection.received,
            "lowresseg": served.get("lowresseg"),
            "seconds": served.get("seconds"),
        }
