"""LowResSegLib: volumes segmented on a low-resolution grid, labels at the resolution of the scan.

`import LowResSegLib` loads no third-party module but numpy.
"""

from LowResSegLib.errors import BackendError, Cancelled, InputError, LowResSegError, ModelError
from LowResSegLib.model import available_models, load_model
from LowResSegLib.pipeline import segment
from LowResSegLib.version import __version__
from LowResSegLib.volume import Label, Volume, read_volume, write_labelmap, write_segmentation

__all__ = [
    "BackendError",
    "Cancelled",
    "InputError",
    "Label",
    "LowResSegError",
    "ModelError",
    "Volume",
    "__version__",
    "available_models",
    "load_model",
    "read_volume",
    "segment",
    "write_labelmap",
    "write_segmentation",
]
