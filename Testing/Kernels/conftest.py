"""Fixtures of the kernels' tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "Lib")]


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of cases for the driver."""
    from cases import write

    path = tmp_path_factory.mktemp("cases") / "cases"
    write(path)
    return path
