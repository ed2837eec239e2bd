"""What client and server say to each other over HTTP, version 1.

Every path but `/healthz` begins with `/v1`; a server that does not speak the version in a path answers 426 and says
which ones it speaks. Bodies are JSON where nothing else is said. `Authorization: Bearer TOKEN` goes with every request
but `/healthz`, unless the server has no tokens and listens on loopback alone.

    GET    /healthz                   Health; open to everybody
    GET    /v1/capabilities           Capabilities
    GET    /v1/models                 {"models": [ModelDescription, ...]}
    POST   /v1/jobs                   JobRequest -> 201 JobStatus; 200 where the key has made this job before
    HEAD   /v1/jobs/ID/input          the header Upload-Offset: how many bytes of the body are there
    PUT    /v1/jobs/ID/input          a part of the body, with `Content-Range: bytes FIRST-LAST/TOTAL`, FIRST being the
                                      offset -> JobStatus. A part that breaks off is kept as far as it came
    GET    /v1/jobs/ID?wait=SECONDS   JobStatus; with `wait` when the job ends, or after so many seconds (at most 30)
    GET    /v1/jobs/ID/events         Server-Sent Events: `data: JobStatus` whenever it changes, until the job ends
    GET    /v1/jobs/ID/result?wait=S  the result (`Range: bytes=N-` allowed; the header X-Content-SHA256 is that of the
                                      whole); 202 and JobStatus where it is not there yet
    GET    /v1/jobs/ID/record         the run record
    DELETE /v1/jobs/ID                cancels a job that has not ended, and removes all files of one that has -> 204
    GET    /v1/metrics                Prometheus' text format

A job is `uploading` until its body is whole, then `waiting`, `running`, and `done`, `failed` or `cancelled`; `expired`
where the server has removed its files after a time. The client makes a job's `key`, a UUID: asking again with the key
gives the same job, so a request whose answer was lost is repeated without a second run.

The body of a job of the kind `grid` is its grids, uint8 (grid, z, y, x), one or two; of the kind `volume` the voxels
(z, y, x), little endian. It is compressed by zlib, or raw. A body whose SHA-256 is not the stated one is refused with
422 and the upload begins again at 0. Results are written as `packed` says.

Errors are {"error": CODE, "message": SENTENCE}, for some with "retry_after" (seconds, also the header Retry-After) and,
for a wrong version, "protocol": [LEAST, MOST]. CODES gives the status of each code.
"""

from __future__ import annotations

import dataclasses
import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from LowResSegLib.errors import LowResSegError
from LowResSegLib.model import PASSES, Model
from LowResSegLib.sampling import GridSettings, Normalisation
from LowResSegLib.volume import Label

VERSION = 1  # of the protocol
LEAST_VERSION = 1  # that this library speaks
PREFIX = f"/v{VERSION}"
PORT = 8765  # where nothing else is said

KINDS = ("grid", "volume")
ENCODINGS = ("zlib", "raw")
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")  # little endian
MAX_WAIT = 30.0  # seconds that `wait` may ask for

UPLOADING, WAITING, RUNNING = "uploading", "waiting", "running"
DONE, FAILED, CANCELLED, EXPIRED = "done", "failed", "cancelled", "expired"
STATES = (UPLOADING, WAITING, RUNNING, DONE, FAILED, CANCELLED, EXPIRED)
ENDED = (DONE, FAILED, CANCELLED, EXPIRED)

OFFSET_HEADER = "Upload-Offset"
DIGEST_HEADER = "X-Content-SHA256"

# Codes of errors and their HTTP status.
CODES = {
    "bad_request": 400,
    "no_token": 401,
    "wrong_token": 401,
    "revoked_token": 403,
    "wrong_host": 403,
    "not_found": 404,
    "not_allowed": 405,
    "too_slow": 408,
    "wrong_offset": 409,
    "wrong_state": 409,
    "key_in_use": 409,
    "other_model": 409,
    "expired": 410,
    "too_large": 413,
    "wrong_range": 416,
    "damaged": 422,
    "bad_job": 422,
    "wrong_version": 426,
    "too_many": 429,
    "failed": 500,
    "full": 503,
    "no_disk": 507,
}

_MOST_VOXELS = 1 << 40
_HEX = re.compile(r"[0-9a-f]{64}")


class ProtocolError(LowResSegError):
    """What the other side sent is not what the protocol says."""


class AnswerError(LowResSegError):
    """An error that a server answers.

    Attributes:
        code: one of CODES; another one of a newer server is kept as it is.
        status: HTTP status.
        retry_after: seconds after which it is worth another try; None where it is not known.
        protocol: least and most version that the server speaks, where the version was wrong.
    """

    def __init__(
        self,
        code: str,
        message: str,
        retry_after: Optional[float] = None,
        protocol: Optional[tuple[int, int]] = None,
        status: Optional[int] = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = CODES.get(code, 500) if status is None else status
        self.retry_after = retry_after
        self.protocol = protocol

    def to_dict(self) -> dict[str, Any]:
        """The body of the answer."""
        answer: dict[str, Any] = {"error": self.code, "message": str(self)}
        if self.retry_after is not None:
            answer["retry_after"] = self.retry_after
        if self.protocol is not None:
            answer["protocol"] = list(self.protocol)
        return answer

    @classmethod
    def from_dict(cls, answer: object, status: int) -> AnswerError:
        """The error of an answer's body; one that is no such body, as of a proxy, gets a sentence of its own."""
        if not isinstance(answer, Mapping) or not isinstance(answer.get("message"), str):
            return cls("failed", f"The server answered with HTTP status {status} and nothing more.", status=status)
        retry, protocol = answer.get("retry_after"), answer.get("protocol")
        versions = None
        if isinstance(protocol, list) and len(protocol) == 2 and all(isinstance(v, int) for v in protocol):
            versions = (protocol[0], protocol[1])
        return cls(
            str(answer.get("error")),
            answer["message"],
            float(retry) if isinstance(retry, (int, float)) and _is_number(retry) else None,
            versions,
            status,
        )


def check_versions(least: int, most: int) -> None:
    """Raise ProtocolError, with a sentence for the client's user, where a server does not speak this version."""
    if most < VERSION:
        raise ProtocolError(
            f"The server speaks version {most} of the protocol and this LowResSeg needs {VERSION}; update LowResSeg on "
            "the server."
        )
    if least > VERSION:
        raise ProtocolError(
            f"The server speaks version {least} of the protocol or newer and this LowResSeg only {VERSION}; update "
            "LowResSeg here."
        )


@dataclass(frozen=True)
class Health:
    """The answer of `/healthz`.

    Attributes:
        least, protocol: versions of the protocol that the server speaks.
        lowresseg: its version.
    """

    least: int
    protocol: int
    lowresseg: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"status": "ok", "least": self.least, "protocol": self.protocol, "lowresseg": self.lowresseg}

    @classmethod
    def from_dict(cls, answer: object) -> Health:
        """Check and take it; raises ProtocolError, also where something that is no LowResSeg answers."""
        if not isinstance(answer, Mapping) or not _is_whole(answer.get("protocol")) or "lowresseg" not in answer:
            raise ProtocolError("What answers at this address is no LowResSeg server; check address and port.")
        most = answer["protocol"]
        least = answer.get("least", most)
        return cls(least if _is_whole(least) else most, most, str(answer["lowresseg"])[:40])


@dataclass(frozen=True)
class Limits:
    """What a server takes.

    Attributes:
        body_bytes: of a job's body as it travels.
        voxels: of a grid or of a volume.
        seconds: that a job may run.
        queued: jobs that upload or wait, of all clients; queued_per_client: of one.
        keep_seconds: how long a result is kept.
        upload_seconds: how long an upload may rest before it is given up.
        threads: that a job may use.
    """

    body_bytes: int
    voxels: int
    seconds: float
    queued: int
    queued_per_client: int
    keep_seconds: float
    upload_seconds: float
    threads: int


@dataclass(frozen=True)
class Capabilities:
    """The answer of `/v1/capabilities`.

    Attributes:
        least, protocol: versions of the protocol.
        lowresseg: the server's version.
        kinds: of jobs that it takes.
        encodings: of bodies and results.
        backends: that it can run, the preferred one first.
        instruction_set: of the native kernels; None without them.
        workers: jobs that it runs at a time.
        limits: what it takes.
    """

    least: int
    protocol: int
    lowresseg: str
    kinds: tuple[str, ...]
    encodings: tuple[str, ...]
    backends: tuple[str, ...]
    instruction_set: Optional[str]
    workers: int
    limits: Limits

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, answer: object) -> Capabilities:
        """Check and take it; raises ProtocolError."""
        entries = _entries(answer, "The server's capabilities")
        try:
            limits = {entry.name: float(entries["limits"][entry.name]) for entry in dataclasses.fields(Limits)}
            whole = ("body_bytes", "voxels", "queued", "queued_per_client", "threads")
            return cls(
                least=int(entries["least"]),
                protocol=int(entries["protocol"]),
                lowresseg=str(entries["lowresseg"])[:40],
                kinds=tuple(map(str, entries["kinds"])),
                encodings=tuple(map(str, entries["encodings"])),
                backends=tuple(map(str, entries["backends"])),
                instruction_set=None if entries["instruction_set"] is None else str(entries["instruction_set"]),
                workers=int(entries["workers"]),
                limits=Limits(**{name: int(value) if name in whole else value for name, value in limits.items()}),  # type: ignore[arg-type]
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ProtocolError("The server's capabilities cannot be understood; update LowResSeg here.") from error


@dataclass(frozen=True)
class ModelDescription:
    """What a client needs of a model that the server has: to sample a scan, to reconstruct labels, to show a choice.

    Attributes:
        name, digest, passes, card, labels, grid, normalisation: see `model.Model`.
        kind: "ternary" or "onnx"; logits of the latter may differ by a unit from one computer to another.
        modality: DICOM's code.
        logit_unit: how much of a logit as trained one integer logit is.
        reconstruction: "linear"; or another kind, for which a client needs the model's file itself.
    """

    name: str
    digest: str
    kind: str
    modality: str
    passes: int
    logit_unit: float
    labels: tuple[Label, ...]
    grid: GridSettings
    normalisation: Normalisation
    card: Mapping[str, Any] = field(default_factory=dict)
    reconstruction: str = "linear"

    @classmethod
    def of(cls, name: str, model: Model) -> ModelDescription:
        """Describe a model that is installed by a name."""
        return cls(
            name,
            model.digest,
            model.kind,
            model.modality,
            model.passes,
            model.network.logit_unit,
            model.labels,
            model.grid,
            model.normalisation,
            model.card,
            "linear" if model.fusion is None else "fusion",
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "name": self.name,
            "digest": self.digest,
            "kind": self.kind,
            "modality": self.modality,
            "passes": self.passes,
            "logit_unit": self.logit_unit,
            "labels": [label.to_dict() for label in self.labels],
            "grid": dataclasses.asdict(self.grid),
            "normalisation": dataclasses.asdict(self.normalisation),
            "card": dict(self.card),
            "reconstruction": self.reconstruction,
        }

    @classmethod
    def from_dict(cls, answer: object) -> ModelDescription:
        """Check and take it; raises ProtocolError."""
        entries = _entries(answer, "A model of the server's")
        try:
            labels = tuple(Label.from_dict(entry) for entry in entries["labels"])
            unit, passes = float(entries["logit_unit"]), int(entries["passes"])
            if [label.value for label in labels] != list(range(len(labels))) or not 1 <= len(labels) <= 255:
                raise ValueError("labels")
            if not _HEX.fullmatch(entries["digest"]) or passes not in PASSES or not 0 < unit < math.inf:
                raise ValueError("numbers")
            return cls(
                name=str(entries["name"]),
                digest=entries["digest"],
                kind=str(entries["kind"]),
                modality=str(entries["modality"]),
                passes=passes,
                logit_unit=unit,
                labels=labels,
                grid=GridSettings(**entries["grid"]),
                normalisation=Normalisation(**entries["normalisation"]),
                card=dict(entries["card"]),
                reconstruction=str(entries.get("reconstruction", "linear")),
            )
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError, LowResSegError) as error:
            raise ProtocolError("A model of the server's cannot be understood; update LowResSeg here.") from error


@dataclass(frozen=True)
class JobRequest:
    """What a client asks for.

    Attributes:
        key: a UUID that the client makes for this job; see above.
        kind: one of KINDS.
        model: the name of an installed model of the server.
        digest: the model's; a server whose model of this name has another one refuses the job.
        shape: of the body: (grids, z, y, x), or (z, y, x) of a volume.
        dtype: one of DTYPES; uint8 for grids.
        bytes, sha256: of the body as it travels.
        encoding: of the body, one of ENCODINGS.
        answer: encoding of the result.
        size: for grids: the part of the grid, (z, y, x), that covers the volume; `LowResolution.size`.
        passes: how often the network looks; None means as often as the model asks for.
        threads: at most so many; None means as many as the server allows.
        confidence: the result has the confidence, too.
        spacing, origin, direction, modality, not_a_labelmap: of a volume; see `volume.Volume` and `pipeline.segment`.
    """

    key: str
    kind: str
    model: str
    digest: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    sha256: str
    encoding: str = "zlib"
    answer: str = "zlib"
    size: Optional[tuple[int, ...]] = None
    passes: Optional[int] = None
    threads: Optional[int] = None
    confidence: bool = False
    spacing: tuple[float, ...] = (1.0, 1.0, 1.0)
    origin: tuple[float, ...] = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    modality: str = ""
    not_a_labelmap: bool = False

    @property
    def voxels(self) -> int:
        """Of one grid, or of the volume."""
        return math.prod(self.shape[-3:])

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, request: object) -> JobRequest:
        """Check and take it; raises ProtocolError, whose sentence names the first thing that is wrong."""
        entries = _entries(request, "The job")
        known = {entry.name: entry for entry in dataclasses.fields(cls)}
        for name in entries:
            _require(name in known, f"it has the unknown entry {str(name)[:40]!r}")
        for name, entry in known.items():
            _require(name in entries or entry.default is not dataclasses.MISSING, f"it lacks the entry {name!r}")
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in entries.items()
        }
        job = cls(**given)
        _check_job(job)
        return job


def _check_job(job: JobRequest) -> None:
    """Raise ProtocolError where something is not as JobRequest says."""
    try:
        well_formed = str(uuid.UUID(job.key)) == job.key
    except (ValueError, AttributeError, TypeError):
        well_formed = False
    _require(well_formed, "its key is no UUID in small letters")
    for name, choices in (("kind", KINDS), ("dtype", DTYPES), ("encoding", ENCODINGS), ("answer", ENCODINGS)):
        value = getattr(job, name)
        _require(isinstance(value, str) and value in choices, f"its {name} is not one of: {', '.join(choices)}")
    _require(isinstance(job.model, str) and 0 < len(job.model) <= 100, "its model is no name")
    for name in ("digest", "sha256"):
        value = getattr(job, name)
        _require(isinstance(value, str) and _HEX.fullmatch(value) is not None, f"its {name} is no SHA-256")
    _require(_is_whole(job.bytes) and job.bytes > 0, "its number of bytes is not positive")
    sides = 4 if job.kind == "grid" else 3
    shape = job.shape
    _require(_are(shape, _is_whole, sides) and min(shape) > 0, f"its shape is not {sides} positive whole numbers")
    _require(math.prod(shape) <= _MOST_VOXELS, "its shape is impossible")
    if job.kind == "grid":
        size = job.size
        _require(shape[0] in (1, 2) and job.dtype == "uint8", "its grids are not one or two of uint8")
        fits = size is not None and _are(size, _is_whole, 3) and all(0 < n <= m for n, m in zip(size, shape[1:]))
        _require(fits, "its size is no part of its grid")
    _require(job.passes is None or (_is_whole(job.passes) and job.passes in PASSES), "its passes are not 1, 2 or 4")
    _require(job.threads is None or (_is_whole(job.threads) and job.threads > 0), "its number of threads is wrong")
    for name in ("confidence", "not_a_labelmap"):
        _require(isinstance(getattr(job, name), bool), f"its {name} is not true or false")
    for name, count in (("spacing", 3), ("origin", 3), ("direction", 9)):
        _require(_are(getattr(job, name), _is_number, count), f"its {name} is not {count} finite numbers")
    _require(isinstance(job.modality, str) and len(job.modality) <= 16, "its modality is no short text")


@dataclass(frozen=True)
class JobStatus:
    """How a job is.

    Attributes:
        id: by which the server knows it.
        key: of its request.
        state: one of STATES.
        place: jobs before it in the queue; None where it does not wait.
        step, fraction: what is being done, and the share of the whole that is done, 0 to 1.
        upload: bytes of the body that are there.
        error: where it failed, class (see `jobs.protocol.error_from`) and sentence.
        result_bytes: of the result, where it is done.
    """

    id: str
    key: str
    state: str
    place: Optional[int] = None
    step: str = ""
    fraction: float = 0.0
    upload: int = 0
    error: Optional[tuple[str, str]] = None
    result_bytes: Optional[int] = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it, but that its files are removed."""
        return self.state in ENDED

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        error = None if self.error is None else {"error": self.error[0], "message": self.error[1]}
        return {**vars(self), "error": error}

    @classmethod
    def from_dict(cls, answer: object) -> JobStatus:
        """Check and take it; raises ProtocolError."""
        entries = _entries(answer, "The server's answer about a job")
        try:
            error, place, size = entries.get("error"), entries.get("place"), entries.get("result_bytes")
            state, fraction = str(entries["state"]), float(entries.get("fraction", 0.0))
            if state not in STATES or not math.isfinite(fraction):
                raise ValueError(state)
            return cls(
                id=str(entries["id"]),
                key=str(entries["key"]),
                state=state,
                place=None if place is None else int(place),
                step=str(entries.get("step", ""))[:100],
                fraction=min(1.0, max(0.0, fraction)),
                upload=int(entries.get("upload", 0)),
                error=None if error is None else (str(error["error"]), str(error["message"])),
                result_bytes=None if size is None else int(size),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ProtocolError("The server's answer about a job cannot be understood; update LowResSeg.") from error


_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")


def content_range(first: int, stop: int, total: int) -> str:
    """The header's value for the bytes `first` to `stop` - 1 of `total`."""
    return f"bytes {first}-{stop - 1}/{total}"


def parse_content_range(text: str) -> tuple[int, int, int]:
    """First byte, the one behind the last, and the total of a header `Content-Range`; raises ProtocolError."""
    match = _CONTENT_RANGE.fullmatch(text.strip())
    if match is None:
        raise ProtocolError("The header Content-Range is missing or damaged; write: bytes FIRST-LAST/TOTAL.")
    first, last, total = map(int, match.groups())
    if not first <= last < total:
        raise ProtocolError("The header Content-Range names bytes that cannot be.")
    return first, last + 1, total


def _entries(answer: object, what: str) -> Mapping[str, Any]:
    if not isinstance(answer, Mapping):
        raise ProtocolError(f"{what} cannot be understood: it is no JSON object.")
    return answer


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise ProtocolError(f"The job cannot be taken: {problem}.")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 53


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


def _are(values: object, check: Any, count: int) -> bool:
    return isinstance(values, tuple) and len(values) == count and all(check(value) for value in values)
