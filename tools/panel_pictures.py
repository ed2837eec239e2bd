"""Make the pictures of the panel for the documentation: docs/pictures/panel_*.png.

    python tools/panel_pictures.py SCAN [FOLDER]

The panel is Slicer's, the widgets around it are the stand-ins of the panel tests (Testing/Panel/host), so the pictures
show the panel's texts and layout in the style of Qt, not Slicer's own. Needs slicer-core, PySide6 and cryptography.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]


class Pictures:
    """A panel that is clicked through."""

    def __init__(self, slicer: Any, scan: Path, folder: Path) -> None:
        """Open the panel and load the scan."""
        from host import application

        from LowResSeg import LowResSegWidget

        self.slicer, self.folder = slicer, folder
        self.panel = LowResSegWidget(application.Parent())
        self.panel.setup()
        self.panel.parent.isEntered = True
        self.panel.enter()
        self.panel.parent.show()
        self.draw("start")
        self.volume = slicer.modules.volumes.logic().AddArchetypeVolume(str(scan), scan.name.split(".")[0])
        if self.volume is None:
            raise SystemExit(f"{scan} cannot be read.")

    def draw(self, name: str, *shown: str) -> None:
        """Write panel_NAME.png with these sections open; without any, with those that are open."""
        from host.pictures import picture

        if shown:
            for section in self.panel.sections:
                for widget in vars(section.ui).values():
                    if widget.name.endswith("Section") and widget.name != "optionsSection":
                        widget.collapsed = widget.name not in shown
        path = picture(self.panel.parent, self.folder / f"panel_{name}.png")
        print(f"{path} {path.stat().st_size / 1000:.0f} kB")

    def wait(self) -> None:
        """Let the event loop turn until nothing runs."""
        from host import pump

        pump.pump(lambda: self.panel.context.run is None, 600)

    def segment(self) -> None:
        """Sections of the first segmentation."""
        from host import pump

        panel, ui = self.panel, self.panel.segmenting.ui
        pump.pump(lambda: ui.estimateLabel.text.startswith("This will take"), 300)
        ui.confidenceCheckBox.checked = True
        self.draw("ready")
        ui.optionsSection.collapsed = False
        self.draw("options", "inputSection", "segmentSection")
        ui.optionsSection.collapsed = True
        ui.modelCardButton.checked = True
        self.draw("card", "inputSection", "segmentSection")
        ui.modelCardButton.checked = False
        ui.segmentButton.click()
        pump.pump(lambda: ui.progressBar.value > 20 or panel.context.run is None, 60)
        self.draw("running", "inputSection", "segmentSection")
        self.wait()
        self.draw("result", "inputSection", "segmentSection", "resultSection")

    def more(self) -> None:
        """The other sections."""
        import qt

        panel = self.panel
        self.draw("edit", "editSection")
        first = panel.context.result
        other = panel.logic.process(self.volume, passes=1)
        other.SetName("One pass")
        ui = panel.comparing.ui
        ui.referenceSelector.setCurrentNode(first)
        ui.othersSelector.setCheckState(other, qt.Qt.Checked)
        ui.compareButton.click()
        self.wait()
        self.draw("compare", "compareSection")
        with tempfile.TemporaryDirectory() as folder:
            panel.exporting.ui.exportSelector.setCurrentNode(first)
            panel.exporting.ui.exportFolder.currentPath = folder
            panel.exporting.ui.exportButton.click()
            panel.exporting.ui.exportFolder.currentPath = "Documents/LowResSeg"
            panel.exporting.ui.exportMessage.text = panel.exporting.ui.exportMessage.text.replace(
                folder, "Documents/LowResSeg"
            )
            self.draw("export", "exportSection")
        self.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty volume")
        panel.batch.ui.batchSection.collapsed = False
        panel.batch.ui.batchButton.click()
        self.wait()
        self.draw("batch", "batchSection")
        label = panel.models.ui.modelsFolderLabel
        label.text = label.text.replace(str(panel.logic.models_folder()), "~/.local/share/LowResSeg/Models")
        self.draw("models", "modelsSection")

    def remote(self, folder: Path) -> None:
        """The section Remote after a test of a server that runs here and is shown as one called jetson."""
        from host import pump
        from stand_in import certificate, serving

        ui = self.panel.remote.ui
        with serving("token-of-the-picture", certificate(folder, "picture")) as server:
            ui.remoteSection.collapsed = False
            ui.remoteAddressEdit.text = server.url
            ui.remoteAddressEdit.editingFinished.emit()
            ui.remoteTokenEdit.text = server.token
            ui.remoteCheckBox.checked = True
            ui.testConnectionButton.click()
            while self.panel.context.run is not None:  # the server's threads need Python's lock, which pump keeps
                pump.settle()
                time.sleep(0.01)
        ui.remoteAddressEdit.text = "https://jetson:8765"
        self.draw("remote", "remoteSection")


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", type=Path, help="a T1-weighted scan of a head")
    parser.add_argument("folder", type=Path, nargs="?", default=CHECKOUT / "docs" / "pictures")
    given = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ.setdefault("QT_LOGGING_RULES", "*.debug=false;qt.qpa.*=false")
    folders = ("Testing/Panel", "Testing/Slicer", "Testing/Remote", "LowResSeg", ".")
    sys.path[:0] = [str(CHECKOUT / each) for each in folders]
    from host import application

    given.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as settings:
        os.environ["LOWRESSEG_MODELS"] = ""
        os.environ["XDG_DATA_HOME"] = settings  # no models but the bundled ones
        os.environ["LOWRESSEG_SETTINGS"] = settings
        pictures = Pictures(application.start(Path(settings)), given.scan, given.folder)
        pictures.segment()
        pictures.more()
        pictures.remote(Path(settings))
        pictures.panel.cleanup()


if __name__ == "__main__":
    main()
