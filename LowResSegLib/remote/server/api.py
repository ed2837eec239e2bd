"""The routes of the protocol; see `remote.protocol` for what each takes and answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from LowResSegLib.errors import LowResSegError
from LowResSegLib.remote.protocol import (
    ENDED,
    LEAST_VERSION,
    MAX_WAIT,
    OFFSET_HEADER,
    PREFIX,
    VERSION,
    AnswerError,
    Health,
    JobRequest,
)
from LowResSegLib.remote.server.guard import App, Guard, answer_of
from LowResSegLib.remote.server.job import ServerJob
from LowResSegLib.remote.server.service import Service
from LowResSegLib.remote.server.transfer import must_be_done, send_result, take_body
from LowResSegLib.version import __version__

_MOST_JSON = 64 << 10
_KEEP_ALIVE = 10.0  # seconds between two signs of life in a stream of events
_EVENT_PAUSE = 0.05  # seconds between two events at least
Handler = Callable[[Request], Awaitable[Response]]


def create_app(service: Service) -> App:
    """The application of a service; whoever runs it starts and stops the service."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    def route(method: str, path: str) -> Callable[[Handler], Handler]:
        """A plain route of Starlette's: nothing of a request is parsed but what the handler reads, which is faster."""

        def add(handler: Handler) -> Handler:
            app.add_route(path, handler, methods=[method])
            return handler

        return add

    @route("GET", "/healthz")
    async def healthz(request: Request) -> Response:
        return JSONResponse(Health(LEAST_VERSION, VERSION, __version__).to_dict())

    @route("GET", f"{PREFIX}/capabilities")
    async def capabilities(request: Request) -> Response:
        return JSONResponse(service.capabilities().to_dict())

    @route("GET", f"{PREFIX}/models")
    async def models(request: Request) -> Response:
        return JSONResponse({"models": [model.to_dict() for model in service.describe_models()]})

    @route("GET", f"{PREFIX}/metrics")
    async def metrics(request: Request) -> Response:
        text = service.metrics.text(service.queue.counts(), service.settings.workers, service.busy())
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    @route("POST", f"{PREFIX}/jobs")
    async def create(request: Request) -> Response:
        wanted = JobRequest.from_dict(await _json(request))
        service.check(wanted)
        job, new = service.queue.create(request.scope["client_id"], wanted)
        return JSONResponse(service.queue.status(job).to_dict(), 201 if new else 200)

    def find(request: Request) -> ServerJob:
        return service.queue.get(request.scope["client_id"], request.path_params["identity"])

    @route("HEAD", f"{PREFIX}/jobs/{{identity}}/input")
    async def offset(request: Request) -> Response:
        status = service.queue.status(find(request))
        return Response(headers={OFFSET_HEADER: str(status.upload)})

    @route("PUT", f"{PREFIX}/jobs/{{identity}}/input")
    async def upload(request: Request) -> Response:
        job = find(request)
        await take_body(service, job, request)
        return JSONResponse(service.queue.status(job).to_dict())

    @route("GET", f"{PREFIX}/jobs/{{identity}}")
    async def status(request: Request) -> Response:
        job = find(request)
        await _ended(job, _seconds(request))
        return JSONResponse(service.queue.status(job).to_dict())

    @route("GET", f"{PREFIX}/jobs/{{identity}}/events")
    async def events(request: Request) -> Response:
        return StreamingResponse(_events(service, find(request)), media_type="text/event-stream")

    @route("GET", f"{PREFIX}/jobs/{{identity}}/result")
    async def result(request: Request) -> Response:
        job = find(request)
        await _ended(job, _seconds(request))
        if job.state not in ENDED:
            return JSONResponse(service.queue.status(job).to_dict(), 202)
        must_be_done(job)
        return send_result(job, request.headers.get("range", ""))

    @route("GET", f"{PREFIX}/jobs/{{identity}}/record")
    async def record(request: Request) -> Response:
        job = find(request)
        must_be_done(job)
        try:
            return Response(job.record.read_bytes(), media_type="application/json")
        except OSError as error:
            raise AnswerError("expired", "The server has removed this job's result; run it again.") from error

    @route("DELETE", f"{PREFIX}/jobs/{{identity}}")
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
