"""Similarity of feature maps, in the measures by which dumps are judged."""

from __future__ import annotations

import numpy as np
import pytest
from torch import Tensor

from caffe2fx.verdict.maps.similarity import similarity


def test_measures() -> None:
    one = similarity(Tensor([3.0, -4.0]), Tensor([3.0, 4.0]))
    assert one.cosine == pytest.approx(-7 / 25) and one.relu_cosine == pytest.approx(0.6)
    assert one.l2 == one.max_abs == pytest.approx(8.0) and one.error == pytest.approx(2.0)
    assert one.sqnr == pytest.approx(20 * np.log10(5 / 8))
    assert similarity(Tensor([0.0]), Tensor([0.0])).cosine == 1.0
    assert similarity(Tensor([0.0]), Tensor([1.0])).cosine == 0.0
    assert similarity(Tensor([0.0]), Tensor([0.0])).sqnr == np.inf
    assert np.isnan(similarity(Tensor([0.0]), Tensor([1.0, 2.0])).cosine)
