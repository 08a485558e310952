"""IntermediateRecord: a step that no Caffe has and that rules decompose into layers."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from caffe2fx.layers.layer import Layer


class IntermediateRecord(Layer):
    """Base of the wide records, which are frozen dataclasses without a message."""

    message = ""
    dialects = ()  # no Caffe reads them, even where one has a layer of the same name

    def __post_init__(self) -> None:
        """Do nothing: no file holds a wide record, so that nothing needs normalizing."""

    def __str__(self) -> str:
        values: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in values.items())})"
