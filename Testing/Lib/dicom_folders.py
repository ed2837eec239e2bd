"""Small DICOM series of all sorts, good and bad; each writer takes a folder and returns the path."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import numpy as np
from ct_scans import ct
from dicom_series import (
    compressed,
    dataset,
    enhanced,
    item,
    numbers,
    orientation,
    position,
    save,
    save_all,
    slices,
)
from pydicom.uid import (
    UID,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)
from scan_files import Writer, scan

Objects = Callable[[], list]
Change = Callable[[Path], Any]

SHAPE, SPACING = (6, 24, 26), (1.5, 1.25, 4.0)
CT = ct(SHAPE, SPACING)
STORED = CT.with_array(np.maximum(CT.array, -1024))  # what unsigned numbers with an intercept of -1024 can say
UNSIGNED = STORED.with_array((STORED.array + 1024).astype(np.uint16))
MR = dataclasses.replace(scan(shape=SHAPE), modality="MR")


def ct_slices(volume: Any = CT, **more: Any) -> Objects:
    """CT of one object a slice."""
    return lambda: slices(volume, **more)


def mr_slices(volume: Any = MR, **more: Any) -> Objects:
    """MR of one object a slice."""
    return lambda: slices(volume, SOPClassUID=MRImageStorage, **more)


def pet_slices() -> list:
    """PET, each slice of which has a slope of its own."""
    made = slices(MR, SOPClassUID=PositronEmissionTomographyImageStorage, Modality="PT")
    for number, one in enumerate(made, 1):
        one.RescaleSlope = number
    return made


def ct_of_two_slopes() -> list:
    """CT, one slice of which has a slope of its own."""
    array = CT.array.copy()
    array[2] *= 2
    made = slices(CT.with_array(array))
    made[2].RescaleSlope = 0.5
    return made


def multi_frame(kind: str, modality: str, volume: Any, **more: Any) -> Objects:
    """One enhanced object, by the end of its storage class; its frames are in no order."""
    storage = UID(f"1.2.840.10008.5.1.4.1.1.{kind}")
    return with_all(lambda: [enhanced(volume, [3, 0, 5, 1, 4, 2], kind=storage, **more)], Modality=modality)


def enhanced_echoes() -> list:
    """One enhanced object of two echoes, of which the early one is MR."""
    data = enhanced(dataclasses.replace(MR, array=np.concatenate([MR.array, MR.array[:, ::-1]])))
    for number, groups in enumerate(data.PerFrameFunctionalGroupsSequence):
        groups.PlanePositionSequence = item(ImagePositionPatient=numbers(position(MR, number % len(MR.array))))
        groups.MREchoSequence = item(EffectiveEchoTime=5.0 if number < len(MR.array) else 30.0)
    return [data]


def scout() -> list:
    """A scout view."""
    return slices(ct(SHAPE, SPACING, np.eye(3)[[2, 0, 1]]), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])


def changed(objects: Objects, change: Callable[[list], Any]) -> Objects:
    """The objects after a change of their list."""

    def make() -> list:
        made = objects()
        change(made)
        return made

    return make


def with_all(objects: Objects, **values: Any) -> Objects:
    """The objects with these attributes in each; None takes one away."""

    def change(made: list) -> None:
        for one in made:
            for name, value in values.items():
                if value is None:
                    delattr(one, name)
                else:
                    setattr(one, name, value)

    return changed(objects, change)


def placed(objects: Objects, place: Callable[[int], Any]) -> Objects:
    """The objects with their slices elsewhere, in mm."""

    def change(made: list) -> None:
        for index, one in enumerate(made):
            one.ImagePositionPatient = numbers(place(index))

    return changed(objects, change)


def tilted(index: int) -> Any:
    """Where a slice of CT lies under a gantry that is tilted by 12 degrees."""
    down = np.array(orientation(CT)[3:])
    return np.array(position(CT, index)) + down * np.tan(np.deg2rad(12)) * CT.spacing[2] * index


def doubled(made: list) -> None:
    """Add another slice at the place of one."""
    made.append(slices(CT.with_array(CT.array + 1), made[0].SeriesInstanceUID)[2])


def colour(made: list) -> None:
    """Make red, green and blue of the slices."""
    for one in made:
        one.SamplesPerPixel, one.PhotometricInterpretation, one.PlanarConfiguration = 3, "RGB", 0
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 8, 8, 7, 0
        one.PixelData = bytes(one.Rows * one.Columns * 3)


def without_pixels(made: list) -> None:
    """Take away the picture of one slice."""
    del made[2].PixelData


def without_places(made: list) -> None:
    """Take away the places of frames."""
    del made[0].PerFrameFunctionalGroupsSequence


def series(objects: Objects, syntax: Optional[UID] = None, change: Optional[Change] = None) -> Writer:
    """Write objects as the files IM0000, IM0001, ... of a folder, then change something in it."""

    def make(folder: Path) -> Path:
        path = save_all(folder / "series", objects(), syntax)
        if change is not None:
            change(path)
        return path

    return make


def together(*parts: Objects) -> Writer:
    """Write several series into folders of one folder."""

    def make(folder: Path) -> Path:
        for number, objects in enumerate(parts, 1):
            save_all(folder / "series" / str(number), with_all(objects, SeriesNumber=number)())
        return folder / "series"

    return make


def lossless(compressor: str) -> Writer:
    """Write UNSIGNED compressed by ITK, JPEG or JPEG2000."""

    def make(folder: Path) -> Path:
        (folder / "series").mkdir()
        for number, one in enumerate(slices(UNSIGNED, intercept=-1024)):
            path = folder / "series" / f"{number}.dcm"
            save(path, compressed(one, path, compressor))
        return folder / "series"

    return make


def inside(make: Writer, name: str) -> Writer:
    """A path in the folder that another writer makes."""
    return lambda folder: make(folder) / name


def renamed(*names: str) -> Change:
    """Give the files these names, in folders where they have such."""

    def change(folder: Path) -> None:
        for path, name in zip(sorted(folder.iterdir()), names):
            (folder / name).parent.mkdir(exist_ok=True, parents=True)
            path.rename(folder / name)

    return change


def edited(name: str, edit: Callable[[bytes], bytes]) -> Change:
    """Change the bytes of a file."""
    return lambda folder: (folder / name).write_bytes(edit((folder / name).read_bytes()))


def removed(*names: str) -> Change:
    """Remove files."""
    return lambda folder: [(folder / name).unlink() for name in names]


def added(name: str, content: bytes) -> Change:
    """Add a file."""
    return lambda folder: (folder / name).write_bytes(content)


def copied(folder: Path) -> None:
    """Add a copy of a file."""
    (folder / "copy").write_bytes((folder / "IM0002").read_bytes())


def without_preamble(folder: Path) -> None:
    """Take away what old archives do not write."""
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[132:])


def with_others(folder: Path) -> None:
    """Put files of other kinds beside the slices."""
    (folder / "README.TXT").write_text("Viewer: double-click.")
    (folder / ".hidden.dcm").write_text("resource fork")
    (folder / "picture.png").write_bytes(b"\x89PNG" + bytes(300))
    screenshot(folder)


def screenshot(folder: Path) -> Path:
    """Write a DICOM object of another kind; also a writer."""
    other = dataset(np.zeros((4, 4), np.uint8), SecondaryCaptureImageStorage)
    other.SeriesInstanceUID = generate_uid()
    save(folder / "screenshot.dcm", other)
    return folder
