"""A result of the module in Slicer's own slice and 3-D views, drawn offscreen by trame-slicer.

The views are those of Slicer's libraries, with the displayable managers that draw volumes and segmentations. What is
around them is not the application.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).resolve().parent
REPOSITORY = FOLDER.parents[1]


class Views:
    """Three slice views and a 3-D view on a scene of their own, in which the module works. One a process."""

    def __init__(self, size: int = 400) -> None:
        import slicer
        import slicer.util
        from trame_slicer.core import SlicerApp
        from trame_slicer.views import ViewLayoutDefinition
        from trame_slicer.views.direct_view_factory import DirectViewFactory

        sys.path[:0] = [str(FOLDER), str(REPOSITORY / "LowResSeg"), str(REPOSITORY)]
        import standins

        self.app = SlicerApp()
        standins.install(slicer)
        slicer.mrmlScene = self.app.scene
        slicer.app.applicationLogic = lambda: self.app.app_logic
        for name in ("segmentations", "volumes", "terminologies"):
            logic = getattr(self.app, f"{name}_logic")
            setattr(slicer.modules, name, types.SimpleNamespace(logic=lambda logic=logic: logic))
        self.app.view_manager.register_factory(DirectViewFactory(do_render_offscreen=True))
        layouts = {
            "axial": ViewLayoutDefinition.axial_view(),
            "coronal": ViewLayoutDefinition.coronal_view(),
            "sagittal": ViewLayoutDefinition.sagittal_view(),
            "3D": ViewLayoutDefinition.threed_view(),
        }
        self.views = {name: self.app.view_manager.create_view(layout) for name, layout in layouts.items()}
        for view in self.views.values():
            view.render_window().SetSize(size, size)

    def load(self, scan: Path) -> Any:
        """Load a volume and show it behind everything else."""
        volume = self.app.volumes_logic.AddArchetypeVolume(str(scan), scan.name.split(".")[0])
        volume.CreateDefaultDisplayNodes()
        volume.GetDisplayNode().SetAutoWindowLevel(True)
        self.app.display_manager.show_volume_in_slice_background(volume)
        self.fit()
        return volume

    def fit(self) -> None:
        """Show all there is in each view."""
        for view in self.views.values():
            view.reset_view()
            view.fit_view_to_content()

    def pictures(self) -> dict[str, np.ndarray]:
        """What each view shows: (rows, columns, 3), 0 to 255."""
        return {name: _grab(view) for name, view in self.views.items()}


def _grab(view: Any) -> np.ndarray:
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkRenderingCore import vtkWindowToImageFilter

    view.render()
    grabber = vtkWindowToImageFilter()
    grabber.SetInput(view.render_window())
    grabber.ReadFrontBufferOff()
    grabber.Update()
    image = grabber.GetOutput()
    width, height, _ = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)[::-1, :, :3].copy()
