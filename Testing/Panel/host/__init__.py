"""A host for the panel on PySide6 and slicer-core, for tests and for pictures. See `application`."""
