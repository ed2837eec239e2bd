"""Networks by name."""

from __future__ import annotations

from collections.abc import Callable

from LowResSegLib.errors import InputError
from LowResSegLib.networks.elu_net import ELUNet
from LowResSegLib.networks.mesh_net import MeshNet
from LowResSegLib.networks.settings import NetworkSettings
from LowResSegLib.networks.ternary_net import TernaryNet, TernaryNetDeployable
from LowResSegLib.networks.trunk import Network, Trunk
from LowResSegLib.networks.unet import UNet
from LowResSegLib.networks.unext import UNeXt


def _unet(classes: int, settings: NetworkSettings) -> Trunk:
    return UNet(classes, settings=settings)


NETWORKS: dict[str, Callable[[int, NetworkSettings], Trunk]] = {
    "unet": _unet,
    "elu_net": ELUNet,
    "meshnet": MeshNet,
    "unext": UNeXt,
    "ternary_net": TernaryNet,
    "ternary_net_deployable": TernaryNetDeployable,
}


def build_network(settings: NetworkSettings, classes: int) -> Network:
    """A network with fresh weights.

    Args:
        settings: which one.
        classes: number of output classes with the background.

    Raises:
        InputError: there is no such network, or it does not exist in these dimensions or this precision.
    """
    if settings.name not in NETWORKS:
        raise InputError(f"There is no network {settings.name!r}; choose one of {', '.join(NETWORKS)}.")
    if classes < 1:
        raise InputError("A network has at least one class.")
    return Network(NETWORKS[settings.name](classes, settings))
