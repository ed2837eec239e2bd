"""The structures of the C interface (see src/lowresseg.h) and numpy arrays as such."""

from __future__ import annotations

import ctypes

import numpy as np


class Layout(ctypes.Structure):
    """Where the voxels of an array lie: `lrs_layout`."""

    _fields_ = [("shape", ctypes.c_int32 * 3), ("first", ctypes.c_int64), ("strides", ctypes.c_int64 * 3)]


class Taps(ctypes.Structure):
    """A filter along one axis: `lrs_taps`."""

    _fields_ = [
        ("index", ctypes.c_void_p),
        ("index_bytes", ctypes.c_size_t),
        ("weight", ctypes.c_void_p),
        ("weight_bytes", ctypes.c_size_t),
        ("size", ctypes.c_int32),
        ("taps", ctypes.c_int32),
    ]


class Places(ctypes.Structure):
    """Where source voxels lie along one axis of the grid: `lrs_places`."""

    _fields_ = [
        ("before", ctypes.c_void_p),
        ("before_bytes", ctypes.c_size_t),
        ("weight", ctypes.c_void_p),
        ("weight_bytes", ctypes.c_size_t),
    ]


class Corrections(ctypes.Structure):
    """A table of corrections: `lrs_corrections`."""

    _fields_ = [
        ("values", ctypes.c_void_p),
        ("bytes", ctypes.c_size_t),
        ("ratios", ctypes.c_int32),
        ("leads", ctypes.c_int32),
        ("lead_shift", ctypes.c_int32),
    ]


def memory_of(array: np.ndarray) -> tuple[int, int, Layout]:
    """Address and bytes of the memory that a (z, y, x) array is a view of, and where its voxels lie there.

    The strides must be whole numbers of voxels.
    """
    reaches = [(n - 1) * stride for n, stride in zip(array.shape, array.strides)]
    below, above = -sum(min(0, reach) for reach in reaches), sum(max(0, reach) for reach in reaches)
    size = array.itemsize
    layout = Layout(array.shape, below // size, tuple(stride // size for stride in array.strides))
    return array.ctypes.data - below, below + above + size, layout
