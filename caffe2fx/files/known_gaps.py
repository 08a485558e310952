"""Fields and layers of forks that are refused: notes on each, and workarounds.

Of most the forks' schemas give the name alone, and no program here shows their meaning; that of
others depends on the fork, or on the engine that runs the layer.
"""

from __future__ import annotations

from collections.abc import Mapping

_BY_HAND = "define the layer with caffe2fx.register, under a type of your own"
_FUSED = (
    "by it some engines of Intel's fork run another layer inside this one, and others do not: "
    f"write that layer out, or {_BY_HAND}"
)
_INTEGERS = f"it makes the fork count in 8 bits: leave it out for float32, or {_BY_HAND}"
_SCALED = ("input_scale", "output_scale", "weight_scale", "bias_scale", "input_zero_point",
           "output_zero_point", "weight_zero_point", "bias_zero_point", "saturate",
           "quantize_method", "per_channel_scale_weight", "per_channel_scale_output")  # fmt: skip

# By message and field; by the field alone where it is in many messages.
FIELDS: Mapping[tuple[str, str], str] = {
    ("BatchNormParameter", "use_weight_bias"): (
        "some engines of Intel's fork keep a scale and a bias in this layer with it: "
        "write BatchNorm with scale_bias, or a Scale layer behind it"
    ),
    ("BatchNormParameter", "relu"): _FUSED,
    ("BatchNormParameter", "stats_batch_size"): (
        "Intel's fork takes the statistics of parts of the batch with it; "
        "leave it out for nets that are not trained further"
    ),
    ("ConvolutionParameter", "relu"): _FUSED,
    ("ConvolutionParameter", "fusion_type"): _FUSED,
    ("PoolingParameter", "avg_include_pad"): (
        "true is as in Caffe; by false some engines of Intel's fork leave the padding out of "
        f"what they divide by, and others do not: leave it out if it is true, or {_BY_HAND}"
    ),
    ("PoolingParameter", "torch_pooling"): (
        "NVIDIA's fork rounds down with it: write round_mode: FLOOR instead"
    ),
    ("EltwiseParameter", "axis"): "its meaning is not known: leave it out if it is 0",
    ("DetectionOutputParameter", "objectness_score"): (
        f"RefineDet's, which moves the default boxes by two further bottoms first: {_BY_HAND}"
    ),
    ("LossParameter", "label_smoothing"): f"the loss is another with it: {_BY_HAND}",
    ("LossParameter", "class_weighting"): f"the loss is another with it: {_BY_HAND}",
    ("LossParameter", "weight_by_label_freqs"): f"the loss is another with it: {_BY_HAND}",
    ("ReLUParameter", "fuse"): "Intel's fork sets it in nets that it has taken apart: leave it out",
    ("InnerProductParameter", "relu"): _FUSED,
    **{("", name): _INTEGERS for name in _SCALED},
}

TYPES: Mapping[str, str] = {
    "Resize": (
        "how it lies between the pixels differs between forks: write Interp (corners kept) or "
        f"Upsample (nearest) if that is it, or {_BY_HAND}"
    ),
    "Resample": (
        "FlowNet's, whose LINEAR smooths when it makes smaller; write Interp (corners kept) or "
        f"Upsample (nearest) if that is it, or {_BY_HAND}"
    ),
    "ConvolutionRistretto": f"Ristretto's, which {_INTEGERS}",
    "FcRistretto": f"Ristretto's, which {_INTEGERS}",
}


def about_field(message: str, name: str) -> str:
    """Return a note on a field that no record has; empty if there is none."""
    return FIELDS.get((message, name)) or FIELDS.get(("", name), "")


def about_type(type_: str) -> str:
    """Return a note on a layer type without a record; empty if there is none."""
    return TYPES.get(type_, "")
