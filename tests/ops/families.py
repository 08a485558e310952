"""Random arguments for families of functions: shapes, axes, geometry and options.

Each family takes a `Random` and gives the arguments for one function; torch may refuse some of
them, which are then left out. `FAMILIES` says which function has which.
"""

from __future__ import annotations

import math
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from hypothesis import reject
from hypothesis import strategies as st
from torch import Tensor

from fx2caffe import alias
from tests.ops.draws import Draw, variants

Shape = tuple[int, ...]
Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class Random:
    """Choices made by hypothesis."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self._draw = draw
        self._tensors = 0

    def number(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return int(self._draw(st.integers(low, high)))

    def flag(self) -> bool:
        """Yes or no."""
        return bool(self._draw(st.booleans()))

    def choice(self, *values: Any) -> Any:
        """One of them."""
        return self._draw(st.sampled_from(values))

    def some(self, values: Iterable[Any], least: int = 0) -> tuple[Any, ...]:
        """Some of them, in any order."""
        order = list(self._draw(st.permutations(list(values))))
        return tuple(order[: self.number(least, len(order))])

    def many(self, count: int, low: int, high: int) -> tuple[int, ...]:
        """That many numbers."""
        return tuple(self.number(low, high) for _ in range(count))

    def shape(self, least: int = 1, most: int = 4, size: int = 5) -> Shape:
        """Sizes from 1 up of so many axes."""
        return self.many(self.number(least, most), 1, size)

    def axis(self, rank: int) -> int:
        """Any axis, counted from either end."""
        return self.number(-rank, rank - 1) if rank else 0

    def tensor(self, shape: Sequence[int], kind: str = "normal") -> Tensor:
        """Random numbers of a kind (see KINDS)."""
        return KINDS[kind](tuple(shape), self._generator())

    def integers(self, shape: Sequence[int], below: int, low: int = 0) -> Tensor:
        """Whole numbers from `low` to below `below`."""
        return torch.randint(low, below, tuple(shape), generator=self._generator())

    def _generator(self) -> torch.Generator:
        """Other numbers for each tensor, even where hypothesis draws one seed for all."""
        self._tensors += 1
        return torch.Generator().manual_seed(1000 * self._tensors + self.number(0, 999))


Made = Callable[[Shape, torch.Generator], Tensor]
KINDS: dict[str, Made] = {
    "normal": lambda shape, g: 2 * torch.randn(shape, generator=g),
    "positive": lambda shape, g: 3 * torch.rand(shape, generator=g) + 0.1,
    "fraction": lambda shape, g: 0.9 * torch.rand(shape, generator=g) + 0.05,
    "unit": lambda shape, g: 1.9 * torch.rand(shape, generator=g) - 0.95,
    "large": lambda shape, g: 4 * torch.rand(shape, generator=g) + 1.5,
    "halves": lambda shape, g: torch.randint(-6, 7, shape, generator=g) / 2,
    "whole": lambda shape, g: torch.randint(-4, 5, shape, generator=g),
    "count": lambda shape, g: torch.randint(0, 4, shape, generator=g),
    "mask": lambda shape, g: torch.rand(shape, generator=g) < 0.5,
}

Family = Callable[[Random], Arguments]
FAMILIES: dict[Any, list[tuple[Callable[..., Any], Family]]] = defaultdict(list)


def family(*targets: Any) -> Callable[[Family], Family]:
    """Give a family to functions, which are called as they are."""

    def add(made: Family) -> Family:
        for target in targets:
            FAMILIES[target].append((target, made))
        return made

    return add


def calls(target: Any, function: Callable[..., Any]) -> Callable[[Family], Family]:
    """Give a family to a function that is reached through another one."""

    def add(made: Family) -> Family:
        FAMILIES[target].append((function, made))
        return made

    return add


@st.composite
def own_draws(draw: Callable[..., Any], target: Any) -> Draw:
    """A draw from one of the families of a function."""
    random = Random(draw)
    function, made = random.choice(*FAMILIES[target])
    try:
        args, kwargs = made(random)
    except RuntimeError:  # torch refused what the arguments are made with
        reject()
    return random.choice(*variants(Draw(function, args, kwargs)))


def named(names: str, home: Any = torch) -> list[Any]:
    """The functions of those names."""
    return [getattr(home, name) for name in names.split()]


def any_of(kinds: str, least: int = 0) -> Family:
    """One tensor of any shape and one of the kinds."""
    return lambda r: ((r.tensor(r.shape(least), r.choice(*kinds.split())),), {})


# Pointwise functions, by what they take.
for target in [
    *named("neg abs square sigmoid tanh exp exp2 expm1 sin cos atan sinh cosh asinh erf erfc sinc"),
    *named("round floor ceil trunc frac sign sgn signbit isnan isinf isfinite logical_not"),
    *named("nan_to_num deg2rad rad2deg positive isposinf isneginf angle"),
    *named("relu relu6 selu silu hardswish hardsigmoid mish logsigmoid", F),
    torch.special.ndtr,
]:
    family(target)(any_of("normal halves unit"))
family(*named("sqrt rsqrt log log2 log10 log1p reciprocal"), torch.special.entr)(any_of("positive"))
family(*named("asin acos atanh erfinv"))(any_of("unit"))
family(torch.acosh)(any_of("large"))
family(torch.tan)(any_of("unit"))
family(torch.logit)(any_of("fraction"))


@family(F.hardtanh)
def _limits(r: Random) -> Arguments:
    low = r.choice(-1.0, 0.0, -2.5, 0.5)
    return (r.tensor(r.shape()),), {"min_val": low, "max_val": low + r.choice(0.5, 2.0)}


@family(*named("leaky_relu celu elu hardshrink softshrink", F))
def _one_number(r: Random) -> Arguments:
    return (r.tensor(r.shape(), r.choice("normal", "halves")), r.choice(0.01, 0.5, 1.0, 2.0)), {}


@family(F.softplus)
def _softplus(r: Random) -> Arguments:
    return (r.tensor(r.shape()),), {"beta": r.choice(1, 0.5, 3), "threshold": r.choice(20, 2, 5)}


@calls(F._threshold, F.threshold)
def _threshold(r: Random) -> Arguments:
    numbers = r.choice(0.0, 0.5, -1.0), r.choice(0.0, 7.0, -2.0)
    return (r.tensor(r.shape(), r.choice("normal", "halves")), *numbers), {}


@family(F.prelu)
def _prelu(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    return (r.tensor(shape), r.tensor((r.choice(1, shape[min(1, len(shape) - 1)]),))), {}


@family(F.gelu)
def _gelu(r: Random) -> Arguments:
    return (r.tensor(r.shape()),), {"approximate": r.choice("none", "tanh")}


@family(F.glu)
def _glu(r: Random) -> Arguments:
    shape = list(r.shape(1, 4))
    axis = r.axis(len(shape))
    shape[axis] *= 2
    return (r.tensor(shape), axis), {}


def broadcast(r: Random, count: int) -> list[Shape]:
    """Shapes of so many tensors that broadcast together."""
    whole = r.shape(0, 4, 4)
    found = []
    for _ in range(count):
        kept = whole[r.number(0, len(whole)) :] if r.flag() else whole
        found.append(tuple(1 if r.number(0, 3) == 0 else size for size in kept))
    return found


def pair(kinds: str, numbers: Sequence[Any] = ()) -> Family:
    """Two tensors that broadcast, or a tensor and a number."""

    def made(r: Random) -> Arguments:
        one, two = broadcast(r, 2)
        first = r.tensor(one, r.choice(*kinds.split()))
        if numbers and r.flag():
            return (first, r.choice(*numbers)), {}
        return (first, r.tensor(two, r.choice(*kinds.split()))), {}

    return made


family(*named("add sub mul"))(pair("normal halves whole", (2, 0, -1.5)))
family(*named("maximum minimum fmax fmin"))(pair("normal halves"))
family(*named("atan2 hypot copysign logaddexp logaddexp2"))(pair("normal"))
family(*named("gt ge lt le eq ne"))(pair("halves whole", (0, 1, -0.5)))
family(*named("logical_and logical_or logical_xor"))(pair("mask halves"))
family(*named("bitwise_and bitwise_or bitwise_xor"))(pair("mask"))
family(*named("heaviside isclose"))(pair("halves"))
family(*named("xlogy"), torch.special.xlog1py)(pair("positive", (2.0,)))
family(*named("pow float_power"))(pair("positive", (2, 0.5, -1, 3, 0, 1)))
family(*named("remainder fmod floor_divide"))(pair("large", (2, 1.5, -3)))
family(torch.ldexp)(lambda r: ((r.tensor(r.shape(1, 1, 3)), r.integers((1,), 4, -3)), {}))
family(torch.bitwise_not)(any_of("mask"))


@family(torch.div)
def _divided(r: Random) -> Arguments:
    args, _ = pair("large", (2, -1.5))(r)
    return args, {"rounding_mode": r.choice(None, "floor", "trunc")}


@family(torch.add, torch.sub)
def _scaled(r: Random) -> Arguments:
    args, _ = pair("normal", (2,))(r)
    return args, {"alpha": r.choice(2, -0.5)}


@family(torch.clamp)
def _clamped(r: Random) -> Arguments:
    shapes = broadcast(r, 3)
    if r.flag():
        limits = r.choice((None, 0.5), (-1.0, None), (-1, 1), (0.0, 2.5), (1.0, -1.0))
        return (r.tensor(shapes[0]), *limits), {}
    return (r.tensor(shapes[0]), r.tensor(shapes[1]), r.tensor(shapes[2])), {}


@family(torch.lerp, torch.addcmul, torch.addcdiv)
def _three(r: Random) -> Arguments:
    return tuple(r.tensor(shape, "positive") for shape in broadcast(r, 3)), {}


@family(torch.clamp_min, torch.clamp_max)
def _bounded(r: Random) -> Arguments:
    one, two = broadcast(r, 2)
    return (r.tensor(one), r.choice(0.5, -1, r.tensor(two))), {}


@family(F.cosine_similarity)
def _alike(r: Random) -> Arguments:
    one, two = broadcast(r, 2)
    rank = max(len(one), len(two))
    return (r.tensor(one), r.tensor(two), r.axis(rank)), {"eps": r.choice(1e-8, 0.5)}


@family(F.pairwise_distance)
def _apart(r: Random) -> Arguments:
    one, two = broadcast(r, 2)
    return (r.tensor(one), r.tensor(two), r.choice(2.0, 1.0, 3.0, math.inf)), {
        "keepdim": r.flag()
    }


@family(torch.cdist)
def _all_apart(r: Random) -> Arguments:
    lead, rows, columns, width = r.shape(0, 2, 2), *r.many(3, 1, 4)
    args = r.tensor((*lead, rows, width)), r.tensor((*lead, columns, width))
    return (*args, r.choice(2.0, 1.0, 3.0, math.inf)), {}


@family(torch.where)
def _chosen(r: Random) -> Arguments:
    mask, one, two = broadcast(r, 3)
    first = r.tensor(one) if r.flag() else r.choice(0.0, 2.5)
    return (r.tensor(mask, "mask"), first, r.tensor(two)), {}


@family(torch.masked_fill)
def _filled(r: Random) -> Arguments:
    one, two = broadcast(r, 2)
    number = r.choice(0, -7.5, -math.inf, r.tensor(()))
    return (r.tensor(one), r.tensor(two, "mask"), number), {}


def axes(r: Random, rank: int) -> Any:
    """No axis, one, or some."""
    if not rank or r.number(0, 4) == 0:
        return None
    found = r.some(range(rank), 1)
    found = tuple(axis - rank if r.flag() else axis for axis in found)
    return found[0] if len(found) == 1 and r.flag() else found


@family(*named("sum mean amax amin var std var_mean std_mean logsumexp nansum count_nonzero"))
@family(*named("any all"))
def _reduced(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    dim = axes(r, len(shape))
    if dim is None:
        return (r.tensor(shape, r.choice("normal", "halves")),), {}
    return (r.tensor(shape, r.choice("normal", "halves")), dim), {"keepdim": r.flag()}


@family(*named("var std var_mean std_mean"))
def _corrected(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    options = {"correction": r.choice(0, 1, 2, 0.5), "keepdim": r.flag()}
    return (r.tensor(shape),), {"dim": axes(r, len(shape)), **options}


def along(*options: dict[str, Sequence[Any]], kinds: str = "normal") -> Family:
    """One tensor and one of its axes, with one of each of the options."""
    given = options[0] if options else {}

    def made(r: Random) -> Arguments:
        shape = r.shape(1, 4)
        chosen = {name: r.choice(*values) for name, values in given.items()}
        return (r.tensor(shape, r.choice(*kinds.split())),), {
            "dim": r.axis(len(shape)),
            **chosen,
        }

    return made


KEEP = {"keepdim": (False, True)}
family(*named("prod max min argmax argmin any all"))(along(KEEP, kinds="normal halves"))
family(torch.median)(along(KEEP))  # of equal numbers torch promises no place
family(*named("cumsum cumprod logcumsumexp cummax cummin"))(along(kinds="normal halves"))
family(*named("softmax log_softmax", F))(along())
family(torch.sort)(along({"descending": (False, True), "stable": (True,)}, kinds="normal halves"))
family(torch.argsort)(along({"descending": (False, True), "stable": (True,)}))
family(*named("diff"))(along({"n": (1, 2)}))
family(*named("trapezoid cumulative_trapezoid"))(along())
family(torch.aminmax)(along(KEEP))
family(torch.quantile)(along({"q": (0.0, 0.25, 0.5, 1.0), **KEEP}))


@family(torch.topk, torch.kthvalue)
def _first_few(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    axis = r.axis(len(shape))
    return (r.tensor(shape), r.number(1, shape[axis]), axis), {}


@family(torch.linalg.vector_norm, torch.norm)
def _normed(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    order = r.choice(2, 1, 3, 0, 0.5, math.inf, -math.inf, -2)
    return (r.tensor(shape), order, axes(r, len(shape))), {"keepdim": r.flag()}


@family(F.normalize)
def _unit_length(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    return (r.tensor(shape), r.choice(2.0, 1.0, 3.0)), {"dim": r.axis(len(shape))}


# Where values are put and taken.
@family(torch.permute, torch.permute_copy)
def _permuted(r: Random) -> Arguments:
    shape = r.shape(1, 5, 4)
    order = r.some(range(len(shape)), len(shape))
    return (r.tensor(shape), tuple(a - len(shape) if r.flag() else a for a in order)), {}


@family(torch.transpose, torch.transpose_copy)
def _swapped(r: Random) -> Arguments:
    shape = r.shape(1, 5, 4)
    return (r.tensor(shape), r.axis(len(shape)), r.axis(len(shape))), {}


@family(torch.movedim)
def _moved(r: Random) -> Arguments:
    shape = r.shape(1, 5, 4)
    source = r.some(range(len(shape)), 1)
    return (r.tensor(shape), source, r.some(range(len(shape)), len(shape))[: len(source)]), {}


@family(torch.flip)
def _flipped(r: Random) -> Arguments:
    shape = r.shape(1, 5, 4)
    return (r.tensor(shape), r.some(range(len(shape)), 0)), {}


@family(torch.rot90)
def _turned(r: Random) -> Arguments:
    shape = r.shape(2, 4, 4)
    return (r.tensor(shape), r.number(-3, 5), r.some(range(len(shape)), len(shape))[:2]), {}


@family(torch.roll)
def _rolled(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    dims = r.some(range(len(shape)), 1)
    if r.number(0, 4) == 0:
        return (r.tensor(shape), r.number(-9, 9)), {}
    return (r.tensor(shape), r.many(len(dims), -9, 9), dims), {}


@family(torch.narrow, torch.narrow_copy)
def _narrowed(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    axis = r.axis(len(shape))
    start = r.number(0, shape[axis] - 1)
    return (r.tensor(shape), axis, start, r.number(1, shape[axis] - start)), {}


@family(torch.select, torch.select_copy)
def _selected(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    axis = r.axis(len(shape))
    return (r.tensor(shape), axis, r.axis(shape[axis])), {}


@family(torch.slice_copy)
def _sliced(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    return (r.tensor(shape), r.axis(len(shape)), r.number(-6, 4), r.number(-3, 9)), {
        "step": r.number(1, 3)
    }


def index(r: Random, shape: Shape) -> tuple[Any, ...]:
    """What may stand between brackets after a tensor of that shape."""
    parts: list[Any] = []
    for size in shape[: r.number(0, len(shape))]:
        kind = r.choice("number", "slice", "slice", "all", "list", "mask")
        if kind == "number":
            parts.append(r.axis(size))
        elif kind == "slice":
            ends = (r.choice(None, r.number(-6, 6)) for _ in range(2))
            parts.append(slice(*ends, r.choice(None, 1, 2, 3)))
        elif kind == "list":
            parts.append(r.integers((r.choice(1, 2),), size, -size))
        elif kind == "mask":
            parts.append(torch.arange(size) == r.number(0, size - 1))
        else:
            parts.append(slice(None))
    if r.flag():
        parts.append(...)
    parts += [None] * r.number(0, 1)
    return tuple(parts)


@family(operator.getitem)
def _indexed(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    return (r.tensor(shape), index(r, shape)), {}


def _written(x: Tensor, parts: Any, value: Any) -> Tensor:
    x = x.clone()
    x[parts] = value
    return x


@calls(alias.setitem, _written)
def _assigned(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    parts = index(r, shape)
    value = torch.zeros(shape)[parts]
    given = r.choice(2.5, r.tensor(value.shape), r.tensor(value.shape[1:]))
    return (r.tensor(shape), parts, given), {}


def _written_through_view(x: Tensor, axis: int, place: int, value: Tensor) -> Tensor:
    x = x.clone()
    x.transpose(0, -1).select(axis, place).mul_(value)
    return x


@calls(alias.index_map, _written_through_view)
def _view_written(r: Random) -> Arguments:
    shape = r.shape(2, 4, 3)
    axis = r.axis(len(shape))
    place = r.number(0, (*shape[-1:], *shape[1:-1], *shape[:1])[axis] - 1)
    return (r.tensor(shape), axis, place, r.tensor(())), {}


@family(torch.tile, Tensor.repeat)
def _repeated(r: Random) -> Arguments:
    shape = r.shape(1, 3, 4)
    return (r.tensor(shape), r.many(len(shape) + r.number(0, 1), 1, 3)), {}


@family(torch.repeat_interleave)
def _interleaved(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    return (r.tensor(shape), r.number(1, 3)), {"dim": r.axis(len(shape))}


@family(Tensor.expand, torch.broadcast_to, torch.expand_copy)
def _expanded(r: Random) -> Arguments:
    shape = r.shape(1, 4, 4)
    own = tuple(1 if r.flag() else size for size in shape)
    return (r.tensor(own), (*r.shape(0, 1, 3), *shape)), {}


@family(torch.diagonal, torch.diagonal_copy)
def _diagonal(r: Random) -> Arguments:
    shape = r.shape(2, 4)
    dims = r.some(range(len(shape)), len(shape))[:2]
    return (r.tensor(shape), r.number(-2, 2), *dims), {}


@family(torch.tril, torch.triu)
def _triangle(r: Random) -> Arguments:
    return (r.tensor(r.shape(2, 4)), r.number(-4, 4)), {}


@family(Tensor.unfold, torch.unfold_copy)
def _windows(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    axis = r.axis(len(shape))
    return (r.tensor(shape), axis, r.number(1, shape[axis]), r.number(1, 3)), {}


@family(torch.split, torch.chunk, torch.tensor_split)
def _parts(r: Random) -> Arguments:
    shape = r.shape(1, 4, 6)
    axis = r.axis(len(shape))
    return (r.tensor(shape), r.number(1, 4), axis), {}


@family(torch.split_with_sizes, torch.split)
def _parts_of_sizes(r: Random) -> Arguments:
    sizes = r.many(r.number(1, 3), 1, 3)
    shape = list(r.shape(1, 4, 4))
    axis = r.axis(len(shape))
    shape[axis] = sum(sizes)
    return (r.tensor(shape), list(sizes), axis), {}


@family(torch.unbind, torch.unbind_copy)
def _unbound(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    return (r.tensor(shape), r.axis(len(shape))), {}


@family(torch.cat)
def _joined(r: Random) -> Arguments:
    shape = list(r.shape(1, 4))
    axis = r.axis(len(shape))
    values = []
    for _ in range(r.number(1, 3)):
        shape[axis] = r.number(1, 3)
        values.append(r.tensor(shape))
    return (values, axis), {}


@family(torch.stack)
def _stacked(r: Random) -> Arguments:
    shape = r.shape(0, 4)
    return ([r.tensor(shape) for _ in range(r.number(1, 3))], r.axis(len(shape) + 1)), {}


@family(F.pad)
def _padded(r: Random) -> Arguments:
    shape = r.shape(1, 5, 6)
    mode = r.choice("constant", "constant", "reflect", "replicate", "circular")
    plain = mode == "constant"
    count = r.number(1, len(shape)) if plain else max(1, len(shape) - 2)
    widths = r.many(2 * count, -1 if plain else 0, 3)
    return (r.tensor(shape), widths, mode), {"value": r.choice(0.0, -1.5)} if plain else {}


@family(torch.take_along_dim)
def _gathered(r: Random) -> Arguments:
    shape = r.shape(1, 3)
    axis = r.axis(len(shape))
    own = list(shape)
    own[axis] = r.number(1, 4)
    args = (r.tensor(shape), r.integers(own, shape[axis]))
    return (*args, axis), {}


@family(torch.gather)
def _gathered_first(r: Random) -> Arguments:
    (value, place, axis), options = _gathered(r)
    return (value, axis, place), options


@family(torch.scatter, torch.scatter_add)
def _scattered(r: Random) -> Arguments:
    shape = r.shape(1, 3)
    axis = r.axis(len(shape))
    own = [r.number(1, size) for size in shape]
    own[axis] = r.number(1, 3)
    places = r.integers(own, shape[axis])
    return (r.tensor(shape), axis, places, r.tensor(own)), {}


@family(torch.index_add, torch.index_copy)
def _added_rows(r: Random) -> Arguments:
    shape = list(r.shape(1, 4))
    axis = r.axis(len(shape))
    count = r.number(1, 4)
    places = r.integers((count,), shape[axis])
    source = [*shape]
    source[axis] = count
    return (r.tensor(shape), axis, places, r.tensor(source)), {}


@family(torch.index_fill)
def _filled_rows(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    axis = r.axis(len(shape))
    return (r.tensor(shape), axis, r.integers((2,), shape[axis]), r.choice(0.0, -2.5)), {}


@family(torch.select_scatter)
def _put_slice(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    axis = r.axis(len(shape))
    place = r.axis(shape[axis])
    part = torch.zeros(shape).select(axis, place)
    return (r.tensor(shape), r.tensor(part.shape), axis, place), {}


@family(torch.slice_scatter)
def _put_slices(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    axis = r.axis(len(shape))
    start, stop = sorted(r.many(2, 0, shape[axis]))
    step = r.number(1, 2)
    own = list(shape)
    own[axis] = len(range(start, stop, step))
    return (r.tensor(shape), r.tensor(own), axis, start, stop, step), {}


@family(torch.index_select)
def _rows(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    axis = r.axis(len(shape))
    return (r.tensor(shape), axis, r.integers((r.number(1, 4),), shape[axis])), {}


@family(F.one_hot)
def _one_hot(r: Random) -> Arguments:
    return (r.integers(r.shape(0, 3), 5), r.choice(5, 8)), {}


@family(F.embedding)
def _embedded(r: Random) -> Arguments:
    return (r.integers(r.shape(1, 3), 6), r.tensor((6, r.number(1, 4)))), {}


@family(torch.flatten)
def _flattened(r: Random) -> Arguments:
    shape = r.shape(1, 5, 4)
    ends = sorted(r.many(2, 0, len(shape) - 1))
    return (r.tensor(shape), *ends), {}


@family(torch.reshape)
def _reshaped(r: Random) -> Arguments:
    shape = r.shape(1, 4, 6)
    other = list(r.some(shape, len(shape)))
    if r.flag():
        other[r.number(0, len(other) - 1)] = -1
    return (r.tensor(shape), tuple([*other, 1] if r.flag() else other)), {}


@family(torch.squeeze)
def _squeezed(r: Random) -> Arguments:
    shape = r.shape(1, 5, 2)
    return (r.tensor(shape), *([axes(r, len(shape)) or 0] if r.flag() else [])), {}


@family(torch.unsqueeze, torch.unsqueeze_copy)
def _unsqueezed(r: Random) -> Arguments:
    shape = r.shape(0, 4)
    return (r.tensor(shape), r.axis(len(shape) + 1)), {}


def images(r: Random, axes_: int, channels: int, size: int = 8) -> Tensor:
    """Feature maps of so many spatial axes."""
    return r.tensor((r.number(1, 2), channels, *r.many(axes_, 3, size)))


def one_or_each(r: Random, count: int, low: int, high: int) -> Any:
    """One number for all axes, or one for each."""
    return r.number(low, high) if r.flag() else r.many(count, low, high)


def _convolution(axes_: int) -> Family:
    def made(r: Random) -> Arguments:
        groups, kernel = r.choice(1, 1, 2), r.many(axes_, 1, 3)
        inputs, outputs = groups * r.number(1, 2), groups * r.number(1, 2)
        weight = r.tensor((outputs, inputs // groups, *kernel))
        stride = one_or_each(r, axes_, 1, 2)
        padding = r.choice("same", "valid", one_or_each(r, axes_, 0, 2))
        return (images(r, axes_, inputs), weight, r.choice(None, r.tensor((outputs,)))), {
            "stride": 1 if padding == "same" else stride,
            "padding": padding,
            "dilation": one_or_each(r, axes_, 1, 2),
            "groups": groups,
        }

    return made


def _transposed(axes_: int) -> Family:
    def made(r: Random) -> Arguments:
        groups, kernel = r.choice(1, 1, 2), r.many(axes_, 1, 3)
        inputs, outputs = groups * r.number(1, 2), r.number(1, 2)
        weight = r.tensor((inputs, outputs, *kernel))
        stride = r.number(1, 3)
        return (
            images(r, axes_, inputs, 5),
            weight,
            r.choice(None, r.tensor((outputs * groups,))),
        ), {
            "stride": stride,
            "padding": one_or_each(r, axes_, 0, 1),
            "output_padding": r.number(0, stride - 1),
            "dilation": one_or_each(r, axes_, 1, 2),
            "groups": groups,
        }

    return made


def _max_pooling(axes_: int, indices: bool = False) -> Family:
    def made(r: Random) -> Arguments:
        kernel = r.many(axes_, 1, 3)
        options = {"ceil_mode": r.flag(), "dilation": r.choice(1, 1, 2)}
        options["stride"] = r.choice(None, one_or_each(r, axes_, 1, 3))
        options["padding"] = r.number(0, min(kernel) // 2)
        return (images(r, axes_, r.number(1, 2)), kernel), options

    return made


def _average_pooling(axes_: int) -> Family:
    def made(r: Random) -> Arguments:
        kernel = r.many(axes_, 1, 3)
        options = {"ceil_mode": r.flag(), "count_include_pad": r.flag()}
        options["stride"] = r.choice(None, one_or_each(r, axes_, 1, 3))
        options["padding"] = r.number(0, min(kernel) // 2)
        if axes_ > 1:
            options["divisor_override"] = r.choice(None, None, 3)
        return (images(r, axes_, r.number(1, 2)), kernel), options

    return made


def _adaptive(axes_: int) -> Family:
    def made(r: Random) -> Arguments:
        return (images(r, axes_, 2), r.many(axes_, 1, 4)), {}

    return made


def _power_pooling(axes_: int) -> Family:
    def made(r: Random) -> Arguments:
        kernel = r.many(axes_, 1, 3)
        stride = r.choice(None, r.number(1, 2))
        sizes = kernel[0] if axes_ == 1 else kernel
        args = (r.tensor((1, 2, *r.many(axes_, 3, 7)), "positive"), r.choice(1.0, 2.0, 3.0), sizes)
        return args, {"stride": stride, "ceil_mode": r.flag()}

    return made


def _unpooling(axes_: int) -> Family:
    pool = getattr(F, f"max_pool{axes_}d")

    def made(r: Random) -> Arguments:
        kernel = r.number(2, 3)
        values, places = pool(r.tensor((1, 2, *(6,) * axes_)), kernel, return_indices=True)
        return (values, places, kernel), {}

    return made


for _axes in (1, 2, 3):
    family(getattr(F, f"conv{_axes}d"))(_convolution(_axes))
    family(getattr(F, f"conv_transpose{_axes}d"))(_transposed(_axes))
    family(getattr(F, f"max_pool{_axes}d"))(_max_pooling(_axes))
    family(getattr(F, f"max_pool{_axes}d_with_indices"))(_max_pooling(_axes))
    family(getattr(F, f"avg_pool{_axes}d"))(_average_pooling(_axes))
    family(getattr(F, f"adaptive_avg_pool{_axes}d"))(_adaptive(_axes))
    family(getattr(F, f"adaptive_max_pool{_axes}d"))(_adaptive(_axes))
    family(getattr(F, f"adaptive_max_pool{_axes}d_with_indices"))(_adaptive(_axes))
    family(getattr(F, f"lp_pool{_axes}d"))(_power_pooling(_axes))
    family(getattr(F, f"max_unpool{_axes}d"))(_unpooling(_axes))


@family(F.dropout, F.dropout1d, F.dropout2d, F.dropout3d)
@family(F.alpha_dropout, F.feature_alpha_dropout)
def _dropped(r: Random) -> Arguments:
    return (r.tensor(r.shape(3, 5)), r.choice(0.0, 0.5)), {"training": False}


@family(F.unfold)
def _columns(r: Random) -> Arguments:
    options = {name: one_or_each(r, 2, 1, 2) for name in ("stride", "dilation")}
    return (images(r, 2, r.number(1, 2)), r.many(2, 1, 3)), {**options, "padding": r.number(0, 2)}


@family(F.fold)
def _folded(r: Random) -> Arguments:
    size, kernel = r.many(2, 3, 6), r.many(2, 1, 3)
    options = {"stride": r.number(1, 2), "padding": r.number(0, 1), "dilation": r.choice(1, 2)}
    columns = F.unfold(torch.zeros(1, 2, *size), kernel, **options)
    return (r.tensor(columns.shape), size, kernel), options


@family(F.pixel_shuffle)
def _shuffled(r: Random) -> Arguments:
    factor = r.number(1, 3)
    return (r.tensor((*r.shape(0, 2, 2), 2 * factor**2, *r.many(2, 1, 4))), factor), {}


@family(F.pixel_unshuffle)
def _unshuffled(r: Random) -> Arguments:
    factor = r.number(1, 3)
    sizes = (factor * number for number in r.many(2, 1, 3))
    return (r.tensor((*r.shape(0, 2, 2), 2, *sizes)), factor), {}


@family(F.channel_shuffle, F.native_channel_shuffle)
def _channels_shuffled(r: Random) -> Arguments:
    groups = r.number(1, 3)
    return (r.tensor((r.number(1, 2), groups * r.number(1, 3), *r.many(2, 1, 4))), groups), {}


@family(F.interpolate)
def _resized(r: Random) -> Arguments:
    modes = {1: ("linear",), 2: ("bilinear", "bicubic"), 3: ("trilinear",)}
    axes_ = r.number(1, 3)
    mode = r.choice("nearest", "nearest-exact", "area", *modes[axes_])
    value = images(r, axes_, 2, 6)
    options: dict[str, Any] = {"mode": mode}
    if r.flag():
        options["size"] = r.many(axes_, 1, 9)
    else:
        options["scale_factor"] = r.choice(2, 0.5, 1.5, 3.0, 0.75)
        options["recompute_scale_factor"] = r.choice(None, True)
    if mode in modes[axes_]:
        options["align_corners"] = r.choice(None, False, True)
    if mode in modes[2]:
        options["antialias"] = r.flag()
    return (value,), options


@family(torch.grid_sampler_3d)
def _sampled_volume(r: Random) -> Arguments:
    value, grid = r.tensor((1, 2, *r.many(3, 2, 4))), 0.6 * r.tensor((1, *r.many(3, 1, 3), 3))
    return (value, grid, r.choice(0, 1), r.choice(0, 1, 2), r.flag()), {}


@family(torch.grid_sampler, torch.grid_sampler_2d)
def _sampled(r: Random) -> Arguments:
    return (*_grid(r), r.choice(0, 1), r.choice(0, 1, 2), r.flag()), {}


def _grid(r: Random) -> tuple[Tensor, Tensor]:
    batch = r.number(1, 2)
    value = r.tensor((batch, 2, *r.many(2, 2, 5)))
    return value, 0.6 * r.tensor((batch, *r.many(2, 1, 4), 2))


@family(F.grid_sample)
def _grid_sampled(r: Random) -> Arguments:
    options = {"mode": r.choice("bilinear", "nearest", "bicubic"), "align_corners": r.flag()}
    padding = r.choice("zeros", "border", "reflection")
    return _grid(r), {**options, "padding_mode": padding}


@family(F.affine_grid)
def _affine(r: Random) -> Arguments:
    batch = r.number(1, 2)
    sizes = (batch, 2, *r.many(2, 1, 5))
    return (r.tensor((batch, 2, 3)), sizes), {"align_corners": r.flag()}


@family(torch.matmul)
def _multiplied(r: Random) -> Arguments:
    rows, inner, columns = r.many(3, 1, 4)
    one, two = broadcast(r, 2)
    left = (inner,) if r.number(0, 3) == 0 else (*one[:2], rows, inner)
    right = (inner,) if r.number(0, 3) == 0 else (*two[:2], inner, columns)
    return (r.tensor(left), r.tensor(right)), {}


def product(left: str, right: str, added: str = "") -> Family:
    """Two operands, and one that is added, with a size for each letter."""

    def made(r: Random) -> Arguments:
        sizes = {letter: r.number(1, 4) for letter in "bnmk"}
        shapes = [[sizes[letter] for letter in term] for term in (left, right)]
        args = tuple(map(r.tensor, shapes))
        if not added:
            return args, {}
        own = [sizes[letter] if r.number(0, 3) else 1 for letter in added]
        options = {"alpha": r.choice(1, 0.5), "beta": r.choice(1, -2, 0)}
        return (r.tensor(own), *args), options

    return made


family(torch.mm)(product("nk", "km"))
family(torch.bmm)(product("bnk", "bkm"))
family(torch.mv)(product("nk", "k"))
family(torch.dot, torch.vdot)(product("k", "k"))
family(torch.inner)(product("nk", "mk"))
family(torch.addmm)(product("nk", "km", "nm"))
family(torch.baddbmm)(product("bnk", "bkm", "bnm"))
family(torch.addmv)(product("nk", "k", "n"))


@family(F.linear)
def _linear(r: Random) -> Arguments:
    inputs, outputs = r.many(2, 1, 5)
    bias = r.choice(None, r.tensor((outputs,)))
    return (r.tensor((*r.shape(0, 3, 3), inputs)), r.tensor((outputs, inputs)), bias), {}


@family(F.scaled_dot_product_attention)
def _attention(r: Random) -> Arguments:
    head = r.many(2, 1, 2)
    queries, keys, width = r.many(3, 1, 4)
    options: dict[str, Any] = {"is_causal": r.flag(), "scale": r.choice(None, 0.3)}
    if not options["is_causal"] and r.flag():
        options["attn_mask"] = r.tensor((queries, keys))
    shapes = ((*head, queries, width), (*head, keys, width), (*head, keys, r.number(1, 4)))
    return tuple(map(r.tensor, shapes)), options


EQUATIONS = (
    "ij,jk->ik", "bij,bjk->bik", "bhqd,bhkd->bhqk", "bhqk,bhkd->bqhd", "ij,ij->", "ij->ji",
    "ii->i", "ii", "i,j->ij", "bij,kj->bik", "...ij,...jk->...ik", "abc,cd,be->ade", "ijk->j",
    "bn,anm,bm->ba", "abcd->dbca",
)  # fmt: skip


@family(torch.einsum)
def _einsum(r: Random) -> Arguments:
    equation = r.choice(*EQUATIONS)
    letters = {letter: r.number(1, 4) for letter in "abcdehijkmnq"}
    extra = r.shape(0, 2, 3)
    shapes = [
        (*(extra if "..." in term else ()), *(letters[c] for c in term if c.isalpha()))
        for term in equation.split("->")[0].split(",")
    ]
    return (equation, *map(r.tensor, shapes)), {}


def weights(r: Random, shape: Sequence[int]) -> tuple[Tensor, Tensor] | tuple[None, None]:
    """Scale and shift, or none."""
    return r.choice((None, None), (r.tensor(shape), r.tensor(shape)))


@family(F.layer_norm, F.rms_norm)
def _layer_norm(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    own = shape[r.number(0, len(shape) - 1) :]
    return (r.tensor(shape), own, r.choice(None, r.tensor(own))), {}


@family(F.group_norm)
def _group_norm(r: Random) -> Arguments:
    groups = r.number(1, 3)
    channels = groups * r.number(1, 3)
    shape = (r.number(1, 2), channels, *r.shape(0, 3, 4))
    return (r.tensor(shape), groups, *weights(r, (channels,))), {}


@family(F.instance_norm)
def _instance_norm(r: Random) -> Arguments:
    shape = (r.number(1, 2), r.number(1, 3), *r.many(r.number(1, 3), 2, 4))
    return (r.tensor(shape), None, None, *weights(r, shape[1:2])), {}


@family(F.batch_norm)
def _batch_norm(r: Random) -> Arguments:
    shape = (r.number(1, 3), r.number(1, 3), *r.shape(0, 3, 4))
    statistics = r.tensor(shape[1:2]), r.tensor(shape[1:2], "positive")
    return (r.tensor(shape), *statistics, *weights(r, shape[1:2])), {}


@family(F.local_response_norm)
def _response_norm(r: Random) -> Arguments:
    shape = (r.number(1, 2), r.number(1, 6), *r.shape(1, 3, 4))
    return (r.tensor(shape), r.number(1, 6)), {"alpha": r.choice(1e-4, 0.5), "k": r.choice(1.0, 2)}


# Sizes of the first axis that no state or weight has: where those grow with it, torch itself
# reads past their ends.
APART = (5, 7)
GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


def _cells(kind: str) -> Family:
    def made(r: Random) -> Arguments:
        batch, (inputs, width) = r.choice(*APART), r.many(2, 1, 4)
        rows = GATES[kind] * width
        state = r.tensor((batch, width))
        states = (state, r.tensor((batch, width))) if kind == "lstm" else state
        matrices = r.tensor((rows, inputs)), r.tensor((rows, width))
        return (r.tensor((batch, inputs)), states, *matrices, *weights(r, (rows,))), {}

    return made


def _layers(kind: str) -> Family:
    def made(r: Random) -> Arguments:
        steps, (batch, inputs, width) = r.choice(*APART), r.many(3, 1, 3)
        layers, both = r.number(1, 2), r.flag()
        directions = 1 + both
        flat: list[Tensor] = []
        for layer in range(layers):
            size = width * directions if layer else inputs
            for _ in range(directions):
                rows = GATES[kind] * width
                flat += [r.tensor((rows, size)), r.tensor((rows, width))]
                flat += [r.tensor((rows,)), r.tensor((rows,))]
        state = r.tensor((layers * directions, batch, width))
        states = (state, r.tensor(state.shape)) if kind == "lstm" else state
        value = r.tensor((steps, batch, inputs))
        return (value, states, flat, True, layers, 0.0, False, both, False), {}

    return made


for _kind in GATES:
    family(getattr(torch, f"{_kind}_cell"))(_cells(_kind))
    family(getattr(torch, _kind))(_layers(_kind))


@family(torch.vander)
def _vandermonde(r: Random) -> Arguments:
    return (r.tensor((r.number(1, 4),), "unit"),), {"N": r.choice(None, 3), "increasing": r.flag()}


@family(torch.outer, torch.ger)
def _outer(r: Random) -> Arguments:
    return (r.tensor((r.number(1, 4),)), r.tensor((r.number(1, 4),))), {}


@calls("torchvision.roi_align", torchvision.ops.roi_align)
def _regions(r: Random) -> Arguments:
    count = r.number(1, 3)
    corners = r.tensor((count, 2), "positive")
    boxes = torch.cat([torch.zeros(count, 1), corners, corners + 2], 1)
    return (r.tensor((1, 2, 6, 7)), boxes, r.many(2, 1, 3)), {
        "spatial_scale": r.choice(1.0, 0.5),
        "sampling_ratio": r.number(1, 2),
        "aligned": r.flag(),
    }


@calls("torchvision.deform_conv2d", torchvision.ops.deform_conv2d)
def _deformed(r: Random) -> Arguments:
    height, width = r.many(2, 3, 5)
    kernel = r.many(2, 1, 2)
    size = (height - kernel[0] + 1, width - kernel[1] + 1)
    offset = r.tensor((1, 2 * kernel[0] * kernel[1], *size))
    return (r.tensor((1, 2, height, width)), offset, r.tensor((2, 2, *kernel))), {}
