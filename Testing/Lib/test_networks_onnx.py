"""Float networks exported to ONNX give the same logits in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; it is needed for training only")
pytest.importorskip("onnx", reason="onnx is not installed; export needs it")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from LowResSegLib.networks import NetworkSettings, build_network, reestimate_statistics  # noqa: E402

TRUNKS = [
    NetworkSettings("unet", 2, 1, (8, 12), "float"),
    NetworkSettings("unet", 3, 1, (6, 8, 8), "float"),
    NetworkSettings("elu_net", 2, 1, (4,), "float"),
    NetworkSettings("elu_net", 3, 1, (2,), "float"),
    NetworkSettings("meshnet", 2, 1, (5,), "float"),
    NetworkSettings("meshnet", 3, 1, (5,), "float"),
    NetworkSettings("unext", 2, 3, (8, 16, 16, 20, 24), "float"),
    NetworkSettings("ternary_net", 2, 15, (4,), "float"),
    NetworkSettings("ternary_net_deployable", 3, 1, (4,), "float"),
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the exporter that needs no further package
@pytest.mark.filterwarnings("ignore:Constant folding")
@pytest.mark.parametrize("settings", TRUNKS, ids=lambda settings: f"{settings.name}-{settings.dimensions}d")
def test_onnx_runtime_agrees(settings: NetworkSettings, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_network(settings, 3)
    image = torch.rand(1, settings.inputs, *((32, 64) if settings.dimensions == 2 else (16, 16, 32)))
    reestimate_statistics(network, [image])
    file = tmp_path / "network.onnx"
    names = {"input_names": ["image"], "output_names": ["logits"]}
    torch.onnx.export(network.trunk, (image,), str(file), opset_version=17, dynamo=False, **names)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": image.numpy()})
    with torch.no_grad():
        expected = network(image).logits.numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert expected.std() > 1e-3
