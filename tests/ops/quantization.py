"""Fake quantization."""

import torch
from torch import Tensor, nn

from tests.ops.chains import chain
from tests.rows import Row, function

PER_TENSOR = torch.fake_quantize_per_tensor_affine
PER_CHANNEL = torch.fake_quantize_per_channel_affine
BY_TENSORS = torch._fake_quantize_per_tensor_affine_cachemask_tensor_qparams
ATEN = torch.ops.aten
SCALES = torch.tensor([0.1, 0.3, 1 / 3])
ZEROS = torch.tensor([3, -4, 0], dtype=torch.int32)
CLIP = "P E P P E P"
BOUND = ("Flatten", "Bias", "Eltwise")  # a constant spread over the input
EACH = (
    "Scale", "Parameter", "Power", *BOUND, "Parameter", *chain("P P P"), *BOUND, *chain("P P P"),
    "Scale",
)  # fmt: skip


def fake_quantize(per_channel: bool) -> nn.Module:
    """Return a module of torch.ao that has stopped to observe."""
    kind = torch.ao.quantization.FakeQuantize
    observer = torch.ao.quantization.MovingAverageMinMaxObserver
    if per_channel:
        observer = torch.ao.quantization.MovingAveragePerChannelMinMaxObserver
    module = kind(observer, ch_axis=1) if per_channel else kind(observer, dtype=torch.quint8)
    module(torch.linspace(-2, 3, 48).reshape(1, 3, 4, 4))
    module.apply(torch.ao.quantization.disable_observer)
    return module


def learned(x: Tensor) -> Tensor:
    return PER_TENSOR(x, x.abs().mean(), torch.tensor(1, dtype=torch.int32), 0, 255)


ROWS = [
    Row("fake_quantize", function(lambda x: PER_TENSOR(x, 0.1, 3, 0, 255)),
        layers=chain(f"P {CLIP} P P P")),
    Row("fake_quantize_by_tensors", function(lambda x: PER_TENSOR(
        x, SCALES[2], ZEROS[0], quant_min=-8, quant_max=7)), layers=chain(f"P {CLIP} P P P")),
    Row("fake_quantize_channels", function(lambda x: PER_CHANNEL(x, SCALES, ZEROS, 1, -128, 127)),
        layers=EACH),
    Row("fake_quantize_last_axis", function(lambda x: PER_CHANNEL(
        x, SCALES, ZEROS[2:].expand(3), 2, -8, 7)), ((2, 4, 3),),
        layers=("Scale", *chain(f"{CLIP} P P"), "Scale")),
    Row("fake_quantize_of_program", function(
        lambda x: ATEN.fake_quantize_per_tensor_affine_cachemask(x, 0.1, 3, 0, 255)[0]),
        layers=chain(f"P {CLIP} P P P")),
    Row("fake_quantize_of_program_by_tensors", function(lambda x: BY_TENSORS(
        x, SCALES[2], ZEROS[0], torch.ones(1), -8, 7)[0]), layers=chain(f"P {CLIP} P P P")),
    Row("fake_quantize_of_program_off", function(lambda x: BY_TENSORS(
        x, SCALES[2], ZEROS[0], torch.zeros(1), -8, 7)[0] * 2), layers=("Power",)),
    Row("fake_quantize_of_program_channels", function(
        lambda x: ATEN.fake_quantize_per_channel_affine_cachemask(
            x, SCALES, ZEROS[2:].expand(3), 2, -8, 7)[0]), ((2, 4, 3),),
        layers=("Scale", *chain(f"{CLIP} P P"), "Scale")),
    Row("fake_quantize_module", lambda: fake_quantize(False), layers=chain(f"P {CLIP} P P P")),
    Row("fake_quantize_module_channels", lambda: fake_quantize(True), ((2, 3, 4, 4),), layers=EACH),
    Row("fake_quantize_many_steps", function(lambda x: PER_TENSOR(x, 0.1, 3, 0, 1 << 23)),
        refused="needs steps below 2^22 from the zero_point, got 8388605"),
    Row("fake_quantize_learned", function(learned),
        refused="needs a constant scale, got one that depends on the input"),
    Row("fake_quantize_scale_0", function(lambda x: PER_TENSOR(x, 0.0, 3, 0, 255)),
        refused="needs scales above 0 with a finite inverse, got [0.0]"),
    Row("fake_quantize_fractions", function(lambda x: PER_CHANNEL(x, SCALES, SCALES, 1, 0, 255)),
        refused="needs a zero_point of integers, got torch.float32"),
]  # fmt: skip
