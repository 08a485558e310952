"""Functions that only traced graphs call: functional forms, and one that takes any dtype."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def setitem(x: Tensor, index: Any, value: Any) -> Tensor:
    """Return a copy of x after `x[index] = value`; x keeps its elements."""
    result = x.clone()
    result[index] = value.to(x.dtype) if isinstance(value, Tensor) else value
    return result


def index_map(tensors: Sequence[Tensor], index: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Gather elements of the flattened, concatenated `tensors` by `index`, reshaped to `shape`."""
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    return flat[index].reshape(shape)


def sample_map(
    tensors: Sequence[Tensor], index: Tensor, shape: tuple[int, ...], like: Tensor
) -> Tensor:
    """Apply `index_map` to each sample of the tensors alike, with the index and shape of one.

    `like` is a tensor whose axis 0 has one index for each sample.
    """
    samples = len(like)
    flat = torch.cat([tensor.reshape(samples, -1) for tensor in tensors], 1)
    return flat[:, index].reshape(samples * shape[0], *shape[1:])


def of_each_sample(index: Tensor, counts: Sequence[int], samples: int) -> Tensor | None:
    """Return the indices that `index` reads in each sample, None where samples read others.

    `counts` are the elements that each of the concatenated tensors has for a sample.
    """
    if len(index) % samples:
        return None
    rows = index.reshape(samples, -1)
    starts = torch.tensor([0, *counts]).cumsum(0)
    part = torch.bucketize(rows, starts[1:-1] * samples, right=True)
    inside = rows - starts[part] * samples
    inside -= torch.arange(samples)[:, None] * torch.tensor(counts)[part]
    legal = (inside >= 0) & (inside < torch.tensor(counts)[part])
    local = inside + starts[part]
    return local[0] if bool((legal & (local == local[:1])).all()) else None


def of_all_samples(local: Tensor, counts: Sequence[int], samples: int) -> Tensor:
    """Return the indices of all samples, of which `local` are those of each."""
    starts = torch.tensor([0, *counts]).cumsum(0)
    part = torch.bucketize(local, starts[1:-1], right=True)
    first = starts[part] * samples + local - starts[part]
    return (first + torch.arange(samples)[:, None] * torch.tensor(counts)[part]).flatten()


def grouped_mm(mat_a: Tensor, mat_b: Tensor, offs: Tensor) -> Tensor:
    """Multiply groups of rows by a matrix each, in any float type; torch's own takes no float64.

    A group ends before the row at its offset; rows after the last one become zeros.
    """
    is_before = torch.arange(len(mat_a))[:, None] < offs
    members = is_before.to(mat_a.dtype).diff(dim=1, prepend=mat_a.new_zeros(len(mat_a), 1))
    beside = torch.einsum("sk,gkn->sgn", mat_a, mat_b)
    return (beside * members[..., None]).sum(1)


def plain_index(index: Any, owns: Callable[[Tensor], bool]) -> Any:
    """Return the index with constant boolean masks as integer indices, 0-d tensors as ints."""
    parts = index if isinstance(index, tuple) else (index,)
    plain: list[Any] = []
    for part in parts:
        if isinstance(part, list) and part and all(isinstance(v, bool) for v in part):
            part = torch.tensor(part)
        if isinstance(part, slice):
            plain.append(slice(*(_as_int(v, owns) for v in (part.start, part.stop, part.step))))
        elif isinstance(part, Tensor) and part.dtype in _MASKS and part.ndim and not owns(part):
            plain.extend(part.nonzero(as_tuple=True))
        else:
            plain.append(_as_int(part, owns))
    return tuple(plain) if isinstance(index, tuple) or len(plain) != 1 else plain[0]


_MASKS = (torch.bool, torch.uint8)


def _as_int(value: Any, owns: Callable[[Tensor], bool]) -> Any:
    if not isinstance(value, Tensor) or value.ndim or value.dtype == torch.bool or owns(value):
        return value
    return int(value)


def fake_quantize_per_channel_affine(
    input: Tensor, scale: Tensor, zero_point: Tensor, axis: int, quant_min: int, quant_max: int
) -> Tensor:
    """Call torch's function of this name, which takes float32 alone, on any floating dtype."""
    result: Tensor = torch.fake_quantize_per_channel_affine(
        input.float(), scale.float(), zero_point, axis, quant_min, quant_max
    )
    return result.to(input.dtype)


def fake_quantize_per_channel_with_mask(*args: Any) -> tuple[Tensor, None]:
    """Return the result of `fake_quantize_per_channel_affine` and no mask, as gradients need it."""
    return fake_quantize_per_channel_affine(*args), None


def view_as_real(input: Tensor) -> Tensor:
    """Call torch's function of this name, also on a conjugate that was resolved when traced."""
    return torch.view_as_real(input.resolve_conj())


def view_as_complex(input: Tensor) -> Tensor:
    """Call torch's function of this name, also on a tensor that was contiguous when traced."""
    return torch.view_as_complex(input.contiguous())
