"""Volume nodes as the library's volumes, and what all results' nodes have in common."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from LowResSegLib.errors import InputError
from LowResSegLib.volume import Volume

RUN_RECORD_ATTRIBUTE = "LowResSeg.RunRecord"
SOURCE_ROLE = "LowResSeg.source"  # of a result: the volume that was segmented
MAP_ATTRIBUTE = "LowResSeg.Map"  # of volume nodes that show something of a result, and are no scans
_NOT_SCALAR = ("vtkMRMLLabelMapVolumeNode", "vtkMRMLVectorVolumeNode", "vtkMRMLTensorVolumeNode")
_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # Slicer counts to the right and to the front


@dataclass(frozen=True, eq=False)
class Source:
    """A volume node that is to be segmented.

    Attributes:
        node: the user's node.
        grid: the node with the voxels that are segmented: `node`, or a hardened copy that is not in the scene yet.
        volume: the voxels of `grid`.
    """

    node: Any
    grid: Any
    volume: Volume


def source_of(volumeNode: Any) -> Source:
    """Look a volume node over before it is segmented; a non-linear transform is hardened on a copy.

    Raises:
        InputError: as `volume_from_node`.
    """
    check_volume(volumeNode)
    transform = volumeNode.GetParentTransformNode()
    if transform is None or transform.IsTransformToWorldLinear():
        return Source(volumeNode, volumeNode, volume_from_node(volumeNode))
    copy = hardened(volumeNode, transform, _("{volume} hardened").format(volume=volumeNode.GetName()))
    return Source(volumeNode, copy, dataclasses.replace(volume_from_node(copy), modality=modality_of(volumeNode)))


def hardened(volumeNode: Any, transformNode: Any, name: str) -> Any:
    """A copy of a volume node, outside the scene, with a transform's way to the world in its voxels or geometry."""
    copy = slicer.mrmlScene.CreateNodeByClass(volumeNode.GetClassName())
    copy.UnRegister(None)  # CreateNodeByClass gives a reference away
    copy.SetName(name)
    copy.CopyContent(volumeNode, True)
    to_world = vtk.vtkGeneralTransform()
    transformNode.GetTransformToWorld(to_world)
    copy.ApplyTransform(to_world)
    copy.RemoveAttribute("DICOM.instanceUIDs")  # its voxels are no longer those of the files
    return copy


def volume_from_node(volumeNode: Any) -> Volume:
    """The voxels and geometry of a scalar volume node, before its parent transform.

    Args:
        volumeNode: vtkMRMLScalarVolumeNode; its voxels are not copied.

    Returns:
        Volume with array (z, y, x), spacing and origin (x, y, z) in mm, LPS.

    Raises:
        InputError: no volume, one without voxels, with several values a voxel or of labels.
    """
    check_volume(volumeNode)
    return Volume(
        array=slicer.util.arrayFromVolume(volumeNode), **geometry_of(volumeNode), modality=modality_of(volumeNode)
    )


def geometry_of(volumeNode: Any) -> dict[str, Any]:
    """Spacing, origin and direction of a volume node as `Volume` has them (LPS), before its parent transform."""
    # MRML keeps directions, spacing and origin apart; read apart, they come back with the file's own digits.
    directions = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASDirectionMatrix(directions)
    to_lps = (-1.0, -1.0, 1.0)
    return {
        "spacing": tuple(volumeNode.GetSpacing()),
        "origin": tuple(sign * value for sign, value in zip(to_lps, volumeNode.GetOrigin())),
        "direction": tuple(to_lps[row] * directions.GetElement(row, column) for row in range(3) for column in range(3)),
    }


def check_volume(volumeNode: Any) -> None:
    """Refuse, with a sentence, what is no scalar volume with voxels."""
    if volumeNode is None:
        raise InputError(_("No volume is chosen; load a scan and choose it as the input volume."))
    name = volumeNode.GetName()
    if not volumeNode.IsA("vtkMRMLScalarVolumeNode") or any(volumeNode.IsA(kind) for kind in _NOT_SCALAR):
        raise InputError(_("{name} is not a scalar volume; choose a scan.").format(name=name))
    if volumeNode.GetAttribute(MAP_ATTRIBUTE):
        raise InputError(_("{name} is a map that LowResSeg has made, not a scan; choose a scan.").format(name=name))
    image = volumeNode.GetImageData()
    if image is None or 0 in image.GetDimensions() or image.GetPointData().GetScalars() is None:
        raise InputError(_("{name} has no voxels; load the scan again.").format(name=name))
    if image.GetNumberOfScalarComponents() != 1:
        raise InputError(_("{name} has several values a voxel; choose a volume with one.").format(name=name))


def scans() -> list[Any]:
    """The scalar volume nodes of the scene that may be scans: no labelmaps, no maps of ours, nothing hidden."""
    return [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")  # with those of derived classes
        if node.GetClassName() == "vtkMRMLScalarVolumeNode"
        and not node.GetHideFromEditors()
        and not node.GetAttribute(MAP_ATTRIBUTE)
    ]


def map_ids() -> list[str]:
    """IDs of the volume nodes that show something of a result, such as a confidence map."""
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return [node.GetID() for node in nodes if node.GetAttribute(MAP_ATTRIBUTE)]


def modality_of(volumeNode: Any) -> str:
    """DICOM's code for the kind of scan, which Slicer's DICOM reader leaves in the subject hierarchy; or nothing."""
    hierarchy = subject_hierarchy()
    if hierarchy is None:
        return ""
    item = hierarchy.GetItemByDataNode(volumeNode)
    return hierarchy.GetItemAttribute(item, "DICOM.Modality") if item else ""


def ras_matrix(volume: Volume) -> vtk.vtkMatrix4x4:
    """The matrix from indices (x, y, z) to RAS of a volume, as nodes have it."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(volume.direction, (3, 3)) * volume.spacing
    matrix[:3, 3] = volume.origin
    return vtk_matrix(_TO_LPS @ matrix)


def vtk_matrix(values: np.ndarray) -> vtk.vtkMatrix4x4:
    """A 4 x 4 array as VTK's matrix."""
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(np.ravel(values).tolist())
    return matrix


def matrix_array(matrix: vtk.vtkMatrix4x4) -> np.ndarray:
    """VTK's matrix as a 4 x 4 array."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def run_record(node: Optional[Any]) -> Optional[dict[str, Any]]:
    """The record of the run that made a node, or None where there is none that can be read."""
    text = node.GetAttribute(RUN_RECORD_ATTRIBUTE) if node is not None else None
    try:
        record = json.loads(text) if text else None
    except ValueError:  # a scene is a file that anyone may have edited
        return None
    return record if isinstance(record, dict) else None


def source_volume(node: Any) -> Optional[Any]:
    """The volume node that a result was made of, or a segmentation is edited on; None where there is none."""
    volumeNode = node.GetNodeReference(SOURCE_ROLE)
    if volumeNode is None and node.IsA("vtkMRMLSegmentationNode"):
        volumeNode = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
    return volumeNode


def in_scene(node: Optional[Any]) -> bool:
    """Whether a node is there and in the scene."""
    return node is not None and bool(slicer.mrmlScene.IsNodePresent(node))


def new_node(kind: str, name: str) -> Any:
    """Add a node of a class to the scene, under this name or, where it is taken, the name with a number."""
    return slicer.mrmlScene.AddNewNodeByClass(kind, slicer.mrmlScene.GenerateUniqueName(name))


def remove_node(node: Any) -> None:
    """Take a node of ours out of the scene, with its display and storage nodes, which Slicer would leave."""
    belongings = [node.GetNthDisplayNode(number) for number in range(node.GetNumberOfDisplayNodes())]
    belongings += [node.GetNthStorageNode(number) for number in range(node.GetNumberOfStorageNodes())]
    for each in [node, *belongings]:
        if each is not None:
            slicer.mrmlScene.RemoveNode(each)


def subject_hierarchy() -> Optional[Any]:
    """The scene's subject hierarchy, or None."""
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)


def place_beside(node: Any, neighbour: Any) -> None:
    """Under the neighbour's parent in the subject hierarchy, which may be missing or not know the nodes."""
    hierarchy = subject_hierarchy()
    if hierarchy is None:
        return
    item, source = hierarchy.GetItemByDataNode(node), hierarchy.GetItemByDataNode(neighbour)
    if item and source:
        hierarchy.SetItemParent(item, hierarchy.GetItemParent(source))
