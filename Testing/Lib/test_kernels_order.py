"""Values by rank are those of sorting, and what does not fit is refused."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from LowResSegLib import kernels, sampling
from LowResSegLib.errors import BackendError
from LowResSegLib.kernels.order import ranked
from LowResSegLib.sampling import Normalisation

pytestmark = pytest.mark.skipif(not kernels.available(), reason=f"no native kernels: {kernels.why_not()}")

BAD_ARGUMENT = 4


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000, 32768, 65537, 300_001])
@pytest.mark.parametrize("kind", ["normal", "few", "one", "small", "infinite"])
def test_ranked_values_are_those_of_sorting(size: int, kind: str) -> None:
    rng = np.random.default_rng(size)
    values = {
        "normal": rng.normal(size=size),
        "few": rng.choice([-2.5, 1.0, 3.0], size),
        "one": np.full(size, -7.25),
        "small": rng.integers(-3, 4, size) * 1e-45,
        "infinite": rng.choice([-np.inf, -1e30, 0.0, 2.0, np.inf], size),
    }[kind].astype(np.float32)
    ranks = [0, size - 1, *rng.integers(0, size, 6).tolist()]
    np.testing.assert_array_equal(ranked(values, ranks, 1 + size % 4), np.sort(values)[ranks])


def test_ranked_values_are_the_same_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(6).normal(size=(20, 30, 40)).astype(np.float32)
    for image in (values, values.transpose(2, 0, 1), np.maximum(values, 0)):
        ranks = [sampling._rank(percent, image.size) for percent in (0.5, 90, 99.5)]
        found, level = ranked(image, ranks), Normalisation().apply(image)
        with monkeypatch.context() as patch:
            patch.setattr(kernels, "available", lambda: False)
            np.testing.assert_array_equal(found, ranked(image, ranks))
            np.testing.assert_array_equal(level, Normalisation().apply(image))


def test_garbage_of_order_statistics_is_refused() -> None:
    values, found = np.arange(9, dtype=np.float32), np.zeros(9, np.float32)
    ranks = np.arange(9, dtype=np.int64)
    start = kernels.library().lrs_order_start
    job = ctypes.c_void_p()
    good = [values.ctypes.data, 36, ranks.ctypes.data, found.ctypes.data, 8, 1]
    spoiled = [(0, None), (0, good[0] + 1), (1, 0), (1, 35), (1, 28), (2, None), (3, None)]
    spoiled += [(4, 0), (4, -1), (4, 9), (5, 0), (5, -5)]
    for place, wrong in spoiled:
        arguments = [*good[:place], wrong, *good[place + 1 :]]
        assert start(*arguments, ctypes.byref(job)) == BAD_ARGUMENT and not job
    for rank in (-1, 9, 1 << 62):
        ranks[3] = rank
        assert start(*good, ctypes.byref(job)) == BAD_ARGUMENT
    with pytest.raises(BackendError, match="sizes or numbers that do not fit"):
        ranked(np.zeros(0, np.float32), [0])
