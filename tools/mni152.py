"""Fetch a brain MRI to try things on: the MNI152 T1 template at 1 mm (ICBM 2009a), which the nilearn wheel carries.

Usage: python mni152.py FILE.nii.gz
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

_MEMBER = "nilearn/datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"


def fetch(path: Path) -> None:
    """Write the template to `path`; the wheel is unpacked, not installed, so that its dependencies stay away."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", "--dest", folder]
        pins = Path(__file__).resolve().parents[1] / "constraints.txt"
        command = [sys.executable, "-m", "pip", "download", *options, "--constraint", str(pins), "nilearn"]
        subprocess.run(command, check=True)
        (wheel,) = Path(folder).glob("nilearn-*.whl")
        unpacked = Path(folder) / path.name
        with zipfile.ZipFile(wheel) as archive, archive.open(_MEMBER) as source, unpacked.open("wb") as target:
            shutil.copyfileobj(source, target)
        os.replace(unpacked, path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("path", metavar="FILE", type=Path, help="where to put it, a name that ends with .nii.gz")
    fetch(parser.parse_args().path)
