"""The base of layers whose own fields no schema gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from caffe2fx.layers.layer import Layer
from caffe2fx.messages.message import field
from caffe2fx.messages.text_fields import normal


@dataclass(frozen=True, kw_only=True)
class FreeText(Layer):
    """Base of layers of types without a record; `text` are their own fields as in the prototxt."""

    message = ""

    text: str = field(1, "string", absent="")

    def _canonical(self) -> dict[str, Any]:
        return {"text": normal(self.text)}

    @classmethod
    def read(cls, proto: Any) -> Layer:
        return cls(text=proto.user_text)

    def write(self, proto: Any) -> None:
        if self.text:
            proto.user_text = self.text
