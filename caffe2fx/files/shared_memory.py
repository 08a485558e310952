"""Effects of Caffe's memory on a net: blobs that are one memory.

A layer that shares memory (Split, Flatten, Reshape ...) has no copy for its top. A later layer
that overwrites that top in place changes the bottom too, for all who read it afterwards:

    layer { name: "f" type: "Flatten" bottom: "x" top: "a" }
    layer { name: "r" type: "ReLU" bottom: "a" top: "a" }
    layer { name: "p" type: "Power" bottom: "x" top: "p" }      # reads relu(x)

In single-assignment form that is one step more behind "r", which makes the next version of "x"
out of the new "a"; no file has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from caffe2fx.errors import CaffeFormatError
from caffe2fx.layers import DummyData, Parameter
from caffe2fx.layers.shared_memory import SharedMemory
from caffe2fx.net.ssa import unconsumed
from caffe2fx.net.step import Step, Value


def with_shared_memory(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Return the steps; a blob that another layer overwrites gets a version of its own there.

    Raises CaffeFormatError where Caffe's result changes with every forward, or is undefined.
    """
    found = _Memory(steps)
    return tuple(made for index, step in enumerate(steps) for made in found.after(index, step))


class _Memory:
    """Tracks which blobs are one memory, step by step."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.now: dict[Value, Value] = {}  # a value of the steps -> its version here
        self.owner: dict[str, str] = {}  # a blob -> the blob whose memory it has
        self.filled_once: set[str] = set()  # blobs filled before the first forward
        self.content: dict[str, Value] = {}  # a blob -> its version here
        self.outputs = {value.blob for value in unconsumed(steps)}
        self.last: dict[str, int] = {}  # a blob -> the last step that reads it
        for index, step in enumerate(steps):
            self.last.update(dict.fromkeys((value.blob for value in step.reads), index))

    def after(self, index: int, step: Step) -> Iterator[Step]:
        """Yield the step, and those for the blobs that it overwrites without naming them."""
        made = step.reading(self.now)
        tops = tuple(self._next(top) for top in step.tops)
        yield replace(made, tops=tops)
        for bottom, top in zip(step.bottoms, tops, strict=False):
            if top.blob == bottom.blob and not step.shares_memory:
                self._check_overwriting(step, bottom.blob)
                yield from self._others(index, step, top)
        self._note(step)

    def _next(self, top: Value) -> Value:
        before = self.content.get(top.blob)
        after = top if before is None else before._replace(version=before.version + 1)
        self.now[top] = self.content[top.blob] = after
        return after

    def _note(self, step: Step) -> None:
        for top in step.tops:
            if top.version == 0:
                shared = step.bottoms[0].blob if step.shares_memory else top.blob
                self.owner[top.blob] = self.owner[shared] if step.shares_memory else shared
        self.filled_once.update(_filled_once(step))

    def _check_overwriting(self, step: Step, blob: str) -> None:
        owner = self.owner[blob]
        again = [
            v.blob
            for index, v in enumerate(step.reads)
            if v.blob != blob and self.owner[v.blob] == owner
            if not step.layer.reads_before_writing(index)
        ]
        if again:
            raise step.fault(
                CaffeFormatError(
                    f"needs bottoms of other memory than it overwrites, got {again[0]!r}, which "
                    "Caffe would read when it is overwritten"
                )
            )
        if owner in self.filled_once:
            raise step.fault(
                CaffeFormatError(
                    f"needs a top of its own: it would overwrite {owner!r}, which Caffe fills once "
                    "and does not fill again at the next forward"
                )
            )

    def _others(self, index: int, step: Step, new: Value) -> Iterator[Step]:
        """Yield steps for the other blobs of that memory which are read later, or are outputs."""
        owner = self.owner[new.blob]
        others = [b for b, o in self.owner.items() if o == owner and b != new.blob]
        for blob in others:
            if blob in self.outputs or index < self.last[blob]:
                old = self.content[blob]
                after = old._replace(version=old.version + 1)
                self.content[blob] = after
                self.now = {key: after if v == old else v for key, v in self.now.items()}
                name = f"{step.name}/{blob}"
                yield Step(name, SharedMemory(), (new, old), (after,), origin=step.origin)


def _filled_once(step: Step) -> Iterator[str]:
    """Yield the tops that are filled before the first forward and then stay as they are."""
    if isinstance(step.layer, DummyData):
        fillers = step.layer.fillers(len(step.tops))
        # Other numbers of fillers are refused when the layer is checked.
        pairs = zip(step.tops, fillers, strict=False)
        yield from (top.blob for top, filler in pairs if filler.type == "constant")
    elif isinstance(step.layer, Parameter):
        yield from (top.blob for top in step.tops)
