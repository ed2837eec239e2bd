"""A short run of the fuzzer; `fuzz_models.py` is the program for a long one."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fuzz_models import STRANGE, fuzz, packed, places_of, run
from plans import random_model

from LowResSegLib.errors import LowResSegError, ModelError
from LowResSegLib.model import read_model, write_model


@pytest.mark.parametrize("seed", [1, 2])
def test_mutated_model_files_are_refused_with_a_reason_or_run(tmp_path: Path, seed: int) -> None:
    outcomes = fuzz(tmp_path, 1200, seed)
    assert set(outcomes) == {"bytes", "description", "numbers"}
    for counter in outcomes.values():
        assert counter["refused"] > 300 and counter["still a model"] > 0


@pytest.mark.parametrize("seed", [1, 2])
def test_mutated_graphs_are_refused_with_a_reason_or_run(tmp_path: Path, seed: int) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    outcomes = fuzz(tmp_path, 800, seed, "onnx")
    assert set(outcomes) == {"bytes", "description", "numbers", "graph"}
    assert all(counter["refused"] > 100 for counter in outcomes.values())
    assert sum(counter["still a model"] for counter in outcomes.values()) > 30


@pytest.mark.slow
def test_a_strange_value_at_any_place_of_the_description_is_refused_or_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "mutant.lowresseg"
    write_model(path, random_model(np.random.default_rng(0), classes=2))
    with zipfile.ZipFile(path) as archive:
        text, numbers = archive.read("model.json").decode(), archive.read("network.bin")
    refused = 0
    for place in range(len(list(places_of(json.loads(text))))):
        for strange in STRANGE:
            description = json.loads(text)
            container, key = list(places_of(description))[place]
            container[key] = strange
            path.write_bytes(packed(description, numbers))
            try:
                run(read_model(path))
            except LowResSegError:
                refused += 1
    assert refused > 1000


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_bombs_of_other_compressions_are_refused_before_they_are_unpacked(tmp_path: Path, compression: int) -> None:
    path = tmp_path / "bomb.lowresseg"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("model.json", b" " * (64 << 20))
        archive.writestr("network.bin", b"")
    with pytest.raises(ModelError, match="compressed in a way"):
        read_model(path)
