"""On PYTHONPATH this makes Python forget editable installations, which would otherwise win over other folders on it."""

import sys

sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", "")]
