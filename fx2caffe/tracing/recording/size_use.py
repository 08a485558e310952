"""SizeUse: how a run depends on the sizes of traced values beyond the arguments of its nodes."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch.fx import Node

# Metadata of a tensor in which no size shows.
SIZELESS = frozenset({
    "__hash__", "_is_view", "_version", "can_cast", "device", "dim", "dtype", "element_size",
    "get_device", "grad_fn", "has_names", "is_complex", "is_conj", "is_cpu", "is_cuda",
    "is_distributed", "is_floating_point", "is_inference", "is_leaf", "is_meta", "is_neg",
    "is_nested", "is_pinned", "is_quantized", "is_shared", "is_signed", "is_sparse", "itemsize",
    "layout", "names", "ndim", "ndimension", "output_nr", "register_hook",
    "register_post_accumulate_grad_hook", "requires_grad", "result_type", "retain_grad",
    "retains_grad", "type",
})  # fmt: skip


@dataclass
class SizeUse:
    """Holds whether sizes were asked, by the model, a constant or a call that left no node.

    Each tensor that a call overwrote is a pair of nodes, of its values before and after: both need
    to have one shape at every size.
    """

    are_asked: bool = False
    overwritten: list[tuple[Node, Node]] = field(default_factory=list)
