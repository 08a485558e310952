"""Python around tensors: types, sizes, constants, custom operators, scripts and outputs."""

from __future__ import annotations

import collections
import copy
import dataclasses
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tests.tracing.custom_operators import custom_op, library_op
from tests.tracing.traps import allowed, allowed_since, refused

LAYER = nn.Linear(4, 4)
TABLE = torch.arange(20.0).reshape(5, 4)
GLOBAL_TABLE = torch.arange(12.0).reshape(3, 4)


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


@custom_op("scale(Tensor x, float factor) -> Tensor", like=lambda x, factor: torch.empty_like(x))
def scale(x: Tensor, factor: float) -> Tensor:
    return x * factor


@custom_op("put(Tensor(a!) x) -> ()", like=lambda x: None)
def put(x: Tensor) -> None:
    x.mul_(2)


@allowed
def custom_operator(x: Tensor, y: Tensor) -> Tensor:
    result: Tensor = scale(x, 2.0) + y
    return result


@refused("which its name does not show")
def custom_operator_that_writes(x: Tensor, y: Tensor) -> Tensor:
    z = x * 1
    put(z)
    return z


@library_op("put_one(Tensor x, Tensor(a!) y) -> Tensor", like=lambda x, y: torch.empty_like(x))
def put_one(x: Tensor, y: Tensor) -> Tensor:
    y.mul_(2)
    return x + 1


@library_op("lies(Tensor x) -> Tensor")
def lies(x: Tensor) -> Tensor:
    """Write its argument, which neither its schema states nor torch counts."""
    x.mul_(2)
    return x + 1


@refused("which its name does not show|use values='real'")
def operator_whose_schema_hides_a_write(x: Tensor, y: Tensor) -> Tensor:
    z = x * 1
    return lies(z) + z


@refused("which its name does not show")
def operator_of_a_device_that_writes(x: Tensor, y: Tensor) -> Tensor:
    z = x * 1
    row = z[0]
    return put_one(y, row) + z


@refused("which its name does not show")
def operator_of_a_device_that_writes_a_constant(x: Tensor, y: Tensor) -> Tensor:
    z = torch.ones(3, 4)
    return put_one(x, z) + z


@allowed
def operator_of_a_device_that_writes_constants_alone(x: Tensor, y: Tensor) -> Tensor:
    z = torch.ones(3, 4)
    return put_one(torch.ones(3, 4), z) + z + x


@refused("writes")
def embedding_that_renormalizes(x: Tensor, y: Tensor) -> Tensor:
    return F.embedding(x.argmax(1), TABLE, max_norm=0.1)


@refused("can not be recorded|torch.func")
def gradient(x: Tensor, y: Tensor) -> Tensor:
    return torch.func.grad(lambda t: (t * t).sum())(x)  # type: ignore[no-any-return]


@allowed
def gradient_that_is_none(x: Tensor, y: Tensor) -> Tensor:
    z = x * 2
    if z.requires_grad:
        z.register_hook(lambda gradient: gradient)
    return z if z.grad is None and y.grad is None else y


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


@torch.jit.script
def scripted(x: Tensor) -> Tensor:
    return torch.relu(x) * 2


@allowed_since("2.8", before="pass the plain Python form")
def script_function(x: Tensor, y: Tensor) -> Tensor:
    return scripted(x)  # torch runs its Python form while a model is exported


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
