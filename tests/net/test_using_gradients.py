"""Parameters learn as in Caffe: shared ones, and where a file stops the gradient."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch

import caffe2fx
from caffe2fx.engines.pycaffe import Worker
from caffe2fx.errors import EngineError, ShapeMismatchError
from caffe2fx.files import prototxt
from caffe2fx.module.graph_module import CaffeGraphModule
from caffe2fx.weights import caffemodel
from caffe2fx.weights.caffemodel import LayerWeights
from tests.files import caffes_own

INPUT = """layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 3 dim: 4 } } }
"""
FC = """layer { name: "%s" type: "InnerProduct" bottom: "%s" top: "%s" %s
  inner_product_param { num_output: %d bias_term: %s } }
"""

NETS = {
    "every way": INPUT
    + FC % ("a", "x", "a", "", 6, "true")
    + FC % ("b", "a", "b", "loss_weight: 0.5", 2, "true"),
    "no way down": INPUT
    + FC % ("a", "x", "a", "", 6, "true")
    + FC % ("b", "a", "b", "loss_weight: 0.5 propagate_down: false", 2, "true"),
    "one way of two": INPUT
    + FC % ("a", "x", "a", "", 6, "true")
    + FC % ("b", "x", "b", "", 6, "true")
    + 'layer { name: "c" type: "Eltwise" bottom: "a" bottom: "b" top: "c" loss_weight: 2 '
    "propagate_down: true propagate_down: false }\n",
    "cut in one branch": INPUT
    + FC % ("a", "x", "a", "", 6, "true")
    + FC % ("b", "a", "b", "loss_weight: 0.5 propagate_down: false", 2, "true")
    + FC % ("c", "a", "c", "loss_weight: 2", 2, "true"),
    "cut, but forced": "force_backward: true\n"
    + INPUT
    + FC % ("a", "x", "a", "", 6, "true")
    + FC % ("b", "a", "b", "loss_weight: 0.5 propagate_down: false", 2, "true"),
    "shared": INPUT
    + FC % ("a", "x", "a", 'loss_weight: 3 param { name: "w" } param { name: "v" }', 5, "true")
    + FC % ("b", "x", "b", 'loss_weight: 1 param { name: "w" } param { name: "v" }', 5, "true"),
    "shared in another shape": INPUT
    + FC % ("a", "x", "a", 'param { name: "w" }', 6, "false")
    + FC % ("b", "a", "b", 'loss_weight: 1 param { name: "w" share_mode: PERMISSIVE }', 4, "false"),
}


def loaded(text: str, folder: Path) -> tuple[CaffeGraphModule, Path, Path]:
    path, model = folder / "net.prototxt", folder / "net.caffemodel"
    path.write_text(text)
    net = caffe2fx.load(path).caffe.net
    torch.manual_seed(2)
    entries = [
        LayerWeights(step.name, step.layer.type, tuple(map(torch.randn_like, step.blobs)))
        for step in net.steps
    ]
    caffemodel.write(model, "", entries)
    return caffe2fx.load(path, model), path, model


@pytest.mark.pycaffe
@pytest.mark.parametrize("case", NETS)
def test_gradients_are_real_caffes(case: str, tmp_path: Path) -> None:
    module, path, model = loaded(NETS[case], tmp_path)
    x = torch.randn(3, 4)
    module.caffe.loss(x).backward()
    theirs = caffes_own.gradients(path, model, {"x": x})
    named = dict(module.named_parameters())
    # One parameter in all its layers, or else one that is left out would go unseen.
    assert len(named) == len(set(map(id, named.values())))
    for step, made in module.caffe.layers():
        for index, blob in enumerate(step.layer.blobs_of(made)):
            leaf = made.blob0 if not isinstance(blob, torch.nn.Parameter) else blob
            mine = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
            theirs_in_shape = theirs[f"{step.name}:{index}"].reshape(mine.shape)
            torch.testing.assert_close(mine, theirs_in_shape, rtol=1e-4, atol=1e-5)


def test_a_blob_in_two_shapes_is_one_parameter(tmp_path: Path) -> None:
    module, path, _ = loaded(NETS["shared in another shape"], tmp_path)
    x = torch.randn(3, 4)
    for twin in (module, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert twin.a.weight is twin.b.blob0 and len(list(twin.parameters())) == 1
        expected = x @ twin.a.weight.T @ twin.a.weight.reshape(4, 6).T
        torch.testing.assert_close(twin(x), expected)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    module(x).sum().backward()
    optimizer.step()
    tuned = tmp_path / "tuned.caffemodel"
    caffe2fx.save_weights(module, tuned)
    torch.testing.assert_close(caffe2fx.load(path, tuned)(x), module(x))


@pytest.mark.pycaffe
def test_propagate_down_is_stated_for_every_bottom_or_none(tmp_path: Path) -> None:
    text = NETS["one way of two"].replace("propagate_down: true propagate_down: false",
                                          "propagate_down: true")  # fmt: skip
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    with pytest.raises(ShapeMismatchError, match=r"layer 'c' .* needs propagate_down for none"):
        caffe2fx.load(path)
    with Worker() as worker, pytest.raises(EngineError):
        worker.ask("load", prototxt=str(path), weights="", phase="TEST")


def test_propagate_down_is_written_again() -> None:
    net = prototxt.parse(NETS["one way of two"])
    assert net.steps[3].propagate_down == (True, False)
    assert prototxt.parse(prototxt.text_of(net)) == net
