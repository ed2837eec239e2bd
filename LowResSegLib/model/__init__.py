"""The model file: card, labels, grid, network. Needs only the standard library and numpy to read."""

from LowResSegLib.model.described import Described
from LowResSegLib.model.file import FORMAT_VERSION, KINDS, MODALITIES, PASSES, SUFFIX, Model, read_model, write_model
from LowResSegLib.model.fusion import Fusion
from LowResSegLib.model.onnx_network import OnnxNetwork
from LowResSegLib.model.plan import Layer, Plan, check_plan
from LowResSegLib.model.store import (
    InstalledModel,
    available_models,
    install_model,
    installed_models,
    load_model,
    model_folders,
    remove_model,
    user_folder,
)

__all__ = [
    "FORMAT_VERSION",
    "KINDS",
    "MODALITIES",
    "PASSES",
    "SUFFIX",
    "Described",
    "Fusion",
    "InstalledModel",
    "Layer",
    "Model",
    "OnnxNetwork",
    "Plan",
    "available_models",
    "check_plan",
    "install_model",
    "installed_models",
    "load_model",
    "model_folders",
    "read_model",
    "remove_model",
    "user_folder",
    "write_model",
]
