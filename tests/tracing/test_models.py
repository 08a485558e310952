"""Whole architectures: the graph equals the model, and the model is left as it was."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
from array import array
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from caffe2fx.errors import CaffeError, ShapeMismatchError
from caffe2fx.origin import Origin
from fx2caffe.errors import UnsupportedError
from fx2caffe.tracing.model.pytree import flatten
from fx2caffe.tracing.tracer import trace
from fx2caffe.tracing.values.tensor_meta import TensorMeta

MODELS: dict[str, Callable[[], nn.Module]] = {
    "resnet18": torchvision.models.resnet18,
    "googlenet": lambda: torchvision.models.googlenet(init_weights=False),
    "densenet121": torchvision.models.densenet121,
    "shufflenet": torchvision.models.shufflenet_v2_x1_0,
    "swin_t": torchvision.models.swin_t,
    "vit_b_16": torchvision.models.vit_b_16,
    "fcn": lambda: torchvision.models.segmentation.fcn_resnet50(weights_backbone=None),
    "transformer": lambda: nn.TransformerEncoder(
        nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2
    ),
    "attention": lambda: SelfAttention(),
    "lstm": lambda: Recurrent(),
    "symbolic": lambda: torch.fx.symbolic_trace(torchvision.models.squeezenet1_1()),
    "weight_norm": lambda: Normed(),
}


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, x: Tensor) -> Any:
        return self.attention(x, x, x, need_weights=True)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(16, 8, 2, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(16, 8)

    def forward(self, x: Tensor) -> Any:
        return self.lstm(x), self.gru(x)[0]


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        with pytest.warns(FutureWarning if torch.__version__ >= "2.4" else UserWarning):
            self.old = nn.utils.weight_norm(nn.Linear(16, 16))
        self.new = nn.utils.parametrizations.weight_norm(nn.Linear(16, 16))
        self.spectral = nn.utils.parametrizations.spectral_norm(nn.Linear(16, 16))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.spectral(self.new(self.old(x)))
        return result


SEQUENCE = ("transformer", "attention", "lstm", "weight_norm")


def build(name: str) -> nn.Module:
    torch.manual_seed(0)
    return MODELS[name]().eval()


def inputs(name: str, seed: int) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    if name in SEQUENCE:
        return torch.rand(2, 5, 16, generator=random)
    size = 224 if name == "vit_b_16" else 64
    return torch.rand(1, 3, size, size, generator=random)


@pytest.mark.parametrize("values", ["real", "fake"])
@pytest.mark.parametrize("name", MODELS)
def test_graph_equals_model(name: str, values: Any) -> None:
    model = build(name)
    before = fingerprint(model)
    traced = trace(model, inputs(name, 0), values=values)
    assert fingerprint(model) == before
    x = inputs(name, 1)
    with torch.no_grad():
        expected, got = model(x), traced.rebuild(traced.module(x))
    assert type(got) is type(expected)
    for a, b in zip(flatten(got).tensors, flatten(expected).tensors, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    for node in traced.module.graph.nodes:
        assert node.op == "output" or isinstance(node.meta["origin"], Origin)
        assert node.op != "call_module"
    if name != "symbolic":
        wide = traced.module.double()(x.double())
        assert all(t.dtype == torch.float64 for t in wide if t.is_floating_point())
    assert fingerprint(model) == before


def fingerprint(model: nn.Module) -> Any:
    """Return all of a module that a trace could change."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return (
        {n: (id(t), t._version, t.data_ptr(), t.double().sum().item()) for n, t in tensors.items()},
        [sorted(map(str, vars(m))) for m in model.modules()],
        [(m.training, id(m.forward.__func__), list(m._forward_hooks), list(m._forward_pre_hooks))
         for m in model.modules()],
        len(torch.nn.modules.module._global_forward_hooks),
        len(torch.nn.modules.module._global_forward_pre_hooks),
    )  # fmt: skip


class Selfish(nn.Module):
    """Changes itself in forward in every way."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(4))
        self.tied = self.weight
        self.bias = nn.Parameter(torch.rand(4))
        self.register_buffer("count", torch.zeros(()))
        self.plain = torch.ones(4)
        self.calls = 0
        self.seen: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.seen.append(self.calls)
        first = x * self.weight + self.bias
        view = self.weight[:2]
        self.count += 1
        self.plain.mul_(2)
        self.weight.data.clamp_(max=0.5)
        self.bias.mul_(2)
        self.weight[0] = 3.0
        self.bias[1:2].copy_(x[0, :1])
        return first * self.tied + self.bias * self.count * self.plain + view.sum()


@pytest.mark.parametrize("values", ["real", "fake"])
def test_a_model_that_changes_itself(values: Any) -> None:
    model = Selfish()
    before, state = fingerprint(model), copy.deepcopy(model.state_dict())
    x, other = torch.rand(3, 4), torch.rand(3, 4)
    traced = trace(model, x, values=values)
    assert fingerprint(model) == before and model.calls == 0 and not model.seen
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert model.plain.eq(1).all()
    with torch.no_grad():
        got = traced.module(other)[0]  # first: the model is about to change its weights
        torch.testing.assert_close(got, model(other))


def test_parameters_keep_name_and_memory() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    traced = trace(model, torch.rand(1, 3, 8, 8))
    names = {n.target for n in traced.module.graph.nodes if n.op == "get_attr"}
    assert names == {"0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"}
    held = traced.module.get_parameter("0.weight")
    assert held is not model[0].weight and held.data_ptr() == model[0].weight.data_ptr()
    traced.module.double()
    assert model[0].weight.dtype == torch.float32


def test_nodes_have_origins_and_values() -> None:
    traced = trace(SelfAttention().eval(), torch.rand(2, 5, 16))
    linear = next(n for n in traced.module.graph.nodes if n.target is F.linear)
    assert linear.meta["origin"].module == "attention"
    assert linear.meta["origin"].file == __file__
    assert linear.meta["origin"].source == "return self.attention(x, x, x, need_weights=True)"
    assert linear.meta["value"].dtype == torch.float32
    assert F.softmax in {n.target for n in traced.module.graph.nodes}


def test_several_results_are_items() -> None:
    traced = trace(lambda x: x.max(1), torch.rand(2, 3))
    node, *items = [n for n in traced.module.graph.nodes if n.op == "call_function"]
    assert node.meta["value"] == (TensorMeta((2,), torch.float32), TensorMeta((2,), torch.int64))
    assert [item.args for item in items] == [(node, 0), (node, 1)]
    assert traced.output_names == ("0", "1") or traced.output_names == ("values", "indices")


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.rand(4))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor if x.sum() > 0 else x


def leaf_function(x: Tensor, factor: float = 2.0) -> tuple[Tensor, Tensor]:
    return (x * factor if x.is_meta or x.sum() > -1 else x), x + 1


@pytest.mark.parametrize("values", ["real", "fake"])
def test_leaves(values: Any) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = Scale()

        def forward(self, x: Tensor) -> Tensor:
            a, b = leaf_function(self.scale(x) + 1, factor=3.0)
            return a * b

    model, x = Model(), torch.rand(3, 4)
    traced = trace(model, x, leaf_modules=[Scale], leaf_functions=[leaf_function], values=values)
    calls = [n for n in traced.module.graph.nodes if n.op.startswith("call")]
    assert [n.target for n in calls][:3] == ["scale", torch.add, leaf_function]
    assert calls[2].args[1:] == (3.0,)
    torch.testing.assert_close(traced.module(x)[0], model(x))


class ScaleOfLeaf(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        first, second = leaf_function(x)
        return first if second.is_meta or second.sum() > 0 else second


@pytest.mark.parametrize("values", ["real", "fake"])
def test_a_leaf_function_inside_a_leaf_module_is_a_part_of_it(values: Any) -> None:
    model, x = nn.Sequential(ScaleOfLeaf(), nn.ReLU()), torch.rand(3, 4)
    leaves = {"leaf_modules": [ScaleOfLeaf], "leaf_functions": [leaf_function]}
    traced = trace(model, x, values=values, **leaves)
    calls = [n for n in traced.module.graph.nodes if n.op.startswith("call")]
    assert [n.target for n in calls] == ["0", F.relu]
    torch.testing.assert_close(traced.module(x)[0], model(x))


def test_a_traced_module_is_read_again_from_its_pickle() -> None:
    x = torch.rand(2, 4)
    traced = trace(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), x).module
    again = pickle.loads(pickle.dumps(traced))
    torch.testing.assert_close(again(x)[0], traced(x)[0])


def test_training_mode_is_refused() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout())
    with pytest.raises(UnsupportedError, match=r"needs eval mode: call model\.eval\(\)"):
        trace(model, torch.rand(2, 4))
    assert model[1].num_batches_tracked == 0


def test_all_reads_are_reported_at_once() -> None:
    def model(x: Tensor) -> Tensor:
        first = float(x.max())
        return x * first if x.min() < first else x

    with pytest.raises(UnsupportedError) as caught:
        trace(model, torch.rand(2, 4))
    assert [r.origin.source for r in caught.value.refusals] == [
        "first = float(x.max())",
        "return x * first if x.min() < first else x",
    ]
    assert str(caught.value).count("\n") == 1


def test_a_compiled_module_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="pass the unscripted module"):
        trace(nn.Sequential(torch.jit.script(nn.ReLU())), torch.rand(2))


def test_a_users_error_is_the_users() -> None:
    with pytest.raises(ShapeMismatchError, match="shapes cannot be multiplied") as caught:
        trace(nn.Linear(3, 4), torch.rand(2, 5))
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert not torch.nn.modules.module._global_forward_hooks
    assert not torch.overrides._get_current_function_mode_stack()


class Odd(BaseException):
    pass


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("has no text")


ERRORS = [KeyError("k"), AttributeError("a"), ZeroDivisionError(), SystemExit(3), Odd("o"),
          NotImplementedError(), StopIteration(), AssertionError(), OSError(2, "f"),
          Unprintable(), ValueError("\ud800")]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("values", ["real", "fake"])
def test_errors_of_any_class_have_the_users_line(error: BaseException, values: Any) -> None:
    class Fails(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise error

    text = f"does not run on these inputs: {type(error).__name__}.*test_models.py.*raise error"
    with pytest.raises(CaffeError, match=text) as caught:
        trace(nn.Sequential(Fails()), torch.rand(2, 5), values=values)
    assert caught.value.__cause__ is error


def test_an_interrupt_is_none_of_ours() -> None:
    class Interrupted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            self.training = True
            raise KeyboardInterrupt

    model = Interrupted().eval()
    with pytest.raises(KeyboardInterrupt):
        trace(model, torch.rand(2, 5))
    assert not model.training and not torch.nn.modules.module._global_forward_hooks


def test_a_module_in_a_thread_is_refused() -> None:
    class Parallel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            worker = threading.Thread(target=self.inner, args=(x,))
            worker.start()
            worker.join()
            return x + 1

    with pytest.raises(UnsupportedError, match="runs in another thread, in inner"):
        trace(Parallel(), torch.rand(2))


def test_other_threads_run_undisturbed() -> None:
    other, x = torchvision.models.squeezenet1_1().eval(), torch.rand(1, 3, 64, 64)
    expected, wrong, rounds, stop = other(x), [], [], threading.Event()

    def work() -> None:
        while not stop.is_set():
            if not torch.equal(other(x), expected):
                wrong.append(1)
            rounds.append(1)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        traces = [trace(build("resnet18"), inputs("resnet18", 0)) for _ in range(3)]
    finally:
        stop.set()
        worker.join()
    assert rounds and not wrong
    assert len({str(t.module.graph) for t in traces}) == 1


def test_traced_values_are_not_kept() -> None:
    alive = array("i")  # a list would be put back as it was

    class Watch(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            for _ in range(20):
                x = x + torch.ones(1)
            gc.collect()
            alive.append(sum(t.shape == (7, 11) for t in gc.get_objects() if type(t) is Tensor))
            return x

    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.watch = Watch()

        def forward(self, x: Tensor) -> Tensor:
            return self.watch(x)

    trace(Root(), torch.rand(7, 11))
    assert alive[-1] <= 6


def test_storage_addresses_that_come_back() -> None:
    def model(x: Tensor) -> Tensor:
        for _ in range(200):
            y = x + 1
            del y
            c = torch.zeros(3, 4)
            x = x * 1 + c
        return x

    traced = trace(model, torch.rand(3, 4))
    x = torch.rand(3, 4)
    torch.testing.assert_close(traced.module(x)[0], x)
