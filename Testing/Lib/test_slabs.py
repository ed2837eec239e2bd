"""Slabs have the whole grid's logits, bit for bit, and no more around them than that takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from plans import random_plan

from LowResSegLib.engine import reference
from LowResSegLib.model import Layer, Plan, load_model
from LowResSegLib.slabs import Slab, cut, reach


def run(plan: Plan, grid: np.ndarray) -> np.ndarray:
    return reference.run(plan, grid, lambda share: None)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    "options",
    [{}, {"strided": True}, {"kernel": (5, 3, 1)}, {"kernel": (1, 3, 3), "factor": (1, 2, 2)}, {"factor": (2, 1, 1)}],
    ids=str,
)
def test_logits_of_slabs_are_those_of_the_grid(seed: int, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(seed)
    plan = random_plan(rng, 3, [(3, 4), (3, 4, 5)][seed % 2], **options)
    slices = plan.size_divisor * int(rng.integers(6, 14))
    grid = rng.integers(0, 128, (slices, plan.size_divisor, plan.size_divisor * 2)).astype(np.uint8)
    whole = run(plan, grid)
    for slab in cut(plan, slices, int(rng.integers(1, 3 * plan.size_divisor))):
        part = run(plan, grid[slab.begins : slab.stops])
        wanted = slice(slab.first, min(slab.end + 1, slices))
        found = part[:, wanted.start - slab.begins : wanted.stop - slab.begins]
        np.testing.assert_array_equal(found, whole[:, wanted])


def test_reach_is_no_more_than_needed() -> None:
    """A change just within reach can change a logit, one beyond it cannot."""
    ones = np.ones((1, 1, 3, 3, 3), np.int8)
    limits = np.array([-1], np.int32), np.array([1], np.int32)
    layers = (
        Layer("image", (), 1),
        Layer("first", (0,), 1, ones.astype(np.int16), np.array([-1], np.int32), np.array([1], np.int32)),
        Layer("max_pool", (1,), 1, factor=(2, 2, 2)),
        Layer("ternary", (2,), 1, ones, *limits),
        Layer("upsample", (3,), 1, factor=(2, 2, 2)),
        Layer("logits", (4,), 1, np.ones((1, 1, 1, 1, 1), np.int16), offset=np.zeros(1, np.int32)),
    )
    plan = Plan(layers, 1.0)
    assert reach(plan) == 3  # one at half resolution is two, and one more
    grid = np.zeros((16, 2, 2), np.uint8)
    for distance, changes in ((3, True), (4, False)):
        other = grid.copy()
        other[8 - distance] = 127
        assert (run(plan, grid)[:, 8:] != run(plan, other)[:, 8:]).any() == changes


def test_slabs_share_out_the_grid() -> None:
    plan = load_model("brain").plan
    slabs = cut(plan, 104, 20)
    assert [(slab.first, slab.end) for slab in slabs] == [(0, 24), (24, 48), (48, 72), (72, 96), (96, 104)]
    assert all(slab.begins % 8 == slab.stops % 8 == 0 for slab in slabs)
    assert cut(plan, 16, 1000) == [Slab(0, 16, 0, 16)]
