"""The routes of the protocol; see `remote.protocol` for what each takes and answers."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import math
import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Optional

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from LowResSegLib.errors import LowResSegError
from LowResSegLib.remote.protocol import (
    DIGEST_HEADER,
    DONE,
    ENDED,
    EXPIRED,
    LEAST_VERSION,
    MAX_WAIT,
    OFFSET_HEADER,
    PREFIX,
    UPLOADING,
    VERSION,
    AnswerError,
    Health,
    JobRequest,
    ProtocolError,
    parse_content_range,
)
from LowResSegLib.remote.server.guard import App, Guard, answer_of
from LowResSegLib.remote.server.job import ServerJob
from LowResSegLib.remote.server.job_queue import no_disk
from LowResSegLib.remote.server.service import Service
from LowResSegLib.version import __version__

_MOST_JSON = 64 << 10
_CHUNK = 256 << 10
_KEEP_ALIVE = 10.0  # seconds between two signs of life in a stream of events
_EVENT_PAUSE = 0.05  # seconds between two events at least
_RANGE = re.compile(r"bytes=(\d{1,18})-")


def create_app(service: Service) -> App:
    """The application of a service; whoever runs it starts and stops the service."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/healthz")
    async def healthz() -> Response:
        return JSONResponse(Health(LEAST_VERSION, VERSION, __version__).to_dict())

    @app.get(f"{PREFIX}/capabilities")
    async def capabilities() -> Response:
        return JSONResponse(service.capabilities().to_dict())

    @app.get(f"{PREFIX}/models")
    async def models() -> Response:
        return JSONResponse({"models": [model.to_dict() for model in service.describe_models()]})

    @app.get(f"{PREFIX}/metrics")
    async def metrics() -> Response:
        text = service.metrics.text(service.queue.counts(), service.settings.workers, service.busy())
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    @app.post(f"{PREFIX}/jobs")
    async def create(request: Request) -> Response:
        wanted = JobRequest.from_dict(await _json(request))
        service.check(wanted)
        job, new = service.queue.create(request.scope["client_id"], wanted)
        return JSONResponse(service.queue.status(job).to_dict(), 201 if new else 200)

    def find(request: Request) -> ServerJob:
        return service.queue.get(request.scope["client_id"], request.path_params["identity"])

    @app.head(f"{PREFIX}/jobs/{{identity}}/input")
    async def offset(request: Request) -> Response:
        status = service.queue.status(find(request))
        return Response(headers={OFFSET_HEADER: str(status.upload)})

    @app.put(f"{PREFIX}/jobs/{{identity}}/input")
    async def upload(request: Request) -> Response:
        job = find(request)
        await _upload(service, job, request)
        return JSONResponse(service.queue.status(job).to_dict())

    @app.get(f"{PREFIX}/jobs/{{identity}}")
    async def status(request: Request) -> Response:
        job = find(request)
        await _ended(job, _seconds(request))
        return JSONResponse(service.queue.status(job).to_dict())

    @app.get(f"{PREFIX}/jobs/{{identity}}/events")
    async def events(request: Request) -> Response:
        return StreamingResponse(_events(service, find(request)), media_type="text/event-stream")

    @app.get(f"{PREFIX}/jobs/{{identity}}/result")
    async def result(request: Request) -> Response:
        job = find(request)
        await _ended(job, _seconds(request))
        if job.state not in ENDED:
            return JSONResponse(service.queue.status(job).to_dict(), 202)
        _must_be_done(job)
        return _send_file(job, request.headers.get("range", ""))

    @app.get(f"{PREFIX}/jobs/{{identity}}/record")
    async def record(request: Request) -> Response:
        job = find(request)
        _must_be_done(job)
        try:
            return Response(job.record.read_bytes(), media_type="application/json")
        except OSError as error:
            raise AnswerError("expired", "The server has removed this job's result; run it again.") from error

    @app.delete(f"{PREFIX}/jobs/{{identity}}")
    async def delete(request: Request) -> Response:
        job = find(request)
        if job.state in ENDED:
            service.queue.remove(job)
        else:
            service.queue.cancel(job)
        return Response(status_code=204)

    def told(request: Request, error: Exception) -> Response:
        answer = answer_of(error)
        service.metrics.add("errors_total", code=answer.code)
        headers = {} if answer.retry_after is None else {"Retry-After": str(round(answer.retry_after))}
        if answer.code == "wrong_offset":
            headers[OFFSET_HEADER] = str(find(request).uploaded())
        if request.method in ("POST", "PUT"):  # what is left of the body would be taken for the next request
            headers["Connection"] = "close"
        return JSONResponse(answer.to_dict(), answer.status, headers)

    for kind in (LowResSegError, HTTPException, ClientDisconnect, Exception):
        app.add_exception_handler(kind, told)
    return Guard(app, service)


async def _json(request: Request) -> Any:
    """The JSON of a request's body; raises AnswerError where it is none, or is too long."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise AnswerError("bad_request", "The request's Content-Type is not application/json.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_JSON:
            raise AnswerError("too_large", "The request's JSON is longer than any job needs.")

    def refuse(text: str) -> float:
        raise ValueError(text)

    try:
        return json.loads(body.decode("utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise AnswerError("bad_request", "The request's body is no JSON.") from error


def _seconds(request: Request) -> float:
    """What the query's `wait` says; 0 without it."""
    text = request.query_params.get("wait", "0")
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise AnswerError("bad_request", "wait is a number of seconds, 0 or more.")
    return min(seconds, MAX_WAIT)


@contextlib.contextmanager
def _watching(job: ServerJob) -> Any:
    """An event that is set whenever the job changes, in whatever thread that happens."""
    loop, event = asyncio.get_running_loop(), asyncio.Event()

    def changed() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(event.set)

    job.watchers.add(changed)
    try:
        yield event
    finally:
        job.watchers.discard(changed)


async def _ended(job: ServerJob, seconds: float) -> None:
    """Wait for a job's end, at most so many seconds."""
    deadline = asyncio.get_running_loop().time() + seconds
    with _watching(job) as event:
        while job.state not in ENDED:
            event.clear()
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0 or job.state in ENDED:
                return
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(event.wait(), left)


async def _events(service: Service, job: ServerJob) -> AsyncIterator[str]:
    last = None
    with _watching(job) as event:
        while True:
            event.clear()
            status = service.queue.status(job)
            if status != last:
                yield f"data: {json.dumps(status.to_dict())}\n\n"
                last = status
            if status.ended:
                return
            await asyncio.sleep(_EVENT_PAUSE)
            try:
                # The place in the queue changes without the job.
                await asyncio.wait_for(event.wait(), 1.0 if status.place else _KEEP_ALIVE)
            except asyncio.TimeoutError:
                yield ": waiting\n\n"


async def _upload(service: Service, job: ServerJob, request: Request) -> None:
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


def _must_be_done(job: ServerJob) -> None:
    """Raise AnswerError unless a job has a result."""
    if job.state == DONE:
        return
    if job.state == EXPIRED:
        raise AnswerError("expired", "The server has removed this job's result after its time; run it again.")
    if job.error is not None:
        raise AnswerError("wrong_state", job.error[1])
    raise AnswerError("wrong_state", f"The job is {job.state}; it has no result.")


def _send_file(job: ServerJob, wanted: str) -> Response:
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
