"""LowResSegLib: volumes segmented on a low-resolution grid, labels at the resolution of the scan.

`import LowResSegLib` loads no third-party module but numpy. `LowResSegLib.train` and `LowResSegLib.evaluate` are loaded
when they are asked for; the first one needs the extra `train`.
"""

from typing import Any

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


def __getattr__(name: str) -> Any:
    """`train` (see `training.run.train`) and `evaluate` (see `training.accuracy.evaluate`)."""
    if name == "train":
        try:
            from LowResSegLib.training.run import train
        except ImportError as error:
            raise ImportError(
                f"LowResSegLib.train needs the package {error.name}, which is not installed: "
                "pip install lowresseg[train].",
                name=error.name,
            ) from error
        return train
    if name == "evaluate":
        from LowResSegLib.training.accuracy import evaluate

        return evaluate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
