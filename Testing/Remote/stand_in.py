"""A small server that speaks the protocol, does what it is asked to, and can be told to do it badly."""

from __future__ import annotations

import hashlib
import io
import json
import re
import ssl
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np

from LowResSegLib import pipeline
from LowResSegLib.confidence import Confidence
from LowResSegLib.engine import usable_backends
from LowResSegLib.errors import LowResSegError
from LowResSegLib.inference import logits_of
from LowResSegLib.model import Model, available_models, load_model
from LowResSegLib.reduction import reduce
from LowResSegLib.remote.packed import pack_labels, pack_logits, read_body
from LowResSegLib.remote.protocol import (
    DIGEST_HEADER,
    OFFSET_HEADER,
    AnswerError,
    Capabilities,
    Health,
    JobRequest,
    JobStatus,
    Limits,
    ModelDescription,
    parse_content_range,
)
from LowResSegLib.sampling import LowResolution, Orientation
from LowResSegLib.version import __version__
from LowResSegLib.volume import Volume

_MANY = 10_000  # operations a voxel of the grid; the bundled model has more, the tests' own have not

# What a fault does with a request: it answers it itself and returns true, or leaves it alone.
Fault = Callable[["Handler"], bool]


class StandIn(ThreadingHTTPServer):
    """The server; jobs run in the threads of the requests that ask for their results.

    Attributes:
        token: that is asked for; empty for none.
        faults: looked at first, for every request, in order.
        seen: method and path of each request, in order.
        jobs: by their ids, with request, body, state and result.
        runs: how many jobs have run.
        tokens: the header Authorization of each request.
    """

    daemon_threads = True

    def __init__(self, token: str = "") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.token = token
        self.health: dict[str, Any] = Health(1, 1, __version__).to_dict()
        self.faults: list[Fault] = []
        self.seen: list[tuple[str, str]] = []
        self.tokens: list[Optional[str]] = []
        self.jobs: dict[str, dict[str, Any]] = {}
        self.runs = 0
        self.own: dict[str, Model] = {}  # models of this server alone
        self.scheme = "http"
        self.lock = threading.Lock()

    def models(self) -> dict[str, Model]:
        return {**{name: load_model(name) for name in available_models()}, **self.own}

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}"

    def speak_tls(self, certificate: Path, key: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.scheme = "https"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: broken connections are what is tested."""

    def asked(self, method: str, ending: str = "") -> int:
        """How many requests of a method there were whose path ends so."""
        return sum(verb == method and path.partition("?")[0].endswith(ending) for verb, path in self.seen)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: StandIn

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def handle_any(self) -> None:
        self.server.seen.append((self.command, self.path))
        self.server.tokens.append(self.headers.get("Authorization"))
        try:
            for fault in self.server.faults:
                if fault(self):
                    return
            self._answer()
        except AnswerError as error:
            self.close_connection = self.command == "PUT"
            self.json(error.status, error.to_dict())
        except LowResSegError as error:
            self.json(422, AnswerError("bad_job", str(error)).to_dict())

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = handle_any

    def json(self, status: int, content: Any) -> None:
        self.bytes(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def bytes(self, status: int, body: bytes, headers: Optional[dict[str, str]] = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def cut(self) -> None:
        """End the connection without a further word."""
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(2)

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/healthz":
            self.json(200, self.server.health)
            return
        if self.server.token and self.headers.get("Authorization") != f"Bearer {self.server.token}":
            raise AnswerError("wrong_token", "The token is not one of this server's.")
        if path == "/v1/capabilities":
            limits = Limits(1 << 30, 1 << 26, 600.0, 100, 10, 600.0, 60.0, 2)
            answer = Capabilities(1, 1, __version__, ("grid", "volume"), ("zlib", "raw"), ("numpy",), None, 1, limits)
            self.json(200, answer.to_dict())
        elif path == "/v1/models":
            models = [ModelDescription.of(name, model) for name, model in self.server.models().items()]
            self.json(200, {"models": [model.to_dict() for model in models]})
        elif path == "/v1/jobs" and self.command == "POST":
            self._create()
        else:
            match = re.fullmatch(r"/v1/jobs/([0-9a-f-]+)(?:/(input|result|record))?", path)
            if match is None or match[1] not in self.server.jobs:
                raise AnswerError("not_found", "There is no such job.")
            self._job(self.server.jobs[match[1]], match[2])

    def _create(self) -> None:
        request = JobRequest.from_dict(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        for job in self.server.jobs.values():
            if job["request"].key == request.key:
                self.json(200, self._status(job))
                return
        models = self.server.models()
        if request.model not in models:
            raise AnswerError("not_found", f"The server has no model named {request.model}.")
        if models[request.model].digest != request.digest:
            raise AnswerError("other_model", f"The server's model {request.model} is another one than yours.")
        identifier = str(uuid.uuid4())
        job = {"id": identifier, "request": request, "body": bytearray(), "state": "uploading", "error": None}
        self.server.jobs[identifier] = job
        self.json(201, self._status(job))

    @staticmethod
    def _status(job: dict[str, Any]) -> dict[str, Any]:
        size = len(job["result"]) if "result" in job else None
        upload = len(job["body"])
        key = job["request"].key
        return JobStatus(job["id"], key, job["state"], None, "", 0.0, upload, job["error"], size).to_dict()

    def _job(self, job: dict[str, Any], part: Optional[str]) -> None:
        if self.command == "DELETE":
            job["state"] = "cancelled"
            del self.server.jobs[job["id"]]
            self.bytes(204, b"")
        elif self.command == "HEAD":
            self.bytes(200, b"", {OFFSET_HEADER: str(len(job["body"]))})
        elif self.command == "PUT":
            self._take(job)
        elif part is None:
            self.json(200, self._status(job))
        elif part == "record":
            self.json(200, job["record"])
        else:
            self._result(job)

    def _take(self, job: dict[str, Any]) -> None:
        first, stop, total = parse_content_range(self.headers["Content-Range"])
        assert total == job["request"].bytes
        if first != len(job["body"]):
            raise AnswerError("wrong_offset", "The upload goes on elsewhere.")
        left = stop - first
        while left:
            piece = self.rfile.read1(min(left, 1 << 16))
            if not piece:
                self.cut()
                return
            job["body"] += piece
            left -= len(piece)
        if hashlib.sha256(job["body"]).hexdigest() != job["request"].sha256:
            job["body"].clear()
            raise AnswerError("damaged", "The body is damaged; send it again.")
        job["state"] = "waiting"
        self.json(200, self._status(job))

    def _result(self, job: dict[str, Any]) -> None:
        wait = re.search(r"wait=([0-9.]+)", self.path)
        if not self.server.lock.acquire(timeout=float(wait[1]) if wait else 0):
            self.json(202, self._status(job))
            return
        try:
            if job["state"] == "waiting":
                self.server.runs += 1
                try:
                    job["result"], job["record"] = compute(job["request"], bytes(job["body"]), self.server.models())
                    job["state"] = "done"
                except LowResSegError as error:
                    job["state"], job["error"] = "failed", (type(error).__name__, str(error))
        finally:
            self.server.lock.release()
        if job["state"] != "done":
            raise AnswerError("wrong_state", f"The job is {job['state']}.")
        content = job["result"]
        headers = {DIGEST_HEADER: hashlib.sha256(content).hexdigest()}
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted is None:
            self.bytes(200, content, headers)
        else:
            first = int(wanted[1])
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
            self.bytes(206, content[first:], headers)


def compute(request: JobRequest, body: bytes, models: Mapping[str, Model]) -> tuple[bytes, dict[str, Any]]:
    """Result and record of a job."""
    model = models[request.model]
    array = read_body(io.BytesIO(body), request.shape, request.dtype, request.encoding)
    looks = request.passes or model.passes
    # By numpy, which comes to the same numbers in another way; with the bundled model that takes seconds each time.
    backend = "numpy" if model.network.operations_per_voxel() < _MANY else usable_backends(model)[0]
    record = {"backend": backend, "threads": None, "instruction_set": None, "lowresseg": __version__}
    if request.kind == "volume":
        volume = Volume(array, request.spacing, request.origin, request.direction, request.modality)
        labelmap, record = pipeline.segment(
            volume, model, backend=backend, passes=looks, not_a_labelmap=request.not_a_labelmap
        )
        return b"".join(pack_labels(labelmap.array, request.answer)), record
    logits = logits_of(model, list(array), looks, backend, None, lambda share: None)
    percent = None
    if request.confidence:
        straight = Orientation((0, 1, 2), (False, False, False))
        low = LowResolution(array[0], request.size, straight, request.size, (1, 1, 1), 1)
        seen = Confidence(low, len(logits), model.network.logit_unit)
        seen.add(logits, 0, len(array[0]))
        percent = seen.percent
    used = logits[(slice(None), *(slice(0, n) for n in request.size))]
    sent = reduce(logits, request.size) if model.fusion is None else used
    return b"".join(pack_logits(sent, percent, request.answer)), record


@contextmanager
def serving(token: str = "", tls: Optional[tuple[Path, Path]] = None) -> Iterator[StandIn]:
    """A server that runs in a thread."""
    server = StandIn(token)
    if tls is not None:
        server.speak_tls(*tls)
    thread = threading.Thread(target=lambda: server.serve_forever(0.01), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def certificate(folder: Path, name: str, days: tuple[int, int] = (-1, 30)) -> tuple[Path, Path]:
    """Files of a self-signed certificate for 127.0.0.1, valid between these days from now, and of its key."""
    import datetime
    import ipaddress

    import pytest

    pytest.importorskip("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lowresseg")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.crt", folder / f"{name}.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


def slowly(seconds: float, method: str, ending: str) -> Fault:
    """A fault that lets a kind of request wait."""

    def fault(handler: Handler) -> bool:
        if handler.command == method and handler.path.partition("?")[0].endswith(ending):
            time.sleep(seconds)
        return False

    return fault


def scan(rng: np.random.Generator, shape: tuple[int, int, int] = (20, 24, 28)) -> Volume:
    """A small scan, oblique and not isotropic."""
    direction = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)
    return Volume(rng.normal(100, 30, shape).astype(np.float32), (0.9, 1.1, 1.3), (5.0, -3.0, 2.0), direction)
