"""Rows of LSTM, RNN and LSTMUnit."""

from __future__ import annotations

from caffe2fx.layers import LSTM, RNN, LSTMUnit
from caffe2fx.layers.recurrent import Recurrent
from caffe2fx.messages.common import Filler
from caffe2fx.messages.message import Shape
from tests.layers.row import Refusal, Row

TIME, BATCH, SIZE = 5, 3, 4
ONES = (1.0,) * (TIME * BATCH)
BEGINS = (0.0,) * BATCH + (1.0,) * (TIME * BATCH - BATCH)
# Sequences of several lengths, which begin at other steps in each column.
MIXED = (0, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0)
STATE = (1, BATCH, SIZE)


def _rows(kind: type[Recurrent], name: str) -> tuple[Row, ...]:
    """Return each combination of static input, exposed state and cont."""
    return tuple(
        Row(f"{name}{', static' * static}{', exposed' * exposed}, cont {cont}",
            kind(num_output=SIZE, expose_hidden=exposed),
            _bottoms(kind, static, exposed), 1 + exposed * kind.states, ((), numbers))
        for cont, numbers in (("begins", BEGINS), ("ones", ONES), ("mixed", MIXED), ("halves", ()))
        for static in (False, True)
        for exposed in (False, True)
    )  # fmt: skip


def _bottoms(kind: type[Recurrent], static: bool, exposed: bool) -> tuple[Shape, ...]:
    return (
        (TIME, BATCH, 6),
        (TIME, BATCH),
        *((BATCH, 2),) * static,
        *(STATE,) * (exposed * kind.states),
    )


FILLERS = {"weight_filler": Filler(type="xavier"), "bias_filler": Filler(value=1)}
MIX = ((), MIXED)
PLAIN: tuple[Shape, ...] = ((TIME, BATCH, 6), (TIME, BATCH))
IMAGES: tuple[Shape, ...] = ((TIME, BATCH, 2, 3, 1), (TIME, BATCH), (BATCH, 2, 2))

ROWS = (
    *_rows(LSTM, "lstm"),
    *_rows(RNN, "rnn"),
    Row("lstm fillers", LSTM(num_output=2, **FILLERS), PLAIN, values=MIX),
    Row("rnn fillers", RNN(num_output=2, **FILLERS), PLAIN, values=MIX),
    Row("lstm debug", LSTM(num_output=1, debug_info=True), PLAIN, values=MIX),
    Row("rnn debug", RNN(num_output=1, debug_info=True), PLAIN, values=MIX),
    Row("lstm one step", LSTM(num_output=3), ((1, 2, 4), (1, 2)), values=((), (0, 1))),
    Row("rnn one step", RNN(num_output=3), ((1, 2, 4), (1, 2)), values=((), (0, 1))),
    Row("lstm of images", LSTM(num_output=3), IMAGES, values=MIX),
    Row("rnn of images", RNN(num_output=3), IMAGES, values=MIX),
    Row("unit", LSTMUnit(), ((1, 4, 3), (1, 4, 12), (1, 4)), 2, ((), (), (1, 0, 1, 0.5))),
    Row("unit, nothing of NaN is kept", LSTMUnit(), ((1, 2, 1), (1, 2, 4), (1, 2)), 2,
        ((float("inf"), 1), (), (1, 0))),
)  # fmt: skip


def lstm(id: str, reason: str, bottoms: tuple[Shape, ...], parameters: str = "", tops: int = 1,
         type: str = "LSTM") -> Refusal:  # fmt: skip
    parameters = f"recurrent_param {{ num_output: 2 {parameters} }}"
    return Refusal(f"{type} {id}", type, reason, parameters, bottoms, tops)


REFUSALS = (
    Refusal("LSTM no num_output", "LSTM", "needs num_output >= 1, got 0", "", PLAIN),
    lstm("x alone", r"needs 2 or 3 bottom\(s\), got 1", PLAIN[:1]),
    lstm("no state", r"needs 4 or 5 bottom\(s\), got 2", PLAIN, "expose_hidden: true", 3),
    lstm("no state", r"needs 3 or 4 bottom\(s\), got 2", PLAIN, "expose_hidden: true", 2, "RNN"),
    lstm("exposed, one top", r"needs 3 top\(s\), got 1", (*PLAIN, (1, 3, 2), (1, 3, 2)),
         "expose_hidden: true"),
    lstm("hidden, three tops", r"needs 1 top\(s\), got 3", PLAIN, tops=3),
    lstm("rank", r"needs a bottom \(T, N, ...\) of rank 3 or more", ((5, 3), (5, 3))),
    lstm("cont", r"needs cont of shape \(5, 3\), got \(5, 1\)", ((5, 3, 6), (5, 1))),
    lstm("static batch", r"needs static input \(3, ...\), got \(2, 4\)", (*PLAIN, (2, 4))),
    lstm("static rank", r"needs static input \(3, ...\), got \(3,\)", (*PLAIN, (3,))),
    lstm("state shape", r"needs a state of shape \(1, 3, 2\), got \(3, 2\)",
         (*PLAIN, (3, 2), (3, 2)), "expose_hidden: true", 3),
    Refusal("unit state", "LSTMUnit", r"needs a state \(1, N, D\)",
            bottoms=((2, 4, 3), (2, 4, 12), (2, 4)), tops=2),
    Refusal("unit gates", "LSTMUnit", "needs gates and cont of shapes",
            bottoms=((1, 4, 3), (1, 4, 9), (1, 4)), tops=2),
    Refusal("unit cont", "LSTMUnit", "needs gates and cont of shapes",
            bottoms=((1, 4, 3), (1, 4, 12), (1, 4, 1)), tops=2),
)  # fmt: skip
