"""Networks folded into plans: the plan is the trained network, and every engine computes it bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; it is needed for training only")

from LowResSegLib import engine  # noqa: E402
from LowResSegLib.networks import Network, NetworkSettings, build_network, set_beta  # noqa: E402
from LowResSegLib.networks.fold import FoldedNetwork, fold  # noqa: E402
from LowResSegLib.networks.ternary import INTENSITY_SCALE  # noqa: E402
from LowResSegLib.networks.unet import UNet  # noqa: E402

FOLDED = [
    NetworkSettings("unet", 3, 1, (4, 6)),
    NetworkSettings("unet", 3, 1, (5, 7, 8), "ternary_soft"),
    NetworkSettings("unet", 3, 1, (6, 8), weight_threshold=1.2),
    NetworkSettings("unet", 2, 1, (5, 7, 8)),
    NetworkSettings("unet", 2, 3, (6, 8), "ternary_soft"),
    NetworkSettings("ternary_net_deployable", 2, 5, (4,)),
    NetworkSettings("ternary_net_deployable", 2, 1, (4,), "ternary_soft"),
    NetworkSettings("ternary_net_deployable", 3, 1, (3,)),
]


def trained_like(settings: NetworkSettings, classes: int) -> Network:
    """A network whose batch norms are far from their initial state: negative, tiny and zero gains."""
    torch.manual_seed(1)
    network = build_network(settings, classes)
    set_beta(network, 8.0)
    with torch.no_grad():
        for _ in range(4):
            size = (16,) * settings.dimensions
            network.train()(torch.randint(0, 128, (2, settings.inputs, *size)) / INTENSITY_SCALE)
        for module in network.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.weight.copy_(torch.randn_like(module.weight))
                module.weight[0], module.weight[-1] = 0.0, 1e-6
                module.bias.copy_(0.7 * torch.randn_like(module.bias))
    return network.eval()


def as_trained(network: Network, grid: np.ndarray) -> np.ndarray:
    """Logits (classes, z, y, x) of a grid by the network as it was trained, in double precision.

    In single precision a sum beside a threshold may fall on its wrong side.
    """
    image = torch.from_numpy(grid).double() / INTENSITY_SCALE
    with torch.no_grad():
        if network.settings.dimensions == 3:
            return network.double()(image[None, None]).logits[0].numpy()
        inputs = network.settings.inputs
        around = torch.nn.functional.pad(image, (0, 0, 0, 0, inputs // 2, inputs // 2))
        stacks = around.unfold(0, inputs, 1).movedim(-1, 1)  # (z, neighbouring slices, y, x)
        return network.double()(stacks).logits.movedim(0, 1).numpy()


@pytest.mark.parametrize("settings", FOLDED, ids=lambda settings: f"{settings.name}-{settings.dimensions}d")
def test_the_folded_network_is_the_trained_one(settings: NetworkSettings) -> None:
    network = trained_like(settings, classes=5)
    plan = fold(network)
    shape = (16, 8, 24) if settings.dimensions == 3 else (5, 16, 24)
    grid = np.random.default_rng(0).integers(0, 128, shape).astype(np.uint8)
    found = FoldedNetwork(plan)(torch.from_numpy(grid)[None, None])[0].numpy()
    rounding = 0.5 * (network.channels + 1)  # half a unit for each term of a logit
    np.testing.assert_allclose(found, as_trained(network, grid) / plan.logit_unit, atol=rounding)
    assert len(np.unique(found.argmax(0))) > 1


@pytest.mark.parametrize("backend", engine.available_backends())
@pytest.mark.parametrize(
    ("settings", "classes", "shape"),
    [
        (NetworkSettings("unet", 3, 1, (16, 24, 8)), 18, (12, 8, 20)),
        (NetworkSettings("unet", 2, 1, (16, 24)), 3, (5, 12, 20)),
        (NetworkSettings("ternary_net_deployable", 2, 5, (8,)), 2, (6, 16, 24)),
        (NetworkSettings("ternary_net_deployable", 3, 1, (6,)), 2, (8, 16, 8)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_every_engine_gives_the_folded_networks_logits(
    backend: str, settings: NetworkSettings, classes: int, shape: tuple[int, int, int]
) -> None:
    plan = fold(trained_like(settings, classes))
    grid = np.random.default_rng(0).integers(0, 128, shape).astype(np.uint8)
    expected = FoldedNetwork(plan)(torch.from_numpy(grid)[None, None])[0].numpy()
    np.testing.assert_array_equal(engine.run(plan, grid, backend), expected)


def test_slices_of_a_folded_network_do_not_see_each_other() -> None:
    plan = fold(trained_like(NetworkSettings("unet", 2, 1, (6, 8)), 3))
    grid = np.random.default_rng(0).integers(0, 128, (4, 8, 8)).astype(np.uint8)
    whole = engine.run(plan, grid, "numpy")
    np.testing.assert_array_equal(engine.run(plan, grid[2:3], "numpy"), whole[:, 2:3])


def test_the_bundled_shape_stays_within_its_budget() -> None:
    plan = fold(UNet(18).eval())
    assert plan.operations_per_voxel() <= 55_000
    assert plan.size_divisor == UNet(18).size_divisor == 8


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (NetworkSettings(precision="float"), "Only a ternary network"),
        (NetworkSettings(precision="binary"), "precision of this one is binary"),
        (NetworkSettings(precision="ternary_weights"), "Only a ternary network"),
        (NetworkSettings(dimensions=2, inputs=15), "3 or 5 slices"),
        (NetworkSettings(dimensions=3, inputs=3), "one image"),
        (NetworkSettings("ternary_net", 2, 1, (4,)), "no way that a plan can hold"),
    ],
    ids=lambda value: getattr(value, "precision", None),
)
def test_what_no_plan_holds_is_refused_with_a_sentence(settings: NetworkSettings, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        fold(build_network(settings, 2).eval())
