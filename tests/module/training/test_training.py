"""A loaded net has Caffe's loss and gradients, and ends where Caffe ends after ten steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import caffe2fx
from caffe2fx.files.prototxt import text_of
from caffe2fx.layers import Input
from caffe2fx.module.graph_module import CaffeGraphModule
from caffe2fx.module.save import current_net, weights_of
from caffe2fx.net.net import Net
from caffe2fx.net.step import is_input
from caffe2fx.verdict.maps.measures import largest
from tests.module.training.nets import NETS
from tests.module.training.real import ask

STEPS = 10
RATE, DECAY, MOMENTUM = 0.002, 0.05, 0.9
SOLVER = f"base_lr: {RATE} weight_decay: {DECAY} momentum: {MOMENTUM}"

every_net = pytest.mark.parametrize("net", NETS)


def loaded(net: str, folder: Path) -> CaffeGraphModule:
    """Return the net in train mode, with weights as the fillers draw them."""
    path = folder / "net.prototxt"
    path.write_text(NETS[net])
    return caffe2fx.load(path, phase="TRAIN")


def batches(module: CaffeGraphModule, count: int) -> dict[str, Tensor]:
    """Return images and labels, `count` of each, that a net can learn."""
    generator = torch.Generator().manual_seed(3)
    data, label = input_shapes(module)
    labels = torch.randint(0, 5, (count, *label), generator=generator).float()
    images = torch.randn(count, *data, generator=generator)
    return {"data": images + labels[..., None, None, None] / 2, "label": labels}


def input_shapes(module: CaffeGraphModule) -> list[tuple[int, ...]]:
    shapes = module.caffe.net.shapes()
    return [shapes[value] for value in module.caffe.net.inputs]


def by_blob(module: CaffeGraphModule) -> dict[str, Tensor]:
    """Return every weight blob that the module holds, as "layer/index"."""
    return {
        f"{step.name}/{number}": blob
        for step, made in module.caffe.layers()
        for number, blob in enumerate(step.layer.blobs_of(made))
    }


def near(mine: Tensor, theirs: Tensor, limit: float) -> None:
    distance = largest(mine.detach() - theirs)
    assert distance <= limit * largest(theirs), f"{distance:.1e} of {largest(theirs):.1e}"


@pytest.mark.pycaffe
@every_net
def test_loss_and_gradients_are_those_of_real_caffe(net: str, tmp_path: Path) -> None:
    module = loaded(net, tmp_path)
    weights = weights_of(module.caffe.net)
    given = {name: value[0] for name, value in batches(module, 1).items()}
    real = ask("backward", NETS[net], weights, given, phase="TRAIN")
    data = given["data"].requires_grad_()
    loss = module.caffe.loss(data, given["label"])
    loss.backward()
    near(loss, real["loss"], 1e-6)
    assert data.grad is not None
    near(data.grad, real["diff:data"], 1e-5)
    for name, blob in by_blob(module).items():
        if isinstance(blob, torch.nn.Parameter):
            assert blob.grad is not None
            near(blob.grad, real[f"grad:{name}"], 1e-5)
        else:
            near(blob, real[f"param:{name}"], 1e-6)


@pytest.mark.pycaffe
@every_net
def test_ten_steps_end_where_real_caffe_ends(net: str, tmp_path: Path) -> None:
    module = loaded(net, tmp_path)
    before = {name: blob.detach().clone() for name, blob in by_blob(module).items()}
    given = batches(module, STEPS)
    real = ask("solve", NETS[net], weights_of(module.caffe.net), given, solver=SOLVER, steps=STEPS)
    groups = caffe2fx.parameter_groups(module, lr=RATE, weight_decay=DECAY)
    optimizer = torch.optim.SGD(groups, momentum=MOMENTUM)
    for data, label in zip(given["data"], given["label"], strict=True):
        optimizer.zero_grad()
        loss = module.caffe.loss(data, label)
        loss.backward()
        optimizer.step()
    after = by_blob(module)
    assert set(after) == set(real)
    for name, blob in after.items():
        distance = largest(blob.detach() - real[name])
        assert distance <= 1e-4, f"{name}: {distance:.1e}"
        frozen = net == "cifar_quick" and name.startswith("conv3/")
        assert torch.equal(before[name], blob) == frozen
    assert max(largest(after[name] - before[name]) for name in after) > 0.01


@pytest.mark.pycaffe
def test_trained_weights_are_tested_by_real_caffe(tmp_path: Path) -> None:
    module = loaded("batch_norm", tmp_path)
    given = batches(module, 3)
    for data, label in zip(given["data"], given["label"], strict=True):
        module(data, label)
    caffe2fx.save_weights(module, path := tmp_path / "net.caffemodel")
    again = caffe2fx.load(tmp_path / "net.prototxt", path)
    one = {name: value[0] for name, value in given.items()}
    real = ask("backward", NETS["batch_norm"], weights_of(current_net(module)), one)
    for found in (module.eval().caffe.blobs(one), again.caffe.blobs(one)):
        near(found["score"], real["blob:score"], 1e-5)


CORPUS = {
    "cifar10/cifar10_full_train_test": {"data": (8, 3, 32, 32), "label": (8,)},
    "cifar10/cifar10_full_sigmoid_train_test_bn": {"data": (8, 3, 32, 32), "label": (8,)},
    "siamese/mnist_siamese_train_test": {"pair_data": (8, 2, 28, 28), "sim": (8,)},
}


@pytest.mark.corpus
@pytest.mark.pycaffe
@pytest.mark.parametrize("name", CORPUS)
def test_gradients_of_nets_of_the_corpus(name: str, corpus: Path) -> None:
    path = corpus / "nets/BVLC__caffe/examples" / f"{name}.prototxt"
    module = caffe2fx.load(path, phase="TRAIN", shapes=CORPUS[name])
    net = fed_by_hand(module.caffe.net)
    images, labels = CORPUS[name]
    given = {
        images: torch.randn(CORPUS[name][images], generator=torch.Generator().manual_seed(5)) * 50,
        labels: torch.arange(8.0) % (2 if labels == "sim" else 8),
    }
    weights = weights_of(current_net(module))
    real = ask("backward", text_of(net), weights, given, phase="TRAIN")
    loss = module.caffe.loss(given)
    loss.backward()
    near(loss, real["loss"], 1e-6)
    seen = set()
    for blob_name, blob in by_blob(module).items():
        if isinstance(blob, torch.nn.Parameter) and blob not in seen:  # Caffe's owner is the first
            assert blob.grad is not None
            near(blob.grad, real[f"grad:{blob_name}"], 1e-4)
            seen.add(blob)


def fed_by_hand(net: Net) -> Net:
    """Return the net with Input layers for those that read a database."""
    shapes = net.shapes()
    steps = tuple(
        replace(step, layer=Input(shape=tuple(shapes[top] for top in step.tops)))
        if is_input(step)
        else step
        for step in net.steps
    )
    return replace(net, steps=steps)
