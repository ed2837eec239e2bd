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

from LowResSegLib.remote.protocol.errors import AnswerError, ProtocolError, check_versions
from LowResSegLib.remote.protocol.job import JobRequest, JobStatus, content_range, parse_content_range
from LowResSegLib.remote.protocol.server import Capabilities, Health, Limits, ModelDescription
from LowResSegLib.remote.protocol.words import (
    CANCELLED,
    CODES,
    DIGEST_HEADER,
    DONE,
    DTYPES,
    ENCODINGS,
    ENDED,
    EXPIRED,
    FAILED,
    KINDS,
    LEAST_VERSION,
    MAX_WAIT,
    OFFSET_HEADER,
    PORT,
    PREFIX,
    RUNNING,
    STATES,
    UPLOADING,
    VERSION,
    WAITING,
)

__all__ = [
    "CANCELLED",
    "CODES",
    "DIGEST_HEADER",
    "DONE",
    "DTYPES",
    "ENCODINGS",
    "ENDED",
    "EXPIRED",
    "FAILED",
    "KINDS",
    "LEAST_VERSION",
    "MAX_WAIT",
    "OFFSET_HEADER",
    "PORT",
    "PREFIX",
    "RUNNING",
    "STATES",
    "UPLOADING",
    "VERSION",
    "WAITING",
    "AnswerError",
    "Capabilities",
    "Health",
    "JobRequest",
    "JobStatus",
    "Limits",
    "ModelDescription",
    "ProtocolError",
    "check_versions",
    "content_range",
    "parse_content_range",
]
