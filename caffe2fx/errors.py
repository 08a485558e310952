"""The one tree of errors. A message names the layer or operation, its constraint and the value."""

from __future__ import annotations


class CaffeError(Exception):
    """Base of every error that caffe2fx and fx2caffe raise on purpose."""


class CaffeFormatError(CaffeError, ValueError):
    """Raised if Caffe cannot read a prototxt or caffemodel; the message names file and line."""


class UnknownLayerError(CaffeFormatError):
    """Raised for layer types that are not registered; the message lists all of a net."""


class ShapeMismatchError(CaffeError, ValueError):
    """Raised if shapes of inputs, weights or layers do not fit; the message names both sides."""


class CaffeFileError(CaffeError, OSError):
    """Raised if a file cannot be read or written; see `filename` and `strerror`."""


class EngineError(CaffeError, RuntimeError):
    """Raised if an engine is missing or its program failed; its own message is included."""
