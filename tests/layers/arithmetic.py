"""Rows of AbsVal, Exp and Log."""

from __future__ import annotations

from math import inf, nan

from caffe2fx.layers import AbsVal, Exp, Log
from tests.layers.row import Refusal, Row

IMAGE = (2, 3, 4, 5)
ODD = ((nan, inf, -inf, 0.0, -0.0),)

ROWS = (
    Row("absval", AbsVal(), (IMAGE,), values=ODD),
    Row("exp", Exp(), (IMAGE,), values=((nan, -inf, 0.0, -0.0),)),
    Row("exp base 2", Exp(base=2), (IMAGE,)),
    Row("exp base 0.5, scale", Exp(base=0.5, scale=-3), (IMAGE,)),
    Row("exp shift", Exp(shift=1.5), (IMAGE,)),
    Row("exp all", Exp(base=3, scale=0.5, shift=-2), ((7,),)),
    Row("exp base 1", Exp(base=1, shift=0.5), ((7,),)),
    Row("log", Log(), (IMAGE,), values=ODD),
    Row("log base 2", Log(base=2, shift=7), (IMAGE,)),
    Row("log base 0.5", Log(base=0.5, shift=7), (IMAGE,)),
    Row("log base 10", Log(base=10, scale=0.5, shift=4), (IMAGE,)),
    Row("log shift", Log(shift=6), ((2, 3),)),
    Row("log scale", Log(scale=-1, shift=9), ((2, 3),)),
    Row("log of a negative number", Log(), ((1,),), values=((-2.0,),)),
)
REFUSALS = (
    Refusal("exp base", "Exp", "needs a base above 0, or -1 for e, got 0.0",
            "exp_param { base: 0 }"),
    Refusal("log base", "Log", "needs a base above 0, or -1 for e, got -2.0",
            "log_param { base: -2 }"),
    Refusal("log base 1", "Log", r"needs a base other than 1, got 1.0", "log_param { base: 1 }"),
    Refusal("absval two bottoms", "AbsVal", r"needs 1 bottom\(s\), got 2", "", (IMAGE, IMAGE)),
)  # fmt: skip
