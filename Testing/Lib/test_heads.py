"""Heads: where they start, that they learn, what they cost, and the J head as published."""

from __future__ import annotations

import math
from typing import Union

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; it is needed for training only")

from torch import Tensor  # noqa: E402
from torch.nn import functional  # noqa: E402

from LowResSegLib.errors import InputError  # noqa: E402
from LowResSegLib.networks import HEADS, Features, Head, HeadSettings, build_head, count_parameters  # noqa: E402
from LowResSegLib.networks.heads.base import leads, upsample_linear  # noqa: E402
from LowResSegLib.networks.heads.blocks import _cosines, _to_places  # noqa: E402
from LowResSegLib.networks.heads.fusion import FusionHead  # noqa: E402
from LowResSegLib.networks.heads.likelihood import LikelihoodHead, intensity_levels, look_up  # noqa: E402

# Heads with options that change what they do, by a name of this file's own.
VARIANTS = {
    "likelihood-gaussian": ("likelihood", {"model": "gaussian"}),
    "likelihood-near": ("likelihood", {"near": 1}),
    "fusion-guided": ("fusion", {"guided": True}),
    "residual-blind": ("residual", {"image": False}),
}
LEARNT = [name for name in (*HEADS, *VARIANTS) if name not in ("nearest", "linear")]
OURS = [name for name in LEARNT if name != "j"]
CHANNELS = 8


def scene(
    dimensions: int, factor: Union[int, tuple[int, ...]], classes: int = 3, edge: int = 8, batch: int = 2
) -> tuple[Features, Tensor, Tensor]:
    """Blobs whose classes differ in intensity: features, image and labels, with blurred logits at low resolution."""
    generator = torch.Generator().manual_seed(0)
    factors = (factor,) * dimensions if isinstance(factor, int) else factor
    pool = functional.avg_pool2d if dimensions == 2 else functional.avg_pool3d
    rough = torch.randn(batch, classes, *(edge // 2,) * dimensions, generator=generator)
    labels = upsample_linear(rough, [2 * part for part in factors]).argmax(1)
    image = (0.4 + 0.5 * labels[:, None] + 0.05 * torch.randn(labels[:, None].shape, generator=generator)).clamp(
        0, 1.98
    )
    shares = functional.one_hot(labels, classes).movedim(-1, 1).float()
    coarse = pool(shares, factors)
    noise = 0.1 * torch.randn(batch, CHANNELS - classes, *coarse.shape[2:], generator=generator)
    return Features(4 * coarse - 2, torch.cat([coarse, noise], 1)), image, labels


def head_of(name: str, factor: object, classes: int = 3, dimensions: int = 2, **options: object) -> Head:
    torch.manual_seed(0)
    name, fixed = VARIANTS.get(name, (name, {}))
    return build_head(HeadSettings(name, factor, {**fixed, **options}), classes, CHANNELS, dimensions)


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("name", OURS)
def test_our_heads_start_at_linear(name: str, dimensions: int, factor: int) -> None:
    features, image, _ = scene(dimensions, factor, edge=4, batch=1)
    expected = head_of("linear", factor, dimensions=dimensions)(features)
    found = head_of(name, factor, dimensions=dimensions)(features, image)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", [name for name in HEADS if name != "j"])
def test_a_factor_may_differ_by_axis(name: str) -> None:
    features, image, _ = scene(3, (1, 2, 4), edge=4)
    head = head_of(name, (1, 2, 4), dimensions=3)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    found = head(features, image)
    assert found.shape == (2, 3, 4, 8, 16)
    # Along an axis of factor 1 nothing is interpolated, so that slices can be exchanged.
    alone = head_of("linear", (1, 2, 4), dimensions=3)(features)
    assert alone.flip(2).equal(
        head_of("linear", (1, 2, 4), dimensions=3)(Features(*(part.flip(2) for part in features)))
    )


@pytest.mark.parametrize("classes", [2, 3, 18, 60])
@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("name", OURS)
def test_our_heads_have_fewer_than_200_parameters(name: str, dimensions: int, classes: int) -> None:
    for factor in (2, 4, 8):
        for channels in (8, 16, 64):
            kind, options = VARIANTS.get(name, (name, {}))
            head = build_head(HeadSettings(kind, factor, options), classes, channels, dimensions)
            assert 0 < count_parameters(head) < 200
            if factor == 2 and channels == 8:
                features = Features(*(torch.rand(1, count, *(4,) * dimensions) for count in (classes, channels)))
                found = head(features, torch.rand(1, 1, *(8,) * dimensions))
                assert found.shape == (1, classes, *(8,) * dimensions)


@pytest.mark.parametrize("classes", [1, 2, 3])
@pytest.mark.parametrize("name", LEARNT)
def test_every_number_of_a_head_has_a_gradient_that_is_right(name: str, classes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    head = head_of(name, 2, classes).double().train()
    with torch.no_grad():
        for parameter in head.parameters():  # away from the zeros of the start
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    low = Features(*(torch.randn(1, count, 4, 4, generator=generator).double() for count in (classes, CHANNELS)))
    image = 2 * torch.rand(1, 1, 8, 8, generator=generator).double()
    target = torch.randn(1, classes, 8, 8, generator=generator).double()

    def loss() -> Tensor:
        found = head(low, image)
        return ((found[-1] if isinstance(found, list) else found) * target).mean()

    loss().backward()
    for key, parameter in head.named_parameters():
        flat, step = parameter.data.view(-1), 1e-6
        for place in {0, len(flat) - 1}:
            before = float(flat[place])
            values = []
            for sign in (1, -1):
                flat[place] = before + sign * step
                with torch.no_grad():
                    values.append(float(loss()))
            flat[place] = before
            slope = (values[0] - values[1]) / (2 * step)
            assert float(parameter.grad.view(-1)[place]) == pytest.approx(slope, rel=1e-4, abs=1e-8), key


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("name", LEARNT)
def test_heads_learn_what_linear_cannot_say(name: str, dimensions: int) -> None:
    features, image, labels = scene(dimensions, 4 if dimensions == 2 else 2)
    head = head_of(name, 4 if dimensions == 2 else 2, dimensions=dimensions).train()
    optimizer = torch.optim.Adam(head.parameters(), 0.03)
    for _ in range(60):
        found = head(features, image)
        levels = found if isinstance(found, list) else [found]
        loss = functional.cross_entropy(levels[-1], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    linear = functional.cross_entropy(head_of("linear", head.factors[0], dimensions=dimensions)(features), labels)
    assert float(loss.detach()) < (0.9 if head.needs_image else 0.99) * float(linear)


@pytest.mark.parametrize("name", ["likelihood", "fusion", "likelihood_residual"])
def test_heads_of_likelihood_know_no_contrast(name: str) -> None:
    """Any exchange of intensities, an inverted scan for one, gives the same logits, but for the air's."""
    features, image, _ = scene(2, 4)
    head = head_of(name, 4)
    with torch.no_grad():
        for key, parameter in head.named_parameters():
            parameter.add_(-30.0 if key == "log_air" else 0.2 * torch.randn_like(parameter))
    inverted = 127 / 64 - intensity_levels(image) / 64
    found, other = head(features, intensity_levels(image) / 64), head(features, inverted)
    # But where an average over a low-resolution voxel is half-way between two levels, and is rounded the other way.
    assert float(((found - other).abs() > 0.05).float().mean()) < 0.02
    assert (found - head_of("linear", 4)(features)).abs().max() > 0.5


@pytest.mark.parametrize("model", ["histogram", "gaussian"])
def test_likelihood_finds_the_classes_intensities(model: str) -> None:
    features, image, labels = scene(2, 4)
    head = head_of("likelihood", 4, model=model)
    assert isinstance(head, LikelihoodHead)
    levels = intensity_levels(image)
    table = head.table(features.logits, levels)
    assert table.shape == (2, 3, 128) and table.abs().max() <= 5
    for value in range(3):
        typical = int(levels[0, 0][labels[0] == value].float().mean())
        assert table[0, :, typical].argmax() == value
    expected = table[1, 2, levels[1, 0, 5, 7]]
    assert look_up(table, levels)[1, 2, 5, 7] == expected


@pytest.mark.parametrize("dimensions", [2, 3])
def test_what_is_far_from_boundaries_is_not_counted_where_near_is_asked_for(dimensions: int) -> None:
    """A class's intensity far away does not matter: a change of it there changes no table."""
    side = torch.arange(12).reshape(-1, *(1,) * (dimensions - 1)).expand(*(12,) * dimensions)
    right = (side >= 6).float()[None, None]
    logits = torch.cat([20 - 40 * right, 40 * right - 20], 1)
    image = upsample_linear(0.5 + right, (2,) * dimensions)
    changed = image.clone()
    changed[:, :, :6] = 1.2  # the first three low-resolution planes; the boundary lies between the sixth and seventh
    tables = {}
    for near in (0, 2):
        head = head_of("likelihood", 2, 2, dimensions, near=near)
        assert isinstance(head, LikelihoodHead)
        tables[near] = [head.table(logits, intensity_levels(part)) for part in (image, changed)]
    torch.testing.assert_close(tables[2][0], tables[2][1])
    assert (tables[0][0] - tables[0][1]).abs().max() > 1


@pytest.mark.parametrize("share", [0.25, 3.0])
def test_air_is_background_around_the_scan(share: float) -> None:
    """As if there were so many dark voxels more, all background."""
    levels = 60 + torch.arange(1600).reshape(1, 1, 40, 40) % 50
    logits = torch.randn(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    around = torch.full((1, 1, int(40 * share), 40), 0)
    far = torch.tensor([40.0, -40.0, -40.0]).reshape(1, 3, 1, 1).expand(1, 3, int(40 * share), 40)
    head = head_of("likelihood", 1)
    assert isinstance(head, LikelihoodHead)
    with torch.no_grad():
        head.log_air.fill_(-30.0)
        expected = head.table(torch.cat([logits, far], 2), torch.cat([levels, around], 2))[..., 60:]
        without = head.table(logits, levels)[..., 60:]
        head.log_air.fill_(math.log(share))
        found = head.table(logits, levels)[..., 60:]
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)
    assert (found - without)[0, 1:].mean() > 0.1  # what is not background gains


def test_counts_are_not_in_half_precision_which_ends_at_65504() -> None:
    logits = torch.tensor([2.0, -2.0, 0.0]).reshape(1, 3, 1, 1).repeat(1, 1, 80, 80)
    logits[:, :, :8] = logits[:, [1, 0, 2], :8]
    image = torch.ones(1, 1, 640, 640)
    image[:, :, :64] = 1.5
    head = head_of("likelihood", 8)
    with torch.no_grad():
        head.weight.fill_(1.0)
        expected = head(Features(logits, logits), image)
        with torch.autocast("cpu", torch.float16):
            found = head(Features(logits.half(), logits.half()), image)
    torch.testing.assert_close(found.float(), expected, atol=0.02, rtol=0.01)


def test_a_class_that_is_absent_says_nothing() -> None:
    features, image, _ = scene(2, 4)
    logits = torch.cat([features.logits, torch.full_like(features.logits[:, :1], -30.0)], 1)
    head = head_of("likelihood", 4, 4)
    assert isinstance(head, LikelihoodHead)
    assert head.table(logits, intensity_levels(image))[:, 3].abs().max() < 1e-3


def test_the_fusion_head_can_be_a_table() -> None:
    features, image, _ = scene(2, 4)
    head = head_of("fusion", 4)
    assert isinstance(head, FusionHead)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    table = head.correction_table(201, 101)
    logits = head.linear(features.logits)
    here, known = head.evidence(features.logits, image)
    places = [((leads(logits) + 10) * 10, 201), ((here + 5) * 10, 101), ((known + 5) * 10, 101)]
    found = logits + table[tuple(place.round().long().clamp(0, size - 1) for place, size in places)]
    expected = head(features, image)
    # Steps of 0.1, of a function whose slopes are about 1.
    torch.testing.assert_close(found, expected, atol=0.15, rtol=0)
    assert (expected - logits).std() > 0.2
    with pytest.raises(InputError, match="no table"):
        head_of("fusion-guided", 4).correction_table()


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_guided_head_finds_that_logits_are_a_line_in_intensity(dimensions: int) -> None:
    _, image, _ = scene(dimensions, 4)
    head = head_of("guided", 4, dimensions=dimensions)
    with torch.no_grad():
        head.strength.fill_(1.0)
        head.log_eps.fill_(-25.0)
    image = image.double()
    coarse = head.coarse(image)
    logits = torch.cat([3 * coarse + 1, -0.5 * coarse, torch.ones_like(coarse)], 1)
    found = head.double()(Features(logits, logits), image)
    expected = torch.cat([3 * image + 1, -0.5 * image, torch.ones_like(image)], 1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_constant_image_changes_nothing() -> None:
    features, image, _ = scene(2, 4)
    for name in ("likelihood", "guided", "bilateral"):
        head = head_of(name, 4)
        with torch.no_grad():
            for key, parameter in head.named_parameters():
                parameter.add_({"weight": 0.5, "strength": 0.5, "sharpness": 0.5, "log_air": -30.0}.get(key, 0.0))
        found = head(features, torch.ones_like(image))
        torch.testing.assert_close(found, head_of("linear", 4)(features), atol=1e-4, rtol=1e-4)


def test_nearest_repeats_and_linear_interpolates_between_centres() -> None:
    logits = torch.tensor([[[[0.0, 4.0, 8.0]]]])
    features = Features(logits, logits)
    nearest = build_head(HeadSettings("nearest", (1, 2)), 1, 1, 2)(features)
    assert nearest.flatten().tolist() == [0, 0, 4, 4, 8, 8]
    linear = build_head(HeadSettings("linear", (1, 2)), 1, 1, 2)(features)
    assert linear.flatten().tolist() == [0, 1, 3, 5, 7, 8]


def test_the_scan_is_averaged_where_logits_lie() -> None:
    """The mean of an image that rises linearly, upsampled, is the image itself, but at the border."""
    ramp = torch.arange(24.0).expand(1, 1, 24, 24)
    head = head_of("guided", 4)
    torch.testing.assert_close(head.linear(head.coarse(ramp))[..., 2:-2], ramp[..., 2:-2])


@pytest.mark.parametrize("name", HEADS)
def test_a_head_covers_sizes_that_are_no_multiple(name: str) -> None:
    features, image, _ = scene(2, 4)
    head = head_of(name, 4).eval()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    found = head(features, image[:, :, :30, :29])
    assert found.shape == (2, 3, 30, 29)
    assert head(features, image, size=(32, 32)).shape == (2, 3, 32, 32)
    if not head.needs_image:
        assert found.equal(head(features)[:, :, :30, :29])


def test_wrong_calls_are_refused_with_a_sentence() -> None:
    features, image, _ = scene(2, 4)
    with pytest.raises(InputError, match="needs the image"):
        head_of("guided", 4)(features)
    with pytest.raises(InputError, match=r"cover \[32, 32\] voxels"):
        head_of("linear", 4)(features, size=(33, 32))
    with pytest.raises(InputError, match="The image has"):
        head_of("guided", 4)(features, image, size=(30, 30))
    for settings, said in [
        (HeadSettings("cubic"), "There is no head 'cubic'; choose one of nearest"),
        (HeadSettings("linear", 2, {"sharp": 1}), "no option sharp; it has none"),
        (HeadSettings("j", 3), "2, 4, 8 or 16"),
        (HeadSettings("j", (2, 4)), "one factor for all axes"),
        (HeadSettings("j", 2, {"start": "zero"}), "published or linear"),
        (HeadSettings("likelihood", 2, {"model": "beta"}), "histogram or gaussian"),
        (HeadSettings("blocks", 1), "needs a factor above 1"),
        (HeadSettings("likelihood", 2, {"near": 0.5}), "0 to 8, not 0.5"),
        (HeadSettings("linear", (2, 2, 2)), "3 factors for 2 axes"),
    ]:
        with pytest.raises(InputError, match=said):
            build_head(settings, 2, 8, 2)
    with pytest.raises(InputError, match="at most 98 features"):
        build_head(HeadSettings("blocks", 2), 2, 99, 2)
    with pytest.raises(InputError, match="from 1 to 64"):
        HeadSettings("linear", 0)


def test_leads_are_log_odds_of_two_classes_and_above_the_best_other_one_of_more() -> None:
    two = torch.tensor([[0.3, -1.2]])[..., None]
    probability = functional.softmax(two, 1)
    torch.testing.assert_close(leads(two), torch.log(probability / (1 - probability)))
    assert leads(torch.tensor([[1.0, 5.0, 3.0, 5.0]])[..., None]).flatten().tolist() == [-4, 0, -2, 0]
    assert leads(torch.tensor([[50.0, -50.0]])[..., None]).flatten().tolist() == [10, -10]
    assert leads(torch.tensor([[3.0], [-20.0]])[..., None]).flatten().tolist() == [3, -10]


def test_voxels_of_blocks_come_to_their_places() -> None:
    image = torch.arange(6 * 8.0).reshape(1, 1, 6, 8)
    blocks = torch.stack([image[0, 0, y::3, x::2] for y in range(3) for x in range(2)])[None]
    assert _to_places(blocks, (3, 2)).equal(image)
    volume = torch.arange(4 * 2 * 6.0).reshape(1, 1, 4, 2, 6)
    blocks = torch.stack([volume[0, 0, z::2, :, x::3] for z in range(2) for x in range(3)])[None]
    assert _to_places(blocks, (2, 1, 3)).equal(volume)


def test_the_basis_of_blocks_is_orthogonal_and_complete() -> None:
    functions = _cosines((4, 2)).flatten(1)
    assert functions.shape == (7, 8)
    products = functions @ functions.T
    torch.testing.assert_close(products, torch.diag(products.diag()), atol=1e-5, rtol=0)
    torch.testing.assert_close(functions.sum(1), torch.zeros(7), atol=1e-5, rtol=0)


def test_a_shared_head_treats_structures_alike() -> None:
    """Exchanging structures exchanges the results."""
    features, image, _ = scene(2, 4)
    order = torch.tensor([0, 2, 1])
    for name in OURS:
        head = head_of(name, 4)
        with torch.no_grad():
            for parameter in head.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        found = head(features, image)
        other = head(Features(features.logits[:, order], features.features), image)
        np.testing.assert_allclose(other.detach(), found[:, order].detach(), atol=2e-5)
