"""What sampling, labels and run records need of a model; the network itself may be on another computer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from LowResSegLib.sampling import GridSettings, Normalisation
from LowResSegLib.volume import Label


class Described(Protocol):
    """A `Model`, or the description of one that a server has; see `Model` for what the properties are."""

    @property
    def name(self) -> str:
        """Short name."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 of the network."""
        ...

    @property
    def passes(self) -> int:
        """How often the network looks at a scan."""
        ...

    @property
    def modality(self) -> str:
        """DICOM's code of the scans that it is for."""
        ...

    @property
    def labels(self) -> tuple[Label, ...]:
        """Of all classes, the background first."""
        ...

    @property
    def grid(self) -> GridSettings:
        """Its grid."""
        ...

    @property
    def normalisation(self) -> Normalisation:
        """How intensities become integers."""
        ...

    @property
    def card(self) -> Mapping[str, Any]:
        """What a reader wants to know."""
        ...
