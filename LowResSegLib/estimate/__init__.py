"""How fast a model runs on this computer, and what a volume will cost before it is segmented.

`measure` times a model's steps for a second or two, `speed_here` remembers what it found; `estimate` tells from that
the seconds and the memory of any volume. Costs grow in proportion to the voxels of the volume and of the model's grid.
"""

from LowResSegLib.estimate.costs import COMMON_VOLUMES, Estimate, estimate, grid_shape
from LowResSegLib.estimate.speed import Speed, instruction_set, measure, measured_shape, processor, speed_here
from LowResSegLib.estimate.timing import interleaved

__all__ = [
    "COMMON_VOLUMES",
    "Estimate",
    "Speed",
    "estimate",
    "grid_shape",
    "instruction_set",
    "interleaved",
    "measure",
    "measured_shape",
    "processor",
    "speed_here",
]
