"""Float models over a server, and the GPU that they may use: ternary ones never do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from float_graphs import float_model  # noqa: E402
from plans import random_volume  # noqa: E402
from stand_in import serving  # noqa: E402

from LowResSegLib import engine, pipeline  # noqa: E402
from LowResSegLib.cli import main  # noqa: E402
from LowResSegLib.engine import onnx_float, onnx_session  # noqa: E402
from LowResSegLib.errors import BackendError  # noqa: E402
from LowResSegLib.model import write_model  # noqa: E402
from LowResSegLib.remote.client import Server, segment_remotely  # noqa: E402


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A float model that is found by a name."""
    write_model(tmp_path / "float.lowresseg", float_model())
    monkeypatch.setenv("LOWRESSEG_MODELS", str(tmp_path))
    return "float"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """The providers with which sessions are opened; they run on the processor all the same."""
    found: list[list[str]] = []
    real = onnxruntime.InferenceSession

    def session(content: Any, options: Any = None, providers: Any = None) -> Any:
        found.append(list(providers))
        return real(content, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    monkeypatch.setenv(onnx_session.GPU_VARIABLE, "")
    onnx_float._session.cache_clear()
    yield found
    onnx_float._session.cache_clear()


@pytest.mark.parametrize("confidence", [False, True])
def test_the_labelmap_is_the_one_of_this_computer(name: str, rng: np.random.Generator, confidence: bool) -> None:
    volume = random_volume(rng)
    expected, _ = pipeline.segment(volume, name)
    with serving() as server:
        labelmap, record, percent = segment_remotely(volume, name, Server(server.url), confidence=confidence)
    np.testing.assert_array_equal(labelmap.array, expected.array)
    assert record["remote"]["sent"] == "grid" and len(np.unique(expected.array)) > 1
    assert (percent is not None) == confidence


def test_a_gpu_is_used_only_where_it_was_asked_for(
    name: str, rng: np.random.Generator, opened: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)
    volume = random_volume(rng)
    before, _ = pipeline.segment(volume, name)
    assert opened == [["CPUExecutionProvider"]]
    assert engine.use_gpu() == "CUDAExecutionProvider"
    after, _ = pipeline.segment(volume, name)
    assert opened[1:] == [["CUDAExecutionProvider", "CPUExecutionProvider"]]
    np.testing.assert_array_equal(before.array, after.array)


def test_without_a_gpu_the_server_says_what_to_do_and_does_not_start(
    opened: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(BackendError, match="no provider for a GPU here; install the package onnxruntime-gpu"):
        engine.use_gpu()
    pytest.importorskip("uvicorn")
    pytest.importorskip("fastapi")
    assert main(["serve", "--gpu", "--port", "0", "--folder", str(tmp_path)]) == 2
    assert "no provider for a GPU" in capsys.readouterr().err
