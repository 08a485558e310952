"""Products, normalization and recurrent layers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe2fx import compat
from fx2caffe.ir import graph_functions
from tests.ops.families.base import Arguments, Family, Random, broadcast, calls, family


@family(torch.matmul)
def _multiplied(r: Random) -> Arguments:
    rows, inner, columns = r.many(3, 1, 4)
    one, two = broadcast(r, 2)
    left = (inner,) if r.number(0, 3) == 0 else (*one[:2], rows, inner)
    right = (inner,) if r.number(0, 3) == 0 else (*two[:2], inner, columns)
    return (r.tensor(left), r.tensor(right)), {}


def product(left: str, right: str, added: str = "") -> Family:
    """Draw two operands, and one that is added, with a size for each letter."""

    def draw(r: Random) -> Arguments:
        sizes = {letter: r.number(1, 4) for letter in "bnmk"}
        shapes = [[sizes[letter] for letter in term] for term in (left, right)]
        args = tuple(map(r.tensor, shapes))
        if not added:
            return args, {}
        own = [sizes[letter] if r.number(0, 3) else 1 for letter in added]
        options = {"alpha": r.choice(1, 0.5), "beta": r.choice(1, -2, 0)}
        return (r.tensor(own), *args), options

    return draw


family(torch.mm)(product("nk", "km"))
family(torch.bmm)(product("bnk", "bkm"))
family(torch.mv)(product("nk", "k"))
family(torch.dot, torch.vdot)(product("k", "k"))
family(torch.inner)(product("nk", "mk"))
family(torch.addmm)(product("nk", "km", "nm"))
family(torch.baddbmm)(product("bnk", "bkm", "bnm"))
family(torch.addmv)(product("nk", "k", "n"))
family(torch.addbmm)(product("bnk", "bkm", "nm"))
family(torch.addr)(product("n", "m", "nm"))


GROUPED_MM = getattr(F, "grouped_mm", graph_functions.grouped_mm)  # torch has it from 2.10 on


@calls(graph_functions.grouped_mm, lambda rows, *rest: GROUPED_MM(rows, rest[0], offs=rest[1]))
def _in_groups(r: Random) -> Arguments:
    """Draw rows of 16 bytes or a multiple, as torch needs them."""
    inner, columns = 4 * r.number(1, 2), 4 * r.number(1, 2)
    ends = torch.tensor(r.many(r.number(1, 3), 0, 3)).cumsum(0) + 1
    offsets = ends.to(torch.int32)
    return (r.tensor((int(ends[-1]), inner)), r.tensor((len(ends), inner, columns)), offsets), {}


@family(torch.chain_matmul)
def _chained(r: Random) -> Arguments:
    return tuple(map(r.tensor, pairwise(r.many(r.number(2, 5), 1, 4)))), {}


@family(F.linear)
def _linear(r: Random) -> Arguments:
    inputs, outputs = r.many(2, 1, 5)
    bias = r.choice(None, r.tensor((outputs,)))
    return (r.tensor((*r.shape(0, 3, 3), inputs)), r.tensor((outputs, inputs)), bias), {}


@family(F.scaled_dot_product_attention)
def _attention(r: Random) -> Arguments:
    head = r.many(2, 1, 2)
    queries, keys, width = r.many(3, 1, 4)
    options: dict[str, Any] = {"is_causal": r.flag(), "scale": r.choice(None, 0.3)}
    if not options["is_causal"] and r.flag():
        mask = r.tensor((queries, keys))
        options["attn_mask"] = r.choice(mask, mask > 0)
    shapes = ((*head, queries, width), (*head, keys, width), (*head, keys, r.number(1, 4)))
    return tuple(map(r.tensor, shapes)), options


EQUATIONS = (
    "ij,jk->ik", "bij,bjk->bik", "bhqd,bhkd->bhqk", "bhqk,bhkd->bqhd", "ij,ij->", "ij->ji",
    "ii->i", "ii", "i,j->ij", "bij,kj->bik", "...ij,...jk->...ik", "abc,cd,be->ade", "ijk->j",
    "bn,anm,bm->ba", "abcd->dbca",
)  # fmt: skip


@family(torch.einsum)
def _einsum(r: Random) -> Arguments:
    equation = r.choice(*EQUATIONS)
    letters = {letter: r.number(1, 4) for letter in "abcdehijkmnq"}
    extra = r.shape(0, 2, 3)
    shapes = [
        (*(extra if "..." in term else ()), *(letters[c] for c in term if c.isalpha()))
        for term in equation.split("->")[0].split(",")
    ]
    return (equation, *map(r.tensor, shapes)), {}


def weights(r: Random, shape: Sequence[int]) -> tuple[Tensor, Tensor] | tuple[None, None]:
    """Scale and shift, or none."""
    return r.choice((None, None), (r.tensor(shape), r.tensor(shape)))


@family(F.layer_norm, compat.RMS_NORM)
def _layer_norm(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    own = shape[r.number(0, len(shape) - 1) :]
    return (r.tensor(shape), own, r.choice(None, r.tensor(own))), {}


@family(F.group_norm)
def _group_norm(r: Random) -> Arguments:
    groups = r.number(1, 3)
    channels = groups * r.number(1, 3)
    shape = (r.number(1, 2), channels, *r.shape(0, 3, 4))
    return (r.tensor(shape), groups, *weights(r, (channels,))), {}


@family(F.instance_norm)
def _instance_norm(r: Random) -> Arguments:
    shape = (r.number(1, 2), r.number(1, 3), *r.many(r.number(1, 3), 2, 4))
    return (r.tensor(shape), None, None, *weights(r, shape[1:2])), {}


@family(F.batch_norm)
def _batch_norm(r: Random) -> Arguments:
    shape = (r.number(1, 3), r.number(1, 3), *r.shape(0, 3, 4))
    statistics = r.tensor(shape[1:2]), r.tensor(shape[1:2], "positive")
    of_the_batch = r.number(0, 2) == 2 and shape[0] * prod(shape[2:]) > 1
    given = (None, None) if of_the_batch else statistics
    return (r.tensor(shape), *given, *weights(r, shape[1:2])), {"training": of_the_batch}


@calls(
    torch._native_batch_norm_legit_no_training,
    lambda *args: torch._native_batch_norm_legit_no_training(*args)[0],
)
def _batch_norm_of_export(r: Random) -> Arguments:
    shape = (r.number(1, 3), r.number(1, 3), *r.shape(0, 3, 4))
    statistics = r.tensor(shape[1:2]), r.tensor(shape[1:2], "positive")
    return (r.tensor(shape), r.tensor(shape[1:2]), r.tensor(shape[1:2]), *statistics, 0.1, 1e-5), {}


@family(F.local_response_norm)
def _response_norm(r: Random) -> Arguments:
    shape = (r.number(1, 2), r.number(1, 6), *r.shape(1, 3, 4))
    return (r.tensor(shape), r.number(1, 6)), {"alpha": r.choice(1e-4, 0.5), "k": r.choice(1.0, 2)}


# Sizes of the first axis that no state or weight has: where those grow with it, torch itself
# reads past their ends.
APART = (5, 7)
GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


def _cells(kind: str) -> Family:
    def draw(r: Random) -> Arguments:
        batch, (inputs, width) = r.choice(*APART), r.many(2, 1, 4)
        rows = GATES[kind] * width
        state = r.tensor((batch, width))
        states = (state, r.tensor((batch, width))) if kind == "lstm" else state
        matrices = r.tensor((rows, inputs)), r.tensor((rows, width))
        return (r.tensor((batch, inputs)), states, *matrices, *weights(r, (rows,))), {}

    return draw


def _layers(kind: str) -> Family:
    def draw(r: Random) -> Arguments:
        steps, (batch, inputs, width) = r.choice(*APART), r.many(3, 1, 3)
        layers, both = r.number(1, 2), r.flag()
        directions = 1 + both
        flat: list[Tensor] = []
        for layer in range(layers):
            size = width * directions if layer else inputs
            for _ in range(directions):
                rows = GATES[kind] * width
                flat += [r.tensor((rows, size)), r.tensor((rows, width))]
                flat += [r.tensor((rows,)), r.tensor((rows,))]
        state = r.tensor((layers * directions, batch, width))
        states = (state, r.tensor(state.shape)) if kind == "lstm" else state
        value = r.tensor((steps, batch, inputs))
        return (value, states, flat, True, layers, 0.0, False, both, False), {}

    return draw


for _kind in GATES:
    family(getattr(torch, f"{_kind}_cell"))(_cells(_kind))
    family(getattr(torch, _kind))(_layers(_kind))


@family(torch.vander)
def _vandermonde(r: Random) -> Arguments:
    return (r.tensor((r.number(1, 4),), "unit"),), {"N": r.choice(None, 3), "increasing": r.flag()}


@family(torch.outer, torch.ger)
def _outer(r: Random) -> Arguments:
    return (r.tensor((r.number(1, 4),)), r.tensor((r.number(1, 4),))), {}


@family(F.bilinear)
def _bilinear(r: Random) -> Arguments:
    lead, (one, two, out) = r.shape(0, 3, 3), r.many(3, 1, 3)
    bias = r.choice(None, r.tensor((out,)))
    return (r.tensor((*lead, one)), r.tensor((*lead, two)), r.tensor((out, one, two)), bias), {}


@family(torch.kron)
def _tiled_product(r: Random) -> Arguments:
    return (r.tensor(r.shape(0, 3, 3)), r.tensor(r.shape(0, 3, 3))), {}


@family(torch.tensordot)
def _contracted(r: Random) -> Arguments:
    inner = r.shape(0, 2, 3)
    left, right = r.shape(0, 2, 3), r.shape(0, 2, 3)
    if r.flag():
        return (r.tensor((*left, *inner)), r.tensor((*inner, *right)), len(inner)), {}
    order = r.some(range(len(inner)), len(inner))
    turned = [inner[axis] for axis in order]
    dims = [len(left) + axis for axis in order], list(range(len(inner)))
    return (r.tensor((*left, *inner)), r.tensor((*turned, *right)), dims), {}


@family(torch.cross, torch.linalg.cross)
def _crossed(r: Random) -> Arguments:
    one, two = ([*shape, 3] for shape in broadcast(r, 2))
    axis = r.axis(min(len(one), len(two)))
    return tuple(r.tensor(shape) for shape in (one, two)), {"dim": r.choice(-1, axis)}


@family(torch.linalg.vander)
def _powers(r: Random) -> Arguments:
    return (r.tensor(r.shape(1, 3, 4), "unit"),), {"N": r.choice(None, 2, 4)}


@family(torch.linalg.multi_dot)
def _chain(r: Random) -> Arguments:
    sizes = r.many(r.number(3, 5), 1, 4)
    shapes = list(pairwise(sizes))
    shapes[0] = r.choice(shapes[0], shapes[0][1:])
    shapes[-1] = r.choice(shapes[-1], shapes[-1][:1])
    return ([r.tensor(shape) for shape in shapes],), {}


@family(torch.matrix_power, torch.linalg.matrix_power)
def _to_the_power(r: Random) -> Arguments:
    size = r.number(1, 4)
    return (r.tensor((*r.shape(0, 2, 3), size, size), "unit"), r.number(0, 5)), {}


@family(torch.linalg.vecdot)
def _dots(r: Random) -> Arguments:
    one, two = broadcast(r, 2)
    return (r.tensor(one), r.tensor(two)), {"dim": r.axis(min(len(one), len(two)))}


@family(torch.cov)
def _covariance(r: Random) -> Arguments:
    shape = r.shape(0, 2)
    samples = shape[-1:] or (1,)
    options = {"correction": r.choice(1, 0, 2)}
    options["fweights"] = r.choice(None, r.integers(samples, 4, 1))
    options["aweights"] = r.choice(None, r.tensor(samples, "positive"))
    return (r.tensor(shape),), options


@family(torch.corrcoef)
def _correlation(r: Random) -> Arguments:
    return (r.tensor((r.number(1, 4), r.number(2, 5))),), {}


@family(compat.FLASH_ATTENTION)
def _flash(r: Random) -> Arguments:
    head, (queries, keys, width) = r.many(2, 1, 2), r.many(3, 1, 4)
    options: dict[str, Any] = {"is_causal": r.flag(), "scale": r.choice(None, 0.3)}
    if not options["is_causal"] and r.flag():
        mask = r.tensor((queries, keys))
        options["attn_mask"] = r.choice(mask, mask > 0)
    return tuple(r.tensor((*head, size, width)) for size in (queries, keys, keys)), options


@family(torch.native_layer_norm)
def _native_layer_norm(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    own = shape[r.number(0, len(shape) - 1) :]
    return (r.tensor(shape), own, *weights(r, own), r.choice(1e-5, 0.1)), {}


@family(torch.native_group_norm)
def _native_group_norm(r: Random) -> Arguments:
    (value, groups, *scale), _ = _group_norm(r)
    scale = scale or [None, None]
    batch, channels, *sizes = value.shape
    return (value, *scale, batch, channels, prod(sizes), groups, r.choice(1e-5, 0.1)), {}
