"""Ternary layers, the U-Net, and its folding into a plan."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; it is needed for training only")

from LowResSegLib import engine  # noqa: E402
from LowResSegLib.networks.fold import FoldedNetwork, fold  # noqa: E402
from LowResSegLib.networks.ternary import (  # noqa: E402
    INTENSITY_SCALE,
    TernaryActivation,
    TernaryConv3d,
    integer_weights,
    ternary_weights,
)
from LowResSegLib.networks.unet import UNet  # noqa: E402


def test_ternary_weights_follow_the_paper() -> None:
    weight = torch.tensor([[1.0, -0.1, 0.8, -2.1], [0.0, 0.0, 0.0, 0.0]])
    signs, scale = ternary_weights(weight)
    # Mean magnitude 1.0, threshold 0.7: three are kept, their mean magnitude is 1.3.
    assert signs.tolist() == [[1, 0, 1, -1], [0, 0, 0, 0]]
    assert scale[:, 0].tolist() == pytest.approx([1.3, 0.0])


def test_integer_weights_use_the_whole_range() -> None:
    levels, scale = integer_weights(torch.tensor([[0.5, -1.0, 0.02]]))
    assert levels.tolist() == [[32, -63, 1]] or levels.tolist() == [[31, -63, 1]]
    assert float(scale) == pytest.approx(1 / 63)


def test_activation_is_hard_forward_and_passes_gradients_near_zero() -> None:
    input = torch.tensor([-1.5, -0.6, -0.5, 0.2, 0.5, 0.7, 3.0], requires_grad=True)
    output = TernaryActivation()(input)
    assert output.tolist() == [-1, -1, 0, 0, 0, 1, 1]
    output.sum().backward()
    assert input.grad.tolist() == [0, 1, 1, 1, 1, 1, 0]


def test_convolution_is_ternary_forward_and_straight_through_backward() -> None:
    layer = TernaryConv3d(2, 3)
    input = torch.randint(-1, 2, (1, 2, 4, 4, 4)).float()
    signs, scale = ternary_weights(layer.weight)
    expected = torch.nn.functional.conv3d(input, signs * scale, padding=1)
    torch.testing.assert_close(layer(input), expected)
    layer(input).sum().backward()
    ones = torch.ones_like(layer.weight, requires_grad=True)
    torch.nn.functional.conv3d(input, ones, padding=1).sum().backward()
    torch.testing.assert_close(layer.weight.grad, ones.grad)


def trained_like(widths: tuple[int, ...], classes: int) -> UNet:
    """A ternary network whose batch norms are far from their initial state: negative, tiny and zero gains."""
    torch.manual_seed(1)
    network = UNet(classes, widths)
    with torch.no_grad():
        for _ in range(4):
            network.train()(torch.randint(0, 128, (2, 1, 16, 16, 16)) / INTENSITY_SCALE)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm3d):
                module.weight.copy_(torch.randn_like(module.weight))
                module.weight[0], module.weight[-1] = 0.0, 1e-6
                module.bias.copy_(0.7 * torch.randn_like(module.bias))
    return network.eval()


@pytest.mark.parametrize("widths", [(4, 6), (5, 7, 8)])
def test_the_folded_network_is_the_trained_one(widths: tuple[int, ...]) -> None:
    network = trained_like(widths, classes=5)
    plan = fold(network)
    grid = torch.randint(0, 128, (1, 1, 16, 8, 24), dtype=torch.uint8)
    with torch.no_grad():
        # In double precision no sum falls on the wrong side of a threshold by rounding.
        expected = network.double()(grid.double() / INTENSITY_SCALE)[0].numpy()
    found = FoldedNetwork(plan)(grid)[0].numpy()
    rounding = 0.5 * (widths[0] + 1)  # half a unit for each term of a logit
    np.testing.assert_allclose(found, expected / plan.logit_unit, atol=rounding)
    assert len(np.unique(found.argmax(0))) > 1


@pytest.mark.parametrize("backend", engine.available_backends())
def test_every_engine_gives_the_folded_networks_logits(backend: str) -> None:
    plan = fold(trained_like((16, 24, 8), classes=18))
    grid = np.random.default_rng(0).integers(0, 128, (12, 8, 20)).astype(np.uint8)
    expected = FoldedNetwork(plan)(torch.from_numpy(grid)[None, None])[0].numpy()
    np.testing.assert_array_equal(engine.run(plan, grid, backend), expected)


def test_the_bundled_shape_stays_within_its_budget() -> None:
    plan = fold(UNet(18).eval())
    assert plan.operations_per_voxel() <= 55_000
    assert plan.size_divisor == UNet(18).size_divisor == 8


def test_a_float_network_is_not_folded() -> None:
    with pytest.raises(ValueError, match="ternary"):
        fold(UNet(3, (4, 4), ternary=False))
