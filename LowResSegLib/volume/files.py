"""Writing a file so that it is there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Union

from LowResSegLib.errors import InputError


@contextmanager
def replacing(path: Union[str, Path]) -> Iterator[Path]:
    """Give a temporary path beside `path`; it takes the place of `path` if the block ends well, and goes if not.

    Raises:
        InputError: The file cannot be written there (OSError in the block is turned into this).
    """
    path = Path(path)
    # The name goes in front, so that double endings such as .nii.gz, by which writers choose a format, stay.
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        if path.is_dir():
            raise InputError(f"{path} cannot be written, because a folder of that name is in the way.")
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        mend = "make room, or choose a folder that you can write to"
        raise InputError(f"{path} cannot be written ({reason}); {mend}.") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
