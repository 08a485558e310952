"""Limited names: in the alphabet, short enough, different, and the same in every export."""

from __future__ import annotations

import re

import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import fx2caffe
from caffe2fx.errors import CaffeError
from fx2caffe.passes.names import limited

PLAIN = "[A-Za-z0-9_]"
NAMES = st.lists(st.text("ab./_-0 é", max_size=40), min_size=1, max_size=12, unique=True)


@given(NAMES, st.sampled_from([None, 16, 24]), st.sampled_from([None, PLAIN, "[a-z]", "[AB]"]))
def test_unique_and_in_bounds(names: list[str], limit: int | None, alphabet: str | None) -> None:
    made = limited(names, limit, alphabet)
    assert len(set(made.values())) == len(names)
    for old, new in made.items():
        assert limit is None or len(new) <= limit
        fits = alphabet is None or re.fullmatch(f"{alphabet}*", old)
        assert alphabet is None or re.fullmatch(f"{alphabet}*", new)
        assert new == old or not fits or (limit is not None and len(old) > limit)


def test_stable() -> None:
    long = "features.denseblock4.denselayer16.conv1"
    alone = limited([long], 32, PLAIN)[long]
    among = limited(["conv", "features.denseblock4.denselayer15.conv1", long], 32, PLAIN)[long]
    assert alone == among and alone.startswith("features_denseblock4") and len(alone) == 32


def test_a_name_that_fits_keeps_its_place() -> None:
    made = limited(["a.b", "a_b", "a/b"], None, PLAIN)
    assert made["a_b"] == "a_b" and len(set(made.values())) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name_limit": 8}, "at least 16, got 8"),
        ({"name_alphabet": "[a"}, "regular expression"),
        ({"name_alphabet": "a"}, "2 characters or more"),
    ],
)
def test_rules_that_are_none(options: dict[str, object], message: str) -> None:
    with pytest.raises(CaffeError, match=message):
        fx2caffe.export(nn.ReLU(), torch.randn(1, 3, 4, 4), **options)  # type: ignore[arg-type]


@pytest.mark.pycaffe
def test_a_real_net() -> None:
    model = torchvision.models.squeezenet1_1(weights=None).eval()
    x = torch.randn(1, 3, 64, 64)
    exported = fx2caffe.export(model, x, name_limit=16, name_alphabet=PLAIN)
    names = [name for step in exported.net for name in (step.name, *(t.blob for t in step.tops))]
    assert all(re.fullmatch(f"{PLAIN}{{1,16}}", name) for name in names)
    report = exported.verify("pycaffe")
    assert report.ok, str(report)
    again = fx2caffe.export(model, x, name_limit=16, name_alphabet=PLAIN)
    assert again.net == exported.net
