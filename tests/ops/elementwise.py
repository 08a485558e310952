"""Arithmetic of tensors, with each other and with constants."""

import torch
from torch import Tensor

from tests.rows import Row, function

MASTER = {"target": "bvlc-master"}
IMAGE = (2, 3, 4, 5)
TWO = (IMAGE, IMAGE)
PER_MAP = (IMAGE, (2, 3, 1, 1))
CHANNELS = torch.tensor([1.0, -2.0, 3.0]).reshape(3, 1, 1)
PLANE = torch.linspace(-1, 1, 20).reshape(4, 5)
MIDDLE = torch.linspace(-1, 1, 12).reshape(1, 3, 4, 1)
E, P = "Eltwise", "Power"
CLAMP = (P, E)  # a bound from below, and with signs around it from above


def _positive(x: Tensor) -> Tensor:
    return x.exp()


ROWS = [
    Row("add", function(lambda a, b: a + b), TWO, (E,)),
    Row("add_alpha", function(lambda a, b: torch.add(a, b, alpha=0.5)), TWO, (E,)),
    Row("add_twice_the_same", function(lambda a: a + a), layers=(E,)),
    Row("add_in_place", function(lambda a, b: a.relu().add_(b)), TWO, ("ReLU", E)),
    Row("sub", function(lambda a, b: a - b), TWO, (E,)),
    Row("sub_alpha", function(lambda a, b: torch.sub(a, b, alpha=3)), TWO, (E,)),
    Row("add_number", function(lambda a: a + 2.5), layers=(P,)),
    Row("radd_number", function(lambda a: 2 + a), layers=(P,)),
    Row("sub_number", function(lambda a: a - 2.5), layers=(P,)),
    Row("rsub_number", function(lambda a: 2.5 - a), layers=(P,)),
    Row("rsub_alpha", function(lambda a: torch.rsub(a, 2.5, alpha=2)), layers=(P,)),
    Row("add_scalar_tensor", function(lambda a: a + torch.tensor(1.5)), layers=(P,)),
    Row("add_channels", function(lambda a: a + CHANNELS), layers=("Bias",)),
    Row("add_plane", function(lambda a: PLANE + a), (IMAGE,), ("Bias",)),
    Row("add_middle", function(lambda a: a + MIDDLE), (IMAGE,), ("Bias",)),
    Row("rsub_channels", function(lambda a: CHANNELS - a), layers=(P, "Bias")),
    Row("add_last_axis", function(lambda a: a + torch.arange(5)), (IMAGE,), ("Bias",)),
    Row("add_constant_batch", function(lambda a: a + torch.ones(2, 3, 4, 5).cumsum(0)),
        (IMAGE,), ("Bias",), fixed_batch=True),
    Row("add_large_integers", function(lambda a: a + torch.tensor([1, 2, 2**24 + 1])), ((2, 3),),
        refused="needs integers up to 2^24"),
    # Broadcasting: the smaller one over a run of axes, or repeated.
    Row("add_per_map", function(lambda a, b: a + b), PER_MAP, ("Flatten", "Bias")),
    Row("add_per_map_swapped", function(lambda a, b: b + a), PER_MAP, ("Flatten", "Bias")),
    Row("sub_per_map", function(lambda a, b: a - b), PER_MAP, ("Flatten", P, "Bias")),
    Row("rsub_per_map", function(lambda a, b: b - a), PER_MAP, ("Flatten", P, "Bias")),
    Row("add_batch_row", function(lambda a, b: a + b), ((2, 3, 4), (2, 1, 4)), ("Tile", E)),
    Row("add_last_axis_missing", function(lambda a, b: a + b), ((2, 3, 4), (2, 3, 1)),
        ("Flatten", "Bias")),
    Row("add_outer", function(lambda a, b: a + b), ((2, 3, 1), (2, 1, 4)),
        ("Tile", "Flatten", "Bias")),
    Row("add_outer_of_rows", function(lambda a, b: a.unsqueeze(2) + b.unsqueeze(1)),
        ((2, 3), (2, 4)), ("Reshape", "Tile", "Bias")),
    Row("add_whole_sample", function(lambda a, b: a + b), ((5, 3), (5, 1)), ("Flatten", "Bias")),
    Row("add_growing", function(lambda a: a + torch.ones(2, 3, 4).cumsum(2)), ((3, 1),),
        ("Parameter", "Flatten", "Bias"), fixed_batch=True),
    Row("add_growing_along_the_batch", function(lambda a: a + torch.arange(4.0)), ((3, 1),),
        ("Parameter", "Tile", "Bias")),
    Row("add_constant_of_more_axes", function(lambda a: a + torch.ones(1, 1, 1)), ((3, 4),),
        ("DummyData", "Reshape", "Reshape", "Bias")),
    Row("add_across_batches", function(lambda a: a.reshape(-1, 1) + a.reshape(1, -1)), ((3,),),
        refused="needs a tensor of the result's batch"),
    Row("mul", function(lambda a, b: a * b), TWO, (E,)),
    Row("mul_number", function(lambda a: a * -1.5), layers=(P,)),
    Row("rmul_number", function(lambda a: 3 * a), ((2, 5),), (P,)),
    Row("mul_in_place", function(lambda a: a.relu().mul_(0.5)), layers=("ReLU", P)),
    Row("mul_channels", function(lambda a: a * CHANNELS), layers=("Scale",)),
    Row("mul_plane", function(lambda a: PLANE * a), (IMAGE,), ("Scale",)),
    Row("mul_middle", function(lambda a: a * MIDDLE), (IMAGE,), ("Scale",)),
    Row("mul_growing", function(lambda a: a * CHANNELS.reshape(3)), ((4, 1),),
        ("Parameter", "Tile", "Scale")),
    Row("mul_per_map", function(lambda a, b: a * b), PER_MAP, ("Flatten", "Scale")),
    Row("mul_per_map_swapped", function(lambda a, b: b * a), PER_MAP, ("Flatten", "Scale")),
    Row("mul_per_position", function(lambda a, b: a * b), (IMAGE, (2, 1, 4, 5)), ("Tile", E)),
    Row("mul_per_row", function(lambda a, b: a * b), (IMAGE, (2, 3, 4, 1)), ("Flatten", "Scale")),
    Row("mul_per_column", function(lambda a, b: a * b), (IMAGE, (2, 3, 1, 5)), ("Tile", E)),
    Row("mul_per_sample", function(lambda a, b: a * b), ((5, 3, 2, 2), (5, 1, 1, 1)),
        ("Flatten", "Scale")),
    # A second input without a batch.
    Row("mul_input_plane", function(lambda a, b: a * b), (IMAGE, (4, 5)), ("Scale",)),
    Row("add_input_channels", function(lambda a, b: b + a), (IMAGE, (3, 1, 1)),
        ("Flatten", "Bias")),
    Row("maximum_input_plane", function(torch.maximum), (IMAGE, (4, 5)), (P, "Bias", E)),
    Row("div", function(lambda a, b: a / _positive(b)), TWO, ("Exp", P, E)),
    Row("div_number", function(lambda a: a / 3), layers=(P,)),
    Row("div_channels", function(lambda a: a / CHANNELS), layers=("Scale",)),
    Row("div_per_map", function(lambda a, b: a / _positive(b)), PER_MAP,
        ("Exp", P, "Flatten", "Scale")),
    Row("rdiv_number", function(lambda a: 3 / _positive(a)), layers=("Exp", P, P)),
    Row("rdiv_channels", function(lambda a: CHANNELS / _positive(a)), layers=("Exp", P, "Scale")),
    Row("div_by_zero", function(lambda a: a / 0), refused="needs a divisor other than 0"),
    Row("div_rounding", function(lambda a: torch.div(a, 3, rounding_mode="floor")),
        refused="needs rounding_mode at its default, got 'floor'"),
    Row("maximum", function(torch.maximum), TWO, (E,)),
    Row("maximum_per_map", function(torch.maximum), PER_MAP, ("Tile", "Tile", E)),
    Row("maximum_number", function(lambda a: torch.maximum(a, torch.tensor(0.5))), layers=CLAMP),
    Row("maximum_channels", function(lambda a: torch.maximum(CHANNELS, a)),
        layers=("Parameter", P, "Flatten", "Bias", E)),
    Row("minimum", function(torch.minimum), TWO, (P, P, E, P)),
    Row("minimum_per_row", function(torch.minimum), (IMAGE, (2, 3, 4, 1)),
        (P, P, "Tile", E, P)),
    Row("minimum_number", function(lambda a: torch.minimum(torch.tensor(0.5), a)),
        layers=(P, *CLAMP, P)),
    Row("clamp", function(lambda a: a.clamp(-0.5, 1)), layers=(*CLAMP, P, *CLAMP, P)),
    Row("clamp_from_zero", function(lambda a: a.clamp(0, 1)), layers=("ReLU", P, *CLAMP, P)),
    Row("clamp_relu", function(lambda a: a.clamp(min=0)), layers=("ReLU",)),
    Row("clamp_to_zero", function(lambda a: a.clamp(max=0)), layers=(P, "ReLU", P)),
    Row("clamp_low", function(lambda a: a.clamp(min=0.3)), ((2, 5),), CLAMP),
    Row("clamp_high", function(lambda a: a.clamp(max=0.3)), ((2, 5),), (P, *CLAMP, P)),
    Row("clamp_infinite", function(lambda a: a.clamp(0.3, float("inf"))), ((2, 5),), CLAMP),
    Row("clamp_nothing", function(lambda a: a.clamp(-float("inf"))), ((2, 5),), (P,)),
    Row("clamp_min", function(lambda a: torch.clamp_min(a, 0.3)), layers=CLAMP),
    Row("clamp_max", function(lambda a: a.clamp_max(0.3)), layers=(P, *CLAMP, P)),
    Row("clamp_master", function(lambda a: a.clamp(-0.5, 1)), layers=("Clip",), options=MASTER),
    Row("clamp_low_master", function(lambda a: a.clamp(-0.5)), layers=("Clip",), options=MASTER),
    Row("clamp_high_master", function(lambda a: a.clamp(max=1)), layers=("Clip",),
        options=MASTER),
    Row("clamp_tensors", function(lambda a, b: a.clamp(b, b.abs())), TWO,
        ("AbsVal", E, P, P, E, P)),
]  # fmt: skip
