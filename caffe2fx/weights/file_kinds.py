"""The likely kinds of files that are no weights files of Caffe's, by their first bytes."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Kinds that may also be given in place of a prototxt.
_NO_FILES_OF_CAFFE = (
    (rb"\x89HDF\r\n", "an HDF5 file: name it .caffemodel.h5"),
    (rb"PK\x03\x04", "a zip archive, as torch.save writes"),
    (rb"version https://git-lfs", "a Git LFS pointer: fetch the file with git lfs pull"),
    (rb"(?i)\s*<(!doctype|html|head|body|\?xml|!--)", "a web page: the download failed"),
)


_OTHER_FORMATS = (
    *_NO_FILES_OF_CAFFE,
    (
        rb"\x08[\x80-\xff]*[\x00-\x7f]\x10[\x80-\xff]*[\x00-\x7f]\x18",
        "a .binaryproto: a mean image, which no layer holds; give the .caffemodel",
    ),
    (rb"\x2a", "a .binaryproto: a mean image, which no layer holds; give the .caffemodel"),
    (
        rb"\x08[\x80-\xff]*[\x00-\x7f]\x12(?s:.*)\.caffemodel",
        "a .solverstate: what a solver needs to go on; give the .caffemodel that it names",
    ),
    (rb"\x08", "a .solverstate, a mean file or an ONNX model: give the .caffemodel"),
    (
        rb"[^\x00-\x08\x0e-\x1f]*[:{][^\x00-\x08\x0e-\x1f]*\Z",
        "text: a prototxt holds no weights, give the .caffemodel",
    ),
)


def looks_like(head: bytes) -> str:
    """Return the format of a file with these first bytes if it is none of Caffe's; else empty."""
    return _first(_NO_FILES_OF_CAFFE, head)


def hint(head: bytes) -> str:
    """Return the end of an error about such a file: its likely kind, empty if there is none."""
    meaning = _first(_OTHER_FORMATS, head)
    return f" (this looks like {meaning})" if meaning else ""


def _first(formats: Sequence[tuple[bytes, str]], head: bytes) -> str:
    return next((meaning for pattern, meaning in formats if re.match(pattern, head)), "")
