"""Another computer that runs the network: whether it can be used, and what goes there."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Optional, Union

from LowResSegLib.estimate import grid_shape
from LowResSegLib.inference import grids_of
from LowResSegLib.jobs import InProcess
from LowResSegLib.jobs.in_process import EndedSegmentation
from LowResSegLib.model import Described, load_model
from LowResSegLib.remote.client import Server, segment_remotely
from LowResSegLib.volume import Volume
from LowResSegSlicer.estimates import voxels_of
from LowResSegSlicer.run import Progress


class HereOverThere(InProcess):
    """An `InProcess` whose networks run on a server."""

    def __init__(self, server: Server, progress: Progress) -> None:
        """Prepare.

        Args:
            server: which one.
            progress: called with each step and the share of the run that is done, 0 to 1.
        """
        super().__init__(progress)
        self._server = server

    def submit(self, volume: Volume, model: str = "brain", **options: Any) -> EndedSegmentation:  # type: ignore[override]
        """Segment a volume and return the job that has ended, well or with an error."""
        job = EndedSegmentation()

        def do(progress: Progress, cancel: Callable[[], bool]) -> tuple[Volume, dict[str, Any]]:
            labelmap, record, job.confidence = segment_remotely(
                volume, model, self._server, progress, cancel, **options
            )
            return labelmap, record

        self._do(job, do)
        return job


def upload_bytes(volumeNode: Any, model: Union[str, Described], passes: Optional[int] = None) -> int:
    """How much of a volume is sent: its grids of one byte a voxel, before they are compressed.

    Args:
        volumeNode: a volume node, or one of a sequence, whose frames are counted.
        model: name of an installed model, or a file; or what a server says of one of its own.
        passes: how often the network looks at the scan; None means as often as the model asks for.

    Returns:
        Bytes; 0 of a volume without voxels.
    """
    found = voxels_of(volumeNode)
    if found is None:
        return 0
    known = load_model(model) if isinstance(model, str) else model
    looks = known.passes if passes is None else passes
    return found.count * grids_of(looks) * math.prod(grid_shape(known.grid, found.shape, found.spacing))
