"""One interface to a run of `segment`, whoever does it: submit, progress, cancel, result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from LowResSegLib.jobs.in_process import InProcess
from LowResSegLib.jobs.interface import Job, Progress, Runner
from LowResSegLib.jobs.worker import Worker

__all__ = ["InProcess", "Job", "Progress", "Runner", "Worker"]

if TYPE_CHECKING:  # mypy sees that both keep the interface
    _runners: list[Runner] = [InProcess(), Worker()]
