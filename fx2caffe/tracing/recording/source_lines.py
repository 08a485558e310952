"""Python's own frames: the user's line, composite functions re-run, leaf functions noticed."""

from __future__ import annotations

import linecache
import os
import sys
import sysconfig
import types
from functools import cache

import torch

import caffe2fx
from caffe2fx.origin import Origin
from fx2caffe import errors

_SKIPPED = tuple(
    os.path.join(os.path.dirname(os.path.abspath(file)), "")
    for file in (torch.__file__, caffe2fx.__file__, errors.__file__)
)
_STDLIB = os.path.join(sysconfig.get_paths()["stdlib"], "")
_PACKAGES = tuple(os.path.join(_STDLIB, name) for name in ("site-packages", "dist-packages"))


@cache
def _is_users(file: str) -> bool:
    if file.startswith("<frozen") or file.startswith(_SKIPPED):
        return False
    return not file.startswith(_STDLIB) or file.startswith(_PACKAGES)


def origin_here(module: str) -> Origin:
    """Return the user's innermost running line; for a model of torch's, that of its export."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if _is_users(file):
            line = frame.f_lineno
            source = linecache.getline(file, line, frame.f_globals).strip()
            return Origin(module, file, line, source)
        frame = frame.f_back
    return Origin(module)


def origin_of(error: BaseException, module: str) -> Origin:
    """Return the user's innermost line that an exception passed through."""
    origin, trace = Origin(module), error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if _is_users(file):
            source = linecache.getline(file, trace.tb_lineno, trace.tb_frame.f_globals).strip()
            origin = Origin(module, file, trace.tb_lineno, source)
        trace = trace.tb_next
    return origin
