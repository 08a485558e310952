"""CTPN's LSTM, which is older than BVLC's and has its gates in the same order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.layer import Evidence, Layer
from caffe2fx.layers.recurrent import LSTM
from caffe2fx.layers.registry import register
from caffe2fx.messages.common import Filler
from caffe2fx.messages.message import Shape, field


@register
@dataclass(frozen=True, kw_only=True)
class Lstm(Layer):
    """Run an LSTM over (T, N, ...): the top holds the results of all steps (T, N, num_output).

    A second bottom (T, N) marks the steps that continue, as BVLC's `cont`; without one a sequence
    begins with the first step. The blobs are W_x (4D, I), W_h (4D, D) and b (4D), by the gates i,
    f, o and g. `clipping_threshold` bounds gradients, and nothing forward. As in BVLC's LSTM every
    forward begins at zero here.
    """

    type = "Lstm"
    parameter = ("lstm_param", 8266712)
    message = "LSTMParameter"
    dialects = ("ocr",)
    evidence = Evidence.SOURCE
    bottoms = (1, 2)

    num_output: int = field(1, "uint32", absent=0)
    clipping_threshold: float = field(2, "float", 0.0)
    weight_filler: Filler | None = field(3, Filler)
    bias_filler: Filler | None = field(4, Filler)
    batch_size: int = field(5, "uint32", 1)

    def _today(self) -> LSTM:
        return LSTM(num_output=self.num_output)

    @property
    def is_stateful(self) -> bool:
        return True

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if len(bottoms[0]) < 3:
            raise ShapeMismatchError(f"needs a bottom (T, N, ...), got {tuple(bottoms[0])}")
        self._today().check((bottoms[0], *(bottoms[1:] or (bottoms[0][:2],))), tops)

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        of_input, bias, of_state = self._today().blob_shapes((bottoms[0], bottoms[0][:2]))
        return of_input, of_state, bias

    def blob_fillers(self, count: int) -> tuple[Filler, ...]:
        weight = self.weight_filler or Filler()
        return weight, weight, self.bias_filler or Filler()

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return ((*bottoms[0][:2], self.num_output),)

    def accumulation_length(self, bottoms: Sequence[Shape]) -> int:
        return self._today().accumulation_length(bottoms)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        x, *given = bottoms
        cont = given[0] if given else (torch.arange(len(x), device=x.device) > 0).to(x)[:, None]
        going = (cont != 0).to(x).expand(x.shape[:2])
        return self._today().compute((x, going), (blobs[0], blobs[2], blobs[1]), tops)
