"""The text of a net of any age in today's words: every layer of every phase stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from caffe2fx.files import upgrade
from caffe2fx.files.plaintext import read_text, written
from caffe2fx.files.prototxt import message_of
from caffe2fx.messages.text_fields import unfolded


def todays_text(path: str | Path) -> str:
    """Return the prototxt with `layer` entries, types as words, and Input layers for old inputs.

    Include and exclude rules, fields of forks and layers without a record of their parameters are
    kept; comments are not. Raises CaffeFormatError for text that Caffe would not take.
    """
    source = str(path)
    proto: Any = message_of(read_text(path), source)
    upgrade.upgrade(proto, source)
    return unfolded(written(proto))
