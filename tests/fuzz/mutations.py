"""Changes to a valid file: bytes, integers, parts of it moved, copied, left out, or of another."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

Mutation = Callable[[random.Random, bytes, Sequence[bytes], Sequence[bytes]], bytes]

_NUMBERS = (b"0", b"-1", b"1", b"255", b"65536", b"2147483647", b"4294967296", b"9" * 30, b"1e400")
_BYTES = (b"\0", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\xff", b"\xff" * 9 + b"\x01")


def _cut(r: random.Random, data: bytes) -> tuple[int, int]:
    begin = r.randint(0, len(data))
    return begin, min(len(data), begin + int(r.expovariate(0.05)))


def _flip(r: random.Random, data: bytes, *_: Sequence[bytes]) -> bytes:
    changed = bytearray(data or b"\0")
    for _i in range(r.randint(1, 4)):
        changed[r.randrange(len(changed))] = r.randrange(256)
    return bytes(changed)


def _extreme(r: random.Random, data: bytes, *_: Sequence[bytes]) -> bytes:
    begin, end = _cut(r, data)
    return data[:begin] + r.choice(_BYTES) + data[end:]


def _without(r: random.Random, data: bytes, *_: Sequence[bytes]) -> bytes:
    begin, end = _cut(r, data)
    return data[:begin] + data[end:]


def _twice(r: random.Random, data: bytes, *_: Sequence[bytes]) -> bytes:
    begin, end = _cut(r, data)
    place = r.randint(0, len(data))
    return data[:place] + data[begin:end] * r.choice((1, 2, 50)) + data[place:]


def _short(r: random.Random, data: bytes, *_: Sequence[bytes]) -> bytes:
    return data[: r.randint(0, len(data))]


def _other(
    r: random.Random, data: bytes, examples: Sequence[bytes], words: Sequence[bytes]
) -> bytes:
    other = r.choice(examples)
    return data[: r.randint(0, len(data))] + other[r.randint(0, len(other)) :]


def _word(
    r: random.Random, data: bytes, examples: Sequence[bytes], words: Sequence[bytes]
) -> bytes:
    begin, end = _cut(r, data)
    return data[:begin] + b" " + r.choice(words or _BYTES) + b" " + data[end:]


def _number(r: random.Random, data: bytes, *_: Sequence[bytes]) -> bytes:
    found = list(re.finditer(rb"-?\d+(\.\d+)?", data))
    if not found:
        return data
    place = r.choice(found)
    return data[: place.start()] + r.choice(_NUMBERS) + data[place.end() :]


def _replaced(r: random.Random, data: bytes, *_: Sequence[bytes]) -> bytes:
    """Replace one word of the file by another of its words."""
    found = list(re.finditer(rb"[\w.\"']+", data))
    if not found:
        return data
    place, other = r.choice(found), r.choice(found)
    return data[: place.start()] + other.group() + data[place.end() :]


MUTATIONS: tuple[Mutation, ...] = (
    _flip,
    _extreme,
    _without,
    _twice,
    _short,
    _other,
    _word,
    _number,
    _replaced,
)


def mutated(
    r: random.Random, examples: Sequence[bytes], words: Sequence[bytes], most: int = 4
) -> bytes:
    """Return one of the examples after one to `most` changes."""
    data = r.choice(examples)
    for _ in range(r.randint(1, most)):
        data = r.choice(MUTATIONS)(r, data, examples, words)
    return data


def shrunk(data: bytes, fails: Callable[[bytes], bool], attempts: int = 300) -> bytes:
    """Return a smaller input that still fails, by leaving out ever shorter parts."""
    size = len(data) // 2
    while size and attempts:
        place = 0
        while place < len(data) and attempts:
            attempts -= 1
            smaller = data[:place] + data[place + size :]
            if fails(smaller):
                data = smaller
            else:
                place += size
        size //= 2
    return data
