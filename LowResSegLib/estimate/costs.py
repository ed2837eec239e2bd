"""What a volume costs: seconds and memory, in proportion to its voxels and to those of the model's grid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional

from LowResSegLib.engine import keeps_memory
from LowResSegLib.estimate.speed import Speed
from LowResSegLib.model import Model
from LowResSegLib.sampling import NANOMETRES, GridSettings

# Name, shape (z, y, x) and spacing (x, y, z) in mm of what people segment.
COMMON_VOLUMES: tuple[tuple[str, tuple[int, int, int], tuple[float, float, float]], ...] = (
    ("MRI of the head", (180, 256, 256), (1.0, 1.0, 1.0)),
    ("MRI, isotropic", (256, 256, 256), (1.0, 1.0, 1.0)),
    ("thick slices", (60, 512, 512), (0.5, 0.5, 3.0)),
    ("CT", (300, 512, 512), (0.8, 0.8, 1.0)),
    ("large CT", (512, 768, 768), (0.65, 0.65, 1.0)),
)

# Bytes, found with `python benchmarks/engine.py --parts growth`.
_PROCESS = {"native": 40e6, "onnxruntime": 80e6, "numpy": 40e6}  # Python with what is loaded for a run
_SAMPLING = 20  # a voxel of the grid: intensities as float32, and what normalising them needs
_LABELLED = 9  # a voxel of the grid, without the native kernels: which ones have a structure


@dataclass(frozen=True)
class Estimate:
    """What a run will cost, about.

    Attributes:
        seconds: from the volume in memory to its labelmap, in a process that has run before, where structures fill a
            box of 0.4 of the volume.
        megabytes: peak of a process that does nothing else, with the volume.
    """

    seconds: float
    megabytes: float


def grid_shape(grid: GridSettings, shape: tuple[int, ...], spacing: tuple[float, ...]) -> tuple[int, ...]:
    """Voxels of the model's grid, (z, y, x) in the volume's own order of axes.

    Args:
        grid: of the model.
        shape: of the volume, (z, y, x).
        spacing: of the volume, (x, y, z), in mm.
    """
    target = round(grid.spacing * NANOMETRES)
    sizes = (max(1, -(-n * round(s * NANOMETRES) // target)) for n, s in zip(shape, spacing[::-1]))
    return tuple(-(-size // grid.divisor) * grid.divisor for size in sizes)


def estimate(
    speed: Speed,
    model: Model,
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    itemsize: int = 2,
    passes: Optional[int] = None,
    confidence: bool = False,
) -> Estimate:
    """What a volume will cost.

    Args:
        speed: as measured here with this model.
        model: the model.
        shape: of the volume, (z, y, x).
        spacing: of the volume, (x, y, z), in mm.
        itemsize: bytes a voxel of the volume.
        passes: how often the network looks at it; None means as often as the model asks for.
        confidence: whether a confidence map is made too.
    """
    source = math.prod(shape)
    grid = math.prod(grid_shape(model.grid, shape, spacing))
    looks = model.passes if passes is None else passes
    grids = min(looks, 2)
    seconds = speed.fixed + source * (grids * speed.sampling + speed.reconstruction) + looks * grid * speed.network
    labelling: float = source + (0 if speed.backend == "native" else _LABELLED * grid)
    if model.fusion is not None:
        labelling += source  # levels of the source's voxels, a byte each
    if keeps_memory(model.network, speed.backend):
        labelling += speed.memory * grid
    logits = (grids + 2 * grids * model.network.classes) * grid  # of the mean of passes, and of the next one
    if confidence:
        seconds += grid * speed.confidence
        labelling += grid  # percents, a byte each
    most = max(_SAMPLING * grid, logits + speed.memory * grid, logits + labelling)
    return Estimate(seconds, (_PROCESS[speed.backend] + source * itemsize + most) / 1e6)
