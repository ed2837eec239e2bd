"""One interface to segmentations, measurements and comparisons, whoever does them: submit, progress, cancel, result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from LowResSegLib.jobs.in_process import InProcess
from LowResSegLib.jobs.interface import Job, Progress, Runner, SegmentationJob
from LowResSegLib.jobs.other_python import OtherPython
from LowResSegLib.jobs.worker import Worker

__all__ = ["InProcess", "Job", "OtherPython", "Progress", "Runner", "SegmentationJob", "Worker"]

if TYPE_CHECKING:
    from pathlib import Path

    # mypy sees that both keep the interface
    _runners: list[Runner] = [InProcess(), Worker()]
    _job: Job[Path] = OtherPython("python").train("run.yaml", "data", "runs")
