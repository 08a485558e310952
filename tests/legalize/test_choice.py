"""The choice between rules that apply: first the batch, then the cost, then the order."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import fx2caffe
from tests.rows import types


class Indexed(nn.Module):
    """Chooses elements at constant indices, of all samples together or of each sample."""

    def __init__(self, count: int, start: int) -> None:
        super().__init__()
        self.start = start
        self.index: Tensor
        self.register_buffer("index", torch.randint(0, 2028, (count,)))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten()[self.index] if self.start == 0 else x.flatten(1)[:, self.index]


ROWS = (
    # count, first axis that is flattened, layers, largest caffemodel in bytes
    pytest.param(2000, 0, ("Flatten", "Parameter", "BatchReindex"), 20_000, id="cheap"),
    pytest.param(20, 0, ("Flatten", "Reshape", "Convolution", "Reshape"), 200_000, id="small"),
    pytest.param(2000, 1, ("Flatten", "InnerProduct"), 20_000_000, id="free_batch"),
)


@pytest.mark.parametrize(("count", "start", "layers", "limit"), ROWS)
def test_choice(count: int, start: int, layers: tuple[str, ...], limit: int) -> None:
    net = fx2caffe.export(Indexed(count, start).eval(), torch.randn(1, 12, 13, 13))
    assert types(net.net) == layers
    assert net.batch_is_fixed == (start == 0)
    assert sum(4 * blob.numel() for step in net.net.steps for blob in step.blobs) < limit
    assert net.verify().ok


def test_each_layer_names_the_rules_that_made_it() -> None:
    net = fx2caffe.export(Indexed(2000, 0).eval(), torch.randn(1, 12, 13, 13))
    rules = {origin.rules for origin in net.origins.values()}
    assert rules == {(), ("index_map.gathered", "gather.gather_by_batch_reindex")}
