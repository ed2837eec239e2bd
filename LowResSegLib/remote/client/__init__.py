"""The client: a scan is sampled here, the network runs on a server, labels are made here.

It needs the standard library and numpy.
"""

from LowResSegLib.remote.client.check import Check, check_server, list_models
from LowResSegLib.remote.client.segmenting import segment_remotely
from LowResSegLib.remote.client.server import Server
from LowResSegLib.remote.client.trust import Pin, forget_pin, known_pin, readable

__all__ = [
    "Check",
    "Pin",
    "Server",
    "check_server",
    "forget_pin",
    "known_pin",
    "list_models",
    "readable",
    "segment_remotely",
]
