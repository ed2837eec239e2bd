"""What the server is apart from HTTP: its models, its queue, its runners, its tokens."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Optional

from LowResSegLib import engine, kernels
from LowResSegLib.errors import LowResSegError
from LowResSegLib.inference import grids_of
from LowResSegLib.model import Model, available_models, read_model
from LowResSegLib.remote.protocol import (
    DONE,
    ENCODINGS,
    LEAST_VERSION,
    VERSION,
    AnswerError,
    Capabilities,
    JobRequest,
    ModelDescription,
)
from LowResSegLib.remote.server.job import ServerJob
from LowResSegLib.remote.server.job_queue import JobQueue
from LowResSegLib.remote.server.metrics import Metrics
from LowResSegLib.remote.server.running import Runner
from LowResSegLib.remote.server.settings import Settings
from LowResSegLib.remote.server.tokens import Tokens
from LowResSegLib.version import __version__

_log = logging.getLogger("lowresseg.server")
_SWEEP_SECONDS = 5.0
_STOP_SECONDS = 5.0


class Service:
    """All that the HTTP side speaks to.

    Args:
        settings: of the server.

    Raises:
        InputError: the folder cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.tokens = Tokens(settings.folder)
        self.queue = JobQueue(settings, self._ended)
        self._models: dict[Path, tuple[tuple[int, int], Optional[Model]]] = {}
        self._runners = [Runner(self.queue, settings, number) for number in range(settings.workers)]
        self._stop = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, name="lowresseg-sweeper", daemon=True)

    def start(self) -> None:
        """Start the worker processes and what looks after old jobs."""
        self.models()  # the first request does not wait for them
        for thread in (*self._runners, self._sweeper):
            thread.start()

    def stop(self) -> None:
        """End all; jobs that run wait again, for the next server."""
        self._stop.set()
        for runner in self._runners:
            runner.stop()
        for thread in (*self._runners, self._sweeper):
            if thread.ident is not None:
                thread.join(_STOP_SECONDS)
        self.queue.close()

    @property
    def needs_token(self) -> bool:
        """Whether requests need a token: unless there has never been one and nobody else can reach the server."""
        return not self.settings.loopback or self.settings.behind_proxy or bool(self.tokens.all())

    def capabilities(self) -> Capabilities:
        """What it can do."""
        return Capabilities(
            least=LEAST_VERSION,
            protocol=VERSION,
            lowresseg=__version__,
            kinds=("grid", "volume") if self.settings.volumes else ("grid",),
            encodings=ENCODINGS,
            backends=engine.usable_backends(),
            instruction_set=kernels.instruction_sets()[-1] if kernels.available() else None,
            workers=self.settings.workers,
            limits=self.settings.limits,
        )

    def models(self) -> dict[str, Model]:
        """The models that can run here, by the names that they are installed by; read again where a file changes."""
        found = {}
        for name, path in available_models().items():
            try:
                status = path.stat()
                stamp = (status.st_mtime_ns, status.st_size)
                if path not in self._models or self._models[path][0] != stamp:
                    self._models[path] = (stamp, self._read(path))
                model = self._models[path][1]
            except OSError:
                continue
            if model is not None:
                found[name] = model
        return found

    def _read(self, path: Path) -> Optional[Model]:
        try:
            model = read_model(path)
        except LowResSegError as error:
            _log.warning("%s", error)
            return None
        reason = engine.why_not(model)
        if reason:
            _log.warning("%s", reason)
        return None if reason else model

    def describe_models(self) -> list[ModelDescription]:
        """The models, as clients are told."""
        return [ModelDescription.of(name, model) for name, model in self.models().items()]

    def check(self, request: JobRequest) -> None:
        """Raise AnswerError where a job cannot be done here, before its body travels."""
        settings, model = self.settings, self.models().get(request.model)
        if model is None:
            raise AnswerError("not_found", f"The server has no model named {request.model}; choose another one.")
        if model.digest != request.digest:
            raise AnswerError(
                "other_model",
                f"The server's model {request.model} is not the same as yours; install one file on both computers.",
            )
        if request.passes is not None and request.passes > model.passes:
            raise AnswerError("bad_job", f"The model {request.model} looks {model.passes} times at a scan, not more.")
        if request.kind == "volume" and not settings.volumes:
            raise AnswerError("bad_job", "The server takes no full volumes; send the grid.")
        if request.bytes > settings.body_bytes:
            raise AnswerError(
                "too_large",
                f"The scan takes {request.bytes / 1e6:.0f} MB, more than the {settings.body_bytes / 1e6:.0f} MB that "
                "the server takes; crop it, or compute it here.",
            )
        if request.voxels > settings.voxels:
            raise AnswerError(
                "too_large",
                f"The scan has {request.voxels} voxels, more than the {settings.voxels} that the server takes; crop "
                "it, or compute it here.",
            )
        if request.kind == "grid":
            self._check_grid(request, model)

    def _check_grid(self, request: JobRequest, model: Model) -> None:
        shape, passes = request.shape[1:], request.passes or model.passes
        if request.shape[0] != grids_of(passes) or any(n % model.grid.divisor for n in shape):
            raise AnswerError("bad_job", "The grid does not fit the model; update LowResSeg on both computers.")
        threads = self.settings.worker_threads
        memory = engine.memory(model.network, shape, engine.choose_backend("auto", model), threads)
        # Logits of all passes so far and of the next one, the two grids, and what reducing takes: what it finds is held
        # in pieces and in one for a moment.
        logits = 2.0 * len(model.labels) * request.voxels * (1 if passes == 1 else 2)
        needed = (memory + logits + request.voxels * (4 + len(model.labels) / 2)) / 1e6
        if needed > self.settings.worker_memory:
            raise AnswerError(
                "too_large",
                f"The scan needs {needed:.0f} MB of the server's memory, more than the "
                f"{self.settings.worker_memory:.0f} MB that it allows; crop it, or compute it here.",
            )

    def busy(self) -> int:
        """Worker processes that run a job."""
        return sum(runner.busy for runner in self._runners)

    def _ended(self, job: ServerJob) -> None:
        seconds = time.time() - job.created
        self.metrics.add("jobs_ended_total", kind=job.request.kind, state=job.state)
        if job.state == DONE:
            self.metrics.add("job_seconds_sum", seconds)
            self.metrics.add("job_seconds_count")
        size = job.result["bytes"] if job.result else 0
        _log.info(
            "job %s %s %s in=%d out=%d seconds=%.3f",
            job.id,
            job.request.kind,
            job.state,
            job.request.bytes,
            size,
            seconds,
        )

    def _sweep(self) -> None:
        while not self._stop.wait(_SWEEP_SECONDS):
            try:
                self.queue.sweep(time.time())
            except Exception:  # the next time it may do
                _log.exception("sweeping")
