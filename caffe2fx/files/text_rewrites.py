"""Rewrites of Caffe's own prototxt text into the forms that other programs read, as data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Respelling:
    """Replaces, in layers of `type`, text that matches `written` by `instead`, as re.sub does."""

    type: str
    written: str
    instead: str


# OpenCV and the SSD family know floor pooling by another name than Caffe's of 2018.
CEIL_MODE = Respelling("Pooling", "round_mode: FLOOR", "ceil_mode: false")

# OpenCV requires the method of a global pooling, also where it is Caffe's own default.
GLOBAL_MAX = Respelling(
    "Pooling",
    r"pooling_param \{\n    global_pooling",
    r"pooling_param {\n    pool: MAX\n    global_pooling",
)

# A Caffe of before 2016 has no Input layers: the net itself names its inputs.
INPUT_FIELDS = Respelling(
    "Input",
    r'layer \{\n  name: .*\n  type: "Input"\n  top: (.*)\n'
    r"  input_param \{\n    shape \{\n((?:      dim: \d+\n)*)    \}\n  \}\n\}\n",
    r"input: \1\ninput_shape {\n\2}\n",
)

# MNN ignores a Crop silently unless both its axis and an offset are given.
WHOLE_CROP = (
    Respelling("Crop", r"(  top: .*\n)\}", r"\1  crop_param {\n    axis: 2\n    offset: 0\n  }\n}"),
    Respelling("Crop", r"(crop_param \{\n    axis: .*\n)  \}", r"\1    offset: 0\n  }"),
    Respelling("Crop", r"crop_param \{\n    offset", r"crop_param {\n    axis: 2\n    offset"),
)


def rewritten_text(text: str, text_rewrites: Sequence[Respelling]) -> str:
    """Return a prototxt as rewritten for another program."""
    if not text_rewrites:
        return text
    blocks = re.split(r"^(?=layer \{)", text, flags=re.MULTILINE)
    return "".join(_block(block, text_rewrites) for block in blocks)


def _block(text: str, text_rewrites: Sequence[Respelling]) -> str:
    found = re.search(r'^  type: "(\w+)"', text, re.MULTILINE)
    for rule in text_rewrites:
        if found is not None and rule.type == found[1]:
            text = re.sub(rule.written, rule.instead, text)
    return text
