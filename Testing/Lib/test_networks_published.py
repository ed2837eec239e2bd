"""Networks of the literature have the parameters, sizes and costs that their papers or code state."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; it is needed for training only")

from torch import nn  # noqa: E402

from LowResSegLib.networks import Network, NetworkSettings, build_network, count_macs, count_parameters  # noqa: E402
from LowResSegLib.networks.ternary import TernaryConv2d, TernaryTanh  # noqa: E402
from LowResSegLib.networks.unext import _shifted  # noqa: E402


def elu_net(width: int, dimensions: int = 2) -> Network:
    return build_network(NetworkSettings("elu_net", dimensions, 1, (width,), "float"), 1)


@pytest.mark.parametrize(("width", "parameters"), [(16, 3_194_081), (8, 800_113)])
def test_elu_net_has_its_parameters(width: int, parameters: int) -> None:
    assert count_parameters(elu_net(width)) == parameters


@pytest.mark.parametrize(("edge", "millions"), [(16, 44.8), (32, 179), (256, 11_500)])
def test_elu_net_has_its_cost(edge: int, millions: float) -> None:
    assert count_macs(elu_net(16), (1, 1, edge, edge)) / 1e6 == pytest.approx(millions, rel=5e-3)


def test_elu_net_shares_weights_between_its_ways_up() -> None:
    network = elu_net(2).trunk.eval()
    calls: dict[int, int] = {}
    for up in (*network.up4, *network.up3, *network.up2, *network.up1):
        up.register_forward_hook(lambda layer, inputs, output: calls.update({id(layer): calls.get(id(layer), 0) + 1}))
    network(torch.rand(1, 1, 32, 32))
    # Twice: from the level below and from the encoder's next level.
    assert [calls[id(up)] for up in network.up4] == [1, 1]
    assert [calls[id(up)] for up in network.up3] == [2, 1]
    assert [calls[id(up)] for up in network.up2] == [2, 1, 1]
    assert [calls[id(up)] for up in network.up1] == [2, 1, 1, 1]


def test_elu_net_has_a_form_for_volumes() -> None:
    assert elu_net(2, 3)(torch.rand(1, 1, 9, 16, 20)).logits.shape == (1, 1, 9, 16, 20)


@pytest.mark.parametrize(("width", "parameters"), [(5, 5_682), (16, 56_194), (26, 147_474)])
def test_mesh_net_has_its_parameters(width: int, parameters: int) -> None:
    assert count_parameters(build_network(NetworkSettings("meshnet", 3, 1, (width,), "float"), 2)) == parameters


def test_mesh_net_sees_as_far_as_its_dilations_reach() -> None:
    network = build_network(NetworkSettings("meshnet", 2, 1, (3,), "float"), 1).eval()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.ones_(layer.weight)  # so that nothing is lost in a ReLU
    image = torch.ones(1, 1, 151, 151, requires_grad=True)
    network(image).logits[0, 0, 75, 75].backward()
    seen = image.grad[0, 0].nonzero()
    reach = 1 + 2 + 4 + 8 + 16 + 16 + 8 + 4 + 2
    assert seen.min() == 75 - reach and seen.max() == 75 + reach


def test_unext_has_the_parameters_and_the_cost_of_its_paper() -> None:
    network = build_network(NetworkSettings("unext", 2, 3, precision="float"), 1)
    assert count_parameters(network) / 1e6 == pytest.approx(1.47, abs=0.005)
    # The paper says 0.57 GFLOPs for 256 x 256, by a counter that takes norms too.
    assert count_macs(network, (1, 3, 256, 256)) / 1e9 == pytest.approx(0.57, abs=0.01)


def test_unext_shifts_channels_by_two_either_way() -> None:
    value = torch.arange(1.0, 6).expand(1, 5, 5).mT.reshape(1, 1, 5, 5).expand(1, 5, 5, 5)  # rows 1 to 5
    rows = _shifted(value, 2)[0, :, :, 0].tolist()
    assert rows == [[3, 4, 5, 0, 0], [2, 3, 4, 5, 0], [1, 2, 3, 4, 5], [0, 1, 2, 3, 4], [0, 0, 1, 2, 3]]
    assert _shifted(value.mT, 3).equal(_shifted(value, 2).mT)


def ternary_net(**changes: object) -> Network:
    values = {"dimensions": 2, "inputs": 15, "widths": (32,), "precision": "ternary_soft", **changes}
    return build_network(NetworkSettings("ternary_net", **values), 2)


def test_ternary_net_has_its_parameters_and_cost() -> None:
    network = ternary_net()
    assert count_parameters(network) == 2_664_482
    assert count_macs(network, (1, 15, 176, 110)) / 1e9 == pytest.approx(9.75, abs=0.005)


# Weights, height and width of the output, million multiply-accumulates: c1a to c8.
TABLE = [
    (4_320, 234, 170, 172),
    (18_432, 232, 168, 718),
    (36_864, 114, 82, 345),
    (73_728, 112, 80, 661),
    (147_456, 54, 38, 303),
    (294_912, 52, 36, 552),
    (65_536, 26, 18, 31),
    (65_536, 26, 18, 31),
    (1_179_648, 50, 34, 2005),
    (294_912, 48, 32, 453),
    (294_912, 94, 62, 1719),
    (73_728, 92, 60, 407),
    (73_728, 182, 118, 1583),
    (36_864, 180, 116, 770),
]


def test_ternary_net_has_the_layers_of_its_table() -> None:
    network, found = ternary_net().eval(), []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer is not network.trunk.last:
            layer.register_forward_hook(lambda layer, inputs, output: found.append((layer.weight, output.shape[2:])))
    logits = network(torch.rand(1, 15, 176, 110)).logits
    assert logits.shape == (1, 2, 176, 110)
    rows = [(weight.numel(), *size, round(weight.numel() * size.numel() / 1e6)) for weight, size in found]
    assert rows == TABLE


def test_ternary_net_is_float_where_it_was_published_so() -> None:
    network = ternary_net(widths=(4,)).trunk
    layers = [part for part in network.modules() if isinstance(part, nn.Conv2d)]
    plain = [part for part in layers if not isinstance(part, TernaryConv2d)]
    assert plain == [network.encoder[0][0][0], network.last]
    assert isinstance(network.decoder[2][1][2], nn.ReLU)
    assert sum(isinstance(part, TernaryTanh) for part in network.modules()) == 13


@pytest.mark.parametrize("remainder", range(8))
def test_ternary_net_puts_logits_where_the_slice_is(remainder: int) -> None:
    """A logit depends on the image around its own place, whatever the padding that the size asks for."""
    network = ternary_net(inputs=1, widths=(1,), precision="float").double().eval()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.ones_(layer.weight)
    image = torch.ones(1, 1, 120 + remainder, 121, dtype=torch.float64, requires_grad=True)
    # Eight logits, one of each phase of the pooling.
    network(image).logits[0, 0, 56:64, 60].sum().backward()
    weight = image.grad[0, 0].sum(1)
    centre = (weight * torch.arange(len(weight))).sum() / weight.sum()
    assert float(centre) == pytest.approx(59.5, abs=0.05)


def test_ternary_nets_forms_have_the_same_layers() -> None:
    published, deployable = (
        ternary_net(inputs=5),
        build_network(NetworkSettings("ternary_net_deployable", 2, 5, (32,)), 2),
    )
    assert count_parameters(published) == count_parameters(deployable)
