"""BatchNorm and Dropout in train() and eval(), as in Caffe's phases TRAIN and TEST."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from math import sqrt
from pathlib import Path

import pytest
import torch

import caffe2fx
from caffe2fx.errors import EngineError, ShapeMismatchError
from caffe2fx.files.prototxt import parse, text_of
from caffe2fx.layers import BatchNorm
from caffe2fx.module.builder import graph_module
from caffe2fx.module.graph_module import CaffeGraphModule
from caffe2fx.module.save import weights_of
from caffe2fx.net.initial_weights import with_initial_weights
from caffe2fx.net.net import Net
from tests.module.training.nets import layer
from tests.module.training.real import ask
from tests.module.training.test_training import by_blob, near

Sizes = tuple[int, ...]
Blobs = tuple[torch.Tensor, ...]
RANKS: tuple[Sizes, ...] = (
    (6, 3), (4, 3, 5), (2, 3, 4, 5), (2, 3, 2, 4, 3), (2, 3, 2, 2, 2, 2), (1, 3)
)  # fmt: skip
STATISTICS = torch.tensor([0.5, -1.0, 2.0]), torch.tensor([1.5, 0.5, 3.0]), torch.tensor([2.5])
USES = ("", "use_global_stats: true", "use_global_stats: false")


def text(shape: Sizes, type_: str, rest: str, top: str = "y") -> str:
    dims = " ".join(f"dim: {size}" for size in shape)
    data = f'layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}\n'
    return f"force_backward: true\n{data}{layer(type_, 'it', 'x', top, rest)}"


def batch_norm(shape: Sizes, fields: str, blobs: Blobs = STATISTICS) -> tuple[str, Net]:
    """Return a net of one BatchNorm with statistics that it has from a file."""
    stated = f"batch_norm_param {{ moving_average_fraction: 0.9 {fields} }} loss_weight: 1"
    net = parse(source := text(shape, "BatchNorm", stated))
    first, second = net.steps
    return source, replace(net, steps=(first, replace(second, blobs=blobs)))


def image(shape: Sizes) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape))) * 2 + 1


@pytest.mark.pycaffe
@pytest.mark.parametrize("shape", RANKS, ids=str)
@pytest.mark.parametrize("fields", USES)
@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_batch_norm_follows_its_phase(shape: Sizes, fields: str, phase: str) -> None:
    source, net = batch_norm(shape, fields)
    module = graph_module(net).train(phase == "TRAIN")
    real = ask("backward", source, weights_of(net), {"x": image(shape)}, phase=phase)
    near(module(image(shape)), real["blob:y"], 1e-5)
    for name, blob in by_blob(module).items():
        if (phase, fields) == ("TEST", USES[2]):  # of which nothing depends
            torch.testing.assert_close(blob, STATISTICS[int(name[-1])])
        else:
            near(blob, real[f"param:{name}"], 1e-6)
    assert not list(module.parameters())


@pytest.mark.pycaffe
def test_blobs_of_a_factor_of_zero_move_too() -> None:
    uncounted = (*STATISTICS[:2], torch.zeros(1))
    source, net = batch_norm(shape := (2, 3, 4, 5), "", uncounted)
    module = graph_module(net).train()
    real = ask("backward", source, weights_of(net), {"x": image(shape)}, phase="TRAIN")
    module(image(shape))
    for name, blob in by_blob(module).items():
        near(blob, real[f"param:{name}"], 1e-6)


@pytest.mark.pycaffe
def test_batch_norm_moves_again_and_again() -> None:
    shape = (2, 3, 4, 5)
    source, net = batch_norm(shape, "")
    given = torch.stack([image(shape) + step for step in range(4)])
    scale = layer("Scale", "scale", "y", "z", "loss_weight: 1 param { lr_mult: 0 }")
    started = parse(source.replace(" loss_weight: 1", "") + scale)
    steps = replace(started.steps[2], blobs=(torch.ones(3),))
    whole = replace(started, steps=(*net.steps[:1], replace(net.steps[1], loss_weight=()), steps))
    real = ask("solve", source.replace(" loss_weight: 1", "") + scale, weights_of(whole),
               {"x": given}, solver="base_lr: 0.1", steps=4)  # fmt: skip
    module = graph_module(whole).train()
    for batch in given:
        module(batch)
    for name, blob in by_blob(module).items():
        near(blob, real[name], 1e-6)


def test_statistics_survive_copies_and_the_net_keeps_its_own() -> None:
    _, net = batch_norm((2, 3, 4, 5), "")
    module = graph_module(net).train()
    module(image((2, 3, 4, 5)))
    moved = [blob.clone() for blob in by_blob(module).values()]
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert all(map(torch.equal, by_blob(other).values(), moved))
        other(image((2, 3, 4, 5)))
    assert all(map(torch.equal, by_blob(module).values(), moved))
    assert all(map(torch.equal, module.caffe.net.steps[1].blobs, STATISTICS))
    assert not any(map(torch.equal, moved, STATISTICS))


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_load_gives_the_mode_of_the_phase(phase: str, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(text((2, 3), "Dropout", ""))
    module = caffe2fx.load(path, phase=phase)
    assert {part.training for part in module.modules()} == {phase == "TRAIN"}


@pytest.mark.parametrize("top", ["x", "y"])
@pytest.mark.parametrize("ratio", [0.5, 0.2, 0.75])
def test_dropout_keeps_the_mean(ratio: float, top: str) -> None:
    shape = (100, 500)
    source = text(shape, "Dropout", f"dropout_param {{ dropout_ratio: {ratio} }}", top)
    module: CaffeGraphModule = graph_module(parse(source))
    ones = torch.ones(shape)
    assert torch.equal(module.eval()(ones), ones)
    dropped = module.train()(ones)
    _is_mask(dropped, ratio)
    assert not torch.equal(module(ones), dropped)


def _is_mask(dropped: torch.Tensor, ratio: float) -> None:
    """Return whether all are zeros, and 1 / (1 - ratio) in a share of about 1 - ratio."""
    values = dropped.unique()
    torch.testing.assert_close(values, torch.tensor([0.0, 1 / (1 - ratio)]))
    deviation = sqrt(ratio * (1 - ratio) / dropped.numel())
    assert abs(float((dropped > 0).float().mean()) - (1 - ratio)) < 5 * deviation


@pytest.mark.pycaffe
@pytest.mark.parametrize("ratio", [0.5, 0.2, 0.75])
def test_real_caffes_dropout_is_such_a_mask(ratio: float) -> None:
    shape = (100, 500)
    source = text(shape, "Dropout", f"dropout_param {{ dropout_ratio: {ratio} }} loss_weight: 1")
    net = parse(source)
    real = ask("backward", source, weights_of(net), {"x": torch.ones(shape)}, phase="TRAIN")
    _is_mask(real["blob:y"], ratio)
    assert torch.equal(real["diff:x"], real["blob:y"])
    tested = ask("backward", source, weights_of(net), {"x": torch.ones(shape)}, phase="TEST")
    assert torch.equal(tested["blob:y"], torch.ones(shape))


def test_gradients_pass_where_dropout_lets_pass() -> None:
    module = graph_module(parse(text((3, 40), "Dropout", ""))).train()
    ones = torch.ones(3, 40, requires_grad=True)
    dropped = module(ones)
    dropped.sum().backward()
    assert ones.grad is not None and torch.equal(ones.grad, dropped)


@pytest.mark.pycaffe
@pytest.mark.parametrize("own", ["TRAIN", "TEST"])
@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_batch_norm_of_a_phase_of_its_own(phase: str, own: str) -> None:
    source = text((2, 3, 4, 5), "BatchNorm", f"phase: {own} loss_weight: 1")
    net = parse(source, phase=phase)
    first, second = net.steps
    net = replace(net, steps=(first, replace(second, blobs=STATISTICS)))
    assert parse(text_of(net), phase=phase).steps[1].phase == second.phase
    assert isinstance(second.layer, BatchNorm)
    assert second.layer.use_global_stats is (own == "TEST")  # which selects its meaning
    module = graph_module(net).train(phase == "TRAIN")
    real = ask("backward", source, weights_of(net), {"x": image((2, 3, 4, 5))}, phase=phase)
    near(module(image((2, 3, 4, 5))), real["blob:y"], 1e-5)


@pytest.mark.pycaffe
@pytest.mark.parametrize("own", ["TRAIN", "TEST"])
@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_dropout_of_a_phase_of_its_own(phase: str, own: str) -> None:
    source = text((50, 40), "Dropout", f"phase: {own} loss_weight: 1")
    net = parse(source, phase=phase)
    module = graph_module(net).train(phase == "TRAIN")
    real = ask("backward", source, weights_of(net), {"x": image((50, 40))}, phase=phase)
    for made in (module, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        dropped = made.train(phase == "TRAIN")(image((50, 40))) == 0
        assert bool(dropped.any()) == bool((real["blob:y"] == 0).any()) == (own == "TRAIN")


@pytest.mark.pycaffe
@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("rate", ["lr_mult: 1", "", "lr_mult: 0"])
def test_batch_norm_cannot_be_given_a_learning_rate(count: int, rate: str) -> None:
    source = text((2, 3), "BatchNorm", f"param {{ {rate} }} " * count)
    real = {"x": image((2, 3))}
    if count == 3 or (rate == "lr_mult: 0" and count < 3):  # three are of old files
        graph_module(with_initial_weights(parse(source)))
        ask("backward", source, [], real)
        return
    stated = r"needs 3 param\(s\) at most" if rate == "lr_mult: 0" else "needs lr_mult 0"
    with pytest.raises(ShapeMismatchError, match=rf"\(BatchNorm\) {stated}"):
        parse(source).shapes()
    caffes = "Cannot configure batch normalization statistics|Too many params specified"
    with pytest.raises(EngineError, match=caffes):
        ask("backward", source, [], real)


@pytest.mark.pycaffe
def test_a_shared_blob_starts_by_the_filler_of_the_owner() -> None:
    source = text((2, 3), "Flatten", "")
    for name, bottom, value in (("one", "y", 2), ("two", "one", 5)):
        stated = 'param { name: "w" } inner_product_param { num_output: 3 bias_term: false '
        stated += f'weight_filler {{ type: "constant" value: {value} }} }} loss_weight: 1'
        source += layer("InnerProduct", name, bottom, name, stated)
    net = with_initial_weights(parse(source))
    assert [float(step.blobs[0].mean()) for step in net.steps if step.blobs] == [2, 2]
    real = ask("backward", source, [], {"x": image((2, 3))})
    near(graph_module(net).caffe.blobs(image((2, 3)))["two"], real["blob:two"], 1e-5)
