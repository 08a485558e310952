"""The one tree of errors. A message names the layer or operation, its constraint and the value."""

from __future__ import annotations


class CaffeError(Exception):
    """Base of every error that caffe2fx and fx2caffe raise on purpose."""


def message_of(error: BaseException) -> str:
    """Return the class of a user's error, and its text if it has one."""
    name, text = type(error).__name__, text_of(error)
    return f"{name}: {text}" if text else name


def text_of(error: BaseException) -> str:
    """Return the text of a user's error, with surrogates escaped; empty where its __str__ fails."""
    try:
        return str(error).encode("utf-8", "backslashreplace").decode()
    except Exception:
        return ""


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
