"""Start a training run on real cases, or go on with one; alone, or as one of several processes of torchrun."""

from __future__ import annotations

import importlib.util
import itertools
import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, Optional

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from LowResSegLib.errors import InputError
from LowResSegLib.inference import mirror_axis
from LowResSegLib.networks.statistics import reestimate_statistics
from LowResSegLib.training.case_checkpoint import load_segmenter, put_weights, save_segmenter, start_from
from LowResSegLib.training.case_task import CaseTask
from LowResSegLib.training.cases import Cases, labels_of
from LowResSegLib.training.checkpoint import check_new, load_small
from LowResSegLib.training.datasets import Dataset, find_dataset
from LowResSegLib.training.deadline import deadline
from LowResSegLib.training.level_losses import LevelLoss
from LowResSegLib.training.run_config import RunConfig
from LowResSegLib.training.samples import Samples
from LowResSegLib.training.segmenter import Segmenter, Shape
from LowResSegLib.training.splits import Split, check_split, make_splits, read_splits, write_splits
from LowResSegLib.training.task import steps_of
from LowResSegLib.training.telling import Tell, Telling, tell_nobody
from LowResSegLib.volume import replacing

_PRECISION = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


class Results(Callback):
    """After each validation: the small checkpoint, a line of scores.jsonl, and validation.json with each case."""

    def __init__(self, folder: Path, labels: Mapping[int, str], about: Mapping[str, Any]) -> None:
        self.folder, self.labels, self.about = folder, labels, about

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Write them, in the first process."""
        assert isinstance(module, CaseTask)
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        scores = {
            key: round(float(value), 5)
            for key, value in trainer.callback_metrics.items()
            if math.isfinite(float(value))
        }
        step = module.first_step + trainer.global_step
        save_segmenter(self.folder / "weights.pt", module.network, self.labels, step, scores, self.about)
        with open(self.folder / "scores.jsonl", "a", encoding="utf-8") as file:
            line: dict[str, float] = {"step": step, **scores}
            file.write(json.dumps(line) + "\n")
        cases = {
            name: {label: None if math.isnan(dice) else round(dice, 5) for label, dice in found.items()}
            for name, found in sorted(module.dice_by_case.items())
        }
        with replacing(self.folder / "validation.json") as temporary:
            temporary.write_text(json.dumps({"step": step, "dice": cases}, indent=1) + "\n", encoding="utf-8")


def split_of(config: RunConfig, dataset: Dataset) -> tuple[Split, list[Split]]:
    """The run's split and all folds; raises InputError where one does not fit the data set."""
    settings = config.split
    folds = (
        read_splits(settings.file)
        if settings.file
        else make_splits(dataset.names, settings.seed, settings.folds, settings.test_fraction, settings.test_cases)
    )
    if not 0 <= settings.fold < len(folds):
        raise InputError(f"There is no fold {settings.fold}; there are {len(folds)}, counted from 0.")
    split = folds[settings.fold]
    check_split(split, dataset.names)
    return split, folds


def train_on_cases(
    config: RunConfig,
    data: Path,
    output: Path,
    resume: bool = False,
    max_minutes: float = 0,
    say: Callable[[str], None] = lambda text: None,
    progress: Tell = tell_nobody,
) -> Path:
    """Train a segmenter on a data set; returns the path of the small checkpoint.

    Args:
        config: of the run.
        data: the data set, in any layout that `datasets.find_dataset` knows.
        output: folder of the run: `last.ckpt` (everything), `weights.pt` (small), `scores.jsonl`, `validation.json`
            (Dice of each case), `splits.json`, `tensorboard/`.
        resume: go on from `last.ckpt`, or where only `weights.pt` came along, from its weights and step with the
            optimiser's memory empty.
        max_minutes: stop after this time (0: never), ready to be resumed.
        say: told what is being done, in sentences.
        progress: told the name of the step, and the share of the whole run that is done, 0 to 1.

    Raises:
        InputError: the data set, the split or the configuration cannot be used; told before training.
    """
    check_new(output, resume)
    dataset = find_dataset(data)
    split, folds = split_of(config, dataset)
    cases = Cases(dataset, labels_of(dataset, config.labels), config.data)
    used = [*split.training, *split.validation]
    say(f"{len(dataset.cases)} cases ({dataset.layout}), {cases.classes - 1} structures; reading {len(used)}.")
    cases.check(used)

    output.mkdir(parents=True, exist_ok=True)
    whole, small = output / "last.ckpt", output / "weights.pt"
    resumed = load_small(small) if resume and small.exists() and not whole.exists() else None
    go_on_from = whole if resume and whole.exists() else None
    first_step = int(resumed["step"]) if resumed else 0
    done = first_step
    if go_on_from:
        first_step, done = steps_of(go_on_from)
    if int(os.environ.get("RANK", "0")) == 0:
        write_splits(output / "splits.json", folds)
    lightning.seed_everything(config.seed + done, workers=True, verbose=False)
    task = _task(config, cases, first_step, resumed, small)
    telling = Telling(progress, first_step, config.all_steps)
    trainer = _trainer(config, output, cases, max(0, config.all_steps - first_step), telling, max_minutes)
    # What was seen before is not seen again in the same order.
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    samples = Samples(cases, split.training, config.data, config.augmentation, config.seed + done, rank)
    loader = DataLoader(
        samples, batch_size=config.batch, num_workers=config.workers, persistent_workers=config.workers > 0
    )
    # Processes validate different cases, the first ones again where they do not come out even.
    names = list(split.validation) + list(
        itertools.islice(itertools.cycle(split.validation), -len(split.validation) % world)
    )
    validation: DataLoader[Any] = DataLoader(
        [{"name": name} for name in names[rank::world]],  # type: ignore[arg-type]
        batch_size=None,
    )
    say(f"Training {len(split.training)} cases for {config.all_steps} steps, validating {len(split.validation)}.")
    trainer.fit(task, loader, validation, ckpt_path=go_on_from, weights_only=False)
    trainer.save_checkpoint(whole)  # a run that time has stopped goes on from its very last step
    finished = first_step + trainer.global_step >= config.all_steps
    statistics = config.statistics_batches and not config.head_only
    if finished and statistics:
        batches = itertools.islice(loader, config.statistics_batches)
        device = task.device
        reestimate_statistics(
            task.network.trunk,
            (task.network.lowered(b["image"].to(device), b["inside"].to(device)) for b in batches),
        )
    if finished and (statistics or task.first_step + trainer.global_step != _last_scored(output)):
        trainer.validate(task, validation, verbose=False)
    if not small.exists() and trainer.is_global_zero:  # stopped before any validation
        save_segmenter(small, task.network, cases.labels, first_step + trainer.global_step, {}, _about(config, cases))
    return small


def _task(config: RunConfig, cases: Cases, first_step: int, resumed: Optional[dict[str, Any]], small: Path) -> CaseTask:
    try:
        loss = LevelLoss(config.loss, cases.classes)
    except ValueError as error:
        raise InputError(f"The loss does not fit the data set: {error}.") from error
    shape = Shape(config.network, config.head, cases.classes, cases.channels, loss.sigmoid)
    segmenter = Segmenter(shape, config.data)
    if config.head_only and not list(segmenter.head.parameters()):
        raise InputError(f"The head {config.head['name']} has nothing to learn, and head_only is set.")
    if resumed:
        put_weights(segmenter, resumed["state"], small)
    elif config.start_from:
        start_from(segmenter, config.start_from)
    teacher = None
    if config.teacher:
        teacher, _ = load_segmenter(config.teacher)
        if (teacher.shape.classes, teacher.shape.sigmoid) != (shape.classes, shape.sigmoid):
            raise InputError(f"The teacher {config.teacher} has other classes than this run.")
    return CaseTask(config, segmenter, cases, loss, teacher, first_step)


def _trainer(
    config: RunConfig, output: Path, cases: Cases, steps: int, telling: Telling, max_minutes: float
) -> lightning.Trainer:
    """Lightning's loop; under torchrun its processes share the work, by NCCL on GPUs and by gloo without."""
    every = config.validate_every or config.steps_per_epoch
    parallel = int(os.environ.get("WORLD_SIZE", "1")) > 1
    accelerator = "gpu" if torch.cuda.is_available() else "cpu"
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    log = config.tensorboard and importlib.util.find_spec("tensorboard") is not None
    return lightning.Trainer(
        max_steps=steps,
        accelerator=accelerator,
        devices=local if parallel else 1,
        num_nodes=int(os.environ.get("WORLD_SIZE", "1")) // local if parallel else 1,
        # A head may have parameters that only some levels use, as the published J head for inputs of 32 has.
        strategy="ddp_find_unused_parameters_true" if parallel else "auto",
        sync_batchnorm=parallel and accelerator == "gpu",
        precision=_PRECISION[config.precision],  # type: ignore[arg-type]
        val_check_interval=every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        default_root_dir=output,
        logger=TensorBoardLogger(output, name="tensorboard", version="") if log else False,
        log_every_n_steps=min(50, every),
        gradient_clip_val=config.optimiser.gradient_clip or None,
        callbacks=[
            telling,
            *deadline(max_minutes),
            Results(output, cases.labels, _about(config, cases)),
            ModelCheckpoint(output, filename="last", every_n_train_steps=every, enable_version_counter=False),
        ],
        enable_progress_bar=not telling.told and os.isatty(1),
        enable_model_summary=False,
    )


def _about(config: RunConfig, cases: Cases) -> dict[str, Any]:
    """What a model file needs beside the network.

    The spacing is None where cases differ in it, or along the axes. The network may see scans mirrored if it learnt so.
    """
    edges = {edge for spacing in cases.spacings for edge in spacing}
    return {
        "name": config.name,
        "card": dict(config.card),
        "spacing": edges.pop() if len(edges) == 1 else None,
        "mirror": mirror_axis(config.data.orientation) in config.augmentation.flips,
    }


def _last_scored(output: Path) -> int:
    """Step of the last line of scores.jsonl; -1 where there is none."""
    path = output / "scores.jsonl"
    lines: Sequence[str] = path.read_text(encoding="utf-8").splitlines() if path.exists() else ()
    return int(json.loads(lines[-1])["step"]) if lines else -1


def copy_config(config_file: Path, output: Path) -> None:
    """Put the configuration beside the run's results, in the first process."""
    if int(os.environ.get("RANK", "0")) == 0:
        output.mkdir(parents=True, exist_ok=True)
        target = output / config_file.name
        if not (target.exists() and target.samefile(config_file)):
            with replacing(target) as temporary:
                shutil.copyfile(config_file, temporary)
