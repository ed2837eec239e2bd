"""The model file: card, labels, grid, plan of layers, weights. Needs only the standard library and numpy to read."""

from LowResSegLib.model.file import FORMAT_VERSION, MODALITIES, PASSES, SUFFIX, Model, read_model, write_model
from LowResSegLib.model.plan import Layer, Plan, check_plan
from LowResSegLib.model.store import available_models, load_model, model_folders

__all__ = [
    "FORMAT_VERSION",
    "MODALITIES",
    "PASSES",
    "SUFFIX",
    "Layer",
    "Model",
    "Plan",
    "available_models",
    "check_plan",
    "load_model",
    "model_folders",
    "read_model",
    "write_model",
]
