"""Writes, views and memory that overlaps itself: every other name of an element has to see them."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.tracing.traps import allowed, refused

# Writes and views


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
def transposed_in_place_alone(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    z, w = x * 1, y * 1
    z.t_()
    w.t_().t_()
    w.swapdims_(0, 1)
    return z, w


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


@allowed
def filled_copies(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    z, w = x[:, None] + 0, y + 0
    z.expand(-1, 3, -1)[:, :, 1:3].zero_()
    torch.broadcast_to(w[:, :1], (3, 4)).fill_(2.0)
    w[:, 1:].unfold(-1, 2, 1)[1:].fill_(-1)
    w[0].as_strided((2, 2), (1, 1)).fill_(y.mean())
    return z + y[:, None], w * x


@allowed
def copied_to_copies(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    z = x + 0
    z.unfold(-1, 2, 1)[:2].copy_(y.unfold(-1, 2, 1)[1:])
    z[2].unfold(-1, 3, 1)[...] = y[0, 0]
    return z * 2, z


@refused("overlaps itself .* call .clone")
def unlike_copies(x: Tensor, y: Tensor) -> Tensor:
    z = x + 0
    z.unfold(-1, 2, 1).copy_(y[:, :3, None] * torch.ones(2))
    return z


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
