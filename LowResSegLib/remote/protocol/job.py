"""What a client asks for, and how its job is."""

from __future__ import annotations

import dataclasses
import math
import re
import uuid
from dataclasses import dataclass
from typing import Any, Optional

from LowResSegLib.model import PASSES
from LowResSegLib.remote.protocol.checks import is_digest, is_number, is_whole
from LowResSegLib.remote.protocol.errors import ProtocolError, entries_of
from LowResSegLib.remote.protocol.words import DTYPES, ENCODINGS, ENDED, KINDS, STATES

_MOST_VOXELS = 1 << 40


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
        entries = entries_of(request, "The job")
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
        _require(is_digest(getattr(job, name)), f"its {name} is no SHA-256")
    _require(is_whole(job.bytes) and job.bytes > 0, "its number of bytes is not positive")
    sides = 4 if job.kind == "grid" else 3
    shape = job.shape
    _require(_are(shape, is_whole, sides) and min(shape) > 0, f"its shape is not {sides} positive whole numbers")
    _require(math.prod(shape) <= _MOST_VOXELS, "its shape is impossible")
    if job.kind == "grid":
        size = job.size
        _require(shape[0] in (1, 2) and job.dtype == "uint8", "its grids are not one or two of uint8")
        fits = size is not None and _are(size, is_whole, 3) and all(0 < n <= m for n, m in zip(size, shape[1:]))
        _require(fits, "its size is no part of its grid")
    _require(job.passes is None or (is_whole(job.passes) and job.passes in PASSES), "its passes are not 1, 2 or 4")
    _require(job.threads is None or (is_whole(job.threads) and job.threads > 0), "its number of threads is wrong")
    for name in ("confidence", "not_a_labelmap"):
        _require(isinstance(getattr(job, name), bool), f"its {name} is not true or false")
    for name, count in (("spacing", 3), ("origin", 3), ("direction", 9)):
        _require(_are(getattr(job, name), is_number, count), f"its {name} is not {count} finite numbers")
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
        entries = entries_of(answer, "The server's answer about a job")
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


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise ProtocolError(f"The job cannot be taken: {problem}.")


def _are(values: object, check: Any, count: int) -> bool:
    return isinstance(values, tuple) and len(values) == count and all(check(value) for value in values)
