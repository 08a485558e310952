"""BlobProto, the message of one blob: reads it in place, whatever its age, and writes its head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from caffe2fx.weights import wire_format

MAX_AXES = 32
MAX_COUNT = 2**31 - 1  # values in a blob: Caffe counts them in an int
_ALIGNMENT = 64
_NUM, _CHANNELS, _HEIGHT, _WIDTH = 1, 2, 3, 4  # BlobProto's fields before `shape`
_DATA, _DIFF, _SHAPE, _DOUBLE_DATA, _DOUBLE_DIFF, _RAW_TYPE, _RAW_DATA = 5, 6, 7, 8, 9, 10, 12
_DIM = 1
_VALUES = {
    _DATA: ("data", 4),
    _DIFF: ("diff", 4),
    _DOUBLE_DATA: ("double_data", 8),
    _DOUBLE_DIFF: ("double_diff", 8),
}
_RAW_DTYPES = {0: "<f8", 1: "<f4", 2: "<f2"}  # NVIDIA's and OpenCV's enum Type


@dataclass
class _BlobDraft:
    """Holds a blob while its fields are read: nothing is taken from the mapped file yet."""

    dims: list[int] = field(default_factory=list)
    legacy: dict[int, int] = field(default_factory=dict)
    runs: dict[int, list[wire_format.Run]] = field(default_factory=lambda: {n: [] for n in _VALUES})
    raw_type: int = 0
    raw: wire_format.Field | None = None


def dated_blob(
    source: wire_format.Source, message: wire_format.Field, where: str
) -> tuple[torch.Tensor, bool]:
    """Return the blob, and whether its shape is in the fields that BlobProto had before `shape`."""
    source.require(message, "blobs", wire_format.DELIMITED)
    draft = _BlobDraft()
    at = message.begin
    while at < message.end:
        found = source.field(at, message.end)
        at = _take(source, found, message.end, draft)
    shape = _shape(source, message, draft, where)
    runs, dtype = _values(source, draft)
    expected, count = math.prod(shape), sum(run.length for run in runs)
    if count != expected:
        values = f"{expected} values for {where} of shape {shape}"
        gradients = any(draft.runs[number] for number in (_DIFF, _DOUBLE_DIFF))
        only = " and gradients (diff)" if gradients and not count else ""
        raise source.error(message.offset, f"{values}, found {count}{only}")
    return source.tensor(runs, dtype).reshape(shape), bool(draft.legacy)


def _take(source: wire_format.Source, found: wire_format.Field, end: int, draft: _BlobDraft) -> int:
    """Note one field of a blob; return the offset of the next one."""
    if found.number in _VALUES:
        run = source.values(found, *_VALUES[found.number], end)
        draft.runs[found.number].append(run)
        return run.end
    if found.number == _SHAPE:
        _take_dims(source, found, draft.dims)
    elif found.number <= _WIDTH:
        source.require(found, "num, channels, height or width", wire_format.VARINT)
        draft.legacy[found.number] = wire_format.signed(found.value)
    elif found.number == _RAW_TYPE:
        source.require(found, "raw_data_type", wire_format.VARINT)
        draft.raw_type = found.value
    elif found.number == _RAW_DATA:
        source.require(found, "raw_data", wire_format.DELIMITED)
        draft.raw = found
    return found.end


def _take_dims(source: wire_format.Source, message: wire_format.Field, dims: list[int]) -> None:
    source.require(message, "shape", wire_format.DELIMITED)
    for found in source.fields(message.begin, message.end):
        if found.number != _DIM:
            continue
        for dim in source.integers(found, "dim"):
            dims.append(dim)
            if len(dims) > MAX_AXES:
                raise source.error(found.offset, f"at most {MAX_AXES} axes, found more")


def _shape(
    source: wire_format.Source, message: wire_format.Field, draft: _BlobDraft, where: str
) -> tuple[int, ...]:
    """Return the shape; as in Caffe the four legacy fields take precedence over `shape`."""
    shape = tuple(draft.dims)
    if draft.legacy:
        shape = tuple(draft.legacy.get(axis, 0) for axis in (_NUM, _CHANNELS, _HEIGHT, _WIDTH))
    # An axis of 0 must not hide the others: tensors have strides even where they are empty.
    if min(shape, default=0) < 0 or math.prod(max(dim, 1) for dim in shape) > MAX_COUNT:
        limit = f"axes from 0 up and at most {MAX_COUNT} values for {where}"
        raise source.error(message.offset, f"{limit}, found shape {shape}")
    return shape


def _values(source: wire_format.Source, draft: _BlobDraft) -> tuple[list[wire_format.Run], str]:
    """Return the runs of the blob's values, and their dtype; doubles go first, as in Caffe."""
    if any(run.length for run in draft.runs[_DOUBLE_DATA]):
        return draft.runs[_DOUBLE_DATA], "<f8"
    if draft.raw is None:
        return draft.runs[_DATA], "<f4"
    raw = draft.raw
    if draft.raw_type not in _RAW_DTYPES:
        expected = "raw_data of type 0 (double), 1 (float) or 2 (float16)"
        raise source.error(raw.offset, f"{expected}, found {draft.raw_type}")
    dtype = _RAW_DTYPES[draft.raw_type]
    size = np.dtype(dtype).itemsize
    count, rest = divmod(raw.end - raw.begin, size)
    if rest:
        found = f"found {raw.end - raw.begin}"
        raise source.error(raw.begin, f"a multiple of {size} bytes of raw_data, {found}")
    return [wire_format.Run(raw.begin, count, size, raw.end)], dtype


def blob_head(number: int, shape: Sequence[int], offset: int) -> bytes:
    """Return a blob's bytes in field `number` before its values, which their length aligns.

    A scalar has an empty shape, which must still be present.
    """
    dims = b"".join(wire_format.encode_varint(dim) for dim in shape)
    axes = wire_format.encode_delimited(
        _SHAPE, wire_format.encode_delimited(_DIM, dims) if dims else b""
    )
    bytes_of_data = 4 * math.prod(shape)
    data = wire_format.encode_tag(_DATA, wire_format.DELIMITED) + wire_format.encode_varint(
        bytes_of_data
    )
    tag = wire_format.encode_tag(number, wire_format.DELIMITED)
    unpadded = len(tag) + wire_format.LENGTH_BYTES + len(axes) + len(data)
    padding = _padding(-(offset + unpadded) % _ALIGNMENT)
    length = len(axes) + len(padding) + len(data) + bytes_of_data
    return tag + wire_format.encode_varint(length, wire_format.LENGTH_BYTES) + axes + padding + data


def _padding(size: int) -> bytes:
    """Return `size` bytes that add no value: empty chunks of packed data, two to six bytes each."""
    if size == 1:
        size += _ALIGNMENT
    tag = wire_format.encode_tag(_DATA, wire_format.DELIMITED)
    chunks = math.ceil(size / (len(tag) + wire_format.LENGTH_BYTES))
    sizes = [(size + index) // chunks for index in range(chunks)]
    return b"".join(tag + wire_format.encode_varint(0, size - len(tag)) for size in sizes)
