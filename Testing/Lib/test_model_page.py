"""docs/model_file.md says what the code does."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from LowResSegLib.model import FORMAT_VERSION, KINDS, PASSES, load_model
from LowResSegLib.model.file import NETWORK_FILES, RECONSTRUCTIONS
from LowResSegLib.model.fusion import KEYS
from LowResSegLib.model.onnx_check import IR_VERSIONS, OPSETS
from LowResSegLib.model.onnx_rules import RULES
from LowResSegLib.model.plan import OPERATIONS
from LowResSegLib.sampling import GridSettings, Normalisation

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = (CHECKOUT / "docs" / "model_file.md").read_text(encoding="utf-8")
BOUNDS = re.findall(r"^\| [^|]+ \| (\d+) \| `(\w+)\.(\w+)(?:\[\"([\w.]+)\"\])?` \|$", PAGE, re.MULTILINE)


def test_the_bounds_are_found() -> None:
    assert len(BOUNDS) == 29


@pytest.mark.parametrize(("value", "module", "name", "key"), BOUNDS, ids=lambda part: part or "-")
def test_bounds_are_those_of_the_code(value: str, module: str, name: str, key: str) -> None:
    found = getattr(importlib.import_module(f"LowResSegLib.model.{module}"), name)
    assert (found[key] if key else found) == int(value)


def test_operations_and_operators_are_those_of_the_code() -> None:
    assert re.findall(r"^\| `(\w+)` \| .* \| .* \|$", PAGE.split("## A ternary network")[1], re.MULTILINE)[:7] == list(
        OPERATIONS
    )
    listed = re.search(r"The operators: (.*?)\.\n", PAGE, re.DOTALL)
    assert listed is not None and re.findall(r"`(\w+)`", listed[1]) == sorted(RULES)


def test_keys_and_versions_are_those_of_the_code() -> None:
    for name in [field.name for kind in (GridSettings, Normalisation) for field in fields(kind)] + [*KINDS]:
        assert f"`{name}`" in PAGE or f'`"{name}"`' in PAGE, name
    assert all(f"`{name}`" in PAGE for name in NETWORK_FILES.values())
    keys = re.findall(r"^\| `(\w+)` \|", PAGE.split("## A fusion")[1].split("The reach")[0], re.MULTILINE)
    assert {*keys} == KEYS and all(f'`"{name}"`' in PAGE for name in RECONSTRUCTIONS)
    assert f"| `version` | {FORMAT_VERSION}." in PAGE and str(PASSES) == "(1, 2, 4)" and "(1, 2 or 4;" in PAGE
    assert f"(IR) than {IR_VERSIONS[0]} to {IR_VERSIONS[1]}, and of the standard operators than {OPSETS[0]} to" in PAGE
    assert f" to {OPSETS[1]};" in PAGE


def test_the_program_reads_the_bundled_model() -> None:
    code = PAGE.split("```python\n")[1].split("```")[0]
    model = CHECKOUT / "Resources" / "Models" / "brain.lowresseg"
    done = subprocess.run([sys.executable, "-c", code, str(model)], capture_output=True, text=True, check=True)
    expected = []
    for layer in load_model(model).plan.layers:
        if layer.weights is not None:
            numbers = layer.offset if layer.operation == "logits" else layer.lower
            assert numbers is not None
            ends = layer.weights.min(), layer.weights.max(), numbers.min()
            expected.append(" ".join(map(str, (layer.operation, layer.weights.shape, *ends))))
    assert done.stdout.splitlines() == expected
