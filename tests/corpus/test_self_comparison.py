"""Trained public nets against themselves, also edited without effect: no false alarm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import caffe2fx
from caffe2fx.module.save import save
from caffe2fx.net.step import is_input
from tests.corpus.test_corpus import REFERENCES, used
from tests.verdict.test_comparison import EDITS

pytestmark = [pytest.mark.corpus, pytest.mark.sweep]


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("entry", REFERENCES, ids=lambda entry: Path(entry["caffemodel"]).name)
def test_no_false_alarm(entry: dict[str, Any], edit: str, corpus: Path, tmp_path: Path) -> None:
    loaded = caffe2fx.load(corpus / used(entry), corpus / entry["caffemodel"])
    files = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    save(EDITS[edit](loaded.caffe.net), *files)
    reference = np.load(corpus / entry["reference"][".npz"])
    inputs = {name: torch.from_numpy(reference[f"in:{name}"]) for name in loaded.caffe.inputs}
    report = caffe2fx.compare(loaded, files, inputs)
    layers = sum(not is_input(step) and bool(step.tops) for step in loaded.caffe.net)
    assert len(report.rows) >= layers
    assert not [row for row in report.rows if row.fault], str(report)
