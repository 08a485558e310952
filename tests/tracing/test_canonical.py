"""Every way to write an operation arrives as one function."""

from __future__ import annotations

import operator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fx2caffe.ir import graph_functions
from fx2caffe.tracing.tracer import trace

to, expand, repeat = Tensor.to, Tensor.expand, Tensor.repeat

# Expression over x (2, 3, 4, 4), y like x, i (integers), the targets of its nodes in order.
ROWS: list[tuple[str, list[Any]]] = [
    *(
        (expression, [torch.add])
        for expression in (
            "x + y", "x + 1", "1 + x", "torch.add(x, y)", "x.add(y)", "operator.add(x, y)",
            "x.__radd__(1)", "x.add_(y)", "x.__iadd__(y)", "torch.add(x, y, out=y)",
            "torch.ops.aten.add(x, y)", "torch.ops.aten.add.Tensor(x, y)", "x.add(y, alpha=2)",
            "operator.iadd(x, y)", "torch.ops.aten.add_(x, y)",
        )
    ),
    *(
        (expression, [torch.sub])
        for expression in (
            "x - y", "1 - x", "x.__rsub__(1)", "torch.sub(x, y)", "torch.subtract(x, y)",
            "torch.rsub(x, y)", "x.sub_(y)", "y - x",
        )
    ),
    *((e, [torch.mul]) for e in ("x * y", "2 * x", "x.mul_(y)", "torch.multiply(x, y)")),
    *((e, [torch.div]) for e in ("x / y", "2 / x", "torch.true_divide(x, 2)", "x.div_(y)")),
    *((e, [torch.floor_divide]) for e in ("x // y", "7 // x", "x.floor_divide(2)")),
    *((e, [torch.remainder]) for e in ("x % 2", "2 % x", "torch.remainder(x, y)")),
    *((e, [torch.pow]) for e in ("x ** 2", "2 ** x", "x.pow(2)", "x.pow_(2)", "x ** y")),
    *((e, [torch.matmul]) for e in ("x @ y", "x.__rmatmul__(y)", "x.matmul(y)")),
    *((e, [torch.neg]) for e in ("-x", "x.neg()", "torch.negative(x)", "x.neg_()")),
    *((e, [torch.abs]) for e in ("abs(x)", "x.abs()", "torch.absolute(x)")),
    *((e, [torch.gt]) for e in ("x > y", "torch.greater(x, y)", "x.gt(0)")),
    ("x == 1", [torch.eq]), ("1 != x", [torch.ne]), ("x <= y", [torch.le]),
    ("2 > x", [torch.lt]), ("x >= 0", [torch.ge]),
    ("x.gt_(0)", [torch.gt, to]),
    ("(x > 0) & (y > 0)", [torch.gt, torch.gt, torch.bitwise_and]),
    ("~(x > 0)", [torch.gt, torch.bitwise_not]),
    ("(x > 0) | (y > 0)", [torch.gt, torch.gt, torch.bitwise_or]),
    ("(x > 0) ^ (y > 0)", [torch.gt, torch.gt, torch.bitwise_xor]),
    ("i << 1", [torch.bitwise_left_shift]), ("1 << i", [torch.bitwise_left_shift]),
    ("i >> 1", [torch.bitwise_right_shift]),
    *(
        (expression, [F.relu])
        for expression in (
            "F.relu(x)", "torch.relu(x)", "x.relu()", "x.relu_()", "F.relu_(x)",
            "torch.relu_(x)", "F.relu(x, True)", "F.relu(x, inplace=True)", "nn.ReLU()(x)",
            "nn.ReLU(True)(x)", "torch.ops.aten.relu(x)", "torch.ops.aten.relu.default(x)",
        )
    ),
    *((e, [torch.sigmoid]) for e in ("x.sigmoid()", "F.sigmoid(x)", "torch.special.expit(x)")),
    *((e, [torch.tanh]) for e in ("x.tanh()", "F.tanh(x)", "x.tanh_()", "nn.Tanh()(x)")),
    *((e, [F.softmax]) for e in ("x.softmax(1)", "F.softmax(x, 1)", "torch.softmax(x, 1)",
                                 "torch.softmax(x, 1, torch.float32)", "nn.Softmax(1)(x)")),
    *((e, [F.gelu]) for e in ("F.gelu(x)", "torch.ops.aten.gelu(x)", "nn.GELU()(x)")),
    *((e, [F.leaky_relu]) for e in ("F.leaky_relu(x, 0.1, True)", "F.leaky_relu_(x, 0.1)")),
    *((e, [F.hardtanh]) for e in ("F.hardtanh(x, 0., 6., True)", "F.hardtanh_(x, 0., 6.)")),
    *((e, [F.elu]) for e in ("F.elu(x, 1., True)", "F.elu_(x)", "nn.ELU()(x)")),
    *((e, [F.max_pool2d]) for e in ("F.max_pool2d(x, 2)", "torch.max_pool2d(x, 2)",
                                    "nn.MaxPool2d(2)(x)")),
    ("F.max_pool2d(x, 2, return_indices=True)[0]",
     [F.max_pool2d_with_indices, operator.getitem]),
    *((e, [torch.clamp]) for e in ("x.clamp(0, 1)", "torch.clip(x, 0)", "x.clamp_(min=0)")),
    *(
        (expression, [torch.reshape])
        for expression in (
            "x.view(2, -1)", "x.view((2, -1))", "x.view([2, -1])", "x.reshape(2, -1)",
            "torch.reshape(x, (2, -1))", "x.view(size=(2, -1))", "x.view_as(y)",
            "x.reshape_as(y)", "x.view(torch.Size([6, 16]))",
        )
    ),
    *((e, [torch.permute]) for e in ("x.permute(0, 2, 3, 1)", "x.permute((0, 2, 3, 1))",
                                     "torch.permute(x, (0, 2, 3, 1))",
                                     "x.permute(dims=(0, 2, 3, 1))")),
    *((e, [torch.transpose]) for e in ("x.mT", "x.transpose(1, 2)", "x.swapaxes(1, 2)",
                                       "torch.swapdims(x, 1, 2)", "x.transpose_(1, 2)")),
    ("x[0, 0].t()", [operator.getitem, torch.permute]),
    ("x[0, 0].T", [operator.getitem, torch.permute]),
    *((e, [expand]) for e in ("x.expand(5, 2, 3, 4, 4)", "x.expand((5, 2, 3, 4, 4))",
                              "x.expand_as(torch.ones(5, 2, 3, 4, 4))")),
    ("x.repeat(1, 2, 1, 1)", [repeat]), ("x.repeat((1, 2, 1, 1))", [repeat]),
    *((e, [torch.flip]) for e in ("x.flip(2, 3)", "x.flip((2, 3))", "torch.flip(x, [2, 3])")),
    *((e, [to]) for e in ("x.double()", "x.to(torch.float64)", "x.type(torch.float64)",
                          "x.to(torch.ones(1).double())", "x.to('cpu', torch.float64)",
                          "x.type_as(torch.ones(1).double())", "x.half()", "x.long()",
                          "x.type('torch.DoubleTensor')")),
    *((e, []) for e in ("x.float()", "x.clone()", "x.detach()", "x.contiguous()", "x.data",
                        "x.cpu()", "x.to('cpu')", "x.requires_grad_(False)", "x.detach_()",
                        "F.dropout(x, 0.5, False)", "torch.clone(x)", "x.to(y.device)",
                        "nn.Dropout().eval()(x)", "nn.Identity()(x)", "copy.deepcopy(x)",
                        "torch.tensor(x)", "torch.as_tensor(x)", "+x",
                        "x.to(memory_format=torch.channels_last)", "x.type_as(y)",
                        "x.type(x.type())")),
    *((e, [torch.where]) for e in ("torch.where(c, x, y)", "x.where(c, y)")),
    *((e, [torch.split, operator.getitem]) for e in (
        "x.split(1, 1)[0]", "torch.split(x, 1, dim=1)[0]", "x.split([1, 2], 1)[0]",
        "x.split(split_size=1)[0]")),
    ("x.max(1)[0]", [torch.max, operator.getitem]),
    ("torch.max(x, 1).values", [torch.max, operator.getitem]),
    ("list(x)[1]", [torch.unbind, operator.getitem]),
    ("[*x][1]", [torch.unbind, operator.getitem]),
    ("torch.concat([x, y])", [torch.cat]), ("torch.cat((x, y), dim=1)", [torch.cat]),
    ("x[:, 1:]", [operator.getitem]), ("x[..., 0]", [operator.getitem]),
    ("x[:, [0, 2]]", [operator.getitem]), ("x[:, np.array([0, 2])]", [operator.getitem]),
    ("x[0, i]", [operator.getitem]),
    ("x.copy_(y) + 0", [torch.add]),
    ("x.zero_()", []), ("x.fill_(3)", []), ("torch.zeros_like(x)", []), ("x.new_ones(3)", []),
    ("x.copy_(y[0])", [operator.getitem, expand]),
    ("x.masked_fill_(c, 0.)", [torch.masked_fill]),
    ("x.masked_fill(c, 0.)", [torch.masked_fill]),
    ("torch.max(x, 1, out=(y[:, 0].clone(), i4))[0]",
     [torch.max, operator.getitem]),
    ("x.__setitem__(0, 1.) or x", [graph_functions.setitem]),
    ("F.dropout2d(x, 0.5, False)", []),
    ("F.batch_norm(x, torch.zeros(3), torch.ones(3))", [F.batch_norm]),
    ("torch.batch_norm(x, None, None, torch.zeros(3), torch.ones(3), False, 0., 0., False)",
     [F.batch_norm]),
    ("F.embedding(i, torch.eye(4))", [F.embedding]),
    ("torch.embedding(torch.eye(4), i)", [F.embedding]),
    ("F.softsign(x)", [torch.abs, torch.add, torch.div]),
    ("x.sum(dim=1)", [torch.sum]), ("torch.einsum('bchw->bhw', x)", [torch.einsum]),
    ("x.real", []), ("x.unfold(3, 2, 1)", [Tensor.unfold]),
]  # fmt: skip


def run(expression: str, x: Tensor, y: Tensor, c: Tensor, i: Tensor) -> Any:
    import copy

    import numpy as np
    from torch import nn

    names = {"copy": copy, "np": np, "nn": nn, "F": F, "torch": torch, "operator": operator}
    i4 = torch.zeros(2, 4, 4, dtype=torch.long)
    return eval(expression, {**names, "x": x, "y": y, "c": c, "i": i, "i4": i4})


def inputs(seed: int) -> tuple[Tensor, ...]:
    random = torch.Generator().manual_seed(seed)
    x, y = (torch.rand(2, 3, 4, 4, generator=random) + 0.5 for _ in range(2))
    return x, y, x > y, torch.randint(0, 3, (5,), generator=random)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("values", ["real", "fake"])
@pytest.mark.parametrize(("expression", "targets"), ROWS, ids=[row[0] for row in ROWS])
def test_spelling(expression: str, targets: list[Any], values: Any) -> None:
    traced = trace(lambda x, y, c, i: run(expression, x, y, c, i), inputs(0), values=values)
    found = [n.target for n in traced.module.graph.nodes if n.op == "call_function"]
    assert found == targets
    expected = run(expression, *inputs(1))
    got = traced.module(*inputs(1))[0]
    torch.testing.assert_close(got, expected, check_stride=False)
