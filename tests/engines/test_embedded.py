"""Engine `torch`: the loaded GraphModule behind the engines' interface."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import caffe2fx
from caffe2fx.engines import NAMES, all_engines, engine
from caffe2fx.errors import EngineError, ShapeMismatchError
from tests.net.nets import files, images


def test_engines_by_name() -> None:
    assert [found.name for found in all_engines()] == list(NAMES)
    assert engine("torch").why_missing() is None
    assert torch.__version__ in engine("torch").describe()
    with pytest.raises(EngineError, match=r"needs to be one of torch, pycaffe.*, got 'caffe'"):
        engine("caffe")


def test_every_step_with_the_tops_that_it_wrote(tmp_path: Path) -> None:
    paths = files(tmp_path)
    blobs = caffe2fx.load(*paths).caffe.blobs(images())
    with engine("torch").open(*paths) as session:
        ran = list(session.run([images()]))
    assert [step for step, _ in ran] == list(session.net.steps)
    for step, tops in ran:
        for value, top in zip(step.tops, tops, strict=True):
            assert torch.equal(top, blobs.get(f"{value.blob}@{step.name}", blobs[value.blob]))
            assert not top.requires_grad


def test_feeding_one_layer(tmp_path: Path) -> None:
    with engine("torch").open(*files(tmp_path)) as session:
        ran = {step.name: (step, tops) for step, tops in session.run([images()])}
        x = torch.randn(2, 4, 4, 3)
        assert torch.equal(session.feed(ran["relu"][0], [x])[0], x.relu())
        left, right = session.feed(ran["cut"][0], [x])
        assert torch.equal(torch.cat([left, right], 1), x)
        assert torch.equal(session.feed(ran["data"][0], [images()])[0], images())


def test_another_batch_and_shapes_that_do_not_go(tmp_path: Path) -> None:
    with engine("torch").open(*files(tmp_path)) as session:
        session.reshape([(5, 3, 6, 5)])
        *_, (_, (fc,)) = session.run([images(5)])
        assert tuple(fc.shape) == (5, 2)
        with pytest.raises(ShapeMismatchError, match="layer 'conv'"):
            session.reshape([(1, 3, 2, 2)])
