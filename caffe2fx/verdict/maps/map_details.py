"""Details of a few maps for a report: histograms, errors by channel and pictures.

They are made of the tensors that the verdict holds at that moment, and are small.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, adaptive_max_pool2d

from caffe2fx.messages.message import Shape
from caffe2fx.verdict.maps.map_measures import MapMeasures, channel_errors, grouped, measure

BINS = 48
CHANNELS = 512  # beyond, neighbours are one group
SIDE = 96  # of a picture
MOST_FAULTS, MOST_OTHERS = 8, 3


@dataclass(frozen=True)
class Picture:
    """Holds one plane of a map as bytes of grey, base64, with the values of black and white."""

    width: int
    height: int
    low: float
    high: float
    grey: str


@dataclass(frozen=True)
class Details:
    """Holds the histograms, channels and pictures that a report shows of one map.

    The counts of both histograms belong to `BINS` equal steps from `low` to `high`. `channels` is
    the largest error by channel, in groups of `group` neighbours. `pictures` are the plane of the
    largest error: the reference's, the engine's and the difference; `plane` is its index. `fed`
    states that the layer was fed with the reference's inputs.
    """

    low: float
    high: float
    reference: tuple[int, ...]
    mine: tuple[int, ...]
    channels: tuple[float, ...] = ()
    group: int = 1
    plane: Shape = ()
    pictures: tuple[Picture, ...] = ()
    fed: bool = False


Key = tuple[str, str]  # layer and blob


@dataclass
class Album:
    """Keeps details of the first maps that fail, and of those nearest to their limits."""

    details: dict[Key, Details] = field(default_factory=dict)
    _faults: set[Key] = field(default_factory=set)
    _others: dict[Key, float] = field(default_factory=dict)

    def consider(
        self, key: Key, share: float, mine: Tensor, reference: Tensor, found: MapMeasures
    ) -> None:
        """Keep the details of a map whose error is that share of its limit, if it is of the few."""
        if mine.shape != reference.shape or not mine.numel():
            return
        if not share <= 1:
            if len(self._faults) < MOST_FAULTS:
                self._fault(key, lambda: details(mine, reference, found))
            return
        least = min(self._others, key=self._others.__getitem__, default=key)
        if len(self._others) >= MOST_OTHERS:
            if share <= self._others[least]:
                return
            del self._others[least], self.details[least]
        self._others[key] = share
        self.details[key] = details(mine, reference, found)

    def put(self, key: Key, mine: Tensor, reference: Tensor) -> None:
        """Keep the details of a map that a layer got wrong when it was fed with the reference's."""
        if mine.shape == reference.shape and mine.numel():
            found = measure(mine, reference)
            self._fault(key, lambda: details(mine, reference, found, fed=True))

    def _fault(self, key: Key, made: Callable[[], Details]) -> None:
        if key not in self._faults and len(self._faults) >= 2 * MOST_FAULTS:
            return
        self._faults.add(key)
        self._others.pop(key, None)
        self.details[key] = made()

    def kept(self) -> Mapping[Key, Details]:
        """Return the details by layer and blob."""
        return dict(self.details)


def details(mine: Tensor, reference: Tensor, found: MapMeasures, *, fed: bool = False) -> Details:
    """Return the details of a map against the reference, of the same shape."""
    one, two = (value.detach().float().nan_to_num() for value in (mine, reference))
    low, high = _range(one, two)
    counts = (torch.histc(v, BINS, low, high).int().tolist() for v in (two, one))
    wanted, got = (tuple(count) for count in counts)
    errors = channel_errors(mine, reference)
    group = -(-len(errors) // CHANNELS)
    plane = _plane(found.worst, one.dim())
    pictures = _pictures(one, two, plane) if one.dim() > 2 else ()
    shown = plane if pictures else ()
    channels = grouped(errors, CHANNELS)
    return Details(low, high, wanted, got, channels, group, shown, pictures, fed)


def _range(*values: Tensor) -> tuple[float, float]:
    low, high = min(float(v.min()) for v in values), max(float(v.max()) for v in values)
    return (low, high) if low < high else (low - 0.5, low + 0.5)


def _plane(worst: Shape, axes: int) -> Shape:
    """Return the index of all axes but the last two."""
    return tuple(worst[: axes - 2]) if worst else (0,) * max(0, axes - 2)


def _pictures(mine: Tensor, reference: Tensor, plane: Shape) -> tuple[Picture, ...]:
    one, two = mine[plane], reference[plane]
    if min(one.shape) < 2:
        return ()
    low, high = _range(one, two)
    difference = _shrunk((one - two).abs(), peaks=True)
    return (
        _picture(_shrunk(two), low, high),
        _picture(_shrunk(one), low, high),
        _picture(difference, 0.0, float(difference.max())),
    )


def _shrunk(plane: Tensor, *, peaks: bool = False) -> Tensor:
    """Return a plane of at most SIDE rows and columns; of errors the peaks stay."""
    size = min(SIDE, plane.shape[0]), min(SIDE, plane.shape[1])
    pool = adaptive_max_pool2d if peaks else adaptive_avg_pool2d
    return pool(plane[None, None], size)[0, 0]


def _picture(plane: Tensor, low: float, high: float) -> Picture:
    extent = high - low
    scaled = (plane - low) / extent if 0 < extent < inf else torch.zeros_like(plane)
    grey = (scaled * 255).round().clamp(0, 255).to(torch.uint8).numpy().tobytes()
    height, width = plane.shape
    return Picture(width, height, low, high, base64.b64encode(grey).decode())
