"""Compare the outputs of two programs that share no layers: by name, else by value and shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from torch import Tensor

from caffe2fx.origin import Origin
from caffe2fx.verdict.maps.measures import difference, end_limit, largest, moved, shape_fault
from caffe2fx.verdict.result.report import Row

Results = Mapping[str, Tensor]


def flattened(outputs: Any) -> dict[str, Tensor]:
    """Return every tensor of nested tuples, lists and dicts by its path: "output 1.boxes"."""
    return _flattened([outputs] if isinstance(outputs, Tensor) else outputs, "output")


def _flattened(outputs: Any, name: str) -> dict[str, Tensor]:
    if isinstance(outputs, Tensor):
        return {name: outputs}
    if isinstance(outputs, Mapping):
        parts = list(outputs.items())
    elif isinstance(outputs, Sequence) and not isinstance(outputs, str):
        parts = list(enumerate(outputs))
    else:
        return {}
    separator = "." if " " in name else " "
    found: dict[str, Tensor] = {}
    for key, part in parts:
        found.update(_flattened(part, f"{name}{separator}{key}"))
    return found


@dataclass(frozen=True)
class Known:
    """Holds a reference's results: in float64, in float32, and in float32 for other inputs."""

    exact: Results
    rounded: Results
    others: Sequence[Results]

    def signal(self, name: str) -> float:
        """Return the smaller of largest value and largest change; for a constant its value."""
        size, change = largest(self.exact[name]), self.change(name)
        alive = any(self.change(other) > 0 for other in self.exact)
        return min(size, change) if change > 0 or not alive else size

    def change(self, name: str) -> float:
        """Return the largest change of a result under the other inputs."""
        return max((moved(other[name], self.rounded[name]) for other in self.others), default=0.0)

    def limit(self, name: str) -> float:
        """Return the limit of a result's error."""
        return end_limit(moved(self.rounded[name], self.exact[name]), self.signal(name))


def output_rows(known: Known, mine: Results) -> Iterator[Row]:
    """Yield a row for each output of either side."""
    pairs = dict(_matched(known, mine))
    for name, exact in known.exact.items():
        if name not in pairs:
            wrong = f"it needs a partner, got outputs {', '.join(mine) or 'none'}"
            yield _row(name, exact, known, wrong=wrong)
            continue
        got = mine[pairs[name]]
        wrong = shape_fault(got, exact)
        end = None if wrong else difference(got, exact)
        yield _row(name, exact, known, end_to_end=end, wrong=wrong, blob=pairs[name])
    for name in mine:
        if name not in pairs.values():
            wrong = "it is an output that the reference does not have"
            yield _row(name, mine[name], None, wrong=wrong)


def end_to_end_row(name: str, mine: Tensor, exact: Tensor, rounded: Tensor, other: Tensor) -> Row:
    """Return the end-to-end row of one named result, where nothing can be fed layer by layer."""
    known = Known({name: exact}, {name: rounded}, [{name: other}])
    (row,) = output_rows(known, {name: mine})
    return row


def _matched(known: Known, mine: Results) -> Iterator[tuple[str, str]]:
    """Yield the partner of each output: of its own name, else an equal one, else of its shape."""
    named = {name.rpartition(" ")[2]: name for name in known.exact}
    left, open_ = list(known.exact), list(mine)

    def taken(name: str, partner: str) -> tuple[str, str]:
        left.remove(name)
        open_.remove(partner)
        return name, partner

    for partner in list(mine):
        name = partner if partner in left else named.get(partner, "")
        if name in left:
            yield taken(name, partner)
    for matches in (_is_equal, _has_shape, lambda *_: True):
        for name in list(left):
            partners = [partner for partner in open_ if matches(known, name, mine[partner])]
            if partners:
                yield taken(name, partners[0])


def _has_shape(known: Known, name: str, got: Tensor) -> bool:
    return got.shape == known.exact[name].shape


def _is_equal(known: Known, name: str, got: Tensor) -> bool:
    close = _has_shape(known, name, got)
    return close and difference(got, known.exact[name]) <= known.limit(name)


def _row(
    name: str,
    value: Tensor,
    known: Known | None,
    *,
    end_to_end: float | None = None,
    wrong: str = "",
    blob: str = "",
) -> Row:
    signal = 0.0 if known is None else known.signal(name)
    return Row(
        layer=name,
        type="",
        blob=blob or name,
        shape=tuple(value.shape),
        signal=signal,
        alone=None,
        alone_limit=inf,
        end_to_end=end_to_end,
        end_to_end_limit=0.0 if known is None else known.limit(name),
        origin=Origin(),
        dead=not signal > 0,
        wrong=wrong,
    )
