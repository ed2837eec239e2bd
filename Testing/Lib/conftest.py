"""Fixtures of the library's tests."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def small_model(tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a small model that is found by the name `small`."""
    from plans import random_model

    from LowResSegLib.model import write_model

    folder = tmp_path / "models"
    folder.mkdir()
    write_model(folder / "small.lowresseg", random_model(rng))
    monkeypatch.setenv("LOWRESSEG_MODELS", str(folder))
    return folder / "small.lowresseg"


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed."""
    return np.random.default_rng(0)
