"""The one tree of errors. A message names the layer or operation, its constraint and the value."""

from __future__ import annotations


class CaffeError(Exception):
    """Base of every error that caffe2fx and fx2caffe raise on purpose."""


class CaffeFormatError(CaffeError, ValueError):
    """A prototxt or caffemodel cannot be read by Caffe's rules; the message names file and line."""


class UnknownLayerError(CaffeFormatError):
    """A net uses layer types that are not registered; the message lists all of them."""


class ShapeMismatchError(CaffeError, ValueError):
    """Shapes of inputs, weights or layers do not fit together; both sides are named."""


class CaffeFileError(CaffeError, OSError):
    """A file cannot be read or written; `filename` and `strerror` hold which and why."""


class EngineError(CaffeError, RuntimeError):
    """An engine is missing, or the program behind it failed; its own message is included."""
