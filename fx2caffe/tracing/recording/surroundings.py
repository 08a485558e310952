"""The modes and transforms within which a call runs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

from caffe2fx import compat
from fx2caffe.tracing.functions.torch_names import GRADIENTS, Function, name_of, title_of
from fx2caffe.tracing.recording import reasons
from fx2caffe.tracing.recording.dispatch_guard import Guard
from fx2caffe.tracing.recording.refusal_log import RefusalLog


def refuse_surroundings(log: RefusalLog, func: Function, operands: list[Tensor]) -> None:
    """Refuse a call that autocast, a transform of functorch or a derivative changes."""
    if any(map(compat.is_autocast_enabled, ("cpu", "cuda"))):
        log.refuse(title_of(func), reasons.AUTOCAST)
    if name_of(func).name == "_pack_padded_sequence":
        log.refuse("pack_padded_sequence", reasons.PACKED)
    if name_of(func).name in GRADIENTS:
        log.refuse(title_of(func), reasons.GRADIENTS)
    if isinstance(func, torch._ops.HigherOrderOperator):
        log.refuse(title_of(func), reasons.HIGHER_ORDER)
    if any(is_functorch_wrapped_tensor(tensor) for tensor in operands):
        log.refuse(title_of(func), reasons.WRAPPED)


def calls_are_shown(guard: Guard) -> bool:
    """Return whether the model may see the tensors of a call otherwise than by functions.

    A dispatch mode of its own sees each operator's, such as one that counts operations; the graph
    of a derivative holds them and their sizes.
    """
    return torch.is_grad_enabled() or _get_current_dispatch_mode() is not guard
