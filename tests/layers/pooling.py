"""Rows of Pooling."""

from __future__ import annotations

from math import inf, nan

from caffe2fx.layers import SPP, Pooling, PoolMethod, RoundMode
from caffe2fx.messages.common import Engine
from caffe2fx.messages.message import Shape
from tests.layers.row import Refusal, Row

IMAGE = (2, 3, 9, 7)
GEOMETRIES: tuple[tuple[str, Pooling, Shape], ...] = (
    ("2 by 2", Pooling(kernel_size=2, stride=2), (2, 3, 8, 6)),
    ("2 by 2, overhanging", Pooling(kernel_size=2, stride=2), IMAGE),
    ("3 by 2, overhanging", Pooling(kernel_size=3, stride=2), (2, 3, 8, 8)),
    ("stride 1", Pooling(kernel_size=3), IMAGE),
    ("pad 1", Pooling(kernel_size=3, pad=1), IMAGE),
    ("pad 1 stride 2", Pooling(kernel_size=3, pad=1, stride=2), (2, 3, 8, 8)),
    ("pad 1 kernel 2, last window dropped", Pooling(kernel_size=2, pad=1, stride=2), IMAGE),
    ("pad 2 kernel 3", Pooling(kernel_size=3, pad=2, stride=2), IMAGE),
    ("pad 2 kernel 3 stride 3", Pooling(kernel_size=3, pad=2, stride=3), (2, 3, 8, 8)),
    ("rectangular", Pooling(kernel_h=3, kernel_w=2, stride_h=1, stride_w=2), IMAGE),
    ("pad of one side", Pooling(kernel_size=3, pad_h=1, pad_w=0, stride=2), (2, 3, 8, 8)),
    ("pad of the other side", Pooling(kernel_h=4, kernel_w=3, pad_h=0, pad_w=1, stride_h=3,
                                      stride_w=2), (2, 3, 9, 8)),
    ("pad of one side, window of the other dropped", Pooling(
        kernel_h=2, kernel_w=1, pad_h=1, pad_w=0, stride=3), (1, 2, 8, 9)),
    ("stride > kernel", Pooling(kernel_size=2, stride=3), (2, 3, 8, 8)),
    ("stride > kernel, empty windows", Pooling(kernel_size=1, stride=3), (2, 3, 9, 9)),
    ("stride > kernel, windows beyond the end", Pooling(kernel_size=1, stride=4), (1, 2, 6, 6)),
    ("kernel > input", Pooling(kernel_size=5, stride=2), (2, 3, 4, 4)),
    ("kernel > input, padded", Pooling(kernel_size=7, pad=2, stride=3), (2, 3, 4, 4)),
    ("floor", Pooling(kernel_size=3, stride=2, round_mode=RoundMode.FLOOR), (2, 3, 8, 8)),
    ("floor, pad", Pooling(kernel_size=2, pad=1, stride=3, round_mode=RoundMode.FLOOR), IMAGE),
    ("global", Pooling(global_pooling=True), IMAGE),
    ("engine", Pooling(kernel_size=2, engine=Engine.CAFFE), IMAGE),
)  # fmt: skip


def _all(method: PoolMethod, tops: int = 1) -> tuple[Row, ...]:
    return tuple(
        Row(f"pool {method.name} {name}{', mask' * (tops > 1)}", layer.replace(pool=method),
            (shape,), tops)
        for name, layer, shape in GEOMETRIES
    )  # fmt: skip


def of_text(id: str, layer: Pooling, parameters: str) -> Row:
    return Row(f"pool {id}", layer, (IMAGE,), as_text=f"pooling_param {{ {parameters} }}")


def _pyramids() -> tuple[Row, ...]:
    sizes = ((2, 3, 8, 8), (2, 3, 9, 7), (1, 2, 6, 7), (1, 2, 11, 16), (1, 1, 4, 13))
    return tuple(
        Row(f"spp {method.name} {height} of {shape[2]} by {shape[3]}",
            SPP(pyramid_height=height, pool=method), (shape,))
        for method in (PoolMethod.MAX, PoolMethod.AVE)
        for height in (1, 2, 3)
        for shape in sizes
    )  # fmt: skip


ODD = (nan, 1, 2, 3, nan, -inf, inf)
ROWS = (
    *_all(PoolMethod.MAX),
    *_all(PoolMethod.AVE),
    *_all(PoolMethod.MAX, tops=2),
    Row("pool MAX of ties, mask", Pooling(kernel_size=2, stride=2), ((1, 1, 4, 4),), 2,
        ((1.0,) * 16,)),
    Row("pool MAX of NaN", Pooling(kernel_size=2), ((1, 1, 4, 7),), 1, (ODD,),
        twin_differs="torch's maximum of NaN and a number is NaN, Caffe's the number"),
    Row("pool MAX of NaN, mask", Pooling(kernel_size=2), ((1, 1, 4, 7),), 2, (ODD,)),
    Row("pool MAX of nothing but NaN, mask", Pooling(kernel_size=2), ((1, 1, 2, 4),), 2,
        ((nan, nan, 1, 2, nan, nan, 3, 4),)),
    Row("pool AVE of NaN", Pooling(pool=PoolMethod.AVE, kernel_size=2), ((1, 1, 4, 7),), 1, (ODD,)),
    *_pyramids(),
    Row("spp engine", SPP(pyramid_height=2, engine=Engine.CAFFE), (IMAGE,)),
    of_text("_h and _w that agree", Pooling(kernel_size=3, pad=1, stride=2),
            "kernel_h: 3 kernel_w: 3 pad_h: 1 pad_w: 1 stride_h: 2 stride_w: 2"),
    of_text("_h and _w that do not", Pooling(kernel_h=2, kernel_w=3, pad_h=1, pad_w=0, stride_h=1,
                                             stride_w=2),
            "kernel_h: 2 kernel_w: 3 pad_h: 1 pad_w: 0 stride_h: 1 stride_w: 2"),
    of_text("defaults said", Pooling(kernel_size=3, stride=2), "pool: MAX kernel_size: 3 pad: 0 "
            "stride: 2 round_mode: CEIL global_pooling: false engine: DEFAULT"),
    of_text("global, pads said", Pooling(global_pooling=True),
            "global_pooling: true pad: 0 stride: 1"),
)  # fmt: skip


def refuse(id: str, reason: str, parameters: str, *, tops: int = 1) -> Refusal:
    return Refusal(f"pool {id}", "Pooling", reason, f"pooling_param {{ {parameters} }}", tops=tops)


REFUSALS = (
    refuse("no kernel", "needs kernel_size or both of kernel_h and kernel_w, got neither", ""),
    refuse("kernel_h alone", "needs both kernel_h and kernel_w", "kernel_h: 2"),
    refuse("kernel twice", "needs kernel given once", "kernel_size: 2 kernel_h: 3 kernel_w: 3"),
    refuse("kernel 0", "needs kernel and stride >= 1", "kernel_size: 0"),
    refuse("stride_w alone", "needs both stride_h and stride_w", "kernel_size: 2 stride_w: 2"),
    refuse("pad_h alone", "needs both pad_h and pad_w", "kernel_size: 2 pad_h: 1"),
    refuse("pad = kernel", r"needs pad < kernel, got pad \(2, 2\) and kernel \(2, 2\)",
           "kernel_size: 2 pad: 2"),
    refuse("global with a kernel", "needs no kernel, pad or stride beside global_pooling",
           "global_pooling: true kernel_size: 2"),
    refuse("global with sides", "needs no kernel, pad or stride beside global_pooling",
           "global_pooling: true kernel_h: 2 kernel_w: 3"),
    refuse("global with kernel_h", "needs both kernel_h and kernel_w",
           "global_pooling: true kernel_h: 2"),
    refuse("pad twice", "needs pad given once", "kernel_size: 3 pad: 1 pad_h: 1 pad_w: 2"),
    refuse("stride twice", "needs stride given once",
           "kernel_size: 3 stride: 2 stride_h: 1 stride_w: 2"),
    refuse("global with a pad", "needs no kernel, pad or stride", "global_pooling: true pad: 1"),
    refuse("global with a stride", "needs no kernel, pad or stride",
           "global_pooling: true stride: 2"),
    refuse("stochastic", "needs MAX or AVE, got STOCHASTIC", "pool: STOCHASTIC kernel_size: 2"),
    refuse("mask of AVE", r"needs 1 top\(s\) for AVE, got 2", "pool: AVE kernel_size: 2", tops=2),
    refuse("three tops", r"needs 1 to 2 top\(s\), got 3", "kernel_size: 2", tops=3),
    Refusal("spp rank 3", "SPP", "needs a 4-D bottom", "spp_param { pyramid_height: 2 }",
            ((3, 4, 5),)),
    Refusal("spp of nothing", "SPP", "needs pyramid_height >= 1, got 0", "spp_param { }"),
    Refusal("spp finer than its input", "SPP", "needs pad < kernel",
            "spp_param { pyramid_height: 4 }"),
    Refusal("spp stochastic", "SPP", "needs MAX or AVE",
            "spp_param { pyramid_height: 2 pool: STOCHASTIC }"),
    Refusal("pool rank 3", "Pooling", "needs a 4-D bottom", "pooling_param { kernel_size: 2 }",
            ((3, 4, 5),)),
)  # fmt: skip
