"""Windows that neither overlap nor have a pad are a view of the bottom, as nets permute by them."""

from __future__ import annotations

import torch

from caffe2fx.layers import Im2col


def test_a_permutation_by_windows_copies_nothing() -> None:
    bottom = torch.randn(2, 1, 12, 5)
    swap = Im2col(kernel_h=4, kernel_w=1, stride_h=4, stride_w=1)
    (top,) = swap.compute([bottom], [], 1)
    assert top.data_ptr() == bottom.data_ptr()
    wanted = bottom.reshape(2, 3, 4, 5).transpose(1, 2)
    assert torch.equal(top, wanted)
