"""The layer messages of Caffe before 2014: V1LayerParameter and V0LayerParameter."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from caffe2fx.messages.common import BlobProto, DimCheckMode, Filler, NetStateRule
from caffe2fx.messages.message import Message, Wire, field, repeated

# V1's word for a layer type, its enumeration value in files, and today's name.
# fmt: off
V1_LAYERS = (
    ("NONE", 0, ""), ("ACCURACY", 1, "Accuracy"), ("BNLL", 2, "BNLL"), ("CONCAT", 3, "Concat"),
    ("CONVOLUTION", 4, "Convolution"), ("DATA", 5, "Data"), ("DROPOUT", 6, "Dropout"),
    ("EUCLIDEAN_LOSS", 7, "EuclideanLoss"), ("FLATTEN", 8, "Flatten"), ("HDF5_DATA", 9, "HDF5Data"),
    ("HDF5_OUTPUT", 10, "HDF5Output"), ("IM2COL", 11, "Im2col"), ("IMAGE_DATA", 12, "ImageData"),
    ("INFOGAIN_LOSS", 13, "InfogainLoss"), ("INNER_PRODUCT", 14, "InnerProduct"),
    ("LRN", 15, "LRN"), ("MULTINOMIAL_LOGISTIC_LOSS", 16, "MultinomialLogisticLoss"),
    ("POOLING", 17, "Pooling"), ("RELU", 18, "ReLU"), ("SIGMOID", 19, "Sigmoid"),
    ("SOFTMAX", 20, "Softmax"), ("SOFTMAX_LOSS", 21, "SoftmaxWithLoss"), ("SPLIT", 22, "Split"),
    ("TANH", 23, "TanH"), ("WINDOW_DATA", 24, "WindowData"), ("ELTWISE", 25, "Eltwise"),
    ("POWER", 26, "Power"), ("SIGMOID_CROSS_ENTROPY_LOSS", 27, "SigmoidCrossEntropyLoss"),
    ("HINGE_LOSS", 28, "HingeLoss"), ("MEMORY_DATA", 29, "MemoryData"), ("ARGMAX", 30, "ArgMax"),
    ("THRESHOLD", 31, "Threshold"), ("DUMMY_DATA", 32, "DummyData"), ("SLICE", 33, "Slice"),
    ("MVN", 34, "MVN"), ("ABSVAL", 35, "AbsVal"), ("SILENCE", 36, "Silence"),
    ("CONTRASTIVE_LOSS", 37, "ContrastiveLoss"), ("EXP", 38, "Exp"),
    ("DECONVOLUTION", 39, "Deconvolution"),
)
# The field numbers of the typed parameters in V1; their messages are today's.
_V1_PARAMETERS = {
    "accuracy_param": 27, "argmax_param": 23, "concat_param": 9, "contrastive_loss_param": 40,
    "convolution_param": 10, "data_param": 11, "dropout_param": 12, "dummy_data_param": 26,
    "eltwise_param": 24, "exp_param": 41, "hdf5_data_param": 13, "hdf5_output_param": 14,
    "hinge_loss_param": 29, "image_data_param": 15, "infogain_loss_param": 16,
    "inner_product_param": 17, "lrn_param": 18, "memory_data_param": 22, "mvn_param": 34,
    "pooling_param": 19, "power_param": 21, "relu_param": 30, "sigmoid_param": 38,
    "softmax_param": 39, "slice_param": 31, "tanh_param": 37, "threshold_param": 25,
    "window_data_param": 20, "transform_param": 36, "loss_param": 42,
}
# fmt: on

LayerType = enum.IntEnum(  # type: ignore[misc]
    "LayerType", {word: number for word, number, _ in V1_LAYERS}
)
V1_TYPES: Mapping[int, str] = {number: type_ for _, number, type_ in V1_LAYERS}
OUR_FIELDS = 1 << 20  # from here on: fields that no binary file of BVLC's has, but texts may name


class PoolMethod(enum.IntEnum):
    """Selects V0's pooling method: its own copy of the enumeration."""

    MAX = 0
    AVE = 1
    STOCHASTIC = 2


@dataclass(frozen=True, kw_only=True)
class V0LayerParameter(Message):
    """Holds a layer of 2013: one message has the parameters of all types."""

    message = "V0LayerParameter"
    name: str | None = field(1, "string")
    type: str | None = field(2, "string")
    num_output: int | None = field(3, "uint32")
    biasterm: bool | None = field(4, "bool", True, absent=None)
    weight_filler: Filler | None = field(5, Filler)
    bias_filler: Filler | None = field(6, Filler)
    pad: int | None = field(7, "uint32", 0, absent=None)
    kernelsize: int | None = field(8, "uint32")
    group: int | None = field(9, "uint32", 1, absent=None)
    stride: int | None = field(10, "uint32", 1, absent=None)
    pool: PoolMethod | None = field(11, PoolMethod, PoolMethod.MAX, absent=None)
    dropout_ratio: float | None = field(12, "float", 0.5, absent=None)
    local_size: int | None = field(13, "uint32", 5, absent=None)
    alpha: float | None = field(14, "float", 1.0, absent=None)
    beta: float | None = field(15, "float", 0.75, absent=None)
    k: float | None = field(22, "float", 1.0, absent=None)
    source: str | None = field(16, "string")
    scale: float | None = field(17, "float", 1.0, absent=None)
    meanfile: str | None = field(18, "string")
    batchsize: int | None = field(19, "uint32")
    cropsize: int | None = field(20, "uint32", 0, absent=None)
    mirror: bool | None = field(21, "bool", False, absent=None)
    blobs: tuple[BlobProto, ...] = repeated(50, BlobProto)
    blobs_lr: tuple[float, ...] = repeated(51, "float")
    weight_decay: tuple[float, ...] = repeated(52, "float")
    rand_skip: int | None = field(53, "uint32", 0, absent=None)
    det_fg_threshold: float | None = field(54, "float", 0.5, absent=None)
    det_bg_threshold: float | None = field(55, "float", 0.5, absent=None)
    det_fg_fraction: float | None = field(56, "float", 0.25, absent=None)
    det_context_pad: int | None = field(58, "uint32", 0, absent=None)
    det_crop_mode: str | None = field(59, "string", "warp", absent=None)
    new_num: int | None = field(60, "int32", 0, absent=None)
    new_channels: int | None = field(61, "int32", 0, absent=None)
    new_height: int | None = field(62, "int32", 0, absent=None)
    new_width: int | None = field(63, "int32", 0, absent=None)
    shuffle_images: bool | None = field(64, "bool", False, absent=None)
    concat_dim: int | None = field(65, "uint32", 1, absent=None)


@dataclass(frozen=True, kw_only=True)
class V1LayerParameter(Message):
    """Holds a layer of 2014, without its typed parameters (`_V1_PARAMETERS`)."""

    message = "V1LayerParameter"
    bottom: tuple[str, ...] = repeated(2, "string")
    top: tuple[str, ...] = repeated(3, "string")
    name: str | None = field(4, "string")
    include: tuple[NetStateRule, ...] = repeated(32, NetStateRule)
    exclude: tuple[NetStateRule, ...] = repeated(33, NetStateRule)
    type: LayerType | None = field(5, LayerType)
    blobs: tuple[BlobProto, ...] = repeated(6, BlobProto)
    param: tuple[str, ...] = repeated(1001, "string")
    blob_share_mode: tuple[DimCheckMode, ...] = repeated(1002, DimCheckMode)
    blobs_lr: tuple[float, ...] = repeated(7, "float")
    weight_decay: tuple[float, ...] = repeated(8, "float")
    loss_weight: tuple[float, ...] = repeated(35, "float")
    layer: V0LayerParameter | None = field(1, V0LayerParameter)
    user_text: str = field(OUR_FIELDS - 1, "string", absent="")  # the fields that text_fields folds

    @staticmethod
    def typed(parameters: Iterable[tuple[str, Wire]]) -> Iterator[tuple[str, Wire]]:
        """Yield the typed parameters of today's layers with V1's field numbers."""
        for name, wire in parameters:
            number = _V1_PARAMETERS.get(name, OUR_FIELDS + wire.number)
            yield name, replace(wire, number=number)
