"""All handlers, by family; importing this package registers them."""

from fx2caffe.ops import (
    activation,
    arithmetic,
    assign,
    constant,
    convolution,
    elementwise,
    gelu,
    index_map,
    normalization,
    pooling,
    reduction,
    resize,
    shape,
    softmax,
)

__all__ = [
    "activation",
    "arithmetic",
    "assign",
    "constant",
    "convolution",
    "elementwise",
    "gelu",
    "index_map",
    "normalization",
    "pooling",
    "reduction",
    "resize",
    "shape",
    "softmax",
]
