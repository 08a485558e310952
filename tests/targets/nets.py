"""Small nets, and the layers that each target gets for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from caffe2fx.layers import (
    LRN,
    AbsVal,
    Eltwise,
    EltwiseOp,
    InnerProduct,
    Log,
    Slice,
    Softmax,
    Swish,
)
from fx2caffe.lowering.registry import register
from fx2caffe.targets import TARGETS
from tests.rows import Row, function

SHAPE = ((1, 4, 6, 6),)


def row(id: str, body: Callable[..., Any], *shapes: tuple[int, ...]) -> Row:
    module = (lambda: body) if isinstance(body, nn.Module) else function(body)
    return Row(id, module, shapes or SHAPE)


class Layers(nn.Module):
    """Runs Caffe layers as they are, so that a net holds some that no torch function becomes."""

    def __init__(self, *layers: Any, blobs: tuple[Tensor, ...] = (), tops: int = 1) -> None:
        super().__init__()
        self.layers, self.tops = layers, tops
        self.blobs = nn.ParameterList(nn.Parameter(blob) for blob in blobs)

    def forward(self, *inputs: Tensor) -> Any:
        result: Any = inputs
        for layer in self.layers:
            result = layer.compute(result, list(self.blobs), self.tops)
        return result if self.tops > 1 else result[0]


@register(Layers)
def _layers(net: Any, module: Layers, *inputs: Any) -> Any:
    result: Any = inputs
    for layer in module.layers:
        result = net.add_many(layer, *result, blobs=list(module.blobs), tops=module.tops)
    return result if module.tops > 1 else result[0]


class Around(nn.Module):
    """Wraps a model with Layers in it, which as the root would take one input alone."""

    def __init__(self, *layers: Any, **options: Any) -> None:
        super().__init__()
        self.body = Layers(*layers, **options)

    def forward(self, *inputs: Tensor) -> Any:
        return self.body(*inputs)


class First(nn.Module):
    """Returns the first result of a module that gives several."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Any:
        return self.module(x)[0]


class FlatAndProduct(nn.Module):
    """Concatenates elements of an image and those of a product: all with two axes."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Any:
        return torch.cat((self.linear(x.mean((2, 3))), x.flatten(1)), 1).softmax(1)


class Windows(nn.Module):
    """Runs a module on four windows of an image, which are in front of its channels."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*modules)

    def forward(self, x: Tensor) -> Any:
        return self.body(x.reshape(-1, 3, 4, 3)).reshape(x.shape)


class Added(nn.Module):
    """Adds a table, as a relative position is added to the scores of each window."""

    def forward(self, x: Tensor) -> Any:
        return x + torch.linspace(-1, 1, 36).reshape(3, 4, 3)


def thirds(x: Tensor) -> Any:
    """Return queries, keys and values of a packed product, which stand in front of the batch."""
    packed = x.reshape(len(x), 6, 3, 2, 4).permute(2, 0, 3, 1, 4)
    return torch.cat((packed[1].tanh(), packed[0] ** 2, packed[2].sigmoid()), 3)


THREE = SHAPE * 3
STEPS = (1, 4, 5)
WEIGHT = torch.linspace(-1, 1, 4 * 5).reshape(4, 5)
ROWS = [
    row("relu6", lambda x: F.relu6(x)),
    row("hardswish", lambda x: F.hardswish(x)),
    row("clamp", lambda x: x.clamp(-0.5, 0.75)),
    row("silu", lambda x: F.silu(x)),
    row("mish", lambda x: F.mish(x)),
    row("gelu", lambda x: F.gelu(x)),
    row("abs", lambda x: x.abs()),
    row("log2", lambda x: torch.log2(x.abs() + 1)),
    row("log_softmax", lambda x: F.log_softmax(4 * x, 1)),
    row("softplus", lambda x: F.softplus(4 * x)),
    row("permute", lambda x: x.permute(0, 2, 3, 1)),
    row("permute_back", lambda x: x.permute(0, 3, 1, 2)),
    row("channel_shuffle", lambda x: F.channel_shuffle(x, 2)),
    row("shuffle_by_views",
        lambda x: x.view(x.shape[0], 2, 2, 6, 6).transpose(1, 2).reshape(x.shape[0], 4, 6, 6)),
    row("shuffle_volume",
        lambda x: x.view(x.shape[0], 2, 2, 3, 2, 6).transpose(1, 2).reshape(x.shape[0], 4, 6, 6)),
    row("nearest", lambda x: F.interpolate(x, scale_factor=2)),
    row("bilinear", lambda x: F.interpolate(x, size=(11, 9), mode="bilinear")),
    row("align_corners",
        lambda x: F.interpolate(x, size=(11, 9), mode="bilinear", align_corners=True)),
    row("max_floor", lambda x: F.max_pool2d(x, 3, 2, 1)),
    row("max_floor_unpadded", lambda x: F.max_pool2d(x, 2, 2), (1, 4, 7, 5)),
    row("max_far_apart", lambda x: F.max_pool2d(x, 1, 2)),
    row("average_padded", lambda x: F.avg_pool2d(x, 3, 1, 1)),
    row("average_floor", lambda x: F.avg_pool2d(x, 2, 2), (1, 4, 7, 5)),
    row("average_ceil", lambda x: F.avg_pool2d(x, 3, 2, 0, ceil_mode=True)),
    row("squeeze_excite", lambda x: x * F.adaptive_avg_pool2d(x, 1).sigmoid()),
    row("over_height", lambda x: x + x.mean(3, keepdim=True)),
    row("over_channels", lambda x: x * x.mean(1, keepdim=True)),
    row("mean_channels", lambda x: x.mean(1, keepdim=True)),
    row("mean_image", lambda x: x.mean((2, 3))),
    row("flat_beside_product", FlatAndProduct()),
    row("flat_first_axes", lambda x: torch.cat((x.flatten(0, 2), x.flatten(0, 2) ** 2), 1)),
    row("mean_square", lambda x: x / x.square().mean((1, 2, 3), keepdim=True)),
    row("pooled_product",
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 8), nn.ReLU(),
                      nn.Unflatten(1, (1, 2, 4)), nn.AdaptiveMaxPool2d(1))),
    row("sum_last", lambda x: x.sum(3)),
    row("largest_last", lambda x: x.amax(2)),
    row("layer_norm", nn.LayerNorm(6)),
    row("group_norm", nn.GroupNorm(2, 4)),
    row("cut_channels", lambda x: x[:, 1:3]),
    row("crop", lambda x: x[:, :, 1:5, 2:]),
    row("every_second", lambda x: x[:, :, ::2, 1::2]),
    row("pad_zeros", lambda x: F.pad(x, (1, 2, 0, 1))),
    row("chunk", lambda x: torch.cat(x.chunk(2, 1)[::-1], 1)),
    row("add_image", lambda x: x + torch.linspace(0, 1, 36).reshape(6, 6)),
    row("linear_last", nn.Linear(6, 5)),
    row("normalize", lambda x: F.normalize(x, dim=1)),
    row("softmax_last", lambda x: x.softmax(-1)),
    row("softmax_of_windows", Windows(nn.Softmax(-1))),
    row("table_of_windows", Windows(Added(), nn.Tanh())),
    row("norm_of_windows", Windows(nn.BatchNorm2d(3), nn.PReLU(3))),
    row("thirds", thirds),
    row("conv1d", nn.Conv1d(4, 6, 3, 2, 1, 2), (1, 4, 12)),
    row("dilated", nn.Conv2d(4, 6, 3, padding=2, dilation=(1, 2))),
    row("rectangle", nn.Conv2d(4, 6, (1, 3), (2, 1), (0, 1))),
    row("transposed", nn.ConvTranspose2d(4, 6, 3, 2, 1, dilation=2)),
    row("lstm", First(nn.LSTM(5, 3, batch_first=True)), STEPS),
    row("gru", First(nn.GRU(5, 3, batch_first=True)), STEPS),
    row("gru_both_ways", First(nn.GRU(5, 3, 2, batch_first=True, bidirectional=True)), STEPS),
    row("rnn", First(nn.RNN(5, 3, batch_first=True)), STEPS),
    row("rnn_relu", First(nn.RNN(5, 3, nonlinearity="relu", batch_first=True)), STEPS),
    row("largest_place", lambda x: x.argmax(1, keepdim=True).float()),
    row("lrn", nn.LocalResponseNorm(3, 0.5, k=2.0)),
    row("three_weighed", Around(Eltwise(coeff=(1, -2, 0.5))), *THREE),
    row("weighed", Around(Eltwise(coeff=(1, 0.5))), *SHAPE * 2),
    row("weighed_difference", Around(Eltwise(coeff=(-1, 2))), *SHAPE * 2),
    row("difference_of_two", Around(Eltwise(coeff=(1, -1))), *SHAPE * 2),
    row("three_multiplied", Around(Eltwise(operation=EltwiseOp.PROD)), *THREE),
    row("transposed_weight",
        Around(InnerProduct(num_output=5, bias_term=False, transpose=True), blobs=(WEIGHT,)),
        (1, 4)),
    row("swish_beta", Around(Swish(beta=1.5))),
    row("equal_parts", Around(Slice(axis=1), tops=2)),
    row("negative_axis", Around(Softmax(axis=-1))),
    row("lrn_layer", Around(LRN(k=3.0, local_size=3))),
    row("log_layer", Around(AbsVal(), Log(base=3.0, scale=2.0, shift=0.5))),
]  # fmt: skip

# Nets that need a layer which no rule decomposes: refused by every target without it.
IRREDUCIBLE = {"largest_place": "ArgMax"}
REFUSED = {
    (name, net): type_
    for name, target in TARGETS.items()
    for net, type_ in IRREDUCIBLE.items()
    if type_ not in target.types
}

CEIL_AND_CROP = ("Pooling", "Pooling", "Crop")
CUT_IN_THIRDS = ("Slice", "Flatten", "TanH", "Flatten", "Power", "Flatten", "Sigmoid", "Concat")
# The layers that a rule is there for.
LAYERS = {
    ("bvlc-master", "relu6"): ("Clip",),
    ("bvlc", "relu6"): ("ReLU", "Power", "Power", "Eltwise", "Power"),
    ("ssd", "relu6"): ("ReLU6",),
    ("sophgo", "mish"): ("Mish",),
    ("opencv", "mish"): ("Mish",),
    ("ssd", "mish"): ("BNLL", "TanH", "Eltwise"),
    ("opencv", "silu"): ("Swish",),
    ("portable", "silu"): ("Sigmoid", "Eltwise"),
    ("ssd", "permute"): ("Permute",),
    ("nnie", "permute"): ("Permute",),
    ("nnie", "permute_back"): ("Reshape", "Convolution", "Reshape"),
    ("portable", "permute"): ("Reshape", "Deconvolution", "Reshape"),
    ("portable", "shuffle_by_views"): ("Reshape", "Deconvolution", "Reshape"),
    ("ssd", "shuffle_by_views"): ("ShuffleChannel", "Reshape", "Flatten"),
    ("ssd", "shuffle_volume"): ("Reshape", "ShuffleChannel", "Reshape", "Reshape"),
    ("sophgo", "nearest"): ("Upsample",),
    ("ascend", "nearest"): ("Upsample",),
    ("portable", "nearest"): ("Deconvolution",),
    ("ssd", "align_corners"): ("Interp",),
    ("sophgo", "align_corners"): ("Interp",),
    ("portable", "max_floor"): CEIL_AND_CROP,
    ("ssd", "max_floor"): CEIL_AND_CROP,
    ("nnie", "max_floor"): ("Pooling", "Convolution"),
    ("bvlc-master", "max_floor"): ("Pooling",),
    ("opencv", "max_floor"): ("Pooling",),
    ("portable", "average_padded"): ("Convolution",),
    ("ssd", "average_padded"): ("Pooling",),
    ("portable", "squeeze_excite"): ("Pooling", "Sigmoid", "Deconvolution", "Eltwise"),
    ("bvlc", "squeeze_excite"): ("Pooling", "Sigmoid", "Flatten", "Scale"),
    ("portable", "mean_channels"): ("Convolution",),
    ("portable", "mean_image"): ("Pooling", "Reshape"),
    ("portable", "cut_channels"): ("Convolution",),
    ("opencv", "cut_channels"): ("Convolution",),
    ("portable", "softmax_of_windows"): ("Reshape", "Softmax", "Reshape"),
    ("portable", "table_of_windows"): ("Reshape", "Scale", "TanH", "Reshape"),
    ("bvlc", "thirds"): ("Reshape", "Im2col", "Reshape", "Im2col", "Reshape", *CUT_IN_THIRDS),
    ("opencv", "thirds"): ("Reshape", "Permute", *CUT_IN_THIRDS),
    ("portable", "norm_of_windows"): ("Reshape", "Scale", "PReLU", "Reshape"),
    ("portable", "lrn"): ("LRN", "Power"),
    ("opencv", "log2"): ("AbsVal", "Power", "Log", "Power"),
    ("portable", "three_weighed"): ("Power", "Power", "Eltwise"),
    # MNN computes a sum with coefficients for a difference only, and without an error.
    ("portable", "weighed"): ("Power", "Eltwise"),
    ("portable", "weighed_difference"): ("Power", "Eltwise"),
    ("portable", "difference_of_two"): ("Eltwise",),
    ("opencv", "weighed_difference"): ("Eltwise",),
}

# Fields that readers other than Caffe misread without an error: texts of which no net
# for these targets may hold one.
NOT_CAFFE = ("portable", "ssd", "opencv", "sophgo", "nnie", "rknn")
SILENT = {
    "lrn": r"\bk: ",
    "lrn_layer": r"\bk: ",
    "log2": r"\bbase: ",
    "transposed_weight": r"transpose: true",
    "swish_beta": r"beta: ",
    "equal_parts": r"slice_param \{\n    axis: 1\n  \}",
    "softmax_last": r"axis: -",
    "three_weighed": r"coeff: .*\n.*coeff: .*\n.*coeff: ",
    "rectangle": r"kernel_size: .*\n.*kernel_size: ",
    "dilated": r"dilation: .*\n.*dilation: ",
}
