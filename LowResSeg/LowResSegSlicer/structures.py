"""Segmentation and labelmap nodes as the library's labelled volumes, and a difference as a node."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Optional

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util import numpy_support

from LowResSegLib.comparison import LabelledVolume
from LowResSegLib.comparison.difference import ONLY_FIRST, ONLY_SECOND, OTHERWISE
from LowResSegLib.errors import InputError
from LowResSegLib.volume import Label, Volume
from LowResSegSlicer.labelmaps import check_labelmap, labels_of_labelmap
from LowResSegSlicer.nodes import matrix_array, new_node, ras_matrix
from LowResSegSlicer.segmentations import BINARY_LABELMAP, replace_segments, segments_on
from LowResSegSlicer.terminology import label_of_segment

_SQUARE = 1e-4  # how far axes may be from right angles, as the library has it (on the safe side)
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def same_place(nodes: Sequence[Any]) -> bool:
    """Whether nodes are under the same parent transform, or none, which then does not matter."""
    return len({node.GetTransformNodeID() for node in nodes}) == 1


def labelled_volumes(node: Any, in_world: bool) -> tuple[list[LabelledVolume], list[str]]:
    """What a node segments.

    Args:
        node: vtkMRMLSegmentationNode or vtkMRMLLabelMapVolumeNode.
        in_world: whether its parent transform counts. Voxels are moved where it is rigid or scales along their
            axes; else they are resampled, and a notice says so.

    Returns:
        One labelmap for each layer, and notices.

    Raises:
        InputError: the node is of another kind or empty.
    """
    if node is None:
        raise InputError(_("Nothing is chosen to compare; choose a segmentation or a labelmap."))
    if node.IsA("vtkMRMLSegmentationNode"):
        parts = _layers(node)
    else:
        check_labelmap(node)
        parts = [(_oriented(node), labels_of_labelmap(node))]
    transform = node.GetParentTransformNode() if in_world else None
    moved = [(_moved(image, transform), labels) for image, labels in parts]
    result = [_labelled(image, labels) for (image, _kept), labels in moved]
    if all(kept for (_image, kept), _labels in moved):
        return result, []
    text = _("{name} is under a transform that bends or shears, so a copy was resampled in the world's coordinates.")
    return result, [text.format(name=node.GetName())]


def difference_node(difference: LabelledVolume, name: str, transformID: Optional[str]) -> Any:
    """Put a difference into the scene as a segmentation node, under the transform of what was compared.

    Its segments are not called after what was compared, so that they can be passed on.
    """
    volume = difference.volume
    extent = tuple(bound for size in reversed(volume.array.shape) for bound in (0, size - 1))
    names = {
        ONLY_FIRST: _("Only in the reference"),
        ONLY_SECOND: _("Only in the other"),
        OTHERWISE: _("In both, but not the same structure"),
    }
    labels = [dataclasses.replace(label, name=names[label.value]) for label in difference.labels]
    segments = segments_on(volume.array, labels, ras_matrix(volume), extent)
    node = new_node("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    with slicer.util.NodeModify(node):
        replace_segments(node, segments)
        node.SetAndObserveTransformNodeID(transformID)
    return node


def _layers(node: Any) -> list[tuple[Any, list[Label]]]:
    """Each layer of a segmentation node with its labels; the node is not changed."""
    segmentation = node.GetSegmentation()
    if segmentation.GetNumberOfSegments() == 0:
        raise InputError(_("{name} has no segments; choose another segmentation.").format(name=node.GetName()))
    if not segmentation.ContainsRepresentation(BINARY_LABELMAP):
        copy = slicer.vtkSegmentation()
        copy.DeepCopy(segmentation)
        if not copy.CreateRepresentation(BINARY_LABELMAP):
            text = _("No labelmap can be made of {name}; convert it to a binary labelmap in the Segmentations module.")
            raise InputError(text.format(name=node.GetName()))
        segmentation = copy
    parts = []
    for layer in range(segmentation.GetNumberOfLayers(BINARY_LABELMAP)):
        segments = [
            segmentation.GetSegment(name) for name in segmentation.GetSegmentIDsForLayer(layer, BINARY_LABELMAP)
        ]
        labels = [label_of_segment(segment, segment.GetLabelValue()) for segment in segments]
        parts.append((segmentation.GetLayerDataObject(layer, BINARY_LABELMAP), labels))
    return parts


def _oriented(labelmapNode: Any) -> Any:
    """A labelmap volume node's voxels with their geometry."""
    matrix, image = vtk.vtkMatrix4x4(), slicer.vtkOrientedImageData()
    labelmapNode.GetIJKToRASMatrix(matrix)
    image.ShallowCopy(labelmapNode.GetImageData())
    image.SetImageToWorldMatrix(matrix)
    return image


def _moved(image: Any, transformNode: Optional[Any]) -> tuple[Any, bool]:
    """An image in the world, and whether its voxels are the same."""
    if transformNode is None or _empty(image):
        return image, True
    matrix, ours = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    if transformNode.IsTransformToWorldLinear():
        transformNode.GetMatrixTransformToWorld(matrix)
        image.GetImageToWorldMatrix(ours)
        placed = matrix_array(matrix) @ matrix_array(ours)
        axes = placed[:3, :3] / np.linalg.norm(placed[:3, :3], axis=0)
        if np.abs(axes.T @ axes - np.eye(3)).max() < _SQUARE:
            result = slicer.vtkOrientedImageData()
            result.ShallowCopy(image)
            matrix.DeepCopy(placed.ravel().tolist())
            result.SetImageToWorldMatrix(matrix)
            return result, True
    to_world, result = vtk.vtkGeneralTransform(), slicer.vtkOrientedImageData()
    transformNode.GetTransformToWorld(to_world)
    result.DeepCopy(image)
    slicer.vtkOrientedImageDataResample.TransformOrientedImage(result, to_world, False, True)
    return result, False


def _empty(image: Any) -> bool:
    return image.GetNumberOfPoints() == 0 or image.GetPointData().GetScalars() is None


def _labelled(image: Any, labels: Sequence[Label]) -> LabelledVolume:
    """An image with its geometry as a labelled volume; one without voxels becomes a single voxel of background."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    extent = image.GetExtent()
    if _empty(image):
        array, first = np.zeros((1, 1, 1), np.uint8), (0, 0, 0)
    else:
        shape = tuple(extent[2 * axis + 1] - extent[2 * axis] + 1 for axis in (2, 1, 0))
        array = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape)
        first = (extent[0], extent[2], extent[4])
    if array.dtype.kind == "f":  # as some tools of the Segment Editor leave it
        array = array.astype(np.int32)
    placed = _RAS_TO_LPS @ matrix_array(matrix)
    spacing = np.linalg.norm(placed[:3, :3], axis=0)
    origin = (placed @ [*first, 1.0])[:3]
    direction = (placed[:3, :3] / spacing).ravel()
    return LabelledVolume(
        Volume(array, tuple(spacing.tolist()), tuple(origin.tolist()), tuple(direction.tolist())), tuple(labels)
    )
