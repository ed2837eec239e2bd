"""The J head: parameters, levels and wiring as published."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; it is needed for training only")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from LowResSegLib.networks import Features, Head, HeadSettings, build_head, count_macs, count_parameters  # noqa: E402
from LowResSegLib.networks.heads.base import upsample_linear  # noqa: E402


def j_head(factor: int, classes: int = 1, dimensions: int = 2, **options: object) -> Head:
    torch.manual_seed(0)
    return build_head(HeadSettings("j", factor, options), classes, 8, dimensions)


@pytest.mark.parametrize(("factor", "parameters"), [(2, 15), (4, 30), (8, 87), (16, 112)])
def test_the_j_head_has_its_parameters(factor: int, parameters: int) -> None:
    assert count_parameters(j_head(factor, 1)) == parameters
    # Shared by classes it keeps them; as published they grow.
    assert count_parameters(j_head(factor, 18, shared=True)) == parameters


@pytest.mark.parametrize(("classes", "parameters"), [(1, 112), (2, 420), (3, 924), (4, 1624)])
def test_the_published_j_head_grows_with_classes(classes: int, parameters: int) -> None:
    assert count_parameters(j_head(16, classes)) == parameters


@pytest.mark.parametrize(("edge", "factor"), [(16, 16), (32, 8)])
def test_the_j_head_has_a_level_for_each_doubling(edge: int, factor: int) -> None:
    logits = torch.randn(2, 1, edge, edge)
    head = j_head(factor, 1)
    levels = head.train()(Features(logits, logits))
    assert [level.shape[-1] for level in levels] == [edge << step for step in range(factor.bit_length())]
    assert levels[0].equal(logits)
    last = head.eval()(Features(logits, logits))
    assert isinstance(last, Tensor) and last.equal(levels[-1])


def test_the_j_head_is_wired_as_published() -> None:
    head = j_head(16, 1)
    logits = torch.randn(1, 1, 5, 6)
    levels = head.train()(Features(logits, logits))

    def up(layer: nn.Module, value: Tensor) -> Tensor:
        return functional.conv_transpose2d(value, layer.weight, layer.bias, stride=2)

    def smooth(layer: nn.Module, value: Tensor) -> Tensor:
        return functional.conv2d(value, layer.weight, layer.bias, padding=1)

    second = smooth(head.first[1], up(head.first[0], logits))
    third = smooth(head.second[1], up(head.second[0], second))
    ways = []
    for skip in (head.skip4, head.skip8):
        value = logits
        for layer in list(skip)[:-1]:
            value = smooth(skip[-1], up(layer, value))
        ways.append(value)
    fourth = smooth(head.third[1], up(head.third[0], torch.cat([ways[0], third], 1)))
    fifth = smooth(head.third[1], up(head.third[0], torch.cat([ways[1], fourth], 1)))
    for found, expected in zip(levels, [logits, second, third, fourth, fifth]):
        torch.testing.assert_close(found, expected)


def test_the_j_head_is_affine() -> None:
    head = j_head(16, 1).double().eval()
    one, two = (torch.randn(1, 1, 4, 4, dtype=torch.float64) for _ in range(2))
    mixed = 0.3 * one + 0.7 * two
    parts = [head(Features(value, value)) for value in (one, two, mixed)]
    torch.testing.assert_close(parts[2], 0.3 * parts[0] + 0.7 * parts[1])


@pytest.mark.parametrize(("factor", "dimensions"), [(2, 2), (2, 3), (16, 2)])
def test_the_j_head_can_start_at_linear(factor: int, dimensions: int) -> None:
    logits = torch.randn(1, 2, *(8,) * dimensions)
    for options in ({"start": "linear"}, {"start": "linear", "shared": True}):
        found = j_head(factor, 2, dimensions, **options).eval()(Features(logits, logits))
        expected = logits
        for _ in range(factor.bit_length() - 1):
            expected = upsample_linear(expected, (2,) * dimensions)
        inside = (..., *(slice(3 * factor, 5 * factor) for _ in range(dimensions)))
        torch.testing.assert_close(found[inside], expected[inside], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("edge", "factor", "millions"), [(16, 16, 2.1), (32, 8, 1.9)])
def test_the_j_head_has_its_cost(edge: int, factor: int, millions: float) -> None:
    class Alone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = j_head(factor)

        def forward(self, logits: Tensor) -> Tensor:
            return self.head(Features(logits, logits))

    assert count_macs(Alone(), (1, 1, edge, edge)) / 1e6 == pytest.approx(millions, abs=0.06)
