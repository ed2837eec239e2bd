"""The generator, the losses, and runs that are resumed and exported."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; it is needed for training only")
pytest.importorskip("lightning", reason="lightning is not installed; it is needed for training only")
pytest.importorskip("monai", reason="monai is not installed; it is needed for training only")

import SimpleITK as sitk  # noqa: E402
import yaml  # noqa: E402
from torch.nn import functional  # noqa: E402

from LowResSegLib.errors import InputError  # noqa: E402
from LowResSegLib.networks.unet import UNet  # noqa: E402
from LowResSegLib.reconstruction import positions  # noqa: E402
from LowResSegLib.training.checkpoint import load_small, load_state, network_of, save_small  # noqa: E402
from LowResSegLib.training.config import TrainingConfig  # noqa: E402
from LowResSegLib.training.evaluation import T1_LIKE, dice_by_label, synthetic_scans  # noqa: E402
from LowResSegLib.training.export import export  # noqa: E402
from LowResSegLib.training.labels import LabelTable  # noqa: E402
from LowResSegLib.training.losses import distillation_loss, labels_at_phase, logits_at_phase  # noqa: E402
from LowResSegLib.training.run import class_weights, train  # noqa: E402
from LowResSegLib.training.synthetic import (  # noqa: E402
    ContrastPriors,
    SyntheticScans,
    SyntheticSettings,
    deform,
    read_label_map,
)
from LowResSegLib.training.task import SegmentationTask  # noqa: E402

CONFIGS = Path(__file__).resolve().parents[2] / "LowResSegLib" / "training" / "configs"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two label maps of nested ellipsoids, stored in LIA as the real ones are, and priors for them."""
    folder = tmp_path_factory.mktemp("maps")
    places = np.indices((40, 48, 44)).reshape(3, -1)
    for number, scale in ((1, 1.0), (2, 0.85)):
        radius = np.sqrt((((places.T - [20, 24, 22]) / (np.array([16, 20, 18]) * scale)) ** 2).sum(1))
        codes = np.select([radius < 0.4, radius < 0.7, radius < 0.85], [4, 2, 516], 0).reshape(40, 48, 44)
        image = sitk.GetImageFromArray(codes.astype(np.float32))
        image.SetDirection((1, 0, 0, 0, 0, -1, 0, -1, 0))
        sitk.WriteImage(image, str(folder / f"map_{number}.nii.gz"))
    np.save(folder / "generation_labels", np.array([0, 516, 2, 4]))
    np.save(folder / "generation_classes_contrast_specific", np.arange(4))
    np.save(folder / "prior_means_t1", np.array([[5.0, 90, 160, 40], [1, 5, 5, 5]]))
    np.save(folder / "prior_stds_t1", np.array([[2.0, 6, 6, 6], [1, 1, 1, 1]]))
    return folder


@pytest.fixture
def table() -> LabelTable:
    return LabelTable(
        [{"value": v, "name": n, "color": [v, v, v]} for v, n in enumerate(["Background", "Outer", "Inner"])],
        [[], [2], [4]],
    )


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """A run of a few steps on the small maps."""
    labels = [
        {"value": 0, "name": "Background", "color": [0, 0, 0], "sources": []},
        {"value": 1, "name": "Outer", "color": [200, 0, 0], "sources": [2]},
        {"value": 2, "name": "Inner", "color": [0, 200, 0], "sources": [4]},
    ]
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump(labels))
    config = {
        "name": "small",
        "labels": "labels.yaml",
        "training_cases": ["map_1"],
        "validation_cases": ["map_2"],
        "widths": [4, 6],
        "steps": 6,
        "warm_up": 2,
        "workers": 0,
        "validate_every": 2,
        "validation_crops": 2,
        "statistics_batches": 2,
        "mixed_precision": False,
        "synthetic": {"crop": 16, "pool": 1, "crops_per_deformation": 4},
    }
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def scans_of(data: Path, table: LabelTable, **settings: object) -> SyntheticScans:
    maps = [read_label_map(data / "map_1.nii.gz")]
    chosen = SyntheticSettings(crop=16, pool=1, **settings)  # type: ignore[arg-type]
    return SyntheticScans(maps, table.lookup(), ContrastPriors.read(data), chosen, seed=5)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_logits_at_a_phase_are_those_of_linear_interpolation(factor: int) -> None:
    logits = torch.randn(1, 3, 4, 5, 6)
    whole = functional.interpolate(logits, scale_factor=factor, mode="trilinear", align_corners=False)
    for phase in itertools.product(range(factor), repeat=3):
        z, y, x = phase
        expected = whole[:, :, z::factor, y::factor, x::factor]
        torch.testing.assert_close(logits_at_phase(logits, phase, factor), expected, rtol=1e-4, atol=1e-5)


def test_training_and_deployment_interpolate_at_the_same_places() -> None:
    """The deployed weights are multiples of 1/64; at a factor of two they are those of training, exactly."""
    ramp = torch.arange(6.0).view(1, 1, 6, 1, 1)
    before, weight = positions(12, 1, 6, 2)
    deployed = before + weight / 64
    for phase in (0, 1):
        trained = logits_at_phase(ramp, (phase, 0, 0), 2).flatten().numpy()
        np.testing.assert_array_equal(trained, deployed[phase::2])


def test_labels_at_a_phase_belong_to_its_logits() -> None:
    labels = torch.arange(64).view(1, 4, 4, 4)
    assert labels_at_phase(labels, (1, 0, 1), 2).tolist()[0][0][0] == [17, 19]


def test_distillation_loss_is_zero_for_the_teachers_own_logits() -> None:
    logits = torch.randn(2, 4, 3, 3, 3)
    assert float(distillation_loss(logits, logits)) == pytest.approx(0, abs=1e-6)
    assert float(distillation_loss(logits, -logits)) > 0.1


def test_label_maps_are_turned_upright_and_cropped(data: Path) -> None:
    labels = read_label_map(data / "map_2.nii.gz")
    # Stored array axes (40, 48, 44) run to anterior, inferior, left; upright they are superior, anterior, right.
    assert labels.shape[1] <= 40 and labels.shape[0] <= 48 and set(np.unique(labels)) == {0, 2, 4, 516}
    assert all(labels.any(axis=axes).sum() >= 20 for axes in ((1, 2), (0, 2), (0, 1)))


def test_deformation_keeps_labels_and_moves_them(data: Path) -> None:
    labels = read_label_map(data / "map_1.nii.gz").astype(np.uint8)
    moved = deform(labels, SyntheticSettings(), np.random.default_rng(0))
    assert set(np.unique(moved)) <= set(np.unique(labels)) and moved.shape == labels.shape
    changed = np.mean(moved != labels)
    assert 0.01 < changed < 0.5
    still = SyntheticSettings(rotation=0, scaling=0, displacement=0)
    for seed in range(4):
        same = deform(labels, still, np.random.default_rng(seed))
        assert np.array_equal(same, labels) or np.array_equal(same, labels[:, :, ::-1])


def test_scans_are_reproducible_and_fit_their_labels(data: Path, table: LabelTable) -> None:
    one, other = (list(itertools.islice(scans_of(data, table, outside=0.0), 6)) for _ in range(2))
    for a, b in zip(one, other):
        assert torch.equal(a["image"], b["image"]) and torch.equal(a["label"], b["label"])
    item = one[0]
    assert item["image"].shape == (1, 16, 16, 16) and item["image"].dtype == torch.uint8
    assert item["label"].shape == (32, 32, 32) and int(item["image"].max()) <= 127
    # White matter of a T1-like scan is brighter than the ventricle.
    plain = next(iter(scans_of(data, table, random_contrast=0.0, bias=0.0, noise=0.0)))
    coarse = plain["label"][::2, ::2, ::2]
    assert plain["image"][0][coarse == 1].float().mean() > plain["image"][0][coarse == 2].float().mean() + 10


def test_skull_stripped_scans_are_dark_outside_the_brain(data: Path, table: LabelTable) -> None:
    scan = next(iter(scans_of(data, table, skull_stripped=1.0, random_contrast=0.0, noise=0.0)))
    background = functional.max_pool3d((scan["label"] > 0).float()[None, None], 2)[0, 0] == 0
    far = functional.max_pool3d((~background).float()[None, None], 5, 1, 2)[0, 0] == 0
    assert far.any() and scan["image"][0][far].float().mean() < 3


def test_one_crop_is_learnt_by_heart(data: Path, table: LabelTable) -> None:
    """Labels, loss and upsampling belong together, or this does not come out."""
    torch.manual_seed(0)
    config = TrainingConfig("x", Path(), [], [], widths=(8, 16), ternary=False, channels_last=False)
    network = UNet(3, config.widths, ternary=False).train()
    task = SegmentationTask(config, network, None, torch.ones(3))
    task.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
    item = next(iter(scans_of(data, table, random_contrast=0.0, outside=0.0)))
    batch = {key: value[None] for key, value in item.items()}
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for step in range(80):
        optimizer.zero_grad()
        task.training_step(batch, step).backward()
        optimizer.step()
    with torch.no_grad():
        logits = network(batch["image"].float() / 64)
    found = functional.interpolate(logits, scale_factor=2, mode="trilinear", align_corners=False).argmax(1)[0]
    scores = dice_by_label(found.numpy(), item["label"].numpy(), [1, 2])
    assert min(scores.values()) > 0.9


def test_dice_by_label() -> None:
    found, truth = np.array([1, 1, 2, 0]), np.array([1, 2, 2, 0])
    scores = dice_by_label(found, truth, [1, 2, 3])
    assert scores[1] == pytest.approx(2 / 3) and scores[2] == pytest.approx(2 / 3) and np.isnan(scores[3])


def test_class_weights_favour_rare_classes(data: Path, table: LabelTable) -> None:
    weights = class_weights(scans_of(data, table), 3, 0.5)
    assert weights[2] > weights[1] > weights[0] and float(weights.mean()) == pytest.approx(1)


def test_small_checkpoints_hold_the_network_and_stay_small(tmp_path: Path) -> None:
    network = UNet(18).eval()
    save_small(tmp_path / "weights.pt", network, 7, {"dice": 0.5})
    assert (tmp_path / "weights.pt").stat().st_size < 2_000_000 and len(list(tmp_path.iterdir())) == 1
    content = load_small(tmp_path / "weights.pt")
    assert content["step"] == 7 and content["scores"] == {"dice": 0.5}
    restored = network_of(content)
    for (name, value), (_, found) in zip(network.state_dict().items(), restored.state_dict().items()):
        torch.testing.assert_close(found.float(), value.float(), rtol=1e-3, atol=1e-3, msg=name)
    with pytest.raises(ValueError, match="does not fit"):
        load_state(UNet(18, (16, 32)), content["state"])
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        load_small(tmp_path / "text.pt")


def test_a_ternary_network_starts_from_a_float_ones_weights_but_not_its_statistics() -> None:
    teacher, student = UNet(3, (4, 6), ternary=False), UNet(3, (4, 6))
    teacher.encoder[0][0][1].running_mean += 5
    load_state(student, teacher.state_dict(), keep_statistics=False)
    torch.testing.assert_close(student.encoder[1][0][0].weight, teacher.encoder[1][0][0].weight)
    assert float(student.encoder[0][0][1].running_mean.abs().max()) == 0


@pytest.mark.parametrize("kept", ["last.ckpt", "weights.pt"])
def test_a_run_resumes_from_either_checkpoint(config_file: Path, data: Path, tmp_path: Path, kept: str) -> None:
    output = tmp_path / "run"
    config = yaml.safe_load(config_file.read_text())
    config_file.write_text(yaml.safe_dump({**config, "steps": 4}))
    train(config_file, data, output)
    assert load_small(output / "weights.pt")["step"] == 4
    assert (output / "small.yaml").exists()
    for name in {"last.ckpt", "weights.pt"} - {kept}:
        (output / name).unlink()
    config_file.write_text(yaml.safe_dump(config))
    train(config_file, data, output, resume=True)
    steps = [json.loads(line)["step"] for line in (output / "scores.jsonl").read_text().splitlines()]
    assert steps == [2, 4, 6] and load_small(output / "weights.pt")["step"] == 6


def test_each_part_of_a_run_sees_scans_of_its_own(
    config_file: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = []

    class Recorded(SyntheticScans):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            seeds.append(self.seed)

    monkeypatch.setattr("LowResSegLib.training.run.SyntheticScans", Recorded)
    config = yaml.safe_load(config_file.read_text())
    for steps in (2, 4, 6):
        config_file.write_text(yaml.safe_dump({**config, "steps": steps}))
        train(config_file, data, tmp_path / "run", resume=True)
    assert [seed for seed in seeds if seed != 1234] == [0, 2, 4]  # 1234 is the validation's


def test_a_run_that_is_stopped_goes_on_from_its_last_step(config_file: Path, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    config = yaml.safe_load(config_file.read_text())
    config_file.write_text(yaml.safe_dump({**config, "steps": 5, "validate_every": 4}))
    train(config_file, data, output)
    whole = torch.load(output / "last.ckpt", weights_only=False)
    assert whole["global_step"] == load_small(output / "weights.pt")["step"] == 5


def test_a_run_learns_from_a_teacher_and_is_exported(config_file: Path, data: Path, tmp_path: Path) -> None:
    config = yaml.safe_load(config_file.read_text())
    config_file.write_text(yaml.safe_dump({**config, "ternary": False}))
    teacher = train(config_file, data, tmp_path / "float")
    config_file.write_text(yaml.safe_dump({**config, "start_from": str(teacher), "teacher": str(teacher)}))
    student = train(config_file, data, tmp_path / "ternary")
    card = {
        "name": "small",
        "labels": "labels.yaml",
        "grid": {"spacing": 2.0},
        "normalisation": {"kind": "foreground"},
        "card": {"title": "Small"},
    }
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card))
    model = export(student, tmp_path / "card.yaml", tmp_path / "small.lowresseg")
    assert [label.name for label in model.labels] == ["Background", "Outer", "Inner"] and model.grid.divisor == 2
    before = (tmp_path / "small.lowresseg").read_bytes()
    (tmp_path / "card.yaml").write_text(yaml.safe_dump({**card, "grid": {"spacing": 2.0, "orientaton": "RAS"}}))
    with pytest.raises(InputError, match="orientaton"):
        export(student, tmp_path / "card.yaml", tmp_path / "small.lowresseg")
    assert (tmp_path / "small.lowresseg").read_bytes() == before
    with pytest.raises(ValueError, match="ternary"):
        export(teacher, tmp_path / "card.yaml", tmp_path / "float.lowresseg")
    assert not (tmp_path / "float.lowresseg").exists()


def test_evaluation_scans_have_labels_of_their_own_grid(data: Path, table: LabelTable) -> None:
    scans = list(synthetic_scans(data, ["map_1", "map_2"], table, T1_LIKE, 3, 0))
    assert [name for name, _, _ in scans] == ["map_1-00", "map_2-01", "map_1-02"]
    for _, volume, labels in scans:
        assert volume.array.shape == labels.shape and set(np.unique(labels)) == {0, 1, 2}
        inner, outer = (volume.array[labels == value].mean() for value in (2, 1))
        assert inner < outer


def test_wrong_configurations_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("name: x\nlables: y\n")
    with pytest.raises(InputError, match="unknown settings lables"):
        TrainingConfig.read(path)
    path.write_text("name: x\n")
    with pytest.raises(InputError, match="missing"):
        TrainingConfig.read(path)
    path.write_text("name: [x\n")
    with pytest.raises(InputError, match="not valid YAML"):
        TrainingConfig.read(path)
    with pytest.raises(InputError, match="cannot be read"):
        TrainingConfig.read(tmp_path / "missing.yaml")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("brain_[ft]*.yaml")), ids=lambda path: path.stem)
def test_the_brain_runs_are_read(path: Path) -> None:
    config = TrainingConfig.read(path)
    table = LabelTable.read(config.labels)
    assert len(table) == 18 and not set(config.training_cases) & set(config.validation_cases)
    codes = [code for sources in table.sources for code in sources]
    assert len(codes) == len(set(codes))
