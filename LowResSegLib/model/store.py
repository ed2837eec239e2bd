"""Where models are looked for, and how they get into the user's folder and out of it.

One function, `model_folders`, knows the places and their order.
"""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Optional, Union

from LowResSegLib.errors import InputError, ModelError
from LowResSegLib.model.file import SUFFIX, Model, read_content, read_model
from LowResSegLib.volume import replacing

# Windows opens a device where a file is called so, whatever follows a dot.
_DEVICES = {"aux", "con", "nul", "prn", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}


@dataclass(frozen=True)
class InstalledModel:
    """A file that is found as a model.

    Attributes:
        name: by which the model is asked for: the file's name without suffix.
        path: of the file.
        bytes: size of the file.
        removable: whether it lies in the user's own folder, from which `remove_model` takes it.
        error: why the file is refused; None where it is not.
    """

    name: str
    path: Path
    bytes: int
    removable: bool
    error: Optional[str] = None


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
            for name in sorted(os.listdir(folder), key=os.path.splitext):  # hippocampus before hippocampus-float
                # A hidden one is half written, or what a computer of Apple's leaves beside a copy.
                if name.endswith(SUFFIX) and not name.startswith("."):
                    found.setdefault(name[: -len(SUFFIX)], folder / name)
    return found


def installed_models() -> list[InstalledModel]:
    """The files that are found as models, first the folder that is searched first; refused ones with the reason."""
    models = []
    for name, path in available_models().items():
        size, error = 0, None
        with contextlib.suppress(OSError):
            size = path.stat().st_size
        try:
            load_model(path)
        except ModelError as refusal:
            error = str(refusal)
        models.append(InstalledModel(name, path, size, path.parent == user_folder(), error))
    return models


def install_model(path: Union[str, Path], overwrite: bool = False) -> Path:
    """Check a model file and copy it to the user's folder, in one piece, under the name that it has inside.

    Args:
        path: of the file.
        overwrite: also where there is a model of this name. One that lies elsewhere, as a bundled one, stays, but is
            not found any more until the new one is removed.

    Returns:
        The path of the copy.

    Raises:
        ModelError: the file is refused; there is a model of this name; or one that would be found before it.
        InputError: the user's folder cannot be written to.
    """
    model, content = read_content(Path(path))
    if model.name.partition(".")[0].strip().lower() in _DEVICES or model.name[-1] in ". ":
        raise ModelError(f"The model is named {model.name!r}, which cannot be the name of a file on every computer.")
    target = user_folder() / f"{model.name}{SUFFIX}"
    there = available_models().get(model.name, target)
    if there.parent not in model_folders()[model_folders().index(user_folder()) :]:
        raise ModelError(
            f"The model {model.name} at {there} would be found first, because LOWRESSEG_MODELS names its folder; "
            "remove that file, or put the new one in its place."
        )
    if not overwrite and os.path.lexists(there):
        raise ModelError(f"A model named {model.name} is at {there} already; allow it to be overwritten, or keep it.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder for models, {target.parent}, cannot be made ({error.strerror or error}); make it yourself, or "
            "name a folder that has the file in the environment variable LOWRESSEG_MODELS."
        ) from error
    with replacing(target) as temporary:
        temporary.write_bytes(content)
    return target


def remove_model(name: str) -> Path:
    """Remove a model from the user's folder.

    Args:
        name: as `installed_models` has it; a path is none.

    Returns:
        The path that the file had.

    Raises:
        ModelError: no such model, or it lies elsewhere.
        InputError: the file cannot be removed.
    """
    folder = user_folder()
    own: list[str] = []
    with contextlib.suppress(OSError):
        own = os.listdir(folder)
    path = folder / f"{name}{SUFFIX}"
    if f"{name}{SUFFIX}" not in own:  # a name with a path in it is never in a list of files
        known = available_models()
        if name not in known:
            raise ModelError(f"There is no model named {name!r}; installed are: {', '.join(known) or 'none'}.")
        raise ModelError(
            f"The model {name} is not in your own folder but at {known[name]}, where other users may need it; remove "
            "the file there if you are sure."
        )
    try:
        path.unlink()
    except OSError as error:
        raise InputError(f"{path} cannot be removed ({error.strerror or error}); remove it yourself.") from error
    return path


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
