"""Many clients at once: every job is done, and none gets another one's result. `benchmarks/remote.py load` in short."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of processes from /proc")
def test_many_clients_at_once_lose_and_mix_up_nothing() -> None:
    command = [sys.executable, "benchmarks/remote.py", "load", "--clients", "32", "--jobs", "120", "--json"]
    found = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr
    result = json.loads(found.stdout)
    assert result["outcomes"] == {"right": 120}
    # Bodies and results go through files: the server holds none of them for long.
    assert result["memory_mb"]["server"] < 400
