"""Sentences on scans that a model is not for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from plans import random_model

from LowResSegLib import Volume, segment
from LowResSegLib.suitability import doubts, field_of_view

CROP = {"modality": "MR", "field_of_view": [25, 90]}


def scan(shape: tuple[int, int, int], spacing: tuple[float, float, float], rng: np.random.Generator) -> Volume:
    """Noise of a shape (z, y, x) and a spacing (x, y, z) in mm."""
    return Volume(rng.normal(100, 20, shape).astype(np.float32), spacing)


@pytest.mark.parametrize(
    ("shape", "spacing", "measured"),
    [
        ((30, 50, 35), (1.0, 1.0, 1.0), None),
        ((10, 90, 25), (1.0, 1.0, 2.5), None),  # just so
        ((30, 50, 91), (1.0, 1.0, 1.0), "91 x 50 x 30 mm"),
        ((30, 50, 35), (1.0, 1.0, 8.0), "35 x 50 x 240 mm"),
        ((30, 24, 35), (1.0, 1.0, 1.0), "35 x 24 x 30 mm"),
    ],
)
def test_scans_of_another_size_are_told(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], measured: str, rng: np.random.Generator
) -> None:
    model = replace(random_model(rng), card=CROP)
    found = doubts(scan(shape, spacing, rng), model)
    if measured is None:
        assert found == []
    else:
        (sentence,) = found
        assert "25 to 90 mm along each edge" in sentence and measured in sentence and sentence.endswith("wrong.")


def test_the_sentence_is_in_the_record(rng: np.random.Generator) -> None:
    model = replace(random_model(rng), card={**CROP, "field_of_view": [1, 20]})
    _, record = segment(scan((12, 16, 24), (1.0, 1.0, 1.0), rng), model, backend="numpy")
    assert record["warnings"] == doubts(scan((12, 16, 24), (1.0, 1.0, 1.0), rng), model) != []


@pytest.mark.parametrize("stated", [None, 90, [90], ["25", "90"], [True, 90], [-1, 90], "90", {"from": 25}])
def test_cards_that_say_nothing_usable_say_nothing(stated: Any, rng: np.random.Generator) -> None:
    model = replace(random_model(rng), card={} if stated is None else {"field_of_view": stated})
    assert field_of_view(model) is None
    assert doubts(scan((4, 4, 400), (1.0, 1.0, 1.0), rng), model) == []


def test_both_doubts_are_told(rng: np.random.Generator) -> None:
    volume = replace(scan((4, 4, 400), (1.0, 1.0, 1.0), rng), modality="CT")
    assert len(doubts(volume, replace(random_model(rng), card=CROP))) == 2
