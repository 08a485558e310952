"""Functions that turn, cut, join and repeat."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe2fx import compat
from tests.ops.families.base import Arguments, Random, any_of, axes, broadcast, family, named


@family(torch.permute, torch.permute_copy)
def _permuted(r: Random) -> Arguments:
    shape = r.shape(1, 5, 4)
    order = r.some(range(len(shape)), len(shape))
    return (r.tensor(shape), tuple(a - len(shape) if r.flag() else a for a in order)), {}


@family(torch.transpose, torch.transpose_copy)
def _swapped(r: Random) -> Arguments:
    shape = r.shape(1, 5, 4)
    return (r.tensor(shape), r.axis(len(shape)), r.axis(len(shape))), {}


@family(torch.movedim)
def _moved(r: Random) -> Arguments:
    shape = r.shape(1, 5, 4)
    source = r.some(range(len(shape)), 1)
    return (r.tensor(shape), source, r.some(range(len(shape)), len(shape))[: len(source)]), {}


@family(torch.flip)
def _flipped(r: Random) -> Arguments:
    shape = r.shape(1, 5, 4)
    return (r.tensor(shape), r.some(range(len(shape)), 0)), {}


@family(torch.rot90)
def _turned(r: Random) -> Arguments:
    shape = r.shape(2, 4, 4)
    return (r.tensor(shape), r.number(-3, 5), r.some(range(len(shape)), len(shape))[:2]), {}


@family(torch.roll)
def _rolled(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    dims = r.some(range(len(shape)), 1)
    if r.number(0, 4) == 0:
        return (r.tensor(shape), r.number(-9, 9)), {}
    return (r.tensor(shape), r.many(len(dims), -9, 9), dims), {}


@family(torch.narrow, torch.narrow_copy)
def _narrowed(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    axis = r.axis(len(shape))
    start = r.number(0, shape[axis] - 1)
    return (r.tensor(shape), axis, start, r.number(1, shape[axis] - start)), {}


@family(torch.select, torch.select_copy)
def _selected(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    axis = r.axis(len(shape))
    return (r.tensor(shape), axis, r.axis(shape[axis])), {}


@family(torch.slice_copy)
def _sliced(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    return (r.tensor(shape), r.axis(len(shape)), r.number(-6, 4), r.number(-3, 9)), {
        "step": r.number(1, 3)
    }


@family(torch.tile, Tensor.repeat)
def _repeated(r: Random) -> Arguments:
    shape = r.shape(1, 3, 4)
    return (r.tensor(shape), r.many(len(shape) + r.number(0, 1), 1, 3)), {}


@family(torch.repeat_interleave)
def _interleaved(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    return (r.tensor(shape), r.number(1, 3)), {"dim": r.axis(len(shape))}


@family(Tensor.expand, torch.broadcast_to, torch.expand_copy)
def _expanded(r: Random) -> Arguments:
    shape = r.shape(1, 4, 4)
    own = tuple(1 if r.flag() else size for size in shape)
    return (r.tensor(own), (*r.shape(0, 1, 3), *shape)), {}


@family(torch.diagonal, torch.diagonal_copy)
def _diagonal(r: Random) -> Arguments:
    shape = r.shape(2, 4)
    dims = r.some(range(len(shape)), len(shape))[:2]
    return (r.tensor(shape), r.number(-2, 2), *dims), {}


@family(torch.tril, torch.triu)
def _triangle(r: Random) -> Arguments:
    return (r.tensor(r.shape(2, 4)), r.number(-4, 4)), {}


@family(Tensor.unfold, torch.unfold_copy)
def _windows(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    axis = r.axis(len(shape))
    return (r.tensor(shape), axis, r.number(1, shape[axis]), r.number(1, 3)), {}


@family(torch.split, torch.chunk, torch.tensor_split)
def _parts(r: Random) -> Arguments:
    shape = r.shape(1, 4, 6)
    axis = r.axis(len(shape))
    return (r.tensor(shape), r.number(1, 4), axis), {}


@family(torch.split_with_sizes, torch.split)
def _parts_of_sizes(r: Random) -> Arguments:
    sizes = r.many(r.number(1, 3), 1, 3)
    shape = list(r.shape(1, 4, 4))
    axis = r.axis(len(shape))
    shape[axis] = sum(sizes)
    return (r.tensor(shape), list(sizes), axis), {}


@family(torch.unbind, torch.unbind_copy)
def _unbound(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    return (r.tensor(shape), r.axis(len(shape))), {}


@family(torch.cat)
def _joined(r: Random) -> Arguments:
    shape = list(r.shape(1, 4))
    axis = r.axis(len(shape))
    values = []
    for _ in range(r.number(1, 3)):
        shape[axis] = r.number(1, 3)
        values.append(r.tensor(shape))
    return (values, axis), {}


@family(torch.stack)
def _stacked(r: Random) -> Arguments:
    shape = r.shape(0, 4)
    return ([r.tensor(shape) for _ in range(r.number(1, 3))], r.axis(len(shape) + 1)), {}


@family(F.pad)
def _padded(r: Random) -> Arguments:
    shape = r.shape(1, 5, 6)
    mode = r.choice("constant", "constant", "reflect", "replicate", "circular")
    plain = mode == "constant"
    count = r.number(1, len(shape)) if plain else max(1, len(shape) - 2)
    widths = r.many(2 * count, -1 if plain else 0, 3)
    return (r.tensor(shape), widths, mode), {"value": r.choice(0.0, -1.5)} if plain else {}


@family(torch.flatten)
def _flattened(r: Random) -> Arguments:
    shape = r.shape(1, 5, 4)
    ends = sorted(r.many(2, 0, len(shape) - 1))
    return (r.tensor(shape), *ends), {}


@family(torch.reshape)
def _reshaped(r: Random) -> Arguments:
    shape = r.shape(1, 4, 6)
    other = list(r.some(shape, len(shape)))
    if r.flag():
        other[r.number(0, len(other) - 1)] = -1
    return (r.tensor(shape), tuple([*other, 1] if r.flag() else other)), {}


@family(torch.squeeze)
def _squeezed(r: Random) -> Arguments:
    shape = r.shape(1, 5, 2)
    return (r.tensor(shape), *([axes(r, len(shape)) or 0] if r.flag() else [])), {}


@family(torch.unsqueeze, torch.unsqueeze_copy)
def _unsqueezed(r: Random) -> Arguments:
    shape = r.shape(0, 4)
    return (r.tensor(shape), r.axis(len(shape) + 1)), {}


family(torch.adjoint, torch.fliplr)(any_of("normal", 2))
family(torch.flipud)(any_of("normal", 1))
family(torch.ravel, torch.isreal, *named("atleast_1d atleast_2d atleast_3d"))(any_of("normal"))


@family(torch.t_copy)
def _turned_over(r: Random) -> Arguments:
    return (r.tensor(r.shape(0, 2)),), {}


@family(torch.trace)
def _square(r: Random) -> Arguments:
    return (r.tensor(r.many(2, 1, 5)),), {}


@family(torch.squeeze_copy)
def _squeezed_copy(r: Random) -> Arguments:
    return _squeezed(r)


@family(torch.view_copy)
def _viewed(r: Random) -> Arguments:
    return _reshaped(r)


@family(torch.split_with_sizes_copy)
def _copied_parts(r: Random) -> Arguments:
    return _parts_of_sizes(r)


@family(torch.unflatten)
def _unflattened(r: Random) -> Arguments:
    shape, sizes = list(r.shape(1, 4, 4)), list(r.many(r.number(1, 3), 1, 3))
    axis = r.axis(len(shape))
    shape[axis] = math.prod(sizes)
    if r.flag():
        sizes[r.number(0, len(sizes) - 1)] = -1
    return (r.tensor(shape), axis, sizes), {}


@family(torch.hsplit, torch.vsplit, torch.dsplit)
def _split_along(r: Random) -> Arguments:
    shape = r.many(r.number(1, 4), 1, 6)
    return (r.tensor(shape), r.choice(1, 2, 3, [1], [2, 4], [1, 1, 3])), {}


@family(torch.hstack, torch.vstack, torch.dstack, torch.column_stack)
def _stacks(r: Random) -> Arguments:
    shape = r.shape(0, 4)
    return ([r.tensor(r.choice(shape, shape, shape[1:])) for _ in range(r.number(1, 3))],), {}


@family(torch._C._nn.pad_sequence)
def _ragged(r: Random) -> Arguments:
    rest = r.shape(0, 2, 3)
    sequences = [r.tensor((r.number(1, 4), *rest)) for _ in range(r.number(1, 3))]
    return (sequences, r.flag(), r.choice(0.0, -1.5), r.choice("right", "left")), {}


@family(torch.block_diag)
def _blocks(r: Random) -> Arguments:
    return tuple(r.tensor(r.shape(0, 2, 3)) for _ in range(r.number(1, 3))), {}


@family(torch.broadcast_tensors)
def _together(r: Random) -> Arguments:
    return tuple(map(r.tensor, broadcast(r, r.number(1, 3)))), {}


@family(torch.meshgrid)
def _meshes(r: Random) -> Arguments:
    lines = tuple(r.tensor(r.shape(0, 1, 4)) for _ in range(r.number(1, 3)))
    return lines, {"indexing": r.choice("ij", "xy")}


@family(torch.cartesian_prod)
def _all_pairs(r: Random) -> Arguments:
    return tuple(r.tensor(r.shape(1, 1, 4)) for _ in range(r.number(1, 3))), {}


@family(torch.combinations)
def _combined(r: Random) -> Arguments:
    return (r.tensor(r.shape(1, 1)), r.number(1, 3)), {"with_replacement": r.flag()}


@family(torch.constant_pad_nd)
def _bordered(r: Random) -> Arguments:
    shape = r.shape(1, 5, 5)
    return (r.tensor(shape), r.many(2 * r.number(1, len(shape)), -1, 3), r.choice(0, -1.5)), {}


@family(torch.diag)
def _diagonal_or_matrix(r: Random) -> Arguments:
    return (r.tensor(r.shape(1, 2)), r.number(-3, 3)), {}


@family(torch.diagflat)
def _on_diagonal(r: Random) -> Arguments:
    return (r.tensor(r.shape(0, 3, 3)), r.number(-3, 3)), {}


@family(torch.diag_embed)
def _on_diagonals(r: Random) -> Arguments:
    shape = r.shape(1, 3, 4)
    dims = r.some(range(len(shape) + 1), len(shape) + 1)[:2]
    return (r.tensor(shape), r.number(-2, 2), *dims), {}


@family(torch.diagonal_scatter)
def _put_diagonal(r: Random) -> Arguments:
    (value, *where), _ = _diagonal(r)
    return (value, r.tensor(value.diagonal(*where).shape), *where), {}


@family(torch.fft.fftshift, torch.fft.ifftshift)
def _shifted(r: Random) -> Arguments:
    shape = r.shape(1, 4, 6)
    return (r.tensor(shape), axes(r, len(shape))), {}


@family(Tensor.sum_to_size)
def _summed_to(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    kept = shape[r.number(0, len(shape) - 1) :]
    return (r.tensor(shape), tuple(1 if r.flag() else size for size in kept)), {}


@family(compat.CHUNK_CAT)
def _chunks_beside(r: Random) -> Arguments:
    shape = list(r.shape(1, 4, 6))
    axis = r.number(0, len(shape) - 1)
    values = []
    for _ in range(r.number(1, 3)):
        shape[axis] = r.number(1, 5)
        values.append(r.tensor(shape))
    return (values, axis, r.number(1, 3)), {}


@family(torch.linalg.diagonal)
def _diagonal_by_name(r: Random) -> Arguments:
    (value, offset, *dims), _ = _diagonal(r)
    return (value,), {"offset": offset, **dict(zip(("dim1", "dim2"), dims, strict=True))}
