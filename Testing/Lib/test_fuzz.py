"""A short run of the fuzzer; `fuzz_models.py` is the program for a long one."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz_models import fuzz


@pytest.mark.parametrize("seed", [1, 2])
def test_mutated_model_files_are_refused_with_a_reason_or_run(tmp_path: Path, seed: int) -> None:
    outcomes = fuzz(tmp_path, 1200, seed)
    assert set(outcomes) == {"bytes", "description", "numbers"}
    for counter in outcomes.values():
        assert counter["refused"] > 300 and counter["still a model"] > 0
