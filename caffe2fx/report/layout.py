"""The positions of a net's layers in a drawing: ranks downwards, branches side by side.

A long net is cut into columns, which read like those of a newspaper.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from math import log

WIDTH, HEIGHT = 168, 40  # of a layer
ACROSS, DOWN, GUTTER = 188, 62, 44  # from one layer to the next, and between columns
LEAST = 14  # ranks in a column


@dataclass(frozen=True)
class Node:
    """Is one layer in a drawing: `bottoms` are the indices of the nodes that it reads."""

    name: str
    type: str
    bottoms: tuple[int, ...] = ()
    kind: str = ""
    tip: str = ""


@dataclass(frozen=True)
class Layout:
    """Holds the centre of each node, the column that it is in, and the size of the whole."""

    centres: tuple[tuple[int, int], ...]
    columns: tuple[int, ...]
    width: int
    height: int


def laid_out(nodes: Sequence[Node], *, aspect: float = 1.5) -> Layout:
    """Return the positions of nodes, which come in order of execution."""
    if not nodes:
        return Layout((), (), ACROSS, DOWN)
    ranks = _ranks(nodes)
    lanes = _lanes(nodes, ranks)
    length = _column_length(ranks, lanes, aspect)
    columns = [rank // length for rank in ranks]
    starts, width = _column_starts(columns, lanes)
    centres = tuple(
        (starts[column] + lane * ACROSS, rank % length * DOWN + DOWN // 2)
        for column, lane, rank in zip(columns, lanes, ranks, strict=True)
    )
    return Layout(centres, tuple(columns), width, min(length, max(ranks) + 1) * DOWN)


def _ranks(nodes: Sequence[Node]) -> list[int]:
    """Return for each node the longest way from a start; constants go above their reader."""
    ranks: list[int] = []
    for node in nodes:
        ranks.append(1 + max((ranks[bottom] for bottom in node.bottoms), default=-1))
    first: dict[int, int] = {}
    for node, rank in zip(nodes, ranks, strict=True):
        for bottom in node.bottoms:
            first[bottom] = min(rank, first.get(bottom, rank))
    return [
        rank if node.bottoms or index not in first else max(rank, first[index] - 1)
        for index, (node, rank) in enumerate(zip(nodes, ranks, strict=True))
    ]


def _lanes(nodes: Sequence[Node], ranks: Sequence[int]) -> list[int]:
    """Return the lane of each node: that of one of its bottoms, or the free one next to it."""
    lanes = [0] * len(nodes)
    taken: set[tuple[int, int]] = set()
    for index in sorted(range(len(nodes)), key=lambda one: (ranks[one], one)):
        wanted = min((lanes[bottom] for bottom in nodes[index].bottoms), key=abs, default=0)
        lane = next(one for one in _nearest_lanes(wanted) if (ranks[index], one) not in taken)
        taken.add((ranks[index], lane))
        lanes[index] = lane
    return lanes


def _nearest_lanes(lane: int) -> Iterator[int]:
    yield lane
    for step in count(1):
        yield lane + step
        yield lane - step


def _column_length(ranks: Sequence[int], lanes: Sequence[int], aspect: float) -> int:
    """Return the ranks per column for which the drawing's aspect comes nearest to `aspect`."""
    total = max(ranks) + 1
    candidates = {LEAST, total}
    length = float(LEAST)
    while length < total:
        candidates.add(round(length))
        length *= 1.2

    def off(length: int) -> float:
        _, width = _column_starts([rank // length for rank in ranks], lanes)
        return abs(log(width / (min(length, total) * DOWN) / aspect))

    return max(LEAST, min(sorted(candidates), key=off))


def _column_starts(columns: Sequence[int], lanes: Sequence[int]) -> tuple[list[int], int]:
    """Return the middle of lane 0 in each column, and the width of all."""
    least, most = [0] * (max(columns) + 1), [0] * (max(columns) + 1)
    for column, lane in zip(columns, lanes, strict=True):
        least[column], most[column] = min(least[column], lane), max(most[column], lane)
    starts, at = [], GUTTER // 2
    for left, right in zip(least, most, strict=True):
        starts.append(at - left * ACROSS + ACROSS // 2)
        at += (right - left + 1) * ACROSS + GUTTER
    return starts, at - GUTTER // 2
