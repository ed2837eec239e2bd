"""Torch modules of the low-resolution networks and of the heads. Needed for training only, never for segmenting."""

from LowResSegLib.networks.build import NETWORKS, build_network
from LowResSegLib.networks.cost import count_macs, count_parameters
from LowResSegLib.networks.heads import HEADS, Head, build_head
from LowResSegLib.networks.settings import PRECISIONS, HeadSettings, NetworkSettings
from LowResSegLib.networks.statistics import reestimate_statistics
from LowResSegLib.networks.ternary import beta_at, set_beta
from LowResSegLib.networks.trunk import Features, Network

__all__ = [
    "HEADS",
    "NETWORKS",
    "PRECISIONS",
    "Features",
    "Head",
    "HeadSettings",
    "Network",
    "NetworkSettings",
    "beta_at",
    "build_head",
    "build_network",
    "count_macs",
    "count_parameters",
    "reestimate_statistics",
    "set_beta",
]
