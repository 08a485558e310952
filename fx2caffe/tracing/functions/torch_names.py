"""Names of torch's functions: which are aliases, and which read, write or keep the values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fx2caffe.tracing.functions.weak_cache import per_function

Function = Callable[..., Any]


class Name(NamedTuple):
    """Holds a function's name and its owner: "Tensor", "torch", "F", "get", "set", "aten"."""

    owner: str
    name: str


# Functions that move or cast a tensor, that have no form without a write, that compute gradients,
# and that lend memory.
MOVES = ("cpu", "cuda", "mps", "to", "type_as", "xpu")
NO_FORMS = ("resize_", "resize_as_", "set_", "swap_")
GRADIENTS = (
    "backward", "torch.autograd.backward", "torch.autograd.grad", "_make_dual", "_unpack_dual",
)  # fmt: skip
LENDS = (
    "__array__", "__dlpack__", "_typed_storage", "data_ptr", "numpy", "storage", "untyped_storage",
    "to_dlpack",
)  # fmt: skip
FILLS = ("copy_", "fill_", "zero_")
# Several names of one operation; the right side is the one that handlers know.
ALIASES = {
    "__and__": "bitwise_and", "__rand__": "bitwise_and", "__iand__": "bitwise_and_",
    "__or__": "bitwise_or", "__ror__": "bitwise_or", "__ior__": "bitwise_or_",
    "__xor__": "bitwise_xor", "__rxor__": "bitwise_xor", "__ixor__": "bitwise_xor_",
    "__lshift__": "bitwise_left_shift", "__rlshift__": "bitwise_left_shift",
    "__ilshift__": "bitwise_left_shift_", "__rshift__": "bitwise_right_shift",
    "__rrshift__": "bitwise_right_shift", "__irshift__": "bitwise_right_shift_",
    "__invert__": "bitwise_not", "__abs__": "abs", "__neg__": "neg", "__pos__": "positive",
    "__eq__": "eq", "__ne__": "ne", "__lt__": "lt", "__le__": "le", "__gt__": "gt",
    "__ge__": "ge", "__add__": "add", "__radd__": "add", "__iadd__": "add_",
    "__sub__": "sub", "__rsub__": "sub", "__isub__": "sub_", "__mul__": "mul",
    "__rmul__": "mul", "__imul__": "mul_", "__div__": "div", "__rdiv__": "div",
    "__idiv__": "div_", "__truediv__": "div", "__rtruediv__": "div", "__itruediv__": "div_",
    "__floordiv__": "floor_divide", "__rfloordiv__": "floor_divide",
    "__ifloordiv__": "floor_divide_", "__mod__": "remainder", "__rmod__": "remainder",
    "__imod__": "remainder_", "__pow__": "pow", "__rpow__": "pow", "__ipow__": "pow_",
    "__matmul__": "matmul", "__rmatmul__": "matmul", "__imatmul__": "matmul_",
    "true_divide": "div", "divide": "div", "multiply": "mul", "subtract": "sub", "rsub": "sub",
    "concat": "cat", "concatenate": "cat", "swapaxes": "transpose", "swapdims": "transpose",
    "moveaxis": "movedim", "absolute": "abs", "negative": "neg", "clip": "clamp",
    "greater": "gt", "greater_equal": "ge", "less": "lt", "less_equal": "le",
    "not_equal": "ne", "arccos": "acos", "arcsin": "asin", "arctan": "atan",
    "arctan2": "atan2", "arccosh": "acosh", "arcsinh": "asinh", "arctanh": "atanh",
    "fix": "trunc", "ger": "outer", "row_stack": "vstack", "unsafe_chunk": "chunk",
    "unsafe_split": "split", "special_expit": "sigmoid", "special_softmax": "softmax",
    "special_log_softmax": "log_softmax", "special_exp2": "exp2", "special_expm1": "expm1",
    "special_log1p": "log1p", "special_erf": "erf", "special_erfc": "erfc",
    "special_round": "round", "special_sinc": "sinc", "special_logit": "logit",
    "special_xlogy": "xlogy", "special_erfinv": "erfinv",
    "log_sigmoid": "logsigmoid", "H": "adjoint", "mH": "adjoint", "special_logsumexp": "logsumexp",
    "slice": "slice_copy", "split_copy": "split", "_conj": "conj", "_conj_physical": "conj",
    "_conj_copy": "conj", "conj_physical": "conj", "_neg_view": "neg", "_neg_view_copy": "neg",
}  # fmt: skip

# Operators written with the operands the other way round.
SWAPPED = frozenset(
    f"__{name}__"
    for name in (
        "rsub", "rdiv", "rtruediv", "rfloordiv", "rmod", "rpow", "rmatmul",
        "rlshift", "rrshift",
    )
) | {"rsub"}  # fmt: skip

# Operations of torch.nn.functional whose leading parameters are those of torch.<name>,
# torch._C._nn.<name> or Tensor.<name>; dropout, batch_norm, embedding and others differ.
FUNCTIONAL = frozenset({
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "avg_pool1d",
    "avg_pool2d", "avg_pool3d", "bilinear", "celu", "channel_shuffle", "conv1d", "conv2d",
    "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "cosine_similarity",
    "elu", "gelu", "glu", "group_norm", "hardshrink", "hardsigmoid", "hardswish", "hardtanh",
    "layer_norm", "leaky_relu", "linear", "log_softmax", "logsigmoid", "max_pool1d",
    "max_pool2d", "max_pool3d", "mish", "native_channel_shuffle", "one_hot", "pad",
    "pairwise_distance", "pdist", "pixel_shuffle", "pixel_unshuffle", "prelu", "relu",
    "relu6", "rms_norm", "rrelu", "scaled_dot_product_attention", "selu", "silu", "softmax",
    "softplus", "softshrink", "threshold",
})  # fmt: skip

# Methods that take their sizes or axes as one tuple or as many integers.
VARARGS = frozenset({"expand", "flip", "permute", "repeat", "reshape", "tile", "view"})

CASTS = {
    "float": torch.float32, "double": torch.float64, "half": torch.float16,
    "bfloat16": torch.bfloat16, "int": torch.int32, "long": torch.int64,
    "short": torch.int16, "char": torch.int8, "byte": torch.uint8, "bool": torch.bool,
    "cfloat": torch.complex64, "cdouble": torch.complex128,
}  # fmt: skip

# Results that are the same values: no operation of a network.
IDENTITIES = frozenset({
    "clone", "contiguous", "cpu", "cuda", "detach", "detach_", "requires_grad_", "alias",
    "positive", "resolve_conj", "resolve_neg", "pin_memory", "__deepcopy__", "__copy__",
    "rename", "refine_names", "align_to", "lift_fresh", "data", "mps", "xpu", "as_tensor",
    "asarray", "as_subclass", "rename_", "alias_copy", "detach_copy", "lift_fresh_copy",
})  # fmt: skip

# Results that follow from shape, dtype and device alone.
SHAPE_ONLY = frozenset({
    "zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full",
    "new_empty", "new_empty_strided", "rand_like", "randn_like", "randint_like", "new",
})  # fmt: skip

# Methods and functions that give metadata of a tensor without reading its data.
METADATA = frozenset({
    "__hash__", "__len__", "__repr__", "__str__", "__format__", "__dir__", "can_cast", "dim",
    "dim_order", "element_size", "get_device", "has_names", "is_complex", "is_conj",
    "is_contiguous", "is_distributed", "is_floating_point", "is_inference", "is_neg",
    "is_pinned", "is_same_size", "is_set_to", "is_shared", "is_signed", "ndimension",
    "nelement", "numel", "result_type", "size", "storage_offset", "stride", "_is_view",
    "retain_grad", "sym_numel", "sym_size", "sym_stride", "broadcast_tensors_shape",
    "_assert_tensor_metadata", "register_hook", "register_post_accumulate_grad_hook",
})  # fmt: skip

# Attributes that are tensors or data; every other attribute is metadata.
DATA_ATTRIBUTES = frozenset({"T", "mT", "H", "mH", "data", "real", "imag", "grad"})

READS = frozenset({
    "__array__", "__bool__", "__complex__", "__contains__", "__dlpack__", "__float__",
    "__index__", "__int__", "__long__", "__nonzero__", "allclose", "apply_", "data_ptr", "equal",
    "is_nonzero", "item", "map_", "map2_", "numpy", "storage", "tolist", "_typed_storage",
    "untyped_storage", "__reduce_ex__", "__setstate__", "_assert", "_assert_async", "_is_all_true",
    "_is_any_true", "__array_wrap__", "_local_scalar_dense", "__cuda_array_interface__",
})  # fmt: skip

# Attributes that are an operation on complex numbers.
COMPLEX = frozenset({"real", "imag", "H", "mH"})

# In-place methods that change a tensor's shape or strides, not its data.
RESHAPED = frozenset({
    "squeeze_", "swapaxes_", "swapdims_", "t_", "transpose_", "unsqueeze_",
})  # fmt: skip


@per_function
def name_of(function: Function) -> Name:
    """Return the owner and the name under which torch has this function."""
    if isinstance(function, torch._ops.OpOverload):
        function = function.overloadpacket
    if isinstance(function, torch._ops.OpOverloadPacket):
        namespace, _, name = function._qualified_op_name.partition("::")
        return Name(namespace, name if namespace == "aten" else f"{namespace}.{name}")
    name = getattr(function, "__name__", type(function).__name__)
    if name in ("__get__", "__set__", "__delete__"):
        descriptor = getattr(function, "__self__", None)
        attribute = getattr(descriptor, "__name__", None) or _property_name(descriptor)
        return Name(name.strip("_"), attribute)
    for owner, home in (("F", F), ("torch", torch), ("Tensor", Tensor)):
        if getattr(home, name, None) is function:
            return Name(owner, name)
    if getattr(torch._C._nn, name, None) is function or name.startswith("special_"):
        return Name("torch", name)
    if getattr(function, "__qualname__", "").startswith(("Tensor.", "TensorBase.")):
        return Name("Tensor", name)
    module = str(getattr(function, "__module__", ""))
    return Name(module, f"{module}.{name}")


def title_of(function: Function) -> str:
    """Return the name of a function for a message, an operator's without underscores."""
    name = name_of(function).name
    return name.strip("_") if name.startswith("__") else name


def _property_name(descriptor: Any) -> str:
    names = (name for name, value in vars(Tensor).items() if value is descriptor)
    return next(names, "unknown")


def is_metadata(owner: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether a call gives metadata of a tensor without reading its elements."""
    if name == "type":  # the name of the type, or a cast to one
        return len(args) == 1 and kwargs.get("dtype") is None
    if name in METADATA:
        return True
    if owner == "get":
        return name not in DATA_ATTRIBUTES and name not in READS
    return owner == "set" and name != "data"


def asks_layout(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether a call copies its tensor only if its layout in memory is another one."""
    values = (*args, *kwargs.values())
    is_named = any(isinstance(value, torch.memory_format) for value in values)
    return is_named or name_of(function).name == "contiguous"


def only_checks(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether a call reads its arguments only in order to refuse wrong ones."""
    count = args[1] if len(args) > 1 else kwargs.get("num_classes", -1)
    return bool(name_of(function).name == "one_hot" and count != -1)
