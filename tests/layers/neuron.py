"""Rows of the activation functions beyond ReLU, and of those with weights."""

from __future__ import annotations

from math import inf, nan

from caffe2fx.layers import BNLL, ELU, Clip, PReLU, Sigmoid, Swish, TanH, Threshold
from caffe2fx.messages.common import Engine, Filler
from tests.layers.row import Refusal, Row

IMAGE = (2, 3, 4, 5)
FAR = ((nan, inf, 0.0, -0.0, 90.0, -90.0, 1e-30),)
FURTHER = ((nan, inf, -inf, 0.0, -0.0, 90.0, -90.0),)

ROWS = (
    Row("sigmoid", Sigmoid(), (IMAGE,), values=FURTHER),
    Row("sigmoid engine", Sigmoid(engine=Engine.CAFFE), ((3,),)),
    Row("tanh", TanH(), (IMAGE,), values=FURTHER),
    Row("tanh engine", TanH(engine=Engine.CAFFE), ((3,),)),
    Row("bnll", BNLL(), (IMAGE,), values=FURTHER),
    Row("elu", ELU(), (IMAGE,), values=FURTHER),
    Row("elu alpha", ELU(alpha=0.3), (IMAGE,)),
    Row("elu alpha < 0", ELU(alpha=-2), (IMAGE,)),
    Row("elu alpha 0", ELU(alpha=0), (IMAGE,)),
    Row("swish", Swish(), (IMAGE,), values=FAR),
    Row("swish beta", Swish(beta=1.7), (IMAGE,), values=FAR),
    Row("swish beta 0", Swish(beta=0), (IMAGE,)),
    Row("threshold", Threshold(), (IMAGE,), values=FURTHER),
    Row("threshold at", Threshold(threshold=0.5), (IMAGE,), values=((0.5, 0.5000001),)),
    Row("clip", Clip(min=0, max=6), (IMAGE,), values=((6.0, 7.0, inf, -inf, -0.0),)),
    Row("clip of NaN", Clip(min=-1, max=1), (IMAGE,), values=FURTHER,
        twin_differs="Caffe gives min for NaN, torch NaN"),
    Row("clip, max below min", Clip(min=1, max=-1), (IMAGE,)),
    Row("clip, max at min", Clip(min=0.5, max=0.5), (IMAGE,)),
    Row("prelu", PReLU(), (IMAGE,), values=FURTHER),
    Row("prelu rank 2", PReLU(), ((4, 3),)),
    Row("prelu rank 3", PReLU(), ((4, 3, 2),)),
    Row("prelu shared", PReLU(channel_shared=True), (IMAGE,)),
    Row("prelu of one channel", PReLU(), ((2, 1, 3),)),
    Row("prelu filler", PReLU(filler=Filler(value=0.1)), (IMAGE,)),
)  # fmt: skip
REFUSALS = (
    Refusal("prelu rank 1", "PReLU", "needs a bottom of rank 2 to 4", "", ((3,),)),
    Refusal("prelu rank 5", "PReLU", "needs a bottom of rank 2 to 4", "", ((2, 3, 2, 2, 2),)),
    Refusal(
        "clip without max",
        "Clip",
        r"needs clip_param\.max to be given, got none",
        "clip_param { min: 0 }",
    ),
    Refusal(
        "clip without parameters",
        "Clip",
        "needs clip_param with min and max, got none",
        here_only="Caffe takes 0 for both",
    ),
)
