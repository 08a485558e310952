"""Functions along axes, and distances."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from caffe2fx import compat
from tests.ops.families.base import Arguments, Random, along, any_of, axes, broadcast, family, named


@family(F.cosine_similarity)
def _alike(r: Random) -> Arguments:
    one, two = broadcast(r, 2)
    rank = max(len(one), len(two))
    return (r.tensor(one), r.tensor(two), r.axis(rank)), {"eps": r.choice(1e-8, 0.5)}


@family(F.pairwise_distance)
def _without_ties(r: Random) -> Arguments:
    one, two = broadcast(r, 2)
    return (r.tensor(one), r.tensor(two), r.choice(2.0, 1.0, 3.0, math.inf)), {"keepdim": r.flag()}


@family(torch.cdist)
def _all_without_ties(r: Random) -> Arguments:
    lead, rows, columns, width = r.shape(0, 2, 2), *r.many(3, 1, 4)
    args = r.tensor((*lead, rows, width)), r.tensor((*lead, columns, width))
    return (*args, r.choice(2.0, 1.0, 3.0, math.inf)), {}


@family(*named("sum mean amax amin var std var_mean std_mean logsumexp nansum count_nonzero"))
@family(*named("any all"))
def _reduced(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    dim = axes(r, len(shape))
    if dim is None:
        return (r.tensor(shape, r.choice("normal", "halves")),), {}
    return (r.tensor(shape, r.choice("normal", "halves")), dim), {"keepdim": r.flag()}


@family(*named("var std var_mean std_mean"))
def _corrected(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    options = {"correction": r.choice(0, 1, 2, 0.5), "keepdim": r.flag()}
    return (r.tensor(shape),), {"dim": axes(r, len(shape)), **options}


KEEP = {"keepdim": (False, True)}
family(*named("prod max min argmax argmin any all"))(along(KEEP, kinds="normal halves"))
family(torch.median)(along(KEEP))  # of equal values torch promises no index
family(*named("cumsum cumprod logcumsumexp cummax cummin"))(along(kinds="normal halves"))
family(*named("softmax log_softmax", F))(along())
family(torch.sort)(along({"descending": (False, True), "stable": (True,)}, kinds="normal halves"))
family(torch.argsort)(along({"descending": (False, True), "stable": (True,)}))
family(*named("diff"))(along({"n": (1, 2)}))
family(*named("trapezoid cumulative_trapezoid"))(along())
family(torch.aminmax)(along(KEEP))
family(torch.quantile)(along({"q": (0.0, 0.25, 0.5, 1.0), **KEEP}))


@family(torch.topk, torch.kthvalue)
def _first_few(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    axis = r.axis(len(shape))
    return (r.tensor(shape), r.number(1, shape[axis]), axis), {}


@family(torch.linalg.vector_norm, torch.norm)
def _normed(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    order = r.choice(2, 1, 3, 0, 0.5, math.inf, -math.inf, -2)
    return (r.tensor(shape), order, axes(r, len(shape))), {"keepdim": r.flag()}


@family(F.normalize)
def _unit_length(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    return (r.tensor(shape), r.choice(2.0, 1.0, 3.0)), {"dim": r.axis(len(shape))}


@family(torch.dist)
def _how_far(r: Random) -> Arguments:
    one, two = broadcast(r, 2)
    return (r.tensor(one), r.tensor(two), r.choice(2, 1, 3, 0, 0.5, math.inf, -math.inf)), {}


@family(F.pdist)
def _each_without_ties(r: Random) -> Arguments:
    return (r.tensor((r.number(2, 4), r.number(1, 4))), r.choice(2.0, 1.0, 3.0, math.inf)), {}


@family(torch.renorm)
def _shortened(r: Random) -> Arguments:
    shape = r.shape(2, 4)
    return (r.tensor(shape), r.choice(2, 1, 3), r.axis(len(shape)), r.choice(0.5, 2.0, 9.0)), {}


@family(torch.linalg.matrix_norm, torch.linalg.norm)
def _matrix_norm(r: Random) -> Arguments:
    shape = r.shape(2, 4)
    dim = r.some(range(len(shape)), len(shape))[:2]
    return (r.tensor(shape), r.choice("fro", 1, -1, math.inf, -math.inf), dim), {
        "keepdim": r.flag()
    }


@family(torch.linalg.norm)
def _any_norm(r: Random) -> Arguments:
    shape = r.shape(0, 4)
    return (r.tensor(shape),), {"dim": axes(r, len(shape)), "keepdim": r.flag()}


@family(torch.gradient)
def _slopes(r: Random) -> Arguments:
    shape = r.shape(1, 3)
    axis = r.axis(len(shape))
    spacing = r.choice(1, 0.5, (r.tensor((shape[axis],)).sort()[0],))
    options = {"spacing": spacing, "edge_order": r.choice(1, 2)}
    return (r.tensor(shape),), {**options, "dim": r.choice(axis, (axis,))}


@family(torch.trapz)
def _area(r: Random) -> Arguments:
    shape = r.shape(1, 3)
    return (r.tensor(shape), *r.choice((), (r.tensor(shape),))), {"dim": r.axis(len(shape))}


family(torch.msort)(any_of("normal halves", 1))


@family(compat.SAFE_SOFTMAX)
def _masked_softmax(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    value = r.tensor(shape)
    masked = value.masked_fill(r.tensor(shape, "mask"), -math.inf)
    return (r.choice(value, masked), r.axis(len(shape))), {}


@family(torch.histc)
def _counted_in_bins(r: Random) -> Arguments:
    low = r.choice(-2, 0, 0.3)
    value = r.tensor(r.shape(), r.choice("normal", "halves"))
    return (value,), {"bins": r.number(1, 6), "min": low, "max": low + r.choice(1, 2.5)}
