"""lstm, gru and rnn, over sequences and as cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tests.rows import Row, function

Model = Callable[[], nn.Module]


class Results(nn.Module):
    """Runs a recurrent module with or without states, and reads some of its results."""

    def __init__(self, module: nn.Module, *wanted: str) -> None:
        super().__init__()
        self.module, self.wanted = module, wanted or ("y",)

    def forward(self, x: Tensor, *state: Tensor) -> Any:
        initial = state if len(state) > 1 else state[0] if state else None
        y, final = self.module(x, initial)
        h, c = final if isinstance(final, tuple) else (final, None)
        return tuple({"y": y, "h": h, "c": c}[name] for name in self.wanted)


class StateOfSamples(nn.Module):
    """A state that comes as (N, D), so that it is seen to follow the batch."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor, *state: Tensor) -> Any:
        initial = tuple(value[None] for value in state)
        y, _ = self.module(x, initial if len(initial) > 1 else initial[0])
        return y


class Learned(nn.Module):
    """A first state that is a parameter, the same for each sample."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module, self.state = module, nn.Parameter(torch.randn(1, 4))

    def forward(self, x: Tensor) -> Any:
        state = self.state[:, None].expand(1, len(x), 4)
        return self.module(x, (state, -state) if isinstance(self.module, nn.LSTM) else state)[0]


class Different(nn.Module):
    """A constant first state that is another one for each sample."""

    def __init__(self) -> None:
        super().__init__()
        self.module, self.state = nn.GRU(6, 4, batch_first=True), nn.Parameter(torch.randn(1, 2, 4))

    def forward(self, x: Tensor) -> Any:
        return self.module(x, self.state)[0]


class Loop(nn.Module):
    """A cell over the steps of a sequence, as users write it."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> Tensor:
        state, results = None, []
        for step in x.unbind(1):
            state = self.cell(step, state)
            results.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(results, 1)


class Crnn(nn.Module):
    """Columns of an image as the steps of a sequence, of which there are many."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lstm = nn.Conv2d(1, 2, 3, 2, 1), nn.LSTM(4, 3, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        columns = self.conv(x).flatten(1, 2).permute(2, 0, 1)
        return self.lstm(columns)[0]


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 4)

    def forward(self, x: Tensor) -> Any:
        packed = nn.utils.rnn.pack_padded_sequence(x, [5, 3])
        return nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0])[0]


class Training(Packed):
    """Dropout between the layers, although the model is in eval mode."""

    def forward(self, x: Tensor) -> Any:
        state = torch.zeros(2, x.shape[1], 4)
        weights = [*self.lstm.parameters()] * 2
        weights[4] = torch.randn(16, 4)
        return torch.lstm(x, (state, state), weights, True, 2, 0.5, True, False, False)[0]


class StateOfCell(nn.Module):
    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> Any:
        return self.cell(x, (h, c))[0]


def results(module: Callable[..., nn.Module], *wanted: str, **options: Any) -> Model:
    return lambda: Results(module(6, 4, **options), *wanted)


def first(module: Callable[..., nn.Module], **options: Any) -> Model:
    """Return a row whose samples come first, so that the batch is free."""
    return results(module, batch_first=True, **options)


# The modules of the rows.
STEPS, BACK = ("Reshape", "Im2col", "Flatten"), ("Reshape", "Deconvolution", "Reshape")
ONES, STATE = ("Reduction", "Power"), ("Slice", "Reshape", "InnerProduct")
CONT = ("Scale", "LSTM")
REVERSED = ("Slice", "Concat")
PICKED = ("Reshape", "Convolution", "Reshape")
EXPOSED = (*STATE, *STATE, "LSTM")
GATES = ("InnerProduct", "Eltwise")
LSTM_FIRST = ("Slice", "Sigmoid", "Sigmoid", "TanH", "Eltwise", "TanH", "Eltwise")
LSTM_STEP = (*GATES, "Slice", "Sigmoid", "Sigmoid", "Sigmoid", "TanH", "Eltwise", "Eltwise",
             "Eltwise", "TanH", "Eltwise")  # fmt: skip
GRU_FIRST = ("Slice", "Bias", "Sigmoid", "Slice", "Scale", "Eltwise", "TanH", "Eltwise", "Eltwise")
GRU_PLAIN = ("Slice", "Sigmoid", "Slice", "TanH", "Eltwise", "Eltwise")  # without biases
GRU_STEP = ("Slice", "InnerProduct", "Slice", "Eltwise", "Sigmoid", "Slice", "Eltwise", "Eltwise",
            "TanH", "Eltwise", "Eltwise", "Eltwise")  # fmt: skip
IP, SPLIT = "InnerProduct", ("InnerProduct", "Slice")
GRU_RUN = (*SPLIT, *GRU_FIRST, *GRU_STEP, "Concat")
RNN_RUN = (*SPLIT, "Bias", "TanH", *GATES, "TanH", "Concat")

SAMPLES = ((2, 5, 6),)
TWO_STEPS = ((2, 2, 6),)
STATES = ((1, 2, 4), (1, 2, 4))
ROWS = [
    Row("lstm", results(nn.LSTM), ((5, 2, 6),), (*ONES, *CONT), fixed_batch=True),
    Row("lstm_unbatched", results(nn.LSTM), ((5, 6),), ("Reshape", *ONES, *CONT, "Flatten"),
        fixed_batch=True),
    Row("lstm_batch_first", first(nn.LSTM), SAMPLES, (*STEPS, *ONES, *CONT, *BACK)),
    Row("lstm_no_bias", first(nn.LSTM, bias=False), SAMPLES, (*STEPS, *ONES, *CONT, *BACK)),
    Row("lstm_one_step", first(nn.LSTM), ((2, 1, 6),), ("Reshape", *ONES, *CONT, "Reshape")),
    Row("lstm_two_layers", first(nn.LSTM, num_layers=2, dropout=0.5), SAMPLES,
        (*STEPS, *ONES, *CONT, *CONT, *BACK)),
    Row("lstm_both_ways", first(nn.LSTM, bidirectional=True), SAMPLES,
        (*STEPS, *ONES, *CONT, *REVERSED, *CONT, *REVERSED, "Concat", *BACK)),
    Row("lstm_of_columns", Crnn, ((2, 1, 4, 40),),
        ("Convolution", "Reshape", "Im2col", "Reshape", *ONES, *CONT, *PICKED, *CONT, *PICKED,
         "Concat")),
    Row("lstm_last_h", results(nn.LSTM, "h", batch_first=True), SAMPLES,
        (*STEPS, *ONES, *CONT, "Slice", "Silence")),
    Row("lstm_last_c", results(nn.LSTM, "c", batch_first=True), SAMPLES,
        (*STEPS, *ONES, *EXPOSED, "Silence")),
    Row("lstm_all", results(nn.LSTM, "y", "h", "c", batch_first=True, bidirectional=True,
                            num_layers=2), ((2, 3, 6),),
        (*STEPS, *ONES, *(*EXPOSED, *REVERSED, *EXPOSED, *REVERSED, "Concat") * 2, *BACK,
         "Concat", "Concat", "Silence")),
    Row("lstm_state", results(nn.LSTM, "y", "h", "c"), ((3, 2, 6), *STATES), (*ONES, "LSTM"),
        fixed_batch=True),
    Row("lstm_state_of_samples", lambda: StateOfSamples(nn.LSTM(6, 4, batch_first=True)),
        ((2, 3, 6), (2, 4), (2, 4)),
        ("Reshape", "Reshape", *STEPS, *ONES, "LSTM", *BACK, "Silence")),
    Row("lstm_learned_state", lambda: Learned(nn.LSTM(6, 4, batch_first=True)), ((2, 3, 6),),
        (*STEPS, *ONES, *EXPOSED, *BACK, "Silence")),
    Row("lstm_projected", first(nn.LSTM, proj_size=3), TWO_STEPS,
        (*STEPS, *SPLIT, "Bias", *LSTM_FIRST, IP, *LSTM_STEP, IP, "Concat", *BACK, "Silence")),
    Row("lstm_projected_state", results(nn.LSTM, "y", "h", "c", proj_size=3),
        ((2, 2, 6), (1, 2, 3), (1, 2, 4)),
        (IP, "Slice", *LSTM_STEP, IP, *LSTM_STEP, IP, "Concat", "Power", "Power"),
        fixed_batch=True),
    Row("gru", results(nn.GRU), TWO_STEPS, GRU_RUN, fixed_batch=True),
    Row("gru_batch_first", first(nn.GRU), TWO_STEPS, (*STEPS, *GRU_RUN, *BACK)),
    Row("gru_no_bias", first(nn.GRU, bias=False), TWO_STEPS,
        (*STEPS, *SPLIT, *GRU_PLAIN, *GRU_STEP, "Concat", *BACK, "Silence")),
    Row("gru_one_step", first(nn.GRU), ((2, 1, 6),),
        ("Reshape", IP, *GRU_FIRST, "Reshape")),
    Row("gru_all", results(nn.GRU, "y", "h", batch_first=True, bidirectional=True, num_layers=2),
        TWO_STEPS, (*STEPS, *(*GRU_RUN, *REVERSED, *GRU_RUN, *REVERSED, "Concat") * 2, *BACK,
                    "Concat")),
    Row("gru_state", results(nn.GRU, "y", "h"), ((2, 2, 6), (1, 2, 4)),
        (IP, "Slice", *GRU_STEP, *GRU_STEP, "Concat", "Power"), fixed_batch=True),
    Row("gru_state_of_samples", lambda: StateOfSamples(nn.GRU(6, 4, batch_first=True)),
        ((2, 2, 6), (2, 4)),
        ("Reshape", *STEPS, IP, "Slice", *GRU_STEP, *GRU_STEP, "Concat", *BACK)),
    Row("gru_learned_state", lambda: Learned(nn.GRU(6, 4, batch_first=True)), ((2, 1, 6),),
        ("Reshape", *ONES, IP, *STATE[1:], *GRU_STEP, "Reshape")),
    Row("gru_other_state_each", Different, ((2, 1, 6),),
        ("Reshape", IP, "Parameter", *GRU_STEP, "Reshape"), fixed_batch=True),
    Row("rnn_tanh", first(nn.RNN), ((2, 3, 6),),
        (*STEPS, *RNN_RUN[:-1], *GATES, "TanH", "Concat", *BACK)),
    Row("rnn_relu", first(nn.RNN, nonlinearity="relu", bias=False), ((2, 3, 6),),
        (*STEPS, *SPLIT, "ReLU", *(*GATES, "ReLU") * 2, "Concat", *BACK)),
    Row("rnn_all", results(nn.RNN, "y", "h", batch_first=True, bidirectional=True), TWO_STEPS,
        (*STEPS, *(*RNN_RUN, *REVERSED) * 2, "Concat", *BACK, "Concat")),
    Row("lstm_cell", lambda: nn.LSTMCell(6, 4), ((2, 6),),
        (IP, *LSTM_FIRST, "Power", "Silence")),
    Row("lstm_cell_state", lambda: StateOfCell(nn.LSTMCell(6, 4)), ((2, 6), (2, 4), (2, 4)),
        (IP, *LSTM_STEP)),
    Row("lstm_cell_no_bias", lambda: StateOfCell(nn.LSTMCell(6, 4, bias=False)),
        ((2, 6), (2, 4), (2, 4)), (IP, *LSTM_STEP)),
    Row("gru_cell", lambda: nn.GRUCell(6, 4), ((2, 6),), (IP, *GRU_FIRST)),
    Row("gru_cell_state", lambda: nn.GRUCell(6, 4), ((2, 6), (2, 4)), (IP, *GRU_STEP)),
    Row("gru_cell_no_bias", lambda: nn.GRUCell(6, 4, bias=False), ((2, 6), (2, 4)),
        (IP, *GRU_STEP)),
    Row("rnn_tanh_cell", lambda: nn.RNNCell(6, 4), ((2, 6),), (IP, "TanH")),
    Row("rnn_relu_cell", lambda: nn.RNNCell(6, 4, nonlinearity="relu"), ((2, 6), (2, 4)),
        (IP, *GATES, "ReLU")),
    Row("lstm_cell_loop", lambda: Loop(nn.LSTMCell(6, 4)), TWO_STEPS,
        ("Slice", "Flatten", "Flatten", IP, *LSTM_FIRST, IP, *LSTM_STEP, "Reshape", "Reshape",
         "Concat", "Silence")),
    Row("gru_cell_loop", lambda: Loop(nn.GRUCell(6, 4)), TWO_STEPS,
        ("Slice", "Flatten", "Flatten", IP, *GRU_FIRST, IP, *GRU_STEP, "Reshape", "Reshape",
         "Concat")),
    Row("lstm_packed", Packed, ((5, 2, 6),), refused="packs sequences by their lengths"),
    Row("lstm_training", Training, ((5, 2, 6),), refused="needs eval mode"),
    Row("gru_cell_computed_weights", function(
        lambda x, h: torch.gru_cell(x, h, x.repeat(6, 1), torch.ones(12, 4))),
        ((2, 6), (2, 4)), refused="needs a constant weights"),
]  # fmt: skip
