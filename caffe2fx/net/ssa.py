"""Single assignment: each write of an in-place layer becomes a value of its own."""

from __future__ import annotations

from collections.abc import Sequence

from caffe2fx.errors import CaffeFormatError
from caffe2fx.layers.shared_memory import SharedMemory
from caffe2fx.net.step import Step, Value


def single_assignment(
    wiring: Sequence[tuple[str, Sequence[str], Sequence[str]]],
) -> list[tuple[tuple[Value, ...], tuple[Value, ...]]]:
    """Return each layer's bottoms and tops as values: an in-place top is a blob's new version.

    `wiring` holds (the layer's name in errors, bottoms, tops) in order. Raises CaffeFormatError for
    a bottom that nothing has produced and for a blob that two layers produce.
    """
    current: dict[str, Value] = {}
    readers: dict[Value, str] = {}
    found = []
    for layer, bottoms, tops in wiring:
        read = tuple(_read(layer, blob, current) for blob in bottoms)
        written = tuple(
            _written(layer, blob, index, bottoms, current) for index, blob in enumerate(tops)
        )
        if len(set(tops)) < len(tops):
            raise CaffeFormatError(f"{layer} needs tops of different names, got {list(tops)}")
        _check_readers(layer, read, written, readers)
        current.update((value.blob, value) for value in written)
        found.append((read, written))
    return found


def _read(layer: str, blob: str, current: dict[str, Value]) -> Value:
    if blob not in current:
        raise CaffeFormatError(
            f"{layer} needs bottom {blob!r} to be produced before it, got no such blob"
        )
    return current[blob]


def _check_readers(
    layer: str, read: Sequence[Value], written: Sequence[Value], readers: dict[Value, str]
) -> None:
    """Raise for an in-place layer whose bottom others read: Caffe would give each reader a copy."""
    overwritten = {value._replace(version=value.version - 1) for value in written if value.version}
    for value in read:
        if value in overwritten and value in readers:
            raise CaffeFormatError(
                f"{layer} needs to be the only reader of {value.blob!r} in order to overwrite it, "
                f"got {readers[value]} before it"
            )
        readers[value] = layer


def _written(
    layer: str, blob: str, index: int, bottoms: Sequence[str], current: dict[str, Value]
) -> Value:
    if blob not in current:
        return Value(blob)
    if index < len(bottoms) and bottoms[index] == blob:
        return Value(blob, current[blob].version + 1)
    if blob in bottoms:
        raise CaffeFormatError(
            f"{layer} needs top {index} to be a blob of its own or bottom {index}, got {blob!r}, "
            f"which is bottom {bottoms.index(blob)}: Caffe stops there"
        )
    raise CaffeFormatError(
        f"{layer} needs a top of its own or its bottom's, got {blob!r}, "
        "which another layer produces"
    )


def unconsumed(steps: Sequence[Step]) -> tuple[Value, ...]:
    """Return the outputs that Caffe itself finds: blobs of tops that nobody reads, by name.

    Where memory is shared, a blob changes without being read or written: it is an output as before.
    """
    left: set[str] = set()
    now: dict[str, Value] = {}
    for step in steps:
        now.update((top.blob, top) for top in step.tops)
        if not isinstance(step.layer, SharedMemory):
            left.difference_update(value.blob for value in step.reads)
            left.update(top.blob for top in step.tops)
    return tuple(now[blob] for blob in sorted(left))
