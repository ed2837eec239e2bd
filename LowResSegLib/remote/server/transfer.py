"""The bodies of jobs on their way in, and results on their way out."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Optional

from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from LowResSegLib.remote.protocol import (
    DIGEST_HEADER,
    DONE,
    ENDED,
    EXPIRED,
    UPLOADING,
    AnswerError,
    ProtocolError,
    parse_content_range,
)
from LowResSegLib.remote.server.job import ServerJob
from LowResSegLib.remote.server.job_queue import no_disk
from LowResSegLib.remote.server.service import Service

_CHUNK = 1 << 18
_RANGE = re.compile(r"bytes=(\d{1,18})-")


async def take_body(service: Service, job: ServerJob, request: Request) -> None:
    """Take a part of a job's body; the last one makes the job wait for a worker."""
    total = job.request.bytes
    try:
        first, stop, stated = parse_content_range(request.headers.get("content-range", ""))
    except ProtocolError as error:
        raise AnswerError("wrong_range", str(error)) from error
    if stated != total:
        raise AnswerError("wrong_range", f"The job's body has {total} bytes, not {stated}.")
    if job.state != UPLOADING:
        if job.state not in ENDED and stop == total:
            return  # its answer was lost, and the part is sent again
        raise AnswerError("wrong_state", f"The job is {job.state}; it takes no body.")
    # A client that lost its connection sends on before the server knows that the old one is gone; the new one counts.
    job.writer = writer = object()
    if first != job.uploaded():
        job.writer = None
        raise AnswerError("wrong_offset", f"The server has {job.uploaded()} bytes of the body; go on there.")
    digest: Optional[Any] = hashlib.sha256() if first == 0 else None
    place = first
    try:
        with job.input.open("ab", buffering=0) as stream:
            async for chunk in request.stream():
                if job.writer is not writer or job.state != UPLOADING:
                    raise AnswerError("wrong_state", "The job has been cancelled, or its body comes from elsewhere.")
                if place + len(chunk) > stop:
                    raise AnswerError("wrong_range", "The body is longer than its Content-Range says.")
                if chunk:
                    _write(stream.write, chunk)
                    place += len(chunk)
                    if digest is not None:
                        digest.update(chunk)
                    job.changed = max(job.changed, time.time())
    except OSError as error:
        raise no_disk(error) from error
    finally:
        if job.writer is writer:
            job.writer = None
    if place < total:
        return
    found = digest.hexdigest() if digest is not None else await asyncio.to_thread(_digest, job.input)
    if found != job.request.sha256:
        job.input.unlink(missing_ok=True)
        raise AnswerError("damaged", "The body was damaged on its way; send it again.")
    service.queue.uploaded(job)


def _write(write: Callable[[bytes], Optional[int]], chunk: bytes) -> None:
    """Write all of a chunk; a disk that gets full takes a part of it first."""
    rest = memoryview(chunk)
    while rest:
        rest = rest[write(rest) or 0 :]  # type: ignore[arg-type]


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for chunk in iter(lambda: stream.read(_CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


def must_be_done(job: ServerJob) -> None:
    """Raise AnswerError unless a job has a result."""
    if job.state == DONE:
        return
    if job.state == EXPIRED:
        raise AnswerError("expired", "The server has removed this job's result after its time; run it again.")
    if job.error is not None:
        raise AnswerError("wrong_state", job.error[1])
    raise AnswerError("wrong_state", f"The job is {job.state}; it has no result.")


def send_result(job: ServerJob, wanted: str) -> Response:
    """The answer with a job's result, from a byte on where the header Range says so."""
    assert job.result is not None
    total = job.result["bytes"]
    match = _RANGE.fullmatch(wanted.strip())
    first = int(match[1]) if match else 0
    headers = {DIGEST_HEADER: job.result["sha256"], "Accept-Ranges": "bytes"}
    if first >= total:
        raise AnswerError("wrong_range", f"The result has {total} bytes.")
    if match:
        headers["Content-Range"] = f"bytes {first}-{total - 1}/{total}"
    try:
        stream = job.output.open("rb")
    except OSError as error:
        raise AnswerError("expired", "The server has removed this job's result; run it again.") from error
    headers["Content-Length"] = str(total - first)

    async def pieces() -> AsyncIterator[bytes]:
        with stream:
            stream.seek(first)
            left = total - first
            while left > 0:
                chunk = stream.read(min(_CHUNK, left))
                if not chunk:
                    raise OSError("The result is shorter than it was.")
                left -= len(chunk)
                yield chunk

    return StreamingResponse(pieces(), 206 if match else 200, headers, "application/octet-stream")
