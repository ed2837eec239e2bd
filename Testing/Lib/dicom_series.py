"""DICOM files for the tests, written with pydicom."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)

from LowResSegLib import Volume

STUDY, PLACE = generate_uid(), generate_uid()
PATIENT = "Doe^Jane"


def position(volume: Volume, slice_index: int) -> list[float]:
    """Where the first voxel of a slice lies."""
    direction = np.reshape(volume.direction, (3, 3))
    return [float(x) for x in np.array(volume.origin) + direction[:, 2] * volume.spacing[2] * slice_index]


def orientation(volume: Volume) -> list[float]:
    """The directions of a row and a column."""
    return [float(x) for x in np.reshape(volume.direction, (3, 3)).T[:2].ravel()]


def numbers(values: Any) -> Any:
    """Numbers as DICOM's decimal strings, which are at most 16 letters long."""
    return [pydicom.valuerep.DSfloat(value, auto_format=True) for value in values]


def dataset(stored: np.ndarray, kind: UID = CTImageStorage) -> Dataset:
    """An object with pixels, without a place."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = kind, generate_uid()
    data.StudyInstanceUID, data.FrameOfReferenceUID = STUDY, PLACE
    data.PatientName, data.PatientID, data.PatientBirthDate, data.PatientSex = PATIENT, "4711", "19700101", "F"
    data.StudyID, data.AccessionNumber, data.ReferringPhysicianName = "1", "", ""
    data.StudyDate, data.StudyTime = "20200101", "120000"
    data.Modality = "CT" if kind == CTImageStorage else "MR"
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.Rows, data.Columns = stored.shape[-2:]
    data.BitsAllocated = data.BitsStored = 8 * stored.dtype.itemsize
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(stored.dtype.kind == "i")
    data.PixelData = stored.tobytes()
    data["PixelData"].VR = "OW"
    return data


def slices(volume: Volume, series: Optional[str] = None, slope: float = 1, intercept: float = 0, **more: Any) -> list:
    """One classic object a slice, in order; the volume's voxels are what is stored, before slope and intercept."""
    series = series or generate_uid()
    made = []
    for index, stored in enumerate(volume.array):
        data = dataset(stored, more.get("SOPClassUID", CTImageStorage))
        data.SeriesInstanceUID, data.SeriesNumber, data.InstanceNumber = series, 1, index + 1
        data.ImagePositionPatient = numbers(position(volume, index))
        data.ImageOrientationPatient = numbers(orientation(volume))
        data.PixelSpacing = numbers((volume.spacing[1], volume.spacing[0]))
        data.SliceThickness = volume.spacing[2]
        data.RescaleSlope, data.RescaleIntercept = numbers((slope, intercept))
        for name, value in more.items():
            setattr(data, name, value)
        made.append(data)
    return made


def item(**values: Any) -> list[Dataset]:
    """A sequence of one item."""
    data = Dataset()
    for name, value in values.items():
        setattr(data, name, value)
    return [data]


def enhanced(volume: Volume, order: Any = None, rescale: Any = None, kind: UID = EnhancedMRImageStorage) -> Dataset:
    """One multi-frame object; its frames are the slices in the order given, with (slope, intercept) of each slice."""
    order = list(range(len(volume.array)) if order is None else order)
    data = dataset(volume.array[order], kind)
    data.SeriesInstanceUID, data.SeriesNumber, data.InstanceNumber = generate_uid(), 1, 1
    data.NumberOfFrames = len(order)
    data.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    data.SharedFunctionalGroupsSequence = item(
        PlaneOrientationSequence=item(ImageOrientationPatient=numbers(orientation(volume))),
        PixelMeasuresSequence=item(
            PixelSpacing=numbers((volume.spacing[1], volume.spacing[0])), SliceThickness=volume.spacing[2]
        ),
    )
    data.PerFrameFunctionalGroupsSequence = []
    for place, index in enumerate(order, 1):
        (groups,) = item(
            PlanePositionSequence=item(ImagePositionPatient=numbers(position(volume, index))),
            FrameContentSequence=item(
                StackID="1", InStackPositionNumber=int(index) + 1, DimensionIndexValues=[1, place]
            ),
        )
        if rescale is not None:
            slope, intercept = numbers(rescale[index])
            groups.PixelValueTransformationSequence = item(
                RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="US"
            )
        data.PerFrameFunctionalGroupsSequence.append(groups)
    return data


def compressed(data: Dataset, path: Path, compressor: str) -> Dataset:
    """The object with its pixels as ITK compresses them, JPEG or JPEG2000; the path is used on the way."""
    image = sitk.GetImageFromArray(np.frombuffer(data.PixelData, np.uint16).reshape(1, data.Rows, data.Columns))
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(path))
    writer.SetImageIO("GDCMImageIO")
    writer.UseCompressionOn()
    writer.SetCompressor(compressor)
    writer.Execute(image)
    written = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = written.file_meta.TransferSyntaxUID
    data.PixelData = written.PixelData
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    for name in ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PhotometricInterpretation"):
        setattr(data, name, written[name].value)
    return data


def save(path: Path, data: Dataset, syntax: Optional[UID] = None) -> Path:
    """Write an object, in the transfer syntax given."""
    if syntax is not None and syntax.is_encapsulated:
        data.compress(syntax)
    elif syntax is not None:
        data.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            data.PixelData = np.frombuffer(data.PixelData, f"u{data.BitsAllocated // 8}").byteswap().tobytes()
            data["PixelData"].VR = "OW"
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = (
        {"enforce_file_format": True} if int(pydicom.__version__.split(".")[0]) > 2 else {"write_like_original": False}
    )
    if "write_like_original" in whole:
        data.is_little_endian = data.file_meta.TransferSyntaxUID != ExplicitVRBigEndian
        data.is_implicit_VR = data.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    pydicom.dcmwrite(path, data, **whole)
    return path


def save_all(folder: Path, objects: list, syntax: Optional[UID] = None) -> Path:
    """Write objects as IM0000, IM0001, ..."""
    for number, data in enumerate(objects):
        save(folder / f"IM{number:04}", data, syntax)
    return folder
