"""Single assignment: each write of an in-place layer becomes a value of its own."""

from __future__ import annotations

from collections.abc import Sequence

from caffe2fx.errors import CaffeFormatError
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
    raise CaffeFormatError(
        f"{layer} needs a top of its own or its bottom's, got {blob!r}, "
        "which another layer produces"
    )


def unconsumed(steps: Sequence[Step]) -> tuple[Value, ...]:
    """Return the outputs that Caffe itself finds: tops that nobody reads, in alphabetical order."""
    # Where memory is shared, only its former content is gone.
    reads = (step.reads if step.layer.in_files else step.reads[1:] for step in steps)
    read = {value for values in reads for value in values}
    return tuple(sorted(top for step in steps for top in step.tops if top not in read))
