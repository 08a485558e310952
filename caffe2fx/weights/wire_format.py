"""Protobuf's wire format, as far as weights files need it: fields over mapped bytes, and varints.

Encoding: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from caffe2fx.errors import CaffeFormatError

VARINT, FIXED64, DELIMITED, START_GROUP, END_GROUP, FIXED32 = range(6)

LENGTH_BYTES = 5  # of a varint that is written before its value is final; parsers take no more
_MAX_VARINT_BYTES = 10
_MAX_FIELD_NUMBER = 2**29 - 1
_FIRST_SCAN = 256


class Field(NamedTuple):
    """Holds one field of a message: its tag is at `offset`, its payload in [`begin`, `end`)."""

    number: int
    wire: int
    offset: int
    begin: int
    end: int
    value: int = 0  # of a varint


class Run(NamedTuple):
    """Holds fixed-size values in the file: `length` of them, `stride` bytes apart, up to `end`."""

    begin: int
    length: int
    stride: int
    end: int


class Source:
    """Reads the bytes of a file as protobuf fields; every error names file and byte offset.

    A claimed length is checked against the bytes that are there before anything relies on it.
    """

    def __init__(self, path: str, data: mmap.mmap) -> None:
        self.path = path
        self.data = data

    def error(self, offset: int, expected: str) -> CaffeFormatError:
        """Return the error for bytes at `offset` that a weights file does not have there."""
        return CaffeFormatError(f"{self.path}, byte {offset}: expected {expected}")

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """Return the unsigned 64-bit varint at `at`, and the offset behind it."""
        if at < end and (first := self.data[at]) < 0x80:  # nearly all are of one byte
            return first, at + 1
        value = 0
        for index in range(_MAX_VARINT_BYTES):
            if at + index >= end:
                raise self.error(at, f"a varint that ends before byte {end}")
            byte = self.data[at + index]
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                return value & (2**64 - 1), at + index + 1
        raise self.error(at, f"a varint of at most {_MAX_VARINT_BYTES} bytes")

    def field(self, at: int, end: int) -> Field:
        """Return the field whose tag is at `at`, wholly inside the message that ends at `end`."""
        number, wire, begin = self._tag(at, end)
        value, stop = 0, begin
        if wire == VARINT:
            value, stop = self.varint(begin, end)
        elif wire == FIXED64:
            stop = begin + 8
        elif wire == FIXED32:
            stop = begin + 4
        elif wire == DELIMITED:
            length, begin = self.varint(begin, end)
            stop = begin + length
        elif wire == START_GROUP:
            stop = self._group_end(number, begin, end)
        else:
            raise self.error(at, f"a wire type of 0, 1, 2, 3 or 5, found {wire}")
        if stop > end:
            missing = f"{stop - begin} bytes of field {number}, found {end - begin}"
            raise self.error(begin, f"{missing} before the end at byte {end}")
        return Field(number, wire, at, begin, stop, value)

    def fields(self, begin: int, end: int) -> Iterator[Field]:
        """Yield the fields of the message in these bytes, one after the other."""
        at = begin
        while at < end:
            field = self.field(at, end)
            yield field
            at = field.end

    def require(self, field: Field, name: str, *wires: int) -> None:
        """Raise for a known field in a wire type that its declaration does not allow."""
        if field.wire not in wires:
            allowed = " or ".join(map(str, wires))
            known = f"field {field.number} ({name}) to have wire type {allowed}"
            raise self.error(field.offset, f"{known}, found {field.wire}")

    def text(self, field: Field, name: str) -> str:
        """Return the string that the field holds."""
        self.require(field, name, DELIMITED)
        payload = self.data[field.begin : field.end]
        try:
            return payload.decode()
        except UnicodeDecodeError as error:
            at = field.begin + error.start
            found = f"found {payload[:40]!r}"
            raise self.error(at, f"UTF-8 text in field {field.number} ({name}), {found}") from None

    def integers(self, field: Field, name: str) -> Iterator[int]:
        """Yield the signed 64-bit values of a repeated integer field, packed or not."""
        self.require(field, name, DELIMITED, VARINT)
        if field.wire == VARINT:
            yield signed(field.value)
            return
        at = field.begin
        while at < field.end:
            value, at = self.varint(at, field.end)
            yield signed(value)

    def values(self, field: Field, name: str, size: int, end: int) -> Run:
        """Return the fixed-size values of a repeated field: a packed chunk, or all single ones.

        Single ones are taken in one go as long as they follow each other with a one-byte tag: a
        layer may have a hundred million of them.
        """
        wire = FIXED32 if size == 4 else FIXED64
        self.require(field, name, DELIMITED, wire)
        if field.wire == wire:
            following = self._repeats(field.end, end, field.number << 3 | wire, size + 1)
            stop = field.end + following * (size + 1)
            return Run(field.begin, 1 + following, size + 1, stop)
        count, rest = divmod(field.end - field.begin, size)
        if rest:
            whole = f"a multiple of {size} bytes in field {field.number} ({name})"
            raise self.error(field.begin, f"{whole}, found {field.end - field.begin}")
        return Run(field.begin, count, size, field.end)

    def tensor(self, runs: Sequence[Run], dtype: str) -> torch.Tensor:
        """Return the values as float32: in place if they lie in one piece, else copied together."""
        filled = [run for run in runs if run.length]
        if not filled:
            return torch.empty(0)
        first = filled[0]
        if dtype == "<f4" and len(filled) == 1 and first.stride == 4:
            return torch.frombuffer(
                self.data, dtype=torch.float32, count=first.length, offset=first.begin
            )
        parts = [
            np.ndarray((run.length,), dtype, self.data, run.begin, (run.stride,)) for run in filled
        ]
        with np.errstate(over="ignore", invalid="ignore"):  # too large becomes inf, as in C
            return torch.from_numpy(np.concatenate(parts, dtype=np.float32, casting="same_kind"))

    def _tag(self, at: int, end: int) -> tuple[int, int, int]:
        tag, behind = self.varint(at, end)
        number = tag >> 3
        if not 1 <= number <= _MAX_FIELD_NUMBER:
            raise self.error(at, f"a field number of 1 to {_MAX_FIELD_NUMBER}, found {number}")
        return number, tag & 7, behind

    def _group_end(self, number: int, at: int, end: int) -> int:
        """Return the offset behind the end of an unknown group; iterative: groups may nest deep."""
        open_groups = [number]
        while open_groups:
            number, wire, behind = self._tag(at, end)
            if wire == START_GROUP:
                open_groups.append(number)
            elif wire != END_GROUP:
                behind = self.field(at, end).end
            elif number != (innermost := open_groups.pop()):
                raise self.error(at, f"the end of group {innermost}, found that of {number}")
            at = behind
        return at

    def _repeats(self, at: int, end: int, tag: int, stride: int) -> int:
        """Count the records of `stride` bytes from `at` on that begin with the byte `tag`.

        Looks ahead in growing steps: the work is proportional to the records found, not to the
        rest.
        """
        total, found, step = (end - at) // stride, 0, _FIRST_SCAN
        while found < total:
            count = min(step, total - found)
            tags = np.ndarray((count,), np.uint8, self.data, at + found * stride, (stride,))
            others = np.flatnonzero(tags != tag)
            if len(others):
                return found + int(others[0])
            found, step = found + count, 2 * step
        return found


def signed(value: int) -> int:
    """Return a varint as two's complement: negative int32 and int64 are written so."""
    return value - 2**64 if value >= 2**63 else value


def encode_varint(value: int, size: int = 0) -> bytes:
    """Return `value` in at least `size` bytes; the extra ones hold zeros, which parsers accept."""
    encoded = bytearray()
    while value >= 0x80 or len(encoded) + 1 < size:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def encode_tag(number: int, wire: int) -> bytes:
    """Return the bytes that open a field: its field number and the kind of its payload."""
    return encode_varint(number << 3 | wire)


def encode_delimited(number: int, payload: bytes) -> bytes:
    """Return a whole field of text, of a message or of packed values."""
    return encode_tag(number, DELIMITED) + encode_varint(len(payload)) + payload
