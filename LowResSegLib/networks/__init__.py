"""Torch modules of the low-resolution networks. Needed for training only, never for segmenting."""
