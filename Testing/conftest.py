"""What holds for all tests."""

from __future__ import annotations

import os

# Before torch and numpy are loaded: on arrays as small as the tests' more threads only wait for each other, which took
# three times the processor's time. The project's own threads, and ONNX Runtime's, are counted by its own arguments.
os.environ.setdefault("OMP_NUM_THREADS", "1")
