"""Traps that no graph can hold: branches on data, random draws, modes, threads; all refused."""

from __future__ import annotations

import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad

from tests.tracing.traps import refused


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


@refused("data" if torch.__version__ >= "2.3" else "data|use values='real'")
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
def set_to_another(x: Tensor, y: Tensor) -> Tensor:
    z = x * 1
    z.set_(y)
    return z


@refused("computes gradients")
def gradient_by_function(x: Tensor, y: Tensor) -> Tensor:
    with torch.enable_grad():
        z = x.detach().requires_grad_()
        return torch.autograd.grad((z * y).sum(), z)[0]


@refused("computes gradients")
def gradient_by_attribute(x: Tensor, y: Tensor) -> Any:
    with torch.enable_grad():
        z = x.detach().requires_grad_()
        (z * y).sum().backward()  # type: ignore[no-untyped-call]
    return z.grad


@refused("computes gradients")
def gradients_of_several(x: Tensor, y: Tensor) -> Any:
    with torch.enable_grad():
        z = x.detach().requires_grad_()
        torch.autograd.backward([(z * y).sum()])
    return z.grad


@refused("computes gradients")
def derivative_forward(x: Tensor, y: Tensor) -> Any:
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(forward_ad.make_dual(x, y) * 2).tangent


@refused("no form")
def resized(x: Tensor, y: Tensor) -> Tensor:
    z = x * 1
    z.resize_(2, 2)
    return z
