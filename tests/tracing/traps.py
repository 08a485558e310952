"""Small models, each with something that a tracer can get silently wrong."""
# Forwards are written as users write them: in-place, through views, with asserts and threads.

from __future__ import annotations

import collections
import copy
import dataclasses
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Function = Callable[..., Any]
ALLOWED: list[Function] = []
REFUSED: list[tuple[Function, str]] = []
LAYER = nn.Linear(4, 4)
TABLE = torch.arange(20.0).reshape(5, 4)
GLOBAL_TABLE = torch.arange(12.0).reshape(3, 4)


def allowed(function: Function) -> Function:
    """Traced, and right on other inputs than the example."""
    ALLOWED.append(function)
    return function


def refused(reason: str) -> Callable[[Function], Function]:
    """Refused, with this text, at a line of this file."""

    def add(function: Function) -> Function:
        REFUSED.append((function, reason))
        return function

    return add


# Writes and views. Every function takes x and y, both (3, 4) floats.


@allowed
def item_assignment(x: Tensor, y: Tensor) -> Tensor:
    z = x + 0
    z[:, 1] = y[:, 0] * 2
    return z * 3


@allowed
def write_into_input(x: Tensor, y: Tensor) -> Tensor:
    x += y
    x[0] = 1.0
    return x + y


@allowed
def write_through_view(x: Tensor, y: Tensor) -> Tensor:
    z = x * 1.5
    z[:, 1].add_(y[:, 0])
    return z


@allowed
def write_through_view_of_view(x: Tensor, y: Tensor) -> Tensor:
    z = x * 1.5
    z.t()[1:3].view(2, 3)[0].mul_(2)
    z.view(-1)[3:5] = y.view(-1)[:2]
    return z + 1


@allowed
def view_sees_write_to_base(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    z = x * 1.5
    v, w = z[1], z.t()
    z.add_(y)
    z[1, 2] = 7
    return v * 2, w


@allowed
def siblings_see_each_other(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    z = x * 1.5
    a, b, c = z[0:2], z[1:3], z[:, 0]
    a.copy_(y[0:2])
    b.sub_(1)
    return a, b, c, z


@allowed
def copy_with_broadcast_and_cast(x: Tensor, y: Tensor) -> Tensor:
    z = torch.zeros(3, 4, dtype=torch.float64)
    z.copy_(x[0])
    return z


@allowed
def out_argument(x: Tensor, y: Tensor) -> Tensor:
    z = torch.empty(3, 4)
    torch.add(x, y, out=z)
    torch.mul(z, 2, out=z[:])
    return z


@allowed
def out_of_two(x: Tensor, y: Tensor) -> Tensor:
    v, i = torch.empty(3), torch.empty(3, dtype=torch.long)
    torch.max(x, 1, out=(v, i))
    return v * 2 + i


@allowed
def constant_becomes_traced(x: Tensor, y: Tensor) -> Tensor:
    z = torch.arange(12.0).reshape(3, 4)
    row = z[2]
    z[1:, ::2] = x[1:, ::2]
    return z * row


@allowed
def constant_read_before_it_becomes_traced(x: Tensor, y: Tensor) -> Tensor:
    z = torch.arange(12.0).reshape(3, 4)
    before = y * z
    z[0] = x[0]
    return before + z


@allowed
def loop_of_assignments(x: Tensor, y: Tensor) -> Tensor:
    z = torch.zeros(3, 4)
    for i in range(3):
        z[i] = x[i] * i + (z[i - 1] if i else 0)
    return z


@allowed
def view_of_constant_written(x: Tensor, y: Tensor) -> Tensor:
    z = torch.zeros(2, 3, 4)
    z[0].copy_(x)
    z[1].add_(y)
    return z


@allowed
def constant_changed_between_uses(x: Tensor, y: Tensor) -> Tensor:
    c = torch.ones(4)
    a = x * c
    c += 1
    b = x * c
    c.data.mul_(3)
    return a + b + x * c


@allowed
def constant_changed_by_numpy(x: Tensor, y: Tensor) -> Tensor:
    memory = np.ones(4, dtype=np.float32)
    c = torch.from_numpy(memory)
    a = x * c
    memory[:] = 5
    return a + x * c


@allowed
def data_is_set(x: Tensor, y: Tensor) -> Tensor:
    z = x + 1
    z.data = y * 2
    z.mul_(2)
    return z + x


@allowed
def data_is_written(x: Tensor, y: Tensor) -> Tensor:
    z = x + 1
    z.data.add_(y)
    z.detach()[0].zero_()
    return z


@allowed
def clone_is_no_alias(x: Tensor, y: Tensor) -> Tensor:
    z = x.clone()
    z.add_(1)
    w = torch.empty_like(x).copy_(x)
    w.mul_(2)
    return x + z + w


@allowed
def contiguous_is_an_alias_or_not(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    z, t = x * 1, (y * 1).t()
    z.contiguous().add_(1)
    t.contiguous().add_(1)
    return z, t


@allowed
def reshape_is_an_alias_or_not(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    z, t = x * 1, (y * 1).t()
    z.reshape(-1).add_(1)
    t.reshape(-1).add_(1)
    return z, t


@allowed
def fill_and_zero(x: Tensor, y: Tensor) -> Tensor:
    z = x * 1
    z[0].zero_()
    z[1].fill_(2)
    z[2].fill_(y[0, 0])
    return z


@allowed
def inplace_view_methods(x: Tensor, y: Tensor) -> Tensor:
    z = x * 1
    v = z[0]
    z.t_()
    z.unsqueeze_(0).add_(1)
    return z.squeeze_() + v.sum()


@allowed
def strided_view(x: Tensor, y: Tensor) -> Tensor:
    z = x * 2
    windows = z.as_strided((3, 3, 2), (4, 1, 1))
    z[0, 1] = 5
    return windows * 2


@allowed
def inplace_keeps_its_dtype(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    z, m, d = x * 1, (x * 10).int(), x * 1
    z.gt_(0.5)
    m.mul_(2).add_(m)
    d.add_(y.double())
    return z, m, d


@allowed
def activations_in_place(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    z = x - 0.5
    w = F.relu(z, inplace=True)
    return z, nn.Hardtanh(0, 0.2, inplace=True)(w)


@allowed
def scatter_and_index_writes(x: Tensor, y: Tensor) -> Tensor:
    z = x * 1
    z.scatter_(1, torch.tensor([[1], [0], [2]]), y)
    z.index_add_(0, torch.tensor([0, 2]), y[:2])
    z.masked_fill_(y > 0.5, -1.0)
    z[torch.tensor([0, 1]), torch.tensor([1, 2])] = y[0, :2]
    z[y > 0.8] = 0
    return z


@allowed
def parameter_made_of_a_value(x: Tensor, y: Tensor) -> Tensor:
    z = x * 2
    return nn.Parameter(z) + 1


@allowed
def requires_grad_and_grad_mode(x: Tensor, y: Tensor) -> Tensor:
    z = (x * 2).requires_grad_()
    with torch.enable_grad():
        z = z * 2
    return z.detach().mul_(2)


@allowed
def inference_mode_inside(x: Tensor, y: Tensor) -> Tensor:
    with torch.inference_mode():
        z = x * 2
        z.add_(1)
        z[0] = y[0]
        v = z[1]
        v.mul_(3)
    return z


@allowed
def meshes_and_broadcasts(x: Tensor, y: Tensor) -> Tensor:
    a, b = torch.broadcast_tensors(x[:, None], y[None])
    c, d = torch.meshgrid(x[0], y[0], indexing="ij")
    return (a - b).sum() + c * d


# Memory that overlaps itself: a write to one copy is a write to all, and to the base


@allowed
def item_of_expanded(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    z = x[:, None] + 0
    v = z.expand(-1, 3, -1)
    v[:, 0] = -1
    v[1, 2, 1:] = y[0, 1:]
    return v * 2, z


@allowed
def item_of_broadcast(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    z = x + 0
    v = torch.broadcast_to(z, (2, 3, 4))
    a, b = torch.broadcast_tensors(z, y[None])
    v[0, 1] = v[1, 2] * 2
    a[0, 2] = torch.ones(1, 1, 4) * b[0, 0]
    return v, z, a


@allowed
def item_of_windows(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    z = x + 0
    u = z.unfold(-1, 3, 1)
    u[:, 0, 1] = y[:, 3]
    z.as_strided((3, 2), (4, 1))[1] += 1
    z.as_strided((3, 2), (1, 1))[0] = 5.0
    return u.sum(-1), z


@allowed
def parts_of_expanded_in_place(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    z = x[:, None] + 0
    v = z.expand(-1, 3, -1)
    v[:, 0].add_(y)
    v[:, 1] *= 2
    v[:, 2].zero_()
    torch.add(y, 1, out=v[:, 0])
    return v, z


@allowed
def item_of_an_expanded_constant(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    c = torch.zeros(4)
    v = c.expand(3, 4)
    v[0] = x[1]
    return v + y, c


@refused("overlaps itself .* call .clone")
def mask_of_expanded(x: Tensor, y: Tensor) -> Tensor:
    v = x[:, None].expand(-1, 2, -1)
    v[v > 0.5] = 0
    return v


@refused("overlaps itself .* call .clone")
def rows_of_expanded(x: Tensor, y: Tensor) -> Tensor:
    v = x[:, None].expand(-1, 2, -1)
    v[torch.tensor([0, 2]), 0] = 5.0
    return v


@refused("overlaps itself .* call .clone")
def filled_expanded(x: Tensor, y: Tensor) -> Tensor:
    return x[:, None].expand(-1, 2, -1).masked_fill_(y[:, None] > 0.5, 0.0)


# Sizes, which Tensor.new takes for a shape, and tuples, which it takes for data


@allowed
def new_of_a_size(x: Tensor, y: Tensor) -> Tensor:
    a = x.new(x.shape).zero_() + x.new(x.size()).fill_(1) + x.new(size=x.size()).zero_()
    b = x.new(torch.Size([3, 4])).zero_() + torch.zeros(3).new(y.shape[1:]).fill_(2)
    boxes = x.new(x.shape)
    boxes[:, 0], boxes[:, 1:] = x[:, 1] - y[:, 0], y[:, 1:] * 2
    return a + b + x.new(x.shape).fill_(1).sum() + boxes


@allowed
def new_of_data(x: Tensor, y: Tensor) -> Tensor:
    row = x.new([1.0, 2.0, 3.0, 4.0]) + x.new((4.0, 3.0, 2.0, 1.0))
    return x + row + x.new(tuple(x.shape)).sum()


# Python around tensors


@allowed
def exact_type(x: Tensor, y: Tensor) -> Tensor:
    return x * 2 if type(x) is Tensor and type(x + y) is Tensor else x * 3


@allowed
def shapes_lengths_and_unpacking(x: Tensor, y: Tensor) -> Tensor:
    a, b, c = x
    n = len(x) + x.size(0) + x.shape[1] + x.dim() + x.numel()
    assert isinstance(x, Tensor) and x.dtype == torch.float32 and x.device.type == "cpu"
    assert x.is_cpu and not x.is_meta and not x.is_cuda and x.is_floating_point()
    return a * n + b + c + torch.stack([*y]).sum(0) + sum(y.unbind(0))


@allowed
def made_like_others(x: Tensor, y: Tensor) -> Tensor:
    z = torch.zeros_like(x) + x.new_ones(3, 1) + torch.full_like(y, 2)
    return x * z + torch.ones(3, 4, device=x.device, dtype=x.dtype)


@allowed
def tuples_dicts_and_plain_outputs(x: Tensor, y: Tensor) -> Any:
    return {"a": x + 1, "n": 3, "rest": [y, None, ("text", torch.ones(2))]}


@allowed
def input_is_output(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    z = x + y
    return x, z, z


@allowed
def printing(x: Tensor, y: Tensor) -> Tensor:
    text = f"{x} {x.shape} {y!r}"
    return x + len(text[:3])


@allowed
def caught_copy(x: Tensor, y: Tensor) -> Tensor:
    z = copy.deepcopy(x) + copy.deepcopy(y)
    z.add_(1)
    return z + x


@allowed
def global_constant(x: Tensor, y: Tensor) -> Tensor:
    return x * GLOBAL_TABLE + torch.Tensor([1, 2, 3, 4])


@allowed
def checkpointed(x: Tensor, y: Tensor) -> Tensor:
    return checkpoint(torch.mul, x, y, use_reentrant=False) + checkpoint(
        torch.sub, x, y, use_reentrant=True
    )


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * x


class Same(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)


@allowed
def autograd_functions(x: Tensor, y: Tensor) -> Tensor:
    return Square.apply(x) + Same.apply(y)


@allowed
def functional_call(x: Tensor, y: Tensor) -> Tensor:
    weights = {"weight": torch.eye(4) * 2, "bias": y[0]}
    return torch.func.functional_call(LAYER, weights, (x,))


@allowed
def data_dependent_only_in_constants(x: Tensor, y: Tensor) -> Tensor:
    mask = torch.tensor([True, False, True])
    keep = mask.nonzero().squeeze(1).tolist()
    return x[mask] + x[keep] * float(torch.ones(1)) + x[torch.tensor(2)]


@allowed
def vmap_over_constants(x: Tensor, y: Tensor) -> Tensor:
    mask = torch.vmap(lambda a, b: a * b)(torch.arange(4.0), torch.ones(4))
    return x * mask


@allowed
def constants_as_indices(x: Tensor, y: Tensor) -> Tensor:
    n = torch.tensor(2)
    return x[:n] + x[n] + y[torch.tensor([0, 2]), :n].sum()


@allowed
def functions_with_several_results(x: Tensor, y: Tensor) -> Tensor:
    values, indices = x.topk(2, dim=1)
    parts = torch.tensor_split(y, 2, dim=1)
    mean, std = torch.std_mean(x, 1)
    return values * parts[1] + indices + mean[:, None] - std[:, None]


@torch.library.custom_op("fx2caffe_tests::scale", mutates_args=())
def scale(x: Tensor, factor: float) -> Tensor:
    return x * factor


@scale.register_fake
def _(x: Tensor, factor: float) -> Tensor:
    return torch.empty_like(x)


@torch.library.custom_op("fx2caffe_tests::put", mutates_args=("x",))
def put(x: Tensor) -> None:
    x.mul_(2)


@allowed
def custom_operator(x: Tensor, y: Tensor) -> Tensor:
    result: Tensor = scale(x, 2.0) + y
    return result


@refused("which its name does not tell")
def custom_operator_that_writes(x: Tensor, y: Tensor) -> Tensor:
    z = x * 1
    put(z)
    return z


@refused("writes")
def embedding_that_renormalizes(x: Tensor, y: Tensor) -> Tensor:
    return F.embedding(x.argmax(1), TABLE, max_norm=0.1)


@refused("can not be recorded|torch.func")
def gradient(x: Tensor, y: Tensor) -> Tensor:
    return torch.func.grad(lambda t: (t * t).sum())(x)  # type: ignore[no-any-return]


@allowed
def boolean_list(x: Tensor, y: Tensor) -> Tensor:
    return x[[True, False, True]] + x.new_tensor([1, 2, 3, 4])


@allowed
def slices_written_in_place(x: Tensor, y: Tensor) -> Tensor:
    z = torch.zeros(3, 4)
    for i in range(3):
        row = z[i]
        row += x[i]
        z[..., i] *= 2
    return z


@allowed
def einsum_norm_and_others(x: Tensor, y: Tensor) -> Tensor:
    a = torch.einsum("ij,kj->ik", x, y) @ torch.cdist(x, y)
    return (
        a / x.norm(dim=1, keepdim=True)
        + torch.tensordot(x, y, dims=2)
        + x.unflatten(1, (2, 2)).sum((1, 2)).unsqueeze(1)
    )


@allowed
def attention_with_mask(x: Tensor, y: Tensor) -> Tensor:
    mask = torch.ones(3, 3).tril().bool()
    return F.scaled_dot_product_attention(x[None], y[None], x[None], attn_mask=mask)


# Outputs


class Pair(NamedTuple):
    first: Tensor
    second: Any


@dataclasses.dataclass(frozen=True)
class Boxed:
    value: Tensor
    note: str
    inner: Pair


class Ordered(collections.OrderedDict):  # type: ignore[type-arg]
    pass


@allowed
def structured_outputs(x: Tensor, y: Tensor) -> Any:
    return Ordered(out=Boxed(x + 1, "n", Pair(y, None)), aux=[x.max(1), {"k": y * 2}])


# What must be refused


@refused("reads the data")
def branch_on_data(x: Tensor, y: Tensor) -> Tensor:
    return x if x.sum() > 0 else y


@refused("reads the data")
def float_of_data(x: Tensor, y: Tensor) -> Tensor:
    return y * float(x.max())


@refused("reads the data")
def item_of_data(x: Tensor, y: Tensor) -> Tensor:
    return y * x[0, 0].item()


@refused("reads the data")
def list_of_data(x: Tensor, y: Tensor) -> Tensor:
    return y * torch.tensor(x.tolist())


@refused("reads the data")
def numpy_of_data(x: Tensor, y: Tensor) -> Tensor:
    return y * torch.from_numpy(x.numpy())


@refused("reads the data")
def array_of_data(x: Tensor, y: Tensor) -> Tensor:
    return y * torch.from_numpy(np.asarray(x))


@refused("reads the data")
def index_of_data(x: Tensor, y: Tensor) -> Tensor:
    return [x, y][x.argmax() % 1]


@refused("reads the data")
def slice_by_data(x: Tensor, y: Tensor) -> Tensor:
    return x[: y.argmax() % 2 + 1]


@refused("reads the data")
def size_by_data(x: Tensor, y: Tensor) -> Tensor:
    return x * torch.arange(x.argmax() * 0 + 4)


@refused("reads the data")
def equality(x: Tensor, y: Tensor) -> Tensor:
    return x * 2 if torch.equal(x, y) else x * 3


@refused("reads the data")
def closeness(x: Tensor, y: Tensor) -> Tensor:
    return x * 2 if torch.allclose(x, y) else x * 3


@refused("reads the data")
def membership(x: Tensor, y: Tensor) -> Tensor:
    return x * 2 if 0.25 in x else x * 3


@refused("reads the data")
def tensor_of_items(x: Tensor, y: Tensor) -> Tensor:
    return y * torch.tensor([x[0, 0], 1.0, 1.0, 1.0])


@refused("reads the data")
def read_and_caught(x: Tensor, y: Tensor) -> Tensor:
    try:
        return y * float(x.max())
    except Exception:
        return y


@refused("depends on the data")
def mask_selects(x: Tensor, y: Tensor) -> Tensor:
    return x[x > 0.5]


@refused("depends on the data")
def nonzero(x: Tensor, y: Tensor) -> Tensor:
    return (x > 0.5).nonzero()


@refused("depends on the data")
def masked_select(x: Tensor, y: Tensor) -> Tensor:
    return torch.masked_select(x, y > 0.5)


@refused("depends on the data")
def unique(x: Tensor, y: Tensor) -> Tensor:
    return torch.unique(x.round())


@refused("data")
def one_hot_of_unknown_count(x: Tensor, y: Tensor) -> Tensor:
    return F.one_hot(x.argmax(1))


@refused("needs eval mode")
def random_dropout(x: Tensor, y: Tensor) -> Tensor:
    return F.dropout(x, 0.5)


@refused("draws random numbers")
def random_constant(x: Tensor, y: Tensor) -> Tensor:
    return x + torch.randn(4)


@refused("draws random numbers")
def random_numpy(x: Tensor, y: Tensor) -> Tensor:
    return x * np.random.rand()


@refused("needs eval mode")
def batch_statistics(x: Tensor, y: Tensor) -> Tensor:
    return nn.BatchNorm1d(4).train()(x)


@refused("autocast")
def mixed_precision(x: Tensor, y: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return x @ y.t()


@refused("torch.func")
def vmapped(x: Tensor, y: Tensor) -> Tensor:
    return torch.vmap(torch.dot)(x, y)


@refused("")
def conditional(x: Tensor, y: Tensor) -> Tensor:
    return torch.cond(x.sum() > 0, lambda a: a + 1, lambda a: a - 1, (x,))


@torch.jit.script
def scripted(x: Tensor) -> Tensor:
    return torch.relu(x) * 2


@allowed
def script_function(x: Tensor, y: Tensor) -> Tensor:
    return scripted(x)  # torch runs its Python form while a model is exported


WITHOUT_PYTHON = torch.jit.CompilationUnit("def doubled(x):\n  return torch.relu(x) * 2\n")


@refused("pass the plain Python form")
def script_function_without_python_form(x: Tensor, y: Tensor) -> Tensor:
    result: Tensor = WITHOUT_PYTHON.doubled(x)
    return result


@refused("can not be recorded")
def torch_function_off(x: Tensor, y: Tensor) -> Tensor:
    with torch._C.DisableTorchFunction():
        return x * 2


@refused("thread")
def thread(x: Tensor, y: Tensor) -> Tensor:
    made: list[Tensor] = []
    worker = threading.Thread(target=lambda: made.append(x * 2))
    worker.start()
    worker.join()
    return y + made[0]


@refused("thread")
def thread_as_output(x: Tensor, y: Tensor) -> Tensor:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.relu, x).result()


@refused("see it")
def thread_writes(x: Tensor, y: Tensor) -> Tensor:
    z = x * 2
    worker = threading.Thread(target=lambda: z.add_(1))
    worker.start()
    worker.join()
    return z + y


class Opaque:
    def __init__(self, value: Tensor) -> None:
        self.value = value


@refused("is an output whose tensors")
def unknown_output(x: Tensor, y: Tensor) -> Any:
    return Opaque(x)


@refused("reads the data")
def formatted_assert(x: Tensor, y: Tensor) -> Tensor:
    torch._assert((x > -1).all(), "must be positive")
    return x


@refused("see it|not be recorded|reads the data")
def copied_by_pickle(x: Tensor, y: Tensor) -> Tensor:
    return copy.copy(x) + y


@refused("dtype")
def bits_of_another_dtype(x: Tensor, y: Tensor) -> Tensor:
    z = x * 1
    bits = z.view(torch.int32)
    z.add_(1)
    return bits


@refused("no form")
def resized(x: Tensor, y: Tensor) -> Tensor:
    z = x * 1
    z.resize_(2, 2)
    return z
