"""A scan to try the module on, offered by Slicer's Sample Data module."""

from __future__ import annotations

from pathlib import Path

from slicer.i18n import tr as _

CATEGORY = "LowResSeg"
# Slicer's own public sample, with its file name, so that a copy in Slicer's cache is not downloaded again.
_SHA256 = "cc211f0dfd9a05ca3841ce1141b292898b2dd2d3f08286affadf823a7e58df93"
_ADDRESS = f"https://github.com/Slicer/SlicerTestingData/releases/download/SHA256/{_SHA256}"
_ICONS = Path(__file__).resolve().parents[1] / "Resources" / "Icons"


def register_sample_data() -> None:
    """Offer a T1-weighted scan of a head in the Sample Data module, under this module's own heading.

    Nothing is downloaded before the user clicks it. Registering it again, as after a reload, changes nothing.
    """
    import SampleData  # a module of Slicer, found once the application has loaded its modules

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=_("T1 head"),
        thumbnailFileName=str(_ICONS / "LowResSegT1Head.png"),
        uris=_ADDRESS,
        fileNames="MR-head.nrrd",
        nodeNames="MRHead",
        checksums=f"SHA256:{_SHA256}",
    )
