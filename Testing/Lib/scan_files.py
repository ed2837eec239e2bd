"""Small scans in files of all sorts, good and bad; each writer takes a folder and returns the path."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Optional
from unittest import mock

import numpy as np
import SimpleITK as sitk
from ct_scans import ct
from plans import random_volume

from LowResSegLib.volume import Label, Volume, reading, write_segmentation

SHAPE = (14, 13, 12)
Writer = Callable[[Path], Path]


def scan(kind: str = "int16", shape: tuple[int, int, int] = SHAPE, direction: Optional[np.ndarray] = None) -> Volume:
    """A scan of the values 0 to 237, which each number type holds."""
    volume = random_volume(np.random.default_rng(0), shape, direction)
    return volume.with_array((volume.array // 4).astype(kind))


def itk(volume: Volume) -> sitk.Image:
    """The volume as ITK has it."""
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(volume.spacing)
    image.SetOrigin(volume.origin)
    image.SetDirection(volume.direction)
    return image


def file(name: str, image: Callable[[], sitk.Image], compress: bool = False) -> Writer:
    """Write with ITK."""

    def make(folder: Path) -> Path:
        sitk.WriteImage(image(), str(folder / name), compress)
        return folder / name

    return make


def of(name: str, compress: bool = False, **settings: Any) -> Writer:
    """Write `scan(**settings)`."""
    return file(name, lambda: itk(scan(**settings)), compress)


def edited(
    name: str, edit: Callable[[bytes], bytes], kind: str = "int16", image: Optional[Callable[[], sitk.Image]] = None
) -> Writer:
    """Write an image, or else a scan, then change its bytes; those within gzip."""

    def make(folder: Path) -> Path:
        path = (of(name, kind=kind) if image is None else file(name, image))(folder)
        content = path.read_bytes()
        packed = name.endswith(".gz")
        content = edit(gzip.decompress(content) if packed else content)
        path.write_bytes(gzip.compress(content) if packed else content)
        return path

    return make


def content(name: str, content: bytes) -> Writer:
    """Write these bytes."""

    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def bomb(name: str, mark: bytes) -> Writer:
    """Write a compressed scan of few voxels whose stream, behind the mark that ends the header, has many more."""

    def make(folder: Path) -> Path:
        path = of(name, compress=True)(folder)
        header = path.read_bytes().split(mark)[0]
        path.write_bytes(header + mark + gzip.compress(bytes(1 << 24)))
        return path

    return make


def put(offset: int, form: str, *values: float) -> Callable[[bytes], bytes]:
    """Put numbers into a header."""
    packed = struct.pack(form, *values)
    return lambda content: content[:offset] + packed + content[offset + len(packed) :]


def replace(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Replace a part of a header, which must be there."""

    def edit(content: bytes) -> bytes:
        assert old in content
        return content.replace(old, new)

    return edit


def big_endian(header: bytes, kind: str = "i2") -> bytes:
    """Swap the bytes of a NIfTI-1 file."""
    form = "i10s18sihcc 8h 3f 4h 8f 3f h cc 4f 2i 80s24s 2h 6f 12f 16s4s 4s".replace(" ", "")
    fields = struct.unpack(f"<{form}", header[:352])
    return struct.pack(f">{form}", *fields) + np.frombuffer(header[352:], f"<{kind}").astype(f">{kind}").tobytes()


def swapped(mark: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Say big-endian in a text header, and swap the int16 voxels at the end."""
    size = 2 * int(np.prod(SHAPE))

    def edit(content: bytes) -> bytes:
        return replace(mark, new)(content[:-size]) + np.frombuffer(content[-size:], "<i2").astype(">i2").tobytes()

    return edit


def with_values(*values: float) -> Callable[[], sitk.Image]:
    """A scan of float32 some of whose voxels have these values."""

    def make() -> sitk.Image:
        volume = scan("float32")
        volume.array[2, 3, : len(values)] = values
        return itk(volume)

    return make


def labels() -> Volume:
    """A labelmap of three boxes."""
    array = np.zeros(SHAPE, np.uint8)
    array[3:9, 3:9, 2:5], array[3:9, 3:9, 5:8], array[9:12, 3:9, 2:8] = 1, 2, 7
    return scan().with_array(array)


def segmentation(folder: Path) -> Path:
    """A segmentation as Slicer writes it."""
    write_segmentation(folder / "a.seg.nrrd", labels(), [Label(value, str(value)) for value in (1, 2, 7)])
    return folder / "a.seg.nrrd"


def series(frames: int = 3) -> sitk.Image:
    """A 4-D image whose second volume is `scan()`."""
    return sitk.JoinSeries([itk(scan()) + 10 * (frame - 1) if frames > 1 else itk(scan()) for frame in range(frames)])


def vector() -> sitk.Image:
    """Two numbers a voxel."""
    return sitk.Compose([itk(scan()), itk(scan())])


def colour() -> sitk.Image:
    """Red, green and blue."""
    return sitk.Compose([itk(scan("uint8"))] * 3)


def empty_folder(folder: Path) -> Path:
    """A folder without scans."""
    (folder / "notes").mkdir()
    (folder / "notes" / "readme.txt").write_text("Nothing.")
    return folder / "notes"


def read_only(folder: Path) -> Path:
    """A scan in a folder that cannot be written to."""
    inside = folder / "locked"
    inside.mkdir()
    path = of("a.nii.gz")(inside)
    path.chmod(0o444)
    inside.chmod(0o555)
    return path


@contextlib.contextmanager
def full_disk(folder: Path, size: int = 900) -> Iterator[None]:
    """No file gets longer than so many bytes, as on a disk with so much left."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))  # Python ignores the signal
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def disappearing(folder: Path) -> contextlib.AbstractContextManager[Any]:
    """The file goes after it was checked and before it is read."""
    read = reading._only_volume

    def gone(*arguments: Any) -> Any:
        next(folder.glob("a.*")).unlink()
        return read(*arguments)

    return mock.patch.object(reading, "_only_volume", gone)


def thin(axis: int, count: int) -> dict[str, Any]:
    """A volume of a few slices along one axis of the array."""
    return {"shape": tuple(count if index == axis else size for index, size in enumerate((24, 25, 26)))}


def spaced(*spacing: float, direction: Optional[np.ndarray] = None) -> Callable[[], sitk.Image]:
    """A scan of this spacing."""
    return lambda: itk(dataclasses.replace(scan(direction=direction), spacing=spacing, origin=(0.0, 0.0, 0.0)))


def in_folder(name: str, make: Writer) -> Writer:
    """Write into a folder in the folder."""

    def inside(folder: Path) -> Path:
        (folder / name).mkdir()
        return make(folder / name)

    return inside


def padded_ct(value: int) -> Callable[[], sitk.Image]:
    """A CT with this value outside the circle that the scanner reconstructs."""
    return lambda: itk(ct(padding=value))


def metal_ct(value: int) -> Callable[[], sitk.Image]:
    """A CT with a pin of this value in soft tissue."""
    return lambda: itk(ct(metal=value))


def unsigned_ct() -> sitk.Image:
    """A CT as scanners store it: whole numbers from 0 on, HU and 1024."""
    volume = ct()
    return itk(volume.with_array((np.maximum(volume.array, -1024) + 1024).astype(np.uint16)))


def sheared() -> sitk.Image:
    """A scan two axes of which are not at right angles."""
    image = itk(scan())
    image.SetDirection([1, 0.1, 0, 0, 0.99**0.5, 0, 0, 0, 1])
    return image
