"""Inputs as users give them, outputs as models return them."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque, namedtuple
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, ao, nn

import fx2caffe
from caffe2fx.errors import CaffeError
from fx2caffe.errors import UnsupportedError
from fx2caffe.tracing.model.model_inputs import as_inputs, input_names
from fx2caffe.tracing.model.pytree import flatten
from fx2caffe.tracing.tracer import trace

Point = namedtuple("Point", "x y")


@dataclass
class Result:
    out: Any
    aux: Any = None
    extra: Any = field(default=0, init=False)


@dataclass
class ModelOutput(OrderedDict):  # type: ignore[type-arg]
    loss: Any = None
    logits: Any = None

    def __post_init__(self) -> None:
        self.update({k: v for k, v in vars(self).items() if v is not None})


T = torch.ones(2)
CASES: list[tuple[Any, tuple[str, ...]]] = [
    (T, ("output",)),
    ((T, 3, T), ("0", "2")),
    ([T, [T, None]], ("0", "1.0")),
    ({"out": T, "aux": {"a": T}}, ("out", "aux.a")),
    (OrderedDict(b=T, a=T), ("b", "a")),
    (defaultdict(list, z=T), ("z",)),
    (Point(T, "text"), ("x",)),
    (Result(T, [T]), ("out", "aux.0")),
    (ModelOutput(logits=T), ("logits",)),
    (torch.max(torch.ones(2, 2), 1), ("0", "1")),
    ((), ()),
]


@pytest.mark.parametrize(("value", "names"), CASES, ids=lambda v: type(v).__name__)
def test_outputs_keep_their_structure(value: Any, names: tuple[str, ...]) -> None:
    from fx2caffe.tracing.model.pytree import output_names

    flat = flatten(value)
    assert output_names(flat) == names
    built = flat.rebuild([t + 1 for t in flat.tensors])
    assert type(built) is type(value)
    again = flatten(built)
    assert again.paths == flat.paths
    assert all(torch.equal(a, b + 1) for a, b in zip(again.tensors, flat.tensors, strict=True))
    with pytest.raises(ValueError, match="values, got"):
        flat.rebuild([T] * (len(names) + 1))


class Many(nn.Module):
    def forward(self, x: Tensor, features: Any, *rest: Tensor, scale: Any = None) -> Tensor:
        return x


INPUTS: list[tuple[Any, tuple[str, ...]]] = [
    (T, ("x",)),
    ((T, T), ("x", "features")),
    ((T, [T, {"k": T}], T, T), ("x", "features_0", "features_1_k", "rest_0", "rest_1")),
    ({"features": T, "x": T}, ("features", "x")),
    ({"x": T, "features": 3, "scale": (T, T)}, ("x", "scale_0", "scale_1")),
    ({"a": T, "b": T}, ("x_a", "x_b")),
]


@pytest.mark.parametrize(("inputs", "names"), INPUTS, ids=[str(names) for _, names in INPUTS])
def test_inputs_are_named_by_forward(inputs: Any, names: tuple[str, ...]) -> None:
    args, kwargs = as_inputs(Many(), inputs)
    assert input_names(Many(), args, kwargs) == names


def test_arrays() -> None:
    model = nn.Conv2d(3, 1, 1).double()
    (x,), _ = as_inputs(model, np.ones((3, 8, 8)))
    assert x.shape == (1, 3, 8, 8) and x.dtype == torch.float64
    (x, i), _ = as_inputs(model, (np.ones((2, 3, 8, 8), np.float32), np.arange(3)))
    assert x.shape == (2, 3, 8, 8) and i.dtype == torch.int64


def complex_input() -> Tensor:
    return torch.view_as_complex(torch.ones(2, 3, 2))


UNLIKE_BLOBS: dict[str, tuple[Any, str]] = {
    "complex": (complex_input, "real numbers, got torch.complex64: pass torch.view_as_real"),
    "quantized": (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
                  "floats or integers, got torch.qint8: pass x.dequantize"),
    "sparse": (lambda: torch.eye(2).to_sparse(), "dense tensors, got torch.sparse_coo: pass x.to"),
    "compressed": (lambda: torch.eye(2).to_sparse_csr(), "dense tensors, got torch.sparse_csr"),
    "nested": (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(1)]),
               "dense tensors, got a nested one: pass x.to_padded_tensor"),
    "meta": (lambda: torch.ones(2, device="meta"), "values, got a tensor on device meta: pass"),
    "empty": (lambda: torch.ones(0, 2), r"elements in them, got shape \(0, 2\)"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", UNLIKE_BLOBS)
@pytest.mark.parametrize("call", [fx2caffe.export, fx2caffe.check], ids=["export", "check"])
def test_inputs_unlike_blobs_are_refused(call: Any, kind: str) -> None:
    make, reason = UNLIKE_BLOBS[kind]
    for inputs in (make(), (T, make()), {"x": T, "features": [make()]}):
        with pytest.raises(CaffeError, match=f"the example inputs need {reason}"):
            call(Many(), inputs)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["quantized", "sparse", "compressed"])
def test_constants_unlike_blobs_are_refused(kind: str) -> None:
    make, reason = UNLIKE_BLOBS[kind]
    constant = make()

    def forward(x: Tensor) -> Any:
        return x + 1, constant

    with pytest.raises(UnsupportedError, match=f"constant needs .*{reason}"):
        trace(forward, T)


class Quantized(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = ao.quantization.QuantStub(), ao.quantization.DeQuantStub()
        self.conv = nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> Any:
        return self.leave(self.conv(self.enter(x)))


def quantized(steps: int) -> nn.Module:
    """Return a model of torch's static quantization after so many of its steps."""
    model: Any = Quantized().eval()
    if steps:
        model.qconfig = ao.quantization.get_default_qconfig("fbgemm")
        ao.quantization.prepare(model, inplace=True)
        model(torch.randn(1, 3, 4, 4))
    if steps > 1:
        ao.quantization.convert(model, inplace=True)
    return model


def quantized_in_training(version: int = 0, **switches: bool) -> nn.Module:
    """Return a model of torch's quantization-aware training; version 1 has fused parts."""
    model: Any = Quantized().train()
    model.qconfig = ao.quantization.get_default_qat_qconfig("fbgemm", version)
    ao.quantization.prepare_qat(model, inplace=True)
    model(torch.randn(1, 3, 4, 4))
    for name, on in switches.items():
        module = ao.quantization.fake_quantize
        model.apply(getattr(module, f"{'enable' if on else 'disable'}_{name}"))
    return model.eval()


def dynamic() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(32, 4)).eval()
    return ao.quantization.quantize_dynamic(model, {nn.Linear}, torch.qint8)


FAKE = {
    "enter.activation_post_process",
    "conv.weight_fake_quant",
    "conv.activation_post_process",
}


@pytest.mark.filterwarnings("ignore")
def test_quantized_models_are_refused_by_module() -> None:
    image = torch.randn(1, 3, 4, 4)
    assert fx2caffe.check(quantized(0), image) == ()
    for model, modules in (
        (quantized(1), {"enter.activation_post_process", "conv.activation_post_process"}),
        (quantized(2), {"enter", "conv", "leave"}),
        (dynamic(), {"2"}),
        (quantized_in_training(), FAKE),
        (quantized_in_training(1), FAKE),
        (quantized_in_training(1, observer=False, fake_quant=False), FAKE),
        (quantized_in_training(1, observer=False), FAKE),
        (quantized_in_training(fake_quant=False), FAKE),
    ):
        refusals = fx2caffe.check(model, image)
        assert {refusal.origin.module for refusal in refusals} == modules
        assert all("export the float model" in refusal.reason for refusal in refusals)


@pytest.mark.filterwarnings("ignore")
def test_fake_quantization_that_is_switched_off_is_the_identity() -> None:
    model = quantized_in_training(observer=False, fake_quant=False)
    exported = fx2caffe.export(model, torch.randn(1, 3, 4, 4))
    assert [step.layer.type for step in exported.net.steps] == ["Input", "Convolution"]


@pytest.mark.filterwarnings("ignore")
def test_fake_quantization_that_does_not_observe_is_exported() -> None:
    model = quantized_in_training(observer=False)
    exported = fx2caffe.export(model, torch.randn(1, 3, 4, 4))
    types = [step.layer.type for step in exported.net.steps]
    assert types.count("Convolution") == 1 and len(types) > 10
    report = exported.verify("torch")
    assert report.ok, str(report)


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


NO_OUTPUTS: dict[str, tuple[Any, str]] = {
    "none": (lambda x: None, "output needs tensors that forward returns .* got none in NoneType"),
    "number": (lambda x: 3, "got none in int"),
    "nothing": (lambda x: (), "got none in tuple"),
    "module": (lambda x: nn.ReLU(), "got none in ReLU"),
    "array": (lambda x: np.ones(3), "got none in ndarray"),
    "values": (lambda x: {"a": x}.values(), "dict_values is an output whose tensors can not"),
    "items": (lambda x: {"a": x}.items(), "dict_items is an output whose tensors"),
    "generator": (lambda x: (t for t in [x]), "generator is an output whose tensors"),
    "map": (lambda x: map(torch.neg, [x]), "map is an output whose tensors"),
    "inside": (lambda x: {"a": x, "b": (t for t in [x])}, "generator is an output whose"),
    "set": (lambda x: {x}, "set is an output whose tensors"),
    "deque": (lambda x: (x, deque([x])), "deque is an output whose tensors"),
    "slots": (lambda x: [Slotted(x)], "Slotted is an output whose tensors"),
}


@pytest.mark.parametrize("kind", NO_OUTPUTS)
def test_outputs_without_tensors_are_refused(kind: str) -> None:
    forward, reason = NO_OUTPUTS[kind]
    with pytest.raises(UnsupportedError, match=reason):
        fx2caffe.export(forward, T)


@pytest.mark.parametrize("model", [Many, None, 3, "name"], ids=str)
def test_objects_that_are_no_model_are_refused(model: Any) -> None:
    with pytest.raises(CaffeError, match=r"model needs an (instance, got the class|nn.Module)"):
        fx2caffe.export(model, T)


def test_nested_inputs_reach_the_model() -> None:
    class Nested(nn.Module):
        def forward(self, x: list[Tensor], *, scale: dict[str, Any]) -> Tensor:
            return x[0] * scale["by"] + x[1] * scale["times"]

    inputs = {"x": [T, T * 2], "scale": {"by": T * 3, "times": 4}}
    traced = trace(Nested(), inputs)
    assert traced.input_names == ("x_0", "x_1", "scale_by")
    assert torch.equal(traced.module(T, T, T)[0], T * 5)
