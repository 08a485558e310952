"""The targets that come with the package.

Their layers and limits are measured where the program runs here (real Caffe, OpenCV 4.14, MNN
3.6, ncnn, OpenVINO 2022.3, the pycaffe of tpu_mlir), and taken from the vendor's documents where
it does not. There is a limit for every way in which a program was seen to read a layer otherwise
than Caffe without an error: those are refused or rewritten.
"""

from __future__ import annotations

from collections.abc import Mapping

from caffe2fx.files.text_rewrites import CEIL_MODE, GLOBAL_MAX, WHOLE_CROP, Respelling
from caffe2fx.layers import PoolMethod
from fx2caffe.targets import commands, limits, merges
from fx2caffe.targets.limit import EVERY, Limit
from fx2caffe.targets.target import Target
from fx2caffe.targets.vocabulary import OF_MASTER, OF_TAG_1_0

_ROUNDS_UP = {"Pooling": frozenset({"round_mode"})}  # round_mode is a field of 2018

BVLC = Target(
    "bvlc",
    OF_TAG_1_0,
    without=_ROUNDS_UP,
    about="the 1.0 tag of 2017, which nearly every Caffe loads",
    commands=(commands.CAFFE,),
)
BVLC_MASTER = Target(
    "bvlc-master",
    OF_MASTER,
    about="the master branch of BVLC Caffe since 2018",
    commands=(commands.CAFFE,),
)

_WINDOWS = (limits.met_windows(), limits.windows_within())
# Limits of OpenCV's reader; the other readers set more.
_OPENCV_LIMITS: Mapping[str, tuple[Limit, ...]] = {
    "Convolution": (limits.images(), limits.one_dilation(), limits.inner_depthwise()),
    # OpenCV's 1x1 kernel reads out of bounds beside the padded input.
    "Deconvolution": (limits.images(), limits.dilation(1), limits.unpadded_points()),
    "Eltwise": (limits.few_coefficients(), limits.least_rank(2), limits.rank(5)),
    "InnerProduct": (limits.only("transpose", False),),
    "Log": (limits.only("base", -1.0), limits.only("scale", 1.0), limits.only("shift", 0.0)),
    "LRN": (limits.only("k", 1.0),),
    "PReLU": (limits.only("channel_shared", False),),  # OpenCV cannot read its blob without axes
    "BatchNorm": (limits.fixed_statistics(),),
    "Pooling": _WINDOWS,
    # OpenCV folds the rounding that adds a large constant and subtracts it again.
    "Power": (limits.magnitude("shift", 1 << 20),),
    "Slice": (limits.equal_slice_points(),),
    "Swish": (limits.only("beta", 1.0),),
    "Interp": (limits.only("zoom_factor", 1), limits.only("shrink_factor", 1)),
}
_AXES = limits.nonnegative_axis()
# OpenCV has no values of one axis: they get a second one, which some layers expect and others do
# not.
_TWO_AXES = limits.least_rank(2, but_for=("Flatten", "Input", "Reshape"))

OPENCV = Target(
    "opencv",
    frozenset({
        "AbsVal", "BatchNorm", "BNLL", "Concat", "Convolution", "Crop", "Deconvolution",
        "DetectionOutput", "Dropout", "Eltwise", "ELU", "Exp", "Flatten", "InnerProduct", "Input",
        "Interp", "Log", "LRN", "Mish", "Normalize", "Permute", "Pooling", "Power", "PReLU",
        "PriorBox", "ReLU", "ReLU6", "Reshape", "Scale", "Sigmoid", "Slice", "Softmax", "Split",
        "Swish", "TanH", "ShuffleChannel",
    }),
    frozenset({"bvlc", "opencv"}),
    limits={**_OPENCV_LIMITS, EVERY: (_TWO_AXES,)},
    text_rewrites=(CEIL_MODE, GLOBAL_MAX),
    judges=("opencv",),
    outputs_by_layer=True,
    in_caffe=False,
    wrong_merges=(merges.factor_into_power,),
    about="the Caffe importer of OpenCV 4",
    commands=(commands.OPENCV,),
)  # fmt: skip

# Layers that nearly all readers have, and the limits that most of them set.
_COMMON = frozenset({
    "BatchNorm", "Concat", "Convolution", "Crop", "Deconvolution", "Eltwise", "ELU",
    "Flatten", "InnerProduct", "Input", "LRN", "Pooling", "Power", "PReLU", "ReLU", "Reshape",
    "Scale", "Sigmoid", "Slice", "Softmax", "TanH",
})  # fmt: skip
_COMMON_LIMITS: Mapping[str, tuple[Limit, ...]] = {
    **_OPENCV_LIMITS,
    EVERY: (_TWO_AXES, limits.rank(4), limits.batch(1), _AXES),
    "InnerProduct": (limits.only("transpose", False), limits.only("axis", 1)),
    "Pooling": (
        *_WINDOWS,
        limits.unpadded(PoolMethod.AVE),
        limits.full_windows(PoolMethod.AVE),
        limits.tops(1),
    ),
    "Reshape": (limits.only("axis", 0), limits.only("num_axes", -1)),
    "Scale": (limits.bottoms(1), limits.only("axis", 1), limits.only("num_axes", 1)),
}

# Layers that real Caffe, OpenCV, MNN, ncnn, OpenVINO and tpu_mlir's Caffe all run alike. In MNN the
# top of Flatten has four axes, which Concat does not match with the two or three of Reshape and
# InnerProduct, and a sum with coefficients is not computed but for a difference. OpenVINO merges
# Reshape and a global Pooling into one layer, of which many give another shape.
PORTABLE = Target(
    "portable",
    _COMMON - {"Flatten"},
    limits={
        **_COMMON_LIMITS,
        "Eltwise": (*_COMMON_LIMITS["Eltwise"], limits.sum_or_difference()),
        "Pooling": (*_COMMON_LIMITS["Pooling"], limits.only("global_pooling", False)),
    },
    without=_ROUNDS_UP,
    text_rewrites=WHOLE_CROP,
    judges=("pycaffe", "opencv"),
    batch=1,
    outputs_by_layer=True,
    in_caffe=False,
    drops_batch=True,
    wrong_merges=(merges.factor_into_power,),
    about="real Caffe, OpenCV, MNN, ncnn and OpenVINO alike",
    commands=(
        commands.OPENCV, commands.MNN, commands.NCNN, commands.OPENVINO, commands.TPU_MLIR,
    ),
)  # fmt: skip

# The SSD branch and its many descendants, and their readers (tpu_mlir, OpenCV, OpenVINO). Its
# schema has neither round_mode nor ceil_mode.
SSD = Target(
    "ssd",
    _COMMON | {
        "AbsVal", "BNLL", "DetectionOutput", "Exp", "Interp", "Normalize", "Permute", "PriorBox",
        "ReLU6", "ShuffleChannel", "Split",
    },
    frozenset({"bvlc", "ssd"}),
    limits={
        **_COMMON_LIMITS,
        EVERY: (_TWO_AXES, _AXES),
        "Pooling": (*_WINDOWS, limits.full_windows(PoolMethod.AVE)),
    },
    without=_ROUNDS_UP,
    text_rewrites=(GLOBAL_MAX,),
    judges=("torch", "opencv"),
    outputs_by_layer=True,
    in_caffe=False,
    wrong_merges=(merges.factor_into_power,),
    about="the SSD branch of Caffe, its descendants, and what reads their nets",
    commands=(commands.TPU_MLIR, commands.OPENVINO, commands.OPENCV),
)  # fmt: skip

SOPHGO = Target(
    "sophgo",
    (_COMMON - {"ELU"}) | {
        "Interp", "Mish", "Permute", "ReLU6", "ShuffleChannel", "Upsample",
    },
    frozenset({"bvlc", "tpu_mlir"}),
    limits={
        **_COMMON_LIMITS,
        EVERY: (limits.rank(5), _AXES),
        "Deconvolution": (limits.images(), limits.one_dilation()),
        "Pooling": (*_WINDOWS, limits.full_windows(PoolMethod.AVE)),
    },
    judges=("torch", "pycaffe"),
    about="tpu-mlir's table of Caffe layers",
    commands=(commands.TPU_MLIR,),
)  # fmt: skip

ASCEND = Target(
    "ascend",
    OF_TAG_1_0 | {"Normalize", "Reverse", "Upsample"},
    frozenset({"bvlc", "ssd", "ascend"}),
    limits={
        EVERY: (limits.side(4096), _AXES),
        "BatchNorm": (limits.fixed_statistics(),),
        "InnerProduct": (limits.only("transpose", False),),
    },
    without=_ROUNDS_UP,
    text_rewrites=(
        Respelling("Upsample", r"stride_h: (\d+)(\s+)stride_w: \1", r"scale: 1\2stride: \1"),
    ),
    judges=("torch", "pycaffe"),
    about="Huawei's ATC (by its documents)",
    commands=(commands.ATC,),
)

NNIE = Target(
    "nnie",
    (_COMMON - {"Crop"}) | {"Permute"},
    frozenset({"bvlc", "ssd"}),
    limits={
        **_COMMON_LIMITS,
        "Permute": (limits.only("order", (0, 2, 3, 1)),),
    },
    without=_ROUNDS_UP,
    judges=("torch", "pycaffe"),
    placeholder="Custom",
    batch=1,
    outputs=16,
    about="HiSilicon's nnie_mapper (by its documents)",
    commands=(commands.NNIE_MAPPER,),
)

RKNN = Target(
    "rknn",
    frozenset({
        "BatchNorm", "BNLL", "Concat", "Convolution", "Crop", "Deconvolution", "Dropout",
        "Eltwise", "Flatten", "InnerProduct", "Input", "LRN", "Normalize", "Permute", "Pooling",
        "Power", "PReLU", "Reduction", "ReLU", "ReLU6", "Reshape", "Scale", "Sigmoid", "Slice",
        "Softmax", "Split", "TanH", "Tile",
    }),
    frozenset({"bvlc", "ssd"}),
    limits={
        **_COMMON_LIMITS,
        EVERY: (limits.rank(4), _AXES),
        "Pooling": (*_WINDOWS, limits.tops(1)),
    },
    without=_ROUNDS_UP,
    judges=("torch", "pycaffe"),
    about="RKNN-Toolkit2 1.4 (by its documents)",
    commands=(commands.RKNN_TOOLKIT,),
)  # fmt: skip

TARGETS: Mapping[str, Target] = {
    known.name: known
    for known in (BVLC, BVLC_MASTER, PORTABLE, SSD, OPENCV, SOPHGO, ASCEND, NNIE, RKNN)
}
