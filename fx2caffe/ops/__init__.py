"""All handlers, by family; importing this package registers them."""

from fx2caffe.ops import (
    activation,
    constant,
    convolution,
    elementwise,
    normalization,
    pooling,
    shape,
)

__all__ = [
    "activation",
    "constant",
    "convolution",
    "elementwise",
    "normalization",
    "pooling",
    "shape",
]
