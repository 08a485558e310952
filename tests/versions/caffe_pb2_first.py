"""A plugin of pytest that adds Caffe's own schema to the process before ours is made.

pycaffe's caffe_pb2 is generated code of an older protobuf. Only pure Python still runs it; for
others it would be generated anew, which adds the same file to the same pool.
"""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path
from types import ModuleType

from google.protobuf import descriptor_pool
from google.protobuf.internal import api_implementation

CAFFE_PB2 = "CAFFE_PB2"  # the variable with the path of pycaffe's caffe_pb2.py


def add(path: Path) -> None:
    """Import a caffe_pb2.py, or add its file where this protobuf does not run its code."""
    source = path.read_text("utf-8")
    if api_implementation.Type() == "python":
        sys.modules["caffe_pb2"] = module = ModuleType("caffe_pb2")
        exec(compile(source, path, "exec"), vars(module))
    else:
        descriptor_pool.Default().AddSerializedFile(serialized(source))


def serialized(source: str) -> bytes:
    """Return the file descriptor in the text of a caffe_pb2.py."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.keyword) and node.arg == "serialized_pb":
            found = ast.literal_eval(node.value)
            assert isinstance(found, bytes)
            return found
    raise LookupError("caffe_pb2.py needs a serialized_pb")


if CAFFE_PB2 in os.environ:
    add(Path(os.environ[CAFFE_PB2]))
