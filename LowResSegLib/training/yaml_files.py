"""Reading YAML files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from LowResSegLib.errors import InputError


def read_yaml(path: Path, kind: type) -> Any:
    """The content of a YAML file, which must be of `kind` (dict or list); raises InputError with the reason."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(content, kind):
        raise InputError(f"{path} must hold a {'mapping' if kind is dict else 'list'}.")
    return content
