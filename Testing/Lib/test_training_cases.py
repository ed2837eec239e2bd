"""Cases and their samples: the network sees what is deployed, and learns from it with every loss and head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; it is needed for training only")
pytest.importorskip("lightning", reason="lightning is not installed; it is needed for training only")
pytest.importorskip("monai", reason="monai is not installed; it is needed for training only")

import case_sets  # noqa: E402
from torch.nn import functional  # noqa: E402

from LowResSegLib.errors import InputError  # noqa: E402
from LowResSegLib.networks.trunk import Features  # noqa: E402
from LowResSegLib.sampling import GridSettings, Normalisation, sample  # noqa: E402
from LowResSegLib.training.cases import Cases, labels_of  # noqa: E402
from LowResSegLib.training.datasets import find_dataset  # noqa: E402
from LowResSegLib.training.evaluation import dice_by_label  # noqa: E402
from LowResSegLib.training.labelled import read_labelled  # noqa: E402
from LowResSegLib.training.level_losses import LevelLoss  # noqa: E402
from LowResSegLib.training.lowering import head_image, lower_image, shares_at  # noqa: E402
from LowResSegLib.training.run_config import DataSettings, LossSettings, RunConfig  # noqa: E402
from LowResSegLib.training.samples import Samples, stack_at  # noqa: E402
from LowResSegLib.training.segmenter import Segmenter, Shape  # noqa: E402
from LowResSegLib.volume import Volume  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice
CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return case_sets.msd(tmp_path_factory.mktemp("msd"))


def test_the_trainings_grid_is_the_deployed_one(data: Path) -> None:
    """Also where the scan ends inside a low-resolution voxel, and beyond."""
    settings = DataSettings(3, 2, (16, 24, 16))
    dataset = find_dataset(data)
    cases = Cases(dataset, labels_of(dataset, {}), settings)
    for cut in (0, 1, 2, 3):
        volumes, label = read_labelled(dataset.cases[0])
        shorter = Volume(volumes[0].array[: 12 - cut, : 19 - cut], (1.0, 1.0, 1.0))
        low = sample(shorter, GridSettings(2.0, "RAS", 4), Normalisation())
        case = cases._prepare("x", [shorter], Volume(label.array[: 12 - cut, : 19 - cut]))
        missing = [(0, 2 * g - n) for g, n in zip(low.grid.shape, case.label.shape)]
        image = torch.from_numpy(np.pad(case.image, [(0, 0), *missing]))[None]
        inside = torch.from_numpy(np.pad(np.ones(case.label.shape, np.float32), missing))[None, None]
        found = lower_image(image, inside, (2, 2, 2))[0, 0] * 64
        np.testing.assert_array_equal(found.numpy(), low.grid)


@pytest.mark.parametrize("kind", ["triangle", "area", "nearest"])
def test_bringing_down_keeps_what_is_constant(kind: str) -> None:
    inside = torch.ones(1, 1, 8, 12)
    inside[..., 8:] = 0
    image = torch.full((1, 2, 8, 12), 50.0) + 900 * (1 - inside)
    found = lower_image(image, inside, (4, 2), kind) * 64
    assert found.shape == (1, 2, 2, 6)
    assert (found[..., :4] == 50).all() and (found[..., 4:] == 0).all()


def test_area_is_the_mean_and_nearest_the_middle() -> None:
    image, inside = torch.arange(8.0).view(1, 1, 1, 8), torch.ones(1, 1, 1, 8)
    assert (lower_image(4 * image, inside, (1, 4), "area") * 64).flatten().tolist() == [6, 22]
    assert (lower_image(image, inside, (1, 4), "nearest") * 64).flatten().tolist() == [2, 6]


def test_labels_at_a_level_are_shares() -> None:
    one_hot = functional.one_hot(torch.tensor([[[0, 1, 1, 1]]]), 2).movedim(-1, 1).float()
    assert shares_at(one_hot, (1, 2))[0, 1].tolist() == [[0.5, 1.0]]


def test_scans_are_brought_to_one_spacing_with_their_labels(tmp_path: Path) -> None:
    image, label = case_sets.picture(0)
    for folder, array in (("images", image), ("labels", label)):
        case_sets.write_image(tmp_path / folder / "a.nii.gz", array, spacing=(1.0, 1.0, 2.0))
    dataset = find_dataset(tmp_path)
    cases = Cases(dataset, {0: "background", 1: "Outer", 2: "Inner"}, DataSettings(spacing=1.0))
    case = cases["a"]
    assert case.label.shape == (24, 20, 16) == case.image.shape[1:] and case.spacing == (1.0, 1.0, 1.0)
    for value in (1, 2):
        assert (case.label == value).sum() == pytest.approx(2 * (label == value).sum(), rel=0.05)
        inside = case.image[0][case.label == value].mean()
        assert inside == pytest.approx(
            cases._normalised(image[:, ::-1, ::-1], (2.0, 1, 1))[label[:, ::-1, ::-1] == value].mean(), rel=0.1
        )


def test_merged_and_undeclared_labels(data: Path) -> None:
    dataset = find_dataset(data)
    whole = Cases(dataset, labels_of(dataset, {}), DataSettings(merge={2: 1}))
    assert whole.classes == 2 and set(np.unique(whole["case_00"].label)) == {0, 1}
    with pytest.raises(InputError, match="case case_00 holds the value 2, which is not declared"):
        Cases(dataset, {0: "background", 1: "Outer"}, DataSettings())["case_00"]
    with pytest.raises(InputError, match="merge names the label value 7"):
        Cases(dataset, labels_of(dataset, {}), DataSettings(merge={7: 1}))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_samples_are_reproducible_and_fit_their_labels(data: Path, dimensions: int) -> None:
    config = RunConfig.from_dict(
        {
            **case_sets.SMALL,
            "data": {"dimensions": dimensions, "factor": 2, "crop": [24, 16] if dimensions == 2 else [16, 24, 16]},
        }
    )
    dataset = find_dataset(data)
    cases = Cases(dataset, labels_of(dataset, {}), config.data)

    def drawn(seed: int, rank: int = 0) -> list[dict[str, torch.Tensor]]:
        samples = iter(Samples(cases, dataset.names, config.data, config.augmentation, seed, rank))
        return [next(samples) for _ in range(4)]

    one, again, other = drawn(1), drawn(1), drawn(1, rank=1)
    for a, b in zip(one, again):
        assert all(torch.equal(a[key], b[key]) for key in a)
    assert not torch.equal(one[0]["image"], other[0]["image"])
    for item in one:
        assert item["image"].shape[1:] == item["label"].shape == config.data.crop
        if item["label"].any():
            labelled = item["label"] > 0
            assert item["image"][0][labelled].mean() > item["image"][0][~labelled].mean() + 20
        assert (item["label"][item["inside"][0] < 0.5] == 0).all()
    assert any(item["label"].any() for item in one)


def test_stacks_have_the_labelled_slice_in_their_middle() -> None:
    image = np.arange(10.0)[None, :, None, None] * np.ones((1, 10, 2, 2))
    inside = np.ones((1, 10, 2, 2))
    settings = DataSettings(2, 1, (2, 2), slices=5, slice_step=2)
    assert stack_at(image, inside, 4, settings)[0][:, 0, 0].tolist() == [0, 2, 4, 6, 8]
    assert stack_at(image, inside, 1, settings)[0][:, 0, 0].tolist() == [0, 0, 1, 3, 5]


@pytest.mark.parametrize("kind", ["dice_ce", "cross_entropy", "bce_levels"])
def test_losses_fall_towards_the_truth_at_every_level(kind: str) -> None:
    torch.manual_seed(0)
    label = torch.randint(3, (2, 8, 8))
    loss = LevelLoss(LossSettings(kind), 3)
    true = functional.one_hot(label, 3).movedim(-1, 1).float()
    right = (true[:, 1:] if loss.sigmoid else true) * 20 - 10
    low = functional.avg_pool2d(right, 2)
    assert float(loss(right, label)) < 0.01 < float(loss(-right, label))
    torch.testing.assert_close(loss([low, right], label), loss(low, label) + loss(right, label))
    with pytest.raises(ValueError, match="2 numbers for 3"):
        LevelLoss(LossSettings(class_weights=(1.0, 2.0)), 3)


@pytest.mark.parametrize("head", ["linear", "j", "likelihood"])
def test_one_case_is_learnt_by_heart(data: Path, head: str) -> None:
    """Cases, bringing down, trunk, head and loss belong together, or this does not come out."""
    torch.manual_seed(0)
    settings = DataSettings(3, 2, (12, 20, 16))
    dataset = find_dataset(data)
    cases = Cases(dataset, labels_of(dataset, {}), settings)
    case = cases["case_00"]
    shape = Shape({"name": "unet", "widths": [8, 12], "precision": "float"}, {"name": head}, 3)
    segmenter, loss = Segmenter(shape, settings), LevelLoss(LossSettings(), 3)
    before = dice_by_label(segmenter.predict(case), case.label, [1, 2])
    segmenter.train()
    image, label = torch.from_numpy(case.image)[None], torch.from_numpy(case.label.astype(np.int64))[None]
    inside = torch.ones(1, 1, *case.label.shape)
    optimizer = torch.optim.Adam(segmenter.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        loss(segmenter(image, inside), label).backward()
        optimizer.step()
    after = dice_by_label(segmenter.predict(case), case.label, [1, 2])
    assert min(after.values()) > 0.9 > max(before.values())


def test_padding_is_no_evidence(rng: np.random.Generator) -> None:
    """The deployed scan has none; so labels of a scan are the same with and without padding around it."""
    settings = DataSettings(3, 2, (16, 24, 16))
    segmenter = Segmenter(Shape({"name": "unet", "widths": [4], "precision": "float"}, {"name": "fusion"}, 3), settings)
    head: Any = segmenter.head
    with torch.no_grad():
        head.weight.fill_(1.0)
    logits = torch.from_numpy(rng.normal(0, 2, (1, 3, 6, 8, 6)).astype(np.float32))
    image = torch.from_numpy(rng.uniform(0, 127, (1, 1, 12, 16, 12)).astype(np.float32))
    features = Features(logits, logits)
    wide = functional.pad(logits, [0, 2, 0, 2, 0, 2], mode="replicate")
    padded = Features(wide, wide)
    seen = head_image(image, torch.ones_like(image))
    around = [0, 4, 0, 4, 0, 4]
    found = head(padded, head_image(functional.pad(image, around), functional.pad(torch.ones_like(image), around)))
    torch.testing.assert_close(found[:, :, :12, :16, :12], head(features, seen))
