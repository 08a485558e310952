"""The loss of a whole net, loss weights in text, and learning rates of parameters."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import caffe2fx
from caffe2fx.errors import CaffeError
from caffe2fx.files.prototxt import parse, text_of
from caffe2fx.layers import InfogainLoss, LossParameter, SoftmaxWithLoss
from caffe2fx.module.builder import graph_module
from caffe2fx.module.graph_module import CaffeGraphModule
from caffe2fx.module.save import weights_of
from caffe2fx.net.initial_weights import with_initial_weights
from caffe2fx.net.net import Net
from tests.layers.loss import MATRIX
from tests.module.training.nets import data, layer, product
from tests.module.training.real import ask
from tests.module.training.test_training import near

SCORES = data(4, 5) + product("score", "data", 3)
LABELLED = "score label"
SUM = "loss_weight: 0.01 reduction_param { operation: SUMSQ }"
INFOGAIN = f'loss_weight: 0.1 infogain_loss_param {{ source: "{MATRIX}" }}'
NETS = {
    "a loss": layer("SoftmaxWithLoss", "loss", LABELLED),
    "two losses": layer("SoftmaxWithLoss", "one", LABELLED, "", "loss_weight: 0.3")
    + layer("HingeLoss", "two", LABELLED),
    "a loss of weight 0": layer("SoftmaxWithLoss", "one", LABELLED, "", "loss_weight: 0")
    + layer("HingeLoss", "two", LABELLED),
    "a loss that is no loss layer": layer("Reduction", "decay", "score", "", SUM),
    "a loss of many values": layer("AbsVal", "sparse", "score", "", "loss_weight: 0.25"),
    "a negative loss": layer("AbsVal", "sparse", "score", "", "loss_weight: -0.25"),
    "a loss with a reader": layer("AbsVal", "sparse", "score", "", "loss_weight: 0.25")
    + layer("Reduction", "decay", "sparse", "", SUM),
    "a loss in place": layer("ReLU", "relu", "score", "score", "loss_weight: 0.5"),
    "two tops": layer("Slice", "cut", "score", "a b", "loss_weight: 2 loss_weight: 0 "
                      "slice_param { slice_point: 1 }"),
    "no top": layer("SoftmaxWithLoss", "loss", LABELLED).replace('top: "loss"', ""),
    "two without a top": layer("SoftmaxWithLoss", "one", LABELLED).replace('top: "one"', "")
    + layer("InfogainLoss", "two", LABELLED, "", INFOGAIN).replace('top: "two"', ""),
    "no loss": layer("Sigmoid", "y", "score"),
}  # fmt: skip


def net_named(name: str) -> tuple[str, Net, CaffeGraphModule]:
    text = SCORES + NETS[name]
    net = with_initial_weights(parse(text, phase="TRAIN"))
    return text, net, graph_module(net).train()


def batch() -> dict[str, torch.Tensor]:
    images = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    return {"data": images, "label": torch.tensor([0.0, 2.0, 1.0, 2.9])}


@pytest.mark.pycaffe
@pytest.mark.parametrize("name", NETS)
def test_the_loss_is_that_of_real_caffes_forward(name: str) -> None:
    text, net, module = net_named(name)
    real = ask("backward", text, weights_of(net), batch(), phase="TRAIN")
    loss = module.caffe.loss(batch())
    near(loss, real["loss"], 1e-6)
    if name == "no loss":
        assert not loss.requires_grad
        return
    loss.backward()
    weight = module.get_parameter("score.weight").grad
    assert weight is not None
    near(weight, real["grad:score/0"], 1e-5)


@pytest.mark.parametrize("name", NETS)
def test_loss_weights_are_kept_in_text(name: str) -> None:
    net = parse(SCORES + NETS[name])
    again = parse(text_of(net))
    assert again == net
    assert [step.loss_weight for step in again] == [step.loss_weight for step in net]
    stated = (SCORES + NETS[name]).count("loss_weight")
    assert sum(len(step.loss_weight) for step in net) == stated


def test_a_step_with_another_loss_weight_is_another() -> None:
    one, two = (parse(SCORES + NETS[name]) for name in ("a loss", "two losses"))
    assert one.steps[-1].loss_weights == (1.0,)
    assert two.steps[-2].loss_weights == (0.3,)
    text = SCORES + layer("SoftmaxWithLoss", "loss", LABELLED, "", "loss_weight: 1")
    assert parse(text).steps[-1] != one.steps[-1]


@pytest.mark.pycaffe
def test_a_net_whose_losses_name_no_top_is_compared_with_real_caffe(tmp_path: Path) -> None:
    text, _, module = net_named("two without a top")
    path = tmp_path / "net.prototxt"
    path.write_text(text + layer("Sigmoid", "y", "score"))
    caffe2fx.save_weights(module, weights := tmp_path / "net.caffemodel")
    loaded = caffe2fx.load(path, weights)
    assert loaded.caffe.outputs == ("y",)
    report = caffe2fx.compare(loaded, (path, weights), batch(), engine="pycaffe")
    assert report.ok, str(report)


def test_the_second_top_of_a_softmax_loss_has_no_gradient() -> None:
    """Real Caffe refuses one of any loss_weight by mistake; its forks do not."""
    scores = torch.randn(6, 3, requires_grad=True)
    layer_ = SoftmaxWithLoss(loss_param=LossParameter(ignore_label=1))
    labels = torch.tensor([0.0, 1, 2, 2, 1, 0])
    loss, share = layer_.compute([scores, labels], (), 2)
    torch.testing.assert_close(share, scores.softmax(1))
    wanted = nn.functional.cross_entropy(scores, labels.long(), ignore_index=1)
    torch.testing.assert_close(loss, wanted)
    assert not share.requires_grad
    assert torch.equal(layer_.compute([scores, labels], (), 1)[0], loss)


def test_masked_scores_have_a_loss_and_gradients() -> None:
    scores = torch.tensor([[0.0, 1.0, -torch.inf], [-torch.inf, 0.0, 0.0]], requires_grad=True)
    (loss,) = SoftmaxWithLoss().compute([scores, torch.tensor([1.0, 1.0])], (), 1)
    loss.backward()
    assert loss.isfinite() and scores.grad is not None and scores.grad.isfinite().all()


def test_a_matrix_that_was_loaded_needs_its_file_no_more(tmp_path: Path) -> None:
    path = tmp_path / "h.binaryproto"
    path.write_bytes(Path(MATRIX).read_bytes())
    module = InfogainLoss(source=str(path)).module(((2, 3), (2,)), (), 1)
    path.unlink()
    assert float(module(torch.zeros(2, 3), torch.tensor([0.0, 2.0]))) > 0


SHARED = "".join([
    data(4, 5),
    product("one", "data", 5, 'param { name: "w" lr_mult: 2 } param { lr_mult: 0 }'),
    product("two", "one", 5, 'param { name: "w" } param { lr_mult: 3 decay_mult: 0.5 }'),
    layer("EuclideanLoss", "loss", "two data"),
])  # fmt: skip


def test_parameter_groups_have_the_multipliers_of_their_blobs() -> None:
    module = graph_module(with_initial_weights(parse(SHARED)))
    groups = caffe2fx.parameter_groups(module, lr=0.1, weight_decay=0.01)
    one, two = module.get_submodule("one"), module.get_submodule("two")
    found = [(group["lr"], group["weight_decay"], list(map(id, group["params"])))
             for group in groups]  # fmt: skip
    assert found == [
        (0.2, 0.01, [id(one.weight)]),
        (0.0, 0.01, [id(one.bias)]),
        (pytest.approx(0.3), 0.005, [id(two.bias)]),
    ]
    assert one.weight is two.weight


def test_parameter_groups_hold_added_parameters_and_no_frozen_ones() -> None:
    module = graph_module(with_initial_weights(parse(SHARED)))
    module.head = nn.Linear(5, 2)
    module.get_parameter("one.bias").requires_grad_(False)
    groups = caffe2fx.parameter_groups(module, lr=0.1)
    assert [group["lr"] for group in groups] == [0.2, pytest.approx(0.3), 0.1]
    assert [len(group["params"]) for group in groups] == [1, 1, 2]


def test_one_parameter_with_two_rates_is_refused() -> None:
    with pytest.raises(CaffeError, match=r"layer 'two' .* needs its lr_mult 2, got 7"):
        parse(SHARED.replace('param { name: "w" }', 'param { name: "w" lr_mult: 7 }'))
