"""Where models are looked for. One function, `model_folders`, knows the places and their order."""

from __future__ import annotations

import contextlib
import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Union

from LowResSegLib.errors import ModelError
from LowResSegLib.model.file import SUFFIX, Model, read_model


def user_folder() -> Path:
    """The user's own folder for installed models; it need not exist, as in a container whose user has no home."""
    home = os.path.expanduser("~")
    if sys.platform == "win32":
        base = os.environ.get("APPDATA") or os.path.join(home, "AppData", "Roaming")
    elif sys.platform == "darwin":
        base = os.path.join(home, "Library", "Application Support")
    else:
        base = os.environ.get("XDG_DATA_HOME") or os.path.join(home, ".local", "share")
    return Path(base) / "LowResSeg" / "Models"


def model_folders() -> list[Path]:
    """Folders that are searched, first come first served, whether they exist or not.

    The environment variable LOWRESSEG_MODELS (several separated as in PATH), the user's own folder, the package's
    resources (where wheel and extension put them), the checkout.
    """
    named = [Path(part) for part in os.environ.get("LOWRESSEG_MODELS", "").split(os.pathsep) if part]
    package = Path(__file__).resolve().parents[1]
    return [*named, user_folder(), package / "Resources" / "Models", package.parent / "Resources" / "Models"]


def available_models() -> dict[str, Path]:
    """Path of each model by its name, which is the file's name without suffix; the first found of a name counts."""
    found: dict[str, Path] = {}
    for folder in model_folders():
        # A folder that is missing, or that this user may not enter, has no models for them.
        with contextlib.suppress(OSError):
            for name in sorted(os.listdir(folder)):
                if name.endswith(SUFFIX):
                    found.setdefault(name[: -len(SUFFIX)], folder / name)
    return found


def load_model(model: Union[str, Path, Model]) -> Model:
    """A model by name or by path; a model that is one already is returned as it is.

    Raises:
        ModelError: no such model, or its file is refused.
    """
    if isinstance(model, Model):
        return model
    known = available_models()
    path = known.get(str(model), Path(model))
    if str(model) not in known and path.suffix != SUFFIX and not os.path.isfile(path):
        names = ", ".join(known) or "none is installed"
        raise ModelError(f"There is no model named {str(model)!r}; choose one of: {names}, or give a file.")
    try:
        status = path.stat()
    except OSError:
        return read_model(path)  # says what is wrong
    return _read_once(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4)  # a warm worker runs the same model again and again
def _read_once(path: Path, modified: int, size: int) -> Model:
    return read_model(path)
