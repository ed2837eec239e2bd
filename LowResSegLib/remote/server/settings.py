"""What the keeper of a server chooses."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from LowResSegLib import engine
from LowResSegLib.model import user_folder
from LowResSegLib.remote.protocol import PORT, Limits

_ASSUMED_MEMORY = 4e9  # bytes, where the system does not say


def default_folder() -> Path:
    """Where queue, tokens and certificate lie if nothing else is said: beside the user's models."""
    return user_folder().parent / "Server"


def physical_memory() -> float:
    """Bytes of memory of this computer."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return _ASSUMED_MEMORY


@dataclass(frozen=True)
class Settings:
    """What a server does and does not do.

    Attributes:
        folder: of queue, tokens and certificate.
        host, port: where it listens; port 0 takes a free one.
        behind_proxy: a reverse proxy has the TLS.
        workers: processes, each of which runs a job at a time.
        threads: of a job.
        volumes: jobs of full volumes are taken, too.
        max_memory: MB that a worker process may hold; None means half of the computer's, shared by them.
        body_bytes, voxels, seconds, queued, queued_per_client, keep_seconds, upload_seconds: see `protocol.Limits`.
        body_seconds: how long a client may rest within a request, or before it takes the next part of an answer.
        connections: at a time.
        spare_bytes: of the disk, which are not filled.
    """

    folder: Path
    host: str = "127.0.0.1"
    port: int = PORT
    behind_proxy: bool = False
    workers: int = 1
    threads: Optional[int] = None
    volumes: bool = True
    max_memory: Optional[float] = None
    body_bytes: int = 512 << 20
    voxels: int = 1 << 28
    seconds: float = 600.0
    queued: int = 128
    queued_per_client: int = 32
    keep_seconds: float = 3600.0
    upload_seconds: float = 300.0
    body_seconds: float = 30.0
    connections: int = 256
    spare_bytes: int = 64 << 20

    @property
    def worker_threads(self) -> int:
        """Threads of a job: the stated ones, or the cores shared by the workers."""
        return self.threads or max(1, engine.cores() // self.workers)

    @property
    def worker_memory(self) -> float:
        """MB of a worker process."""
        return self.max_memory or physical_memory() / 2e6 / self.workers

    @property
    def loopback(self) -> bool:
        """Whether nobody but this computer can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def limits(self) -> Limits:
        """What clients are told."""
        return Limits(
            self.body_bytes,
            self.voxels,
            self.seconds,
            self.queued,
            self.queued_per_client,
            self.keep_seconds,
            self.upload_seconds,
            self.worker_threads,
        )
