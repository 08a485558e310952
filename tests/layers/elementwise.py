"""Rows of Eltwise."""

from __future__ import annotations

from math import inf, nan

from caffe2fx.layers import Eltwise, EltwiseOp
from tests.layers.row import Refusal, Row

IMAGE = (2, 3, 4, 5)
# Each against each: NaN, infinities, ties and zeros.
LEFT = (nan, 1.0, nan, inf, -inf, inf, 0.0, -0.0, nan, 3.0)
RIGHT = (1.0, nan, nan, inf, inf, -inf, -0.0, 0.0, -inf, 3.0)
THIRD = (nan, nan, 2.0, nan, 1.0, nan, 0.0, 0.0, -inf, nan)


def eltwise(id: str, layer: Eltwise, bottoms: int = 2, *values: tuple[float, ...]) -> Row:
    return Row(f"eltwise {id}", layer, (IMAGE,) * bottoms, values=values)


SUM, PROD, MAX = (Eltwise(operation=operation) for operation in (
    EltwiseOp.SUM, EltwiseOp.PROD, EltwiseOp.MAX))  # fmt: skip
ROWS = (
    eltwise("sum", Eltwise(), 2, LEFT, RIGHT),
    eltwise("sum of 3", SUM, 3),
    eltwise("sum of coeff", Eltwise(coeff=(0.5, -2)), 2, LEFT, RIGHT),
    eltwise("sum of 3 coeff", Eltwise(coeff=(1, -1, 3)), 3),
    eltwise("sum, coeff 0", Eltwise(coeff=(0, 1)), 2, LEFT, RIGHT),
    eltwise("sum, coeff 0 in the middle", Eltwise(coeff=(1, 0, 1)), 3, RIGHT, LEFT),
    eltwise("sum, all coeff 0", Eltwise(coeff=(0, 0)), 2, LEFT, RIGHT),
    Row("eltwise coeff 1", Eltwise(), (IMAGE,) * 2, as_text="eltwise_param { coeff: 1 coeff: 1 }"),
    eltwise("prod", PROD, 2, LEFT, RIGHT),
    eltwise("prod of 3", PROD, 3),
    eltwise("prod, unstable gradient", PROD.replace(stable_prod_grad=False)),
    eltwise("max", MAX),
    eltwise("max of 3", MAX, 3),
    eltwise("max, coeff idle", MAX.replace(coeff=(2, -1))),
    eltwise("max of NaN", MAX, 2, LEFT, RIGHT),
    eltwise("max of NaN, other way", MAX, 2, RIGHT, LEFT),
    eltwise("max of NaN in 3", MAX, 3, LEFT, RIGHT, THIRD),
    eltwise("max of NaN in 3, first", MAX, 3, THIRD, LEFT, RIGHT),
    Row("eltwise of scalars", Eltwise(), ((), ())),
)


def refuse(id: str, reason: str, parameters: str, *bottoms: tuple[int, ...]) -> Refusal:
    shapes = bottoms or ((2, 3), (2, 3))
    return Refusal(f"eltwise {id}", "Eltwise", reason, f"eltwise_param {{ {parameters} }}", shapes)


REFUSALS = (
    refuse("one bottom", r"needs at least 2 bottom\(s\), got 1", "", (2, 3)),
    refuse("unequal bottoms", "needs bottoms of one shape", "", (2, 3), (2, 1)),
    refuse("unequal ranks", "needs bottoms of one shape", "", (2, 3), (2, 3, 1)),
    refuse("too few coeff", "needs one coeff a bottom, got 1 for 2", "coeff: 2"),
    refuse("too few coeff, all 1", "needs one coeff a bottom, got 1 for 2", "coeff: 1"),
    refuse("coeff of a product", "needs SUM for coeff, got PROD",
           "operation: PROD coeff: 2 coeff: 2"),
    refuse("coeff 1 of a product", "needs SUM for coeff, got PROD",
           "operation: PROD coeff: 1 coeff: 1"),
)  # fmt: skip
