"""Models that name themselves or outside state in hooks, closures and globals."""

from __future__ import annotations

import functools
import types
from collections import OrderedDict, deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fx2caffe
from fx2caffe.tracing.tracer import trace

OUTSIDE: dict[str, Any] = {}
LAST: Any = None


def layers() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1))


class Base(nn.Module):
    """Layers, a gain that forward sets, and a list of the tensors that hooks see."""

    run: Any

    def __init__(self) -> None:
        super().__init__()
        self.body: Any = layers()
        self.gain = 2.0
        self.seen: Any = {}


class Holder:
    """Keeps the tensor that a hook gives it; no module."""

    __slots__ = ("hidden",)
    hidden: Any


HIDDEN: types.MemberDescriptorType = vars(Holder)["hidden"]


class Guarded(Holder):
    """Hides the slot of its base and refuses assignments, as mpmath's constants do."""

    __slots__ = ()

    @property
    def hidden(self) -> Any:  # type: ignore[override]
        return []

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name} has no setter")


class ByModuleList(Base):
    def __init__(self) -> None:
        super().__init__()
        self.seen = []
        for module in (self.body[0], self.body[2]):
            module.register_forward_hook(lambda _, __, output: self.seen.append(output))

    def forward(self, x: Tensor) -> Any:
        self.seen.clear()
        self.body(x)
        return self.seen[0].sum(1, keepdim=True) + self.seen[1]


class ByPartial(Base):
    def __init__(self) -> None:
        super().__init__()
        self.run = functools.partial(ByPartial.scaled, self, body=self.body)

    def scaled(self, x: Tensor, body: nn.Module) -> Any:
        return body(x) * self.gain

    def forward(self, x: Tensor) -> Any:
        self.gain = 3.0
        return self.run(x)


class ByBoundMethod(Base):
    def __init__(self) -> None:
        super().__init__()
        self.run = self.body.forward
        self.calls = {"scale": self.scaled}

    def scaled(self, x: Tensor) -> Any:
        return x * self.gain

    def forward(self, x: Tensor) -> Any:
        self.gain = 3.0
        return self.calls["scale"](self.run(x))


class ByDefault(Base):
    def __init__(self) -> None:
        super().__init__()

        def run(x: Tensor, owner: Base = self, *, hidden: dict[str, Any] = self.seen) -> Any:
            hidden["y"] = owner.body(x)
            return hidden["y"] * owner.gain

        self.run = run

    def forward(self, x: Tensor) -> Any:
        self.gain = 3.0
        return self.run(x) + self.seen["y"]


class ByLambdaInDict(Base):
    def __init__(self) -> None:
        super().__init__()
        self.steps = {"body": lambda x: self.body(x) * self.gain}

    def forward(self, x: Tensor) -> Any:
        self.gain = 3.0
        return self.steps["body"](x)


class ByGlobal(Base):
    def forward(self, x: Tensor) -> Any:
        OUTSIDE["model"].gain = 3.0
        return self.body(x) * self.gain + OUTSIDE["model"].body[0](x).mean(1, keepdim=True)


class ByGlobalName(Base):
    def __init__(self) -> None:
        super().__init__()
        self.body[0].register_forward_hook(_keep_last)

    def forward(self, x: Tensor) -> Any:
        y = self.body(x)
        return y + LAST.mean(1, keepdim=True)


def _keep_last(module: nn.Module, inputs: Any, output: Tensor) -> None:
    global LAST
    LAST = output


class ByPreHook(Base):
    def __init__(self) -> None:
        super().__init__()
        self.register_forward_pre_hook(lambda _, inputs: (inputs[0] * self.gain,))
        self.body[2].register_forward_pre_hook(self.before)

    def before(self, module: nn.Module, inputs: Any) -> None:
        self.seen["before"] = inputs[0]

    def forward(self, x: Tensor) -> Any:
        return self.body(x) + self.seen["before"].mean(1, keepdim=True)


class BySlots(Base):
    def __init__(self) -> None:
        super().__init__()
        self.holder = Holder()
        self.line: deque[Any] = deque(maxlen=1)
        self.body[0].register_forward_hook(self.keep)

    def keep(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        self.holder.hidden = output
        self.line.append(output)

    def forward(self, x: Tensor) -> Any:
        y = self.body(x)
        return y + (self.holder.hidden + self.line[0]).mean(1, keepdim=True)


class ByHiddenSlot(BySlots):
    def __init__(self) -> None:
        super().__init__()
        self.guarded = Guarded()

    def keep(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        super().keep(module, inputs, output)
        HIDDEN.__set__(self.guarded, output)

    def forward(self, x: Tensor) -> Any:
        return super().forward(x) + HIDDEN.__get__(self.guarded).mean()


class ByPatchedForward(Base):
    def __init__(self) -> None:
        super().__init__()
        inner = self.body[0].forward

        def forward(_: nn.Module, x: Tensor) -> Any:
            self.seen["x"] = x
            return inner(x)

        self.body[0].forward = types.MethodType(forward, self.body[0])

    def forward(self, x: Tensor) -> Any:
        return self.body(x) + self.seen["x"]


class ByClassAttribute(Base):
    shared: list[Tensor] = []
    count = 0

    def forward(self, x: Tensor) -> Any:
        ByClassAttribute.count += 1
        self.shared.append(self.body(x))
        return self.shared[-1] * self.count


class Makes(OrderedDict[str, Any]):
    """Gives another object than it holds, as libraries' tables of activations do."""

    def __getitem__(self, key: str) -> Any:
        return super().__getitem__(key)()

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key, last=False)


TABLE = Makes(relu=nn.ReLU, tanh=nn.Tanh)


class ByTable(Base):
    def forward(self, x: Tensor) -> Any:
        TABLE["late"] = nn.Sigmoid
        return TABLE["tanh"](TABLE[next(iter(TABLE))](self.body(x)))


class CachesOnce(Base):
    late: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.grid: Tensor | None = None

    def forward(self, x: Tensor) -> Any:
        if self.grid is None:
            self.grid = torch.linspace(0, 1, x.shape[-1])
            self.register_buffer("late", torch.ones(1), persistent=False)
        return self.body(x) + self.grid * self.late


class UnCopyable(Base):
    def __init__(self) -> None:
        super().__init__()
        self.stream = (i for i in range(3))
        self.computed = self.body[0].weight * 2  # no leaf of autograd's graph

    def forward(self, x: Tensor) -> Any:
        return self.body(x) * self.computed.sum()


MODELS = [
    ByModuleList, ByPartial, ByBoundMethod, ByDefault, ByLambdaInDict, ByGlobal, ByGlobalName,
    ByPreHook, BySlots, ByHiddenSlot, ByPatchedForward, ByClassAttribute, ByTable, CachesOnce,
    UnCopyable,
]  # fmt: skip


def build(kind: type[Base]) -> Base:
    torch.manual_seed(0)
    OUTSIDE.clear()
    ByClassAttribute.count = 0
    ByClassAttribute.shared.clear()
    TABLE.pop("late", None)
    model = kind().eval()
    OUTSIDE["model"] = model
    return model


def images(seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, 8, 8, generator=random).to(dtype)


def state(model: Base) -> list[Any]:
    """Return all state that a trace could change, by identity, wherever the models keep it."""
    holder = getattr(model, "holder", None)
    found = [LAST, ByClassAttribute.count, getattr(holder, "hidden", None), model.gain, model.seen]
    found += [*OUTSIDE.values(), *ByClassAttribute.shared, *getattr(model, "line", ())]
    found += TABLE.keys()
    found += model.seen.values() if isinstance(model.seen, dict) else model.seen
    for module in model.modules():
        found += [len(vars(module)), *vars(module).values(), *module._buffers.values()]
        found += [(id(p), p.data_ptr(), p.dtype, p._version) for p in module.parameters()]
    return [item if isinstance(item, tuple | int | float) else id(item) for item in found]


@pytest.mark.parametrize("warm", [False, True], ids=["fresh", "has run"])
@pytest.mark.parametrize("values", ["real", "fake"])
@pytest.mark.parametrize("kind", MODELS)
def test_the_model_itself_is_traced(kind: type[Base], values: Any, warm: bool) -> None:
    model = build(kind)
    if warm:
        with torch.no_grad():
            model(images(2))
    before = state(model)
    traced = trace(model, images(0), values=values)
    assert state(model) == before
    with torch.no_grad():
        got = traced.module(images(1))[0]
        torch.testing.assert_close(got, model(images(1)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16], ids=str)
@pytest.mark.parametrize("kind", [kind for kind in MODELS if kind is not UnCopyable])
def test_a_model_in_another_precision_is_itself_too(kind: type[Base], dtype: Any) -> None:
    model = build(kind).to(dtype)
    before = state(model)
    net = fx2caffe.export(model, images(0, dtype))
    assert state(model) == before
    with torch.no_grad():
        got = net.trace.module(images(1))[0]
        expected = model(images(1, dtype)).float()
    limit = 1e-4 if dtype is torch.float64 else 0.05
    torch.testing.assert_close(got, expected, rtol=limit, atol=limit)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_model_made_in_inference_mode(dtype: torch.dtype) -> None:
    with torch.inference_mode():
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(dtype).eval()
        given = images(0, dtype)
    net = fx2caffe.export(model, given)
    assert net.verify().ok and model[0].weight.dtype == dtype
    with torch.no_grad():
        expected = model(images(1, dtype)).float()
    torch.testing.assert_close(net.trace.module(images(1))[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_several_threads_export_one_model(dtype: torch.dtype) -> None:
    """Others run it meanwhile, if it needs no conversion; all get the same."""
    model = build(ByModuleList).to(dtype)
    expected = str(fx2caffe.export(model, images(0, dtype)).trace.module.graph)
    with ThreadPoolExecutor(3) as pool:
        exports = [pool.submit(fx2caffe.export, model, images(0, dtype)) for _ in range(6)]
        graphs = {str(made.result().trace.module.graph) for made in exports}
    assert graphs == {expected}
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}


class Leaf(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 3


def test_a_leaf_runs_as_ever_in_other_threads() -> None:
    """The forward of a leaf is replaced while its model is traced, but in one thread only."""

    class Asks(Base):
        def __init__(self) -> None:
            super().__init__()
            self.leaf = Leaf()

        def forward(self, x: Tensor) -> Any:
            traced = torch._C._is_torch_function_mode_enabled()
            assert not traced or "forward" in vars(self.leaf)
            with ThreadPoolExecutor(1) as pool:
                other = pool.submit(self.leaf.forward, torch.ones(1)).result()
            return self.leaf(x) * float(other)

    model = Asks()
    traced = trace(model, images(0), leaf_modules=[Leaf], held_to_model=True)
    assert [node.op for node in traced.module.graph.nodes].count("call_module") == 1
    torch.testing.assert_close(traced.module(images(1))[0], images(1) * 9)
    assert "forward" not in vars(model.leaf)
