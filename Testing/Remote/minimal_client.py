"""A client that does what the protocol says and nothing more, for tests of the server."""

from __future__ import annotations

import hashlib
import http.client
import json
import ssl
import threading
import uuid
from typing import Any, NamedTuple, Optional

import numpy as np

from LowResSegLib.model import Model
from LowResSegLib.remote.packed import compress_body, unpack_labels, unpack_logits
from LowResSegLib.remote.protocol import JobRequest, JobStatus, content_range
from LowResSegLib.remote.server.serving import Server
from LowResSegLib.volume import Volume


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of an error; its message is a sentence."""
        assert self.json["message"].endswith("."), self.json
        return self.json["error"]


class MinimalClient:
    """One connection to a server."""

    def __init__(self, address: str, token: str = "", context: Optional[ssl.SSLContext] = None) -> None:
        scheme, _, place = address.partition("://")
        host, _, port = place.rpartition(":")
        self.token = token
        if scheme == "https":
            self._connection: Any = http.client.HTTPSConnection(host, int(port), timeout=60, context=context)
        else:
            self._connection = http.client.HTTPConnection(host, int(port), timeout=60)

    def ask(self, method: str, path: str, body: Any = None, headers: Optional[dict[str, str]] = None) -> Answer:
        given = dict(headers or {})
        if self.token:
            given.setdefault("Authorization", f"Bearer {self.token}")
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            given.setdefault("Content-Type", "application/json")
        try:
            self._connection.request(method, path, body, given)
            response = self._connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        except (http.client.HTTPException, OSError):
            self._connection.close()
            raise

    def create(self, request: JobRequest) -> JobStatus:
        answer = self.ask("POST", "/v1/jobs", request.to_dict())
        assert answer.status in (200, 201), answer
        return JobStatus.from_dict(answer.json)

    def put(self, identity: str, body: bytes, first: int = 0, stop: Optional[int] = None) -> Answer:
        stop = len(body) if stop is None else stop
        headers = {"Content-Range": content_range(first, stop, len(body))}
        return self.ask("PUT", f"/v1/jobs/{identity}/input", body[first:stop], headers)

    def status(self, identity: str, wait: float = 0) -> JobStatus:
        answer = self.ask("GET", f"/v1/jobs/{identity}?wait={wait}")
        assert answer.status == 200, answer
        return JobStatus.from_dict(answer.json)

    def result(self, identity: str) -> bytes:
        answer = self.ask("GET", f"/v1/jobs/{identity}/result?wait=30")
        while answer.status == 202:
            answer = self.ask("GET", f"/v1/jobs/{identity}/result?wait=30")
        assert answer.status == 200, answer
        assert hashlib.sha256(answer.body).hexdigest() == answer.headers["x-content-sha256"]
        return answer.body

    def run(self, request: JobRequest, body: bytes) -> bytes:
        """Do a job, from the request to its result."""
        job = self.create(request)
        assert self.put(job.id, body).status == 200
        return self.result(job.id)

    def close(self) -> None:
        self._connection.close()


def grid_job(model: Model, name: str, grids: list[np.ndarray], size: Any, **more: Any) -> tuple[JobRequest, bytes]:
    """A request for the logits of some grids, and its body."""
    stacked = np.stack(grids)
    encoding = more.pop("encoding", "zlib")
    body = bytes(compress_body(stacked, encoding))
    request = JobRequest(
        key=str(uuid.uuid4()),
        kind="grid",
        model=name,
        digest=model.digest,
        shape=stacked.shape,
        dtype="uint8",
        bytes=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
        encoding=encoding,
        size=tuple(size),
        **more,
    )
    return request, body


def volume_job(model: Model, name: str, volume: Volume, **more: Any) -> tuple[JobRequest, bytes]:
    """A request for the labelmap of a volume, and its body."""
    body = bytes(compress_body(volume.array, "zlib"))
    request = JobRequest(
        key=str(uuid.uuid4()),
        kind="volume",
        model=name,
        digest=model.digest,
        shape=volume.array.shape,
        dtype=volume.array.dtype.name,
        bytes=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
        modality=volume.modality,
        **volume.geometry,
        **more,
    )
    return request, body


def small_grid(
    model: Model, seed: int = 0, shape: tuple[int, ...] = (16, 24, 24), **more: Any
) -> tuple[JobRequest, bytes]:
    """A job of noise that is done in some milliseconds; of two grids."""
    rng = np.random.default_rng(seed)
    grids = [rng.integers(0, 128, shape).astype(np.uint8) for _ in range(2)]
    return grid_job(model, "small", grids, [n - 1 for n in shape], **more)


def big_grid(model: Model, edge: int = 320) -> tuple[JobRequest, bytes]:
    """A job that takes some seconds."""
    return grid_job(model, "small", [np.zeros((edge, edge, edge), np.uint8)] * 2, (edge, edge, edge))


class Running:
    """A server in a thread of this process, with its own worker processes."""

    def __init__(self, server: Server) -> None:
        self.server = server
        ready = threading.Event()
        self._thread = threading.Thread(target=server.serve_forever, args=[ready.set], daemon=True)
        self._thread.start()
        assert ready.wait(20)

    @property
    def address(self) -> str:
        return self.server.address

    def client(self, token: str = "", context: Optional[ssl.SSLContext] = None) -> MinimalClient:
        return MinimalClient(self.address, token, context)

    def stop(self) -> None:
        self.server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()


__all__ = [
    "Answer",
    "MinimalClient",
    "Running",
    "big_grid",
    "grid_job",
    "small_grid",
    "unpack_labels",
    "unpack_logits",
    "volume_job",
]
