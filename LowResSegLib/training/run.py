"""Start a training run, or go on with one."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Optional, Union

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch.utils.data import DataLoader

from LowResSegLib.errors import InputError
from LowResSegLib.networks.statistics import reestimate_statistics
from LowResSegLib.networks.ternary import INTENSITY_SCALE
from LowResSegLib.networks.unet import UNet
from LowResSegLib.training.case_run import copy_config, train_on_cases
from LowResSegLib.training.checkpoint import check_new, load_small, load_state, network_of, save_small
from LowResSegLib.training.config import TrainingConfig
from LowResSegLib.training.deadline import deadline
from LowResSegLib.training.labels import LabelTable
from LowResSegLib.training.run_config import RunConfig
from LowResSegLib.training.synthetic import ContrastPriors, SyntheticScans, read_label_map
from LowResSegLib.training.task import SegmentationTask, steps_of
from LowResSegLib.training.telling import Tell, Telling, tell_nobody
from LowResSegLib.training.yaml_files import read_yaml


class SmallCheckpoint(Callback):
    """After each validation: weights in half precision, and a line of scores in `scores.jsonl`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Write both files."""
        if trainer.sanity_checking:
            return
        scores = {key: round(float(value), 4) for key, value in trainer.callback_metrics.items()}
        assert isinstance(module, SegmentationTask)
        step = module.first_step + trainer.global_step
        save_small(self.folder / "weights.pt", module.network, step, scores)
        with open(self.folder / "scores.jsonl", "a", encoding="utf-8") as file:
            line: dict[str, float] = {"step": step, **scores}
            file.write(json.dumps(line) + "\n")


def _scans(config: TrainingConfig, table: LabelTable, data: Path, cases: Sequence[str], seed: int) -> SyntheticScans:
    maps = [read_label_map(data / f"{case}.nii.gz") for case in cases]
    return SyntheticScans(maps, table.lookup(), ContrastPriors.read(data), config.synthetic, seed)


def class_weights(scans: SyntheticScans, classes: int, power: float) -> torch.Tensor:
    """Weight of each class: its share of the label maps' voxels to minus `power`, scaled to a mean of one."""
    counts = sum(np.bincount(scans.values[head].ravel(), minlength=classes) for head in scans.maps)
    weights = (np.maximum(counts, 1) / np.sum(counts)) ** -power
    return torch.from_numpy(weights / weights.mean()).float()


def _network(config: TrainingConfig, classes: int, resumed: Optional[dict[str, Any]]) -> UNet:
    network = UNet(classes, config.widths, config.ternary)
    if resumed:
        load_state(network, resumed["state"])
    elif config.start_from:
        start = load_small(config.start_from)
        load_state(network, start["state"], keep_statistics=start["network"]["ternary"] == config.ternary)
    return network


def _trainer(
    config: TrainingConfig, output: Path, steps: int, telling: Telling, max_minutes: float
) -> lightning.Trainer:
    """Lightning's loop over so many steps, with both kinds of checkpoints in the output folder."""
    return lightning.Trainer(
        max_steps=steps,
        precision="bf16-mixed" if config.mixed_precision else "32-true",
        val_check_interval=config.validate_every,
        check_val_every_n_epoch=None,
        limit_val_batches=config.validation_crops,
        num_sanity_val_steps=0,
        default_root_dir=output,
        logger=False,
        gradient_clip_val=5.0,
        callbacks=[
            telling,
            *deadline(max_minutes),
            SmallCheckpoint(output),
            ModelCheckpoint(
                output, filename="last", every_n_train_steps=config.validate_every, enable_version_counter=False
            ),
        ],
        enable_progress_bar=not telling.told and os.isatty(1),
        enable_model_summary=False,
    )


def train(
    config_file: Union[str, Path],
    data: Union[str, Path],
    output: Union[str, Path],
    resume: bool = False,
    max_minutes: float = 0,
    say: Callable[[str], None] = lambda text: None,
    *,
    teacher: Optional[Union[str, Path]] = None,
    start_from: Optional[Union[str, Path]] = None,
    fold: Optional[int] = None,
    progress: Tell = tell_nobody,
) -> Path:
    """Train a network as a YAML file says; returns the path of the small checkpoint (weights.pt).

    A file with `data` is of a run on cases with labelmaps (`RunConfig`), one without of a run on synthetic scans
    (`TrainingConfig`).

    Args:
        config_file: is copied into the output folder.
        data: the data set, or for synthetic scans the folder of label maps and contrast priors.
        output: folder of the run.
        resume: go on from the output folder's last checkpoint.
        max_minutes: stop after this time (0: never), ready to be resumed.
        say: told what is being done, in sentences.
        teacher: small checkpoint, in place of the file's (of a run on cases, as the next two).
        start_from: small checkpoint, in place of the file's.
        fold: in place of the file's.
        progress: told the name of the step, and the share of the whole run that is done, 0 to 1.

    Raises:
        InputError: the configuration or the data cannot be used; told before training.
    """
    config_file, data, output = Path(config_file), Path(data), Path(output)
    if "data" not in read_yaml(config_file, dict):
        if (teacher, start_from, fold) != (None, None, None):
            raise InputError("A run on synthetic scans has its teacher and its start in the file, and no folds.")
        return train_on_synthetic_scans(config_file, data, output, resume, max_minutes, progress)
    config = RunConfig.read(config_file)
    if teacher is not None:
        config = dataclasses.replace(config, teacher=Path(teacher))
    if start_from is not None:
        config = dataclasses.replace(config, start_from=Path(start_from))
    if fold is not None:
        config = dataclasses.replace(config, split=dataclasses.replace(config.split, fold=fold))
    check_new(output, resume)
    copy_config(config_file, output)
    return train_on_cases(config, data, output, resume, max_minutes, say, progress)


def train_on_synthetic_scans(
    config_file: Path,
    data: Path,
    output: Path,
    resume: bool = False,
    max_minutes: float = 0,
    progress: Tell = tell_nobody,
) -> Path:
    """Train a network on synthetic scans; returns the path of the small checkpoint.

    Args:
        config_file: YAML of a `TrainingConfig`; it is copied into the output folder.
        data: folder of label maps and contrast priors (the SynthSeg distribution).
        output: folder of the run: `last.ckpt` (everything), `weights.pt` (small), `scores.jsonl`.
        resume: go on from `last.ckpt`, or where only `weights.pt` came along, from its weights and step with the
            optimiser's memory empty.
        max_minutes: stop after this time (0: never), ready to be resumed.
        progress: told the name of the step, and the share of the whole run that is done, 0 to 1.
    """
    config = TrainingConfig.read(config_file)
    table = LabelTable.read(config.labels)
    check_new(output, resume)
    whole, small = output / "last.ckpt", output / "weights.pt"
    resumed = load_small(small) if resume and small.exists() and not whole.exists() else None
    go_on_from = whole if resume and whole.exists() else None
    if go_on_from:
        first_step, done = steps_of(go_on_from)
    else:
        first_step = done = int(resumed["step"]) if resumed else 0

    # What was seen before is not seen again in the same order.
    scans = _scans(config, table, data, config.training_cases, config.seed + done)
    validation = _scans(config, table, data, config.validation_cases, 1234)
    crops = list(itertools.islice(validation, config.validation_crops))
    output.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(config_file, output / config_file.name)
    lightning.seed_everything(config.seed + done, workers=True, verbose=False)
    network = _network(config, len(table), resumed)
    teacher = network_of(load_small(config.teacher)) if config.teacher else None
    weights = class_weights(scans, len(table), config.class_weight_power)
    task = SegmentationTask(config, network, teacher, weights, first_step)

    if config.channels_last:
        for module in filter(None, (network, teacher)):
            module.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    telling = Telling(progress, first_step, config.steps)
    trainer = _trainer(config, output, max(0, config.steps - first_step), telling, max_minutes)
    # A list is as good as a data set of indexed items.
    validation_loader: DataLoader[Any] = DataLoader(crops, batch_size=1)  # type: ignore[arg-type]
    loader = DataLoader(
        scans, batch_size=config.batch, num_workers=config.workers, persistent_workers=config.workers > 0
    )
    trainer.fit(task, loader, validation_loader, ckpt_path=go_on_from, weights_only=False)
    trainer.save_checkpoint(whole)  # a run that time has stopped goes on from its very last step
    if config.ternary:
        # Thresholds are made of them, so they have to be right; the float form is only a teacher.
        batches = itertools.islice(loader, config.statistics_batches)
        reestimate_statistics(task.network, (batch["image"].float() / INTENSITY_SCALE for batch in batches))
    scores = {key: round(float(value), 4) for key, value in trainer.callback_metrics.items()}
    save_small(small, task.network, first_step + trainer.global_step, scores)
    return small
