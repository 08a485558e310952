"""save_weights of a module that its user changed: its effective weights, or a refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

import caffe2fx
from caffe2fx.errors import CaffeError
from caffe2fx.weights import caffemodel
from caffe2fx.weights.caffemodel import LayerWeights
from tests.files.caffes_own import saved as saved_by_caffe

X = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(2))
PRODUCT = (
    'inner_product_param { num_output: 4 weight_filler { type: "gaussian" } '
    'bias_filler { type: "gaussian" } } param { name: "w" } param { name: "b" }'
)
# As many weights as biases in "conv": who took one for the other would not notice.
NET = f"""
layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 4 dim: 3 dim: 3 }} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param {{ num_output: 4 group: 4 kernel_size: 1 weight_filler {{ type: "gaussian" }}
    bias_filler {{ value: 0.5 }} }} }}
layer {{ name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }}
layer {{ name: "scale" type: "Scale" bottom: "bn" top: "bn" scale_param {{ bias_term: true }} }}
layer {{ name: "pool" type: "Pooling" bottom: "bn" top: "pool"
  pooling_param {{ pool: AVE global_pooling: true }} }}
layer {{ name: "flat" type: "Flatten" bottom: "pool" top: "flat" }}
layer {{ name: "one" type: "InnerProduct" bottom: "flat" top: "one" {PRODUCT} }}
layer {{ name: "two" type: "InnerProduct" bottom: "one" top: "two" {PRODUCT} }}
"""  # noqa: E501
Change = Callable[[nn.Module], object]


def replaced(module: nn.Module) -> None:
    """A parameter that is registered again comes after the others."""
    weight = module.conv.weight
    del module.conv.weight
    module.conv.weight = weight


class Half(nn.Module):
    """Halves a weight."""

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight / 2


def halved(module: nn.Module) -> None:
    parametrize.register_parametrization(module.conv, "weight", Half())


def halved_for_good(module: nn.Module) -> None:
    halved(module)
    parametrize.remove_parametrizations(module.conv, "weight")


def pruned(module: nn.Module) -> None:
    prune.l1_unstructured(module.conv, "weight", 2)


def pruned_for_good(module: nn.Module) -> None:
    pruned(module)
    prune.remove(module.conv, "weight")


def untied(module: nn.Module) -> None:
    module.two.weight = nn.Parameter(module.one.weight.detach().clone())


def loaded_by_assignment(module: nn.Module) -> None:
    state = {name: value.clone() for name, value in module.state_dict().items()}
    module.load_state_dict(state, assign=True)


RIGHT: list[Change] = [
    replaced,
    halved,
    halved_for_good,
    pruned_for_good,
    untied,
    loaded_by_assignment,
    lambda module: parametrizations.spectral_norm(module.conv),
    lambda module: parametrizations.weight_norm(module.conv),
    nn.Module.double,
    lambda module: setattr(module.bn, "momentum", 0.5),
    nn.Module.eval,
    lambda module: module.to(memory_format=torch.channels_last),
    lambda module: setattr(module.bn, "running_mean", torch.arange(8.0)[::2]),
]


def saved(folder: Path, change: Change) -> tuple[nn.Module, nn.Module]:
    """Return a changed module, and the one that its saved weights give."""
    (text := folder / "net.prototxt").write_text(NET)
    module = caffe2fx.load(text)
    change(module)
    caffe2fx.save_weights(module, path := folder / "net.caffemodel")
    return module, caffe2fx.load(text, path)


@pytest.mark.parametrize("change", RIGHT)
def test_the_weights_that_forward_uses_are_saved(tmp_path: Path, change: Change) -> None:
    module, again = saved(tmp_path, change)
    torch.testing.assert_close(again(X), module(X.to(module.conv.weight.dtype)).float())


def swapped(name: str, build: Callable[[], nn.Module]) -> Change:
    return lambda module: setattr(module, name, build())


PUT_BACK = "needs the module that load made, {}, got {}: put it back".format
REFUSED: dict[str, tuple[Change, str]] = {
    "pruned": (pruned, "needs weight to be a parameter, got one that a hook computes: remove"),
    "weight norm by a hook": (
        lambda module: nn.utils.weight_norm(module.conv), "needs weight to be a parameter"
    ),
    "torch's BatchNorm": (
        swapped("bn", lambda: nn.BatchNorm2d(4)),
        PUT_BACK("caffe2fx's BatchNorm2d", "torch's BatchNorm2d"),
    ),
    "BatchNorm as a Scale": (
        swapped("scale", lambda: nn.BatchNorm2d(4)),
        PUT_BACK("caffe2fx's RecordModule", "torch's BatchNorm2d"),
    ),
    "more in its place": (
        lambda module: setattr(module, "conv", nn.Sequential(module.conv, nn.ReLU())),
        PUT_BACK("torch's Conv2d", "torch's Sequential"),
    ),
    "no weights": (swapped("conv", nn.Identity), PUT_BACK("torch's Conv2d", "torch's Identity")),
    "no bias": (
        swapped("conv", lambda: nn.Conv2d(4, 4, 1, groups=4, bias=False)),
        r"needs weights of shapes .*, got \[\(4, 1, 1, 1\)\]",
    ),
    "another size": (
        swapped("conv", lambda: nn.Conv2d(4, 4, 3, groups=4)),
        r"needs weights of shapes .*, got \[\(4, 1, 3, 3\), \(4,\)\]",
    ),
    "another stride": (
        swapped("conv", lambda: nn.Conv2d(4, 4, 1, groups=4, stride=2)),
        r"needs stride \(1, 1\) as in its prototxt, got \(2, 2\)",
    ),
    "a padding that is set": (
        lambda module: setattr(module.conv, "padding", (1, 1)),
        r"needs padding \(0, 0\) as in its prototxt",
    ),
    "another eps": (lambda module: setattr(module.bn, "eps", 0.5), "needs eps 1e-05 as in"),
    "another axis": (
        lambda module: setattr(module.scale, "layer", replace(module.scale.layer, num_axes=-1)),
        "needs layer .* as in its prototxt",
    ),
    "shared weights that differ": (
        lambda module: setattr(module.two, "bias", nn.Parameter(torch.zeros(4))),
        "shares 'b' with 'one' and needs the same values",
    ),
    "no statistics": (
        lambda module: setattr(module.bn, "running_var", None), "needs running_var, got None"
    ),
    "meta": (lambda module: module.to("meta"), "needs weight as a dense tensor .* a meta tensor"),
    "sparse": (
        lambda module: setattr(
            module.one, "weight", nn.Parameter(module.one.weight.detach().to_sparse())
        ),
        "needs weight as a dense tensor in memory, got torch.sparse_coo",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "reason"), REFUSED.values(), ids=REFUSED)
def test_modules_that_no_weights_file_states_are_refused(
    tmp_path: Path, change: Change, reason: str
) -> None:
    with pytest.raises(CaffeError, match=rf"^layer .* {reason}.*net\.prototxt:"):
        saved(tmp_path, change)


def test_a_norm_without_statistics_is_our_error(tmp_path: Path) -> None:
    (text := tmp_path / "net.prototxt").write_text(NET)
    module = caffe2fx.load(text)
    module.bn.running_mean = None
    with pytest.raises(CaffeError, match="BatchNorm needs running_mean, got None"):
        module(X)


def test_a_part_of_a_net_has_not_all_weights(tmp_path: Path) -> None:
    (text := tmp_path / "net.prototxt").write_text(NET)
    path = tmp_path / "net.caffemodel"
    with pytest.raises(CaffeError, match=r"load without outputs, which cut off \['one', 'two'\]"):
        caffe2fx.save_weights(caffe2fx.load(text, outputs=["pool"]), path)
    whole = caffe2fx.load(text, outputs=["one", "two"])
    caffe2fx.save_weights(whole, path)
    torch.testing.assert_close(caffe2fx.load(text, path)(X), whole(X)[1])


TWICE = NET.replace('name: "two"', 'name: "one"')


@pytest.mark.parametrize("ending", ["caffemodel", "caffemodel.h5"])
def test_two_layers_of_one_name_are_not_saved(tmp_path: Path, ending: str) -> None:
    (text := tmp_path / "net.prototxt").write_text(TWICE)
    with pytest.raises(CaffeError, match="needs a name of its own for its weights, got 2 layers"):
        caffe2fx.save_weights(caffe2fx.load(text), tmp_path / f"net.{ending}")
    assert list(tmp_path.iterdir()) == [text]


@pytest.mark.pycaffe
def test_real_caffe_fills_the_first_of_one_name(tmp_path: Path) -> None:
    (text := tmp_path / "net.prototxt").write_text(TWICE.replace('name: "w"', ""))
    ones = torch.ones(4, 4), torch.ones(4)
    twice = [LayerWeights("one", "InnerProduct", ones)] * 2
    caffemodel.write(path := tmp_path / "net.caffemodel", "", twice)
    saved_by_caffe(text, again := tmp_path / "again.caffemodel", weights=path)
    _, (*_, first, second) = caffemodel.read(again)
    assert torch.equal(first.blobs[0], ones[0]) and not torch.equal(second.blobs[0], ones[0])
