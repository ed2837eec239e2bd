"""Quantised layers, precisions, the U-Net, settings and costs."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; it is needed for training only")

from torch import nn  # noqa: E402

from LowResSegLib.errors import InputError  # noqa: E402
from LowResSegLib.networks import (  # noqa: E402
    NETWORKS,
    PRECISIONS,
    HeadSettings,
    NetworkSettings,
    beta_at,
    build_network,
    count_macs,
    count_parameters,
    reestimate_statistics,
    set_beta,
)
from LowResSegLib.networks.ternary import (  # noqa: E402
    BinaryConv2d,
    BinaryConv3d,
    IntegerConv2d,
    IntegerConv3d,
    TernaryActivation,
    TernaryConv2d,
    TernaryConv3d,
    TernaryTanh,
    binary_weights,
    integer_weights,
    ternary_tanh,
    ternary_weights,
)


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


def test_binary_weights_have_no_zero_and_one_magnitude_a_channel() -> None:
    signs, scale = binary_weights(torch.tensor([[1.0, -0.5, 0.0, -2.5], [0.0, 0.0, 0.0, 0.0]]))
    assert signs.tolist() == [[1, -1, 1, -1], [1, 1, 1, 1]]
    assert scale[:, 0].tolist() == [1.0, 0.0]


def test_a_higher_threshold_gives_more_zeros() -> None:
    weight = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    shares = [float((ternary_weights(weight, threshold)[0] == 0).float().mean()) for threshold in (0.0, 0.7, 1.4)]
    # For Gaussian weights, whose mean magnitude is 0.8 standard deviations.
    assert shares == pytest.approx([0.0, 0.42, 0.74], abs=0.05)


def test_the_ternary_tanh_has_three_plateaus_and_its_published_slopes() -> None:
    input = torch.tensor([-2.0, -0.5, 0.0, 0.5, 2.0], dtype=torch.float64, requires_grad=True)
    output = ternary_tanh(input, 3.0)
    assert output.tolist() == pytest.approx([-1, -0.5, 0, 0.5, 1], abs=1e-4)
    output.sum().backward()
    assert input.grad[2].item() == pytest.approx(6 / math.cosh(3) ** 2)  # 2 beta sech^2(beta)
    assert input.grad[3].item() == pytest.approx(3.0, abs=1e-3)  # about beta


def test_the_ternary_tanh_is_soft_in_training_and_hard_in_evaluation() -> None:
    layer = TernaryTanh()
    input = torch.linspace(-1.5, 1.5, 31, dtype=torch.float64)
    hard = TernaryActivation()(input)
    torch.testing.assert_close(layer.train()(input), ternary_tanh(input, 3.0))
    assert layer.eval()(input).equal(hard)
    set_beta(nn.Sequential(layer), math.inf)
    assert layer.train()(input).equal(hard)
    steep = ternary_tanh(input, 200.0)
    away = ((input.abs() - 0.5).abs() > 0.05).nonzero()
    torch.testing.assert_close(steep[away], hard[away])


def test_continuation_reaches_every_layer() -> None:
    """In the published code it does not: the loop writes one attribute and the layers read another."""
    settings = NetworkSettings(dimensions=2, widths=(4, 6), precision="ternary_soft", beta=2.0)
    network = build_network(settings, 2).train()
    input = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    before = network(input).logits
    layers = [part for part in network.modules() if isinstance(part, TernaryTanh)]
    assert len(layers) == 5 and {layer.beta for layer in layers} == {2.0}
    set_beta(network, beta_at(0.5))
    assert {layer.beta for layer in layers} == {5.5}
    assert not torch.allclose(network(input).logits, before)
    assert [beta_at(progress) for progress in (-1, 0, 1, 2)] == [3, 3, 8, 8]
    with pytest.raises(ValueError, match="above 0"):
        set_beta(network, 0.0)


def test_activation_is_hard_forward_and_passes_gradients_near_zero() -> None:
    input = torch.tensor([-1.5, -0.6, -0.5, 0.2, 0.5, 0.7, 3.0], requires_grad=True)
    output = TernaryActivation()(input)
    assert output.tolist() == [-1, -1, 0, 0, 0, 1, 1]
    output.sum().backward()
    assert input.grad.tolist() == [0, 1, 1, 1, 1, 1, 0]


QUANTISED = [TernaryConv2d, TernaryConv3d, BinaryConv2d, BinaryConv3d, IntegerConv2d, IntegerConv3d]


@pytest.mark.parametrize("kind", QUANTISED)
def test_convolution_is_quantised_forward_and_straight_through_backward(kind: type) -> None:
    layer = kind(2, 3)
    dimensions = layer.weight.ndim - 2
    convolve = torch.nn.functional.conv2d if dimensions == 2 else torch.nn.functional.conv3d
    input = torch.randint(-1, 2, (1, 2, *(4,) * dimensions)).float()
    integers, scale = layer.quantise(layer.weight.detach())
    assert integers.equal(integers.round()) and not (integers * scale).equal(layer.weight.detach())
    assert layer(input).equal(convolve(input, integers * scale, padding=1))
    layer(input).sum().backward()
    ones = torch.ones_like(layer.weight, requires_grad=True)
    convolve(input, ones, padding=1).sum().backward()
    torch.testing.assert_close(layer.weight.grad, ones.grad)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("dimensions", [2, 3])
def test_every_precision_learns(precision: str, dimensions: int) -> None:
    torch.manual_seed(0)
    network = build_network(NetworkSettings(dimensions=dimensions, widths=(8, 12), precision=precision), 2)
    image = torch.rand(2, 1, *(16,) * dimensions)
    truth = (torch.nn.functional.avg_pool2d(image.flatten(0, -3), 3, 1, 1).reshape_as(image) > 0.5)[:, 0].long()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for step in range(40):
        set_beta(network, beta_at(step / 30) if step < 30 else math.inf)
        loss = torch.nn.functional.cross_entropy(network(image).logits, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    reestimate_statistics(network, [image])
    with torch.no_grad():
        found = network.eval()(image).logits
    assert losses[-1] < 0.7 * losses[0]
    assert float((found.argmax(1) == truth).float().mean()) > 0.8


@pytest.mark.parametrize("precision", PRECISIONS)
def test_each_precision_has_the_values_that_it_names(precision: str) -> None:
    torch.manual_seed(0)
    network = build_network(NetworkSettings(dimensions=2, widths=(8, 12), precision=precision), 2)
    image = torch.rand(1, 1, 16, 16)
    reestimate_statistics(network, [image])
    found = network(image).features.unique()
    values = {"ternary": [-1, 0, 1], "ternary_soft": [-1, 0, 1], "binary": [-1, 1]}
    if precision in values:
        assert found.tolist() == values[precision]
    else:
        assert len(found) > 10 and found.min() >= 0


def test_statistics_are_those_of_the_hard_activations() -> None:
    torch.manual_seed(0)
    network = build_network(NetworkSettings(dimensions=2, widths=(4, 6), precision="ternary_soft"), 2)
    images = [torch.rand(2, 1, 16, 16) for _ in range(3)]
    network.train()
    for image in images:
        network(image)
    second, seen = network.trunk.encoder[0][1], []
    handle = second[0].register_forward_hook(lambda layer, inputs, output: seen.append((inputs[0], output)))
    reestimate_statistics(network, images)
    handle.remove()
    assert all(set(inputs.unique().tolist()) <= {-1, 0, 1} for inputs, _ in seen)
    expected = torch.stack([output.mean((0, 2, 3)) for _, output in seen]).mean(0)
    torch.testing.assert_close(second[1].running_mean, expected)
    assert not any(part.training for part in network.modules())
    assert second[1].momentum == 0.1


def test_a_network_takes_input_of_any_size() -> None:
    network = build_network(NetworkSettings(dimensions=3, widths=(4, 6, 8)), 3).eval()
    image = torch.rand(1, 1, 5, 8, 7)
    logits, features = network(image)
    assert logits.shape == (1, 3, 5, 8, 7) and features.shape == (1, 4, 5, 8, 7)
    padded = torch.nn.functional.pad(image, (0, 1, 0, 0, 0, 3))
    assert logits.equal(network.trunk(padded)[:, :, :5, :, :7])


def test_parameters_have_the_same_names_in_every_precision() -> None:
    shapes = [
        {
            name: value.shape
            for name, value in build_network(NetworkSettings(precision=precision), 3).state_dict().items()
        }
        for precision in PRECISIONS
    ]
    assert all(other == shapes[0] for other in shapes)


def test_settings_survive_plain_values() -> None:
    settings = NetworkSettings("elu_net", 2, widths=[8], precision="float")
    assert settings.widths == (8,)
    assert NetworkSettings(**settings.to_dict()) == settings
    head = HeadSettings("j", [2, 2], {"shared": True})
    assert HeadSettings(**head.to_dict()) == head
    assert head.factors(2) == (2, 2) and HeadSettings(factor=4).factors(3) == (4, 4, 4)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": "vnet"}, "There is no network 'vnet'; choose one of unet"),
        ({"dimensions": 4}, "2 or 3 dimensions, not 4"),
        ({"precision": "int8"}, "There is no precision 'int8'"),
        ({"inputs": 0}, "at least 1"),
        ({"widths": (8, 0)}, "at least 1"),
        ({"beta": 0.0}, "beta is above 0"),
        ({"weight_threshold": -1.0}, "share of the mean magnitude"),
        ({"name": "elu_net"}, "exists in float alone"),
        ({"name": "meshnet", "precision": "float", "widths": (5, 5)}, "grows from one width"),
        ({"name": "unext", "precision": "float"}, "set dimensions to 2"),
        ({"name": "unext", "precision": "float", "dimensions": 2, "widths": (8,)}, "five widths"),
        ({"name": "ternary_net"}, "network of slices"),
        ({"name": "ternary_net_deployable", "widths": (8, 16)}, "grows from one width"),
    ],
)
def test_wrong_settings_are_refused_with_a_sentence(values: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        build_network(NetworkSettings(**values), 2)


def test_a_network_without_classes_is_refused() -> None:
    with pytest.raises(InputError, match="at least one class"):
        build_network(NetworkSettings(), 0)


@pytest.mark.parametrize("name", NETWORKS)
def test_features_are_what_the_last_layer_reads(name: str) -> None:
    precision = "ternary" if name.startswith("ternary") else "float"
    settings = NetworkSettings(name, 2, 1, (4, 6, 8, 8, 8) if name == "unext" else (4,), precision)
    network = build_network(settings, 3).eval()
    logits, features = network(torch.rand(2, 1, 24, 20))
    assert features.shape == (2, network.channels, 24, 20)
    torch.testing.assert_close(network.trunk.last(features), logits)
    assert network.settings == settings and network.classes == 3


def test_costs_are_those_of_convolutions_by_hand() -> None:
    layers = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 6, 1, groups=3), nn.ConvTranspose2d(6, 2, 2, stride=2)
    ).train()
    assert count_parameters(layers) == (2 * 3 * 9 + 3) + (6 + 6) + (6 * 2 * 4 + 2)
    assert count_macs(layers, (2, 2, 4, 5)) == 2 * 20 * (2 * 3 * 9 + 6 + 6 * 2 * 4)
    assert layers.training and not layers[0]._forward_hooks
    assert count_macs(nn.Linear(7, 5), (3, 7)) == 105
