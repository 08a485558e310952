"""A loaded net is used as any module: every tool of torch takes it, and it stays Caffe's."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import caffe2fx
from caffe2fx.module.graph_module import CaffeGraphModule
from caffe2fx.verdict.reference.calibrate import calibrate
from tests.files.test_upgrade import V0, V1

CNN = """name: "cnn"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 2 dim: 3 dim: 15 dim: 15 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 8 kernel_size: 3 bias_term: false } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "norm" type: "LRN" bottom: "conv" top: "norm" lrn_param { local_size: 3 } }
layer { name: "pool" type: "Pooling" bottom: "norm" top: "pool"
  pooling_param { kernel_size: 3 stride: 2 pad: 1 } }
layer { name: "cut" type: "Slice" bottom: "pool" top: "a" top: "b" }
layer { name: "prelu" type: "PReLU" bottom: "a" top: "a" }
layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum"
  eltwise_param { coeff: 1 coeff: -0.5 } }
layer { name: "up" type: "Deconvolution" bottom: "sum" top: "up"
  convolution_param { num_output: 4 kernel_size: 2 stride: 2 group: 4 } }
layer { name: "crop" type: "Crop" bottom: "up" bottom: "norm" top: "crop"
  crop_param { axis: 2 offset: 1 } }
layer { name: "cat" type: "Concat" bottom: "crop" bottom: "norm" top: "cat" }
layer { name: "average" type: "Pooling" bottom: "cat" top: "average"
  pooling_param { pool: AVE global_pooling: true } }
layer { name: "drop" type: "Dropout" bottom: "average" top: "average" }
layer { name: "fc" type: "InnerProduct" bottom: "average" top: "fc"
  inner_product_param { num_output: 5 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
layer { name: "flat" type: "Reshape" bottom: "sum" top: "flat"
  reshape_param { shape { dim: 0 dim: -1 } } }
"""
SHAPE = (2, 3, 15, 15)


def image(batch: int = 2) -> Tensor:
    return torch.randn(batch, *SHAPE[1:], generator=torch.Generator().manual_seed(batch))


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("using")
    text, model = folder / "cnn.prototxt", folder / "cnn.caffemodel"
    text.write_text(CNN)
    made = caffe2fx.load(text)
    calibrate(made, [image()])
    caffe2fx.save_weights(made, model)
    return text, model


@pytest.fixture
def net(paths: tuple[Path, Path]) -> CaffeGraphModule:
    return caffe2fx.load(*paths)


def assert_equal(mine: Any, theirs: Any, tolerance: float = 1e-5) -> None:
    assert len(mine) == len(theirs) == 2
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one.float(), other.float(), rtol=tolerance, atol=tolerance)


def compiled(net: nn.Module) -> Callable[[Tensor], Any]:
    return torch.compile(net, backend="aot_eager", fullgraph=True)


def exported(net: nn.Module) -> Callable[[Tensor], Any]:
    return torch.export.export(net, (image(),)).module()


def any_batch(net: nn.Module) -> Callable[[Tensor], Any]:
    most = None if torch.__version__ >= "2.3" else 15  # of torch's own convolution in 2.2
    sizes = ({0: torch.export.Dim("batch", max=most)},)
    return torch.export.export(net, (image(),), dynamic_shapes=sizes).module()


def traced(net: nn.Module) -> Callable[[Tensor], Any]:
    return torch.jit.trace(net, image())


def through_file(net: nn.Module) -> Callable[[Tensor], Any]:
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


TOOLS: dict[str, Callable[[nn.Module], Callable[[Tensor], Any]]] = {
    "torch.compile": compiled,
    "torch.export": exported,
    "torch.export of any batch": any_batch,
    "torch.jit.trace": traced,
    "torch.save": through_file,
    "copy.deepcopy": copy.deepcopy,
    "pickle": lambda net: pickle.loads(pickle.dumps(net)),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_tools_give_the_same_values(net: CaffeGraphModule, tool: str) -> None:
    with torch.no_grad():
        made = TOOLS[tool](net)
        assert_equal(made(image()), net(image()))
        if tool != "torch.export":  # which fixes all sizes unless asked otherwise
            assert_equal(made(image(5)), net(image(5)))


def test_a_program_of_torch_export_is_saved_and_read(net: CaffeGraphModule, tmp_path: Path) -> None:
    torch.export.save(torch.export.export(net, (image(),)), tmp_path / "net.pt2")
    again = torch.export.load(tmp_path / "net.pt2").module()
    with torch.no_grad():
        assert_equal(again(image()), net(image()))


@pytest.mark.parametrize("dynamo", [True, False])
def test_onnx(net: CaffeGraphModule, tmp_path: Path, dynamo: bool) -> None:
    if dynamo and torch.__version__ < "2.5":
        pytest.skip("torch.onnx.export has dynamo= since torch 2.5")
    path, how = str(tmp_path / "net.onnx"), {"dynamo": dynamo} if torch.__version__ >= "2.5" else {}
    torch.onnx.export(net, (image(),), path, verbose=False, **how)
    session = onnxruntime.InferenceSession(path)
    (given,) = session.get_inputs()
    found = session.run(None, {given.name: image().numpy()})
    with torch.no_grad():
        assert_equal([torch.from_numpy(one) for one in found], net(image()), 1e-4)


def test_to_folder(net: CaffeGraphModule, tmp_path: Path, monkeypatch: Any) -> None:
    net.to_folder(tmp_path / "cnn_in_torch", "Cnn")
    monkeypatch.syspath_prepend(str(tmp_path))
    made = __import__("cnn_in_torch").Cnn().eval()
    with torch.no_grad():
        assert_equal(made(image()), net(image()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_precisions(paths: tuple[Path, Path], tmp_path: Path, dtype: torch.dtype) -> None:
    text = tmp_path / "net.prototxt"
    # torch has no LRN of half precision on the CPU.
    text.write_text(CNN.replace('"LRN"', '"TanH"').replace("lrn_param { local_size: 3 }", ""))
    net = caffe2fx.load(text, paths[1])
    made = copy.deepcopy(net).to(dtype)
    assert {parameter.dtype for parameter in made.parameters()} == {dtype}
    with torch.no_grad():
        found = made(image().to(dtype))
        assert {one.dtype for one in found} == {dtype}
        tolerance = {torch.float64: 1e-5, torch.float16: 2e-2, torch.bfloat16: 1e-1}[dtype]
        assert_equal(found, net(image()), tolerance)
        assert {one.dtype for one in made.caffe.blobs(image().to(dtype)).values()} == {dtype}


def test_device_moves(net: CaffeGraphModule) -> None:
    """Every tensor of the net moves: none is hidden in a constant of the graph."""
    moved = copy.deepcopy(net).to("meta")
    assert {one.device.type for one in moved(image().to("meta"))} == {"meta"}
    if torch.cuda.is_available():
        with torch.no_grad():
            found = copy.deepcopy(net).cuda()(image().cuda())
            assert_equal([one.cpu() for one in found], net(image()), 1e-4)


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_other_batches(net: CaffeGraphModule, batch: int) -> None:
    with torch.no_grad():
        whole = net(image(batch))
        rows = [net(one[None]) for one in image(batch)]
    for index, one in enumerate(whole):
        joined = torch.cat([row[index] for row in rows])
        torch.testing.assert_close(one, joined, rtol=1e-4, atol=1e-5)


def step(net: Any, x: Tensor) -> None:
    """Take one step of training: BatchNorm and Dropout are as when a net learns."""
    torch.manual_seed(0)
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    results = net(x)
    results = [results] if isinstance(results, Tensor) else results
    loss = sum((one * torch.randn_like(one)).sum() for one in results)
    loss.backward()
    optimizer.step()
    net.eval()


@pytest.mark.pycaffe
def test_tuned_weights_are_real_caffes(paths: tuple[Path, Path], tmp_path: Path) -> None:
    text, model = paths
    before = text.read_bytes()
    net = caffe2fx.load(text, model)
    step(net, image())
    tuned = tmp_path / "tuned.caffemodel"
    caffe2fx.save_weights(net, tuned)
    for one, other in zip(net(image()), caffe2fx.load(text, model)(image()), strict=True):
        assert not torch.allclose(one, other, atol=1e-3)
    report = caffe2fx.compare(net, (text, tuned), image(), engine="pycaffe")
    assert report.ok, str(report)
    assert text.read_bytes() == before


@pytest.mark.pycaffe
@pytest.mark.parametrize("text", [V0, V1], ids=["V0", "V1"])
def test_old_nets_are_tuned_too(text: str, tmp_path: Path) -> None:
    path, start, tuned = (tmp_path / name for name in ("n.prototxt", "a.caffemodel", "b"))
    path.write_text(text)
    x = torch.randn(2, 3, 12, 10)
    net = caffe2fx.load(path)
    calibrate(net, [x])
    caffe2fx.save_weights(net, start)
    net = caffe2fx.load(path, start, outputs=["fc"])
    before = net(x).detach()
    step(net, x)
    caffe2fx.save_weights(net, tuned)
    tuned_net = caffe2fx.load(path, tuned, outputs=["fc"])
    assert torch.equal(tuned_net(x), net(x))
    report = caffe2fx.compare(tuned_net, (path, tuned), x, engine="pycaffe")
    assert report.ok and not torch.allclose(net(x), before, atol=1e-3), str(report)
