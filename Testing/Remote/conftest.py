"""Fixtures of the tests of client and server: a small model, and servers on loopback."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for folder in ("Lib", "Remote"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / folder))


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of this test for the certificates that a client remembers; and no token in the environment."""
    monkeypatch.setenv("LOWRESSEG_SETTINGS", str(tmp_path / "settings"))
    monkeypatch.delenv("LOWRESSEG_TOKEN", raising=False)
    return tmp_path / "settings"


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed."""
    return np.random.default_rng(0)


@pytest.fixture
def small_model(tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A small model with two passes that is found by the name `small`."""
    from dataclasses import replace

    from plans import random_model

    from LowResSegLib.model import read_model, write_model

    folder = tmp_path / "models"
    folder.mkdir()
    write_model(folder / "small.lowresseg", replace(random_model(rng), passes=2))
    monkeypatch.setenv("LOWRESSEG_MODELS", str(folder))
    return read_model(folder / "small.lowresseg")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Starts servers with given settings; all are stopped after the test."""
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    pytest.importorskip("cryptography")
    from minimal_client import Running

    from LowResSegLib.remote.server.serving import Server
    from LowResSegLib.remote.server.settings import Settings

    running = []

    def start(certificate: Any = None, **settings: Any) -> Running:
        settings = {"folder": tmp_path / "server", "port": 0, "threads": 1, **settings}
        running.append(Running(Server(Settings(**settings), certificate)))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def server() -> Iterator[Any]:
    """The stand-in for a server, on loopback."""
    from stand_in import serving

    with serving() as server:
        yield server


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that tries again at once."""
    from LowResSegLib.remote.client import session

    monkeypatch.setattr(session, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(session, "_LONGEST_PAUSE", 0.02)
