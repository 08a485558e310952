"""Values with more samples or fewer, to find out what follows the batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

MANY_MORE = 97  # samples; more than most sizes that a model cuts its batch to


def with_more(values: Sequence[Tensor], more: int) -> list[Tensor]:
    """Return the values with `more` samples, those that share the first one's first axis.

    They are the first sample, in front: what is sorted stays so. A few are copies, many an expanded
    view, since nothing is computed on it. Below 0, the last samples are taken away.
    """
    batch = values[0].shape[:1] if values else ()
    return [
        _more_of(value, more) if batch and value.shape[:1] == batch else value for value in values
    ]


def _more_of(value: Tensor, more: int) -> Tensor:
    if more < 0:
        return value[:more]
    if more < MANY_MORE:
        return torch.cat([*[value[:1]] * more, value])
    return value[:1].expand(len(value) + more, *value.shape[1:])
