"""What a server adds to the computation, and what it stands.

    python benchmarks/remote.py latency [--edge 128] [--rounds 15] [--encoding raw|zlib]
    python benchmarks/remote.py load [--clients 64] [--jobs 2000] [--workers 2]

Needs the extra `server`. Both start `lowresseg serve` as a process of its own on loopback, with its queue in a
temporary folder. The client here is http.client and the protocol's own functions.

    latency  one client, one connection that is kept, an idle server, one pass of the bundled brain model over a grid of
             `edge` voxels along each axis, filled with a brain. From the grid in this process's memory to logits in it,
             less the seconds that the network took on the server. Medians, and the parts they are made of.
    load     so many clients at once, each with a connection of its own, with jobs of mixed sizes and models' passes.
             Every result is compared with what this computer computes itself. The peak of the memory that the server
             process held, and of its workers.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Union

import machine
import numpy as np
from tables import table

from LowResSegLib import engine, load_model
from LowResSegLib.inference import grids_of, logits_of
from LowResSegLib.model import Model
from LowResSegLib.reduction import reduce, restore
from LowResSegLib.remote.packed import compress_body, unpack_logits
from LowResSegLib.remote.protocol import JobRequest, content_range

_CHECKOUT = Path(__file__).resolve().parents[1]
_MODEL = "brain"
_PIECE = 1 << 18  # bytes that are read at a time


@contextmanager
def server(*arguments: str) -> Iterator[tuple[str, int]]:
    """A server's address and process id."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "LowResSegLib", "serve", "--port", "0", "--folder", folder, *arguments]
        log = (Path(folder) / "log.txt").open("wb")
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, cwd=_CHECKOUT)
        try:
            assert process.stdout is not None
            match = re.search(rb"serves at http://(\S+)", process.stdout.readline())
            if match is None:
                raise SystemExit((Path(folder) / "log.txt").read_text())
            yield match[1].decode(), process.pid
        finally:
            process.terminate()
            process.wait()


class Client:
    """One connection; `parts` has the seconds of each part of the last job."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=600)
        self.parts: dict[str, float] = {}

    def _ask(self, method: str, path: str, body: Any = None, headers: Any = None) -> tuple[int, bytearray, Any]:
        self._connection.request(method, path, body, headers or {})
        answer = self._connection.getresponse()
        content, self.digest, place = bytearray(answer.length or 0), hashlib.sha256(), 0
        while count := answer.readinto(memoryview(content)[place : place + _PIECE]):
            self.digest.update(memoryview(content)[place : place + count])  # while the server sends the next ones
            place += count
        return answer.status, content, answer.headers

    def run(self, model: Model, grids: np.ndarray, size: tuple[int, ...], passes: int, encoding: str) -> np.ndarray:
        """Logits of some grids; raises SystemExit where anything is not as it should be."""
        began = time.perf_counter()
        body = compress_body(grids, encoding)
        digest = hashlib.sha256(body).hexdigest()
        key = str(uuid.uuid4())
        request = JobRequest(
            key, "grid", _MODEL, model.digest, grids.shape, "uint8", len(body), digest, encoding, encoding, size, passes
        )
        packed = time.perf_counter()
        headers = {"Content-Type": "application/json"}
        status, answer, _ = self._ask("POST", "/v1/jobs", json.dumps(request.to_dict()), headers)
        while status in (429, 503):
            time.sleep(0.05)
            status, answer, _ = self._ask("POST", "/v1/jobs", json.dumps(request.to_dict()), headers)
        _expect(status == 201, answer)
        identity = json.loads(answer)["id"]
        created = time.perf_counter()
        place = {"Content-Range": content_range(0, len(body), len(body))}
        status, answer, _ = self._ask("PUT", f"/v1/jobs/{identity}/input", body, place)
        _expect(status == 200, answer)
        sent = time.perf_counter()
        status, answer, found = self._ask("GET", f"/v1/jobs/{identity}/result?wait=30")
        while status == 202:
            status, answer, found = self._ask("GET", f"/v1/jobs/{identity}/result?wait=30")
        _expect(status == 200 and self.digest.hexdigest() == found["X-Content-SHA256"], answer[:300])
        received = time.perf_counter()
        logits, _ = unpack_logits(answer, len(model.labels), size)
        unpacked = time.perf_counter()
        record = json.loads(self._ask("GET", f"/v1/jobs/{identity}/record")[1])["seconds"]
        _expect(self._ask("DELETE", f"/v1/jobs/{identity}")[0] == 204, b"DELETE")
        self.parts = {
            "total": unpacked - began,
            "network": record["network"],
            "added": unpacked - began - record["network"],
            "client: packing, SHA-256": packed - began,
            "POST": created - packed,
            "PUT": sent - created,
            "server: reading": record["reading"],
            "server: reduction": record["reduction"],
            "server: packing": record["packing"],
            "queue, worker, GET": received - sent - record["total"],
            "client: unpacking": unpacked - received,
        }
        self.sizes = len(body), len(answer)
        return logits


def _expect(holds: bool, answer: Union[bytes, bytearray]) -> None:
    if not holds:
        raise SystemExit(f"The server answered: {answer[:500]!r}")


def _brain(edge: int) -> np.ndarray:
    """A grid with something like a brain in it: an ellipsoid of smooth noise in two shades, within a bright shell."""
    axis = np.linspace(-1.3, 1.3, edge)
    radius = np.sqrt(axis[:, None, None] ** 2 + (axis[:, None] / 1.1) ** 2 + (axis / 0.85) ** 2)
    coarse = np.random.default_rng(0).normal(0, 1, [edge // 8 + 2] * 3)
    noise = coarse.repeat(8, 0).repeat(8, 1).repeat(8, 2)[:edge, :edge, :edge]
    for shift in (1, 2, 4):  # smoothed, so that borders lie between the blocks' edges
        for along in range(3):
            noise = (noise + np.roll(noise, shift, along)) / 2
    values = np.where(noise > 0, 78.0, 58.0) + np.random.default_rng(1).normal(0, 3, noise.shape)
    values = np.where(radius < 1, values, np.where(radius < 1.08, 95.0, 2.0))
    return np.clip(np.rint(values), 0, 127).astype(np.uint8)


def latency(args: argparse.Namespace) -> None:
    """Print the table of what a server adds."""
    model = load_model(_MODEL)
    edge = args.edge
    grid, size = _brain(edge)[None], (edge, edge, edge)
    backend = engine.choose_backend("auto", model)
    own = logits_of(model, [grid[0]], 1, backend, None, lambda share: None)
    with server() as (address, _):
        client = Client(address)
        rounds = []
        for number in range(args.rounds + 2):
            logits = client.run(model, grid, size, 1, args.encoding)
            if number >= 2:  # the worker is warm then
                rounds.append(client.parts)
        if not np.array_equal(logits.argmax(0), own.argmax(0)):
            raise SystemExit("The server's labels are not this computer's.")
    rows = [
        [name, *(f"{1000 * f([parts[name] for parts in rounds]):.1f}" for f in (statistics.median, min, max))]
        for name in rounds[0]
    ]
    print(f"{machine.sentence(machine.describe())}\n")
    mixed = reduce(own, size).mixed.mean()
    print(
        f"grid {edge} x {edge} x {edge}, {len(model.labels)} classes, {100 * mixed:.0f} % of the voxels mixed, backend "
        f"{backend}, encoding {args.encoding}, body {client.sizes[0] / 1e6:.2f} MB, answer {client.sizes[1] / 1e6:.2f} "
        f"MB of {own.nbytes / 1e6:.1f} MB of logits, {len(rounds)} rounds\n"
    )
    print(table(["part, ms", "median", "least", "most"], rows))


def load(args: argparse.Namespace) -> None:
    """Print what became of so many jobs at once."""
    model = load_model(_MODEL)
    rng = np.random.default_rng(2)
    divisor = model.grid.divisor
    kinds = []
    for number in range(12):  # each is computed here once, and asked for many times
        shape = tuple(int(n) * divisor for n in rng.integers(1, 7, 3))
        passes = (1, 1, 2, 4)[number % 4]
        grids = np.stack([_piece(rng, shape) for _ in range(grids_of(passes))])
        size = tuple(n - int(rng.integers(0, 3)) for n in shape)
        full = logits_of(model, list(grids), passes, engine.choose_backend("auto", model), 1, lambda share: None)
        kinds.append((grids, size, passes, ("zlib", "raw")[number % 2], restore(reduce(full, size))))
    order = rng.integers(0, len(kinds), args.jobs).tolist()
    outcomes: Counter[str] = Counter()
    seconds: list[float] = []
    lock = threading.Lock()
    with server(
        "--workers", str(args.workers), "--threads", "1", "--max-jobs", "1000", "--max-jobs-per-client", "1000"
    ) as (address, pid):

        def work() -> None:
            client = Client(address)
            while True:
                with lock:
                    if not order:
                        return
                    grids, size, passes, encoding, wanted = kinds[order.pop()]
                try:
                    found = client.run(model, grids, size, passes, encoding)
                    outcome = "right" if np.array_equal(found, wanted) else "wrong"
                except (OSError, http.client.HTTPException, SystemExit) as error:
                    outcome, client = f"failed: {error}", Client(address)
                with lock:
                    outcomes[outcome] += 1
                    seconds.append(client.parts.get("total", 0.0))

        began = time.perf_counter()
        threads = [threading.Thread(target=work) for _ in range(args.clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        passed = time.perf_counter() - began
        memory = peak_memory(pid)
        metrics = Client(address)._ask("GET", "/v1/metrics")[1].decode()
    if args.json:
        print(json.dumps({"outcomes": outcomes, "seconds": passed, "memory_mb": memory}))
        return
    print(f"{machine.sentence(machine.describe())}\n")
    ended = re.findall(r"jobs_ended_total\{kind=\"grid\",state=\"(\w+)\"\} (\d+)", metrics)
    rows = [
        ["clients, jobs, workers", f"{args.clients}, {args.jobs}, {args.workers}"],
        ["results", ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())],
        ["the server's own count", ", ".join(f"{count} {state}" for state, count in ended)],
        ["seconds, jobs a second", f"{passed:.1f}, {args.jobs / passed:.1f}"],
        ["seconds of a job, median and most", f"{statistics.median(seconds):.2f}, {max(seconds):.2f}"],
        ["peak memory of the server, MB", f"{memory['server']:.0f}"],
        ["peak memory of its workers, MB", ", ".join(f"{worker:.0f}" for worker in memory["workers"])],
    ]
    print(table(["", "load"], rows))
    if set(outcomes) != {"right"}:
        raise SystemExit(1)


def _piece(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """A part of a brain's grid at a random place, so that no two are the same."""
    brain = _BRAIN
    starts = [int(rng.integers(0, 96 - n + 1)) for n in shape]
    return np.ascontiguousarray(brain[tuple(slice(s, s + n) for s, n in zip(starts, shape))])


_BRAIN = _brain(96)


def peak_memory(pid: int) -> dict[str, Any]:
    """Most MB that a process has held, and each of its children (Linux)."""

    def peak(number: str) -> float:
        text = Path(f"/proc/{number}/status").read_text()
        match = re.search(r"VmHWM:\s*(\d+) kB", text)
        return int(match[1]) / 1000 if match else 0.0

    children = [
        child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    return {"server": peak(str(pid)), "workers": [peak(child) for child in children]}


def main(arguments: Sequence[str] = ()) -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parts = parser.add_subparsers(required=True)
    part = parts.add_parser("latency")
    part.add_argument("--edge", type=int, default=128)
    part.add_argument("--rounds", type=int, default=15)
    part.add_argument("--encoding", choices=("raw", "zlib"), default="raw")
    part.set_defaults(run=latency)
    part = parts.add_parser("load")
    part.add_argument("--clients", type=int, default=64)
    part.add_argument("--jobs", type=int, default=2000)
    part.add_argument("--workers", type=int, default=2)
    part.add_argument("--json", action="store_true", help="print JSON instead of the table")
    part.set_defaults(run=load)
    args = parser.parse_args(arguments or None)
    args.run(args)


if __name__ == "__main__":
    main(sys.argv[1:])
