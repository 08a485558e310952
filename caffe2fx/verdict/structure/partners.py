"""Partners: which layer of a judged net is which layer of a reference net."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from itertools import accumulate

from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value, is_input

PASSING = frozenset({"Dropout", "Split"})  # their tops are their bottom
SAMPLE = 16  # elements of a weight blob by which equal ones are recognized

Pair = tuple[Step, Step]  # of the judged net and of the reference
Key = Callable[[Step], Hashable]
Rule = Callable[["Partners", Step], Step | None]


class Partners:
    """Pairs the layers of two nets, the surest pairs first.

    A layer keeps its partner whichever of its name, parameters, weights and bottoms is another.
    Names count unless the weights show that they moved on, as the numbers in an nn.Sequential do
    with one module more. `values` are the reference's values by the judged net's; at first the
    inputs, and those of all pairs in the end. `pairs` are in the judged net's order.
    """

    def __init__(self, judged: Net, reference: Net, values: dict[Value, Value]) -> None:
        self.values = values
        self.roots = roots_of(reference)
        self._found: dict[int, Step] = {}
        self._steps = [step for step in judged.steps if not is_input(step)]
        self._others = [step for step in reference.steps if not is_input(step)]
        self._open = {id(step): step for step in self._steps}
        self._left = {id(step): step for step in self._others}
        self._places = {id(step): place for place, step in enumerate(self._others)}
        self._readers: dict[tuple[Value, ...], list[Step]] = {}
        self._joins: dict[Value, list[Step]] = {}  # those with several reads, by each of them
        for step in self._others:
            reads = tuple(self.roots[value] for value in step.reads)
            self._readers.setdefault(reads, []).append(step)
            for root in set(reads) if len(reads) > 1 else ():
                self._joins.setdefault(root, []).append(step)
        self._open_keys = Counter(key for step in self._steps for key in _keys(step))
        self._left_keys = Counter(_record(step) for step in self._others)
        self._named = {step.name: step for step in reversed(self._others)}
        self._names_hold = True
        self._by_weights()
        while self._pass(_alike) or any(self._pass(rule, once=True) for rule in _WEAKER):
            pass
        self.pairs = tuple((s, self._found[id(s)]) for s in self._steps if id(s) in self._found)

    @property
    def added(self) -> tuple[Step, ...]:
        """Return the judged layers without a partner."""
        return tuple(self._open.values())

    @property
    def missing(self) -> tuple[Step, ...]:
        """Return the reference's layers without a partner."""
        return tuple(self._left.values())

    def root(self, value: Value) -> Value | None:
        """Return the reference's value for a judged one, as it is before layers that pass it on."""
        return self.roots[self.values[value]] if value in self.values else None

    def _by_weights(self) -> None:
        """Pair the layers whose weights nothing else has; those of other names in their order."""
        for key in (_named_record, _named_type):
            self._take(self._unique(key))
        for key in (_record, _type):
            moved = self._in_order(self._unique(key))
            names = {step.name for step in self._others}
            self._names_hold &= not any(mine.name in names for mine, _ in moved)
            self._take(moved)

    def _unique(self, key: Key) -> list[Pair]:
        """Return the pairs of layers with a key and weights that no other layer has."""
        sides = []
        for steps in (self._open, self._left):
            found: dict[Hashable, list[Step]] = {}
            for step in steps.values():
                if step.blobs:
                    found.setdefault((key(step), _content(step)), []).append(step)
            sides.append({one: steps[0] for one, steps in found.items() if len(steps) == 1})
        mine, theirs = sides
        return [(step, theirs[one]) for one, step in mine.items() if one in theirs]

    def _in_order(self, pairs: list[Pair]) -> list[Pair]:
        """Return the pairs that have the same pairs before and behind them on both sides.

        Weights that two layers exchanged are a fault, and no sign that their names moved on.
        """
        places = [self._places[id(partner)] for _, partner in pairs]
        least = list(accumulate(reversed(places), min))[::-1]
        before = [-1, *accumulate(places, max)]
        after = [*least[1:], len(self._others)]
        return [
            pair
            for pair, place, low, high in zip(pairs, places, before, after, strict=False)
            if low < place < high
        ]

    def _pass(self, rule: Rule, *, once: bool = False) -> bool:
        """Pair what a rule finds in one pass over the open layers; return whether it found one."""
        before = len(self._open)
        for step in list(self._open.values()):
            partner = rule(self, step)
            if partner is not None:
                self._take([(step, partner)])
                if once:
                    return True
            elif step.layer.type in PASSING and step.bottoms[0] in self.values:
                self.values.update(dict.fromkeys(step.tops, self.values[step.bottoms[0]]))
        return len(self._open) < before

    def _take(self, pairs: Iterable[Pair]) -> None:
        for mine, partner in pairs:
            self._found[id(mine)] = partner
            self.values.update(zip(mine.tops, partner.tops, strict=False))
            del self._open[id(mine)], self._left[id(partner)]
            self._open_keys.subtract(_keys(mine))
            self._left_keys[_record(partner)] -= 1

    def readers(self, step: Step) -> list[Step]:
        """Return the reference's layers left that read what the judged layer reads."""
        reads = tuple(self.root(value) for value in step.reads)
        found = self._readers.get(reads, ()) if None not in reads else ()  # type: ignore[arg-type]
        return [one for one in found if id(one) in self._left]

    def joins(self, step: Step) -> list[Step]:
        """Return the reference's layers left that read, among others, what the judged layer does.

        None where it reads one value: there all of it would be another.
        """
        roots = {self.root(value) for value in step.reads} if len(step.reads) > 1 else set()
        found = {id(one): one for root in roots if root for one in self._joins.get(root, ())}
        return [one for one in found.values() if id(one) in self._left]

    def of_name(self, step: Step) -> Step | None:
        """Return the reference's layer left of the same name, as long as names hold."""
        found = self._named.get(step.name)
        return found if self._names_hold and id(found) in self._left else None

    def is_reserved(self, partner: Step) -> bool:
        """Return whether an open layer has the name and the type of a reference's layer."""
        return self._names_hold and self._open_keys[_name_and_type(partner)] > 0

    def only(self, step: Step) -> Step | None:
        """Return the reference's layer left of the same parameters, if each side has one such."""
        key = _record(step)
        if not self._open_keys[key] == self._left_keys[key] == 1:
            return None
        return next(one for one in self._left.values() if _record(one) == key)


def _alike(nets: Partners, step: Step) -> Step | None:
    """Return a layer of the same parameters and bottoms, best of the same name."""
    found = [one for one in nets.readers(step) if _record(one) == _record(step)]
    named = (one for one in found if one.name == step.name)
    free = (one for one in found if not nets.is_reserved(one))
    return next(named, None) or next(free, None)


def _same_name_and_bottoms(nets: Partners, step: Step) -> Step | None:
    other = nets.of_name(step)
    same = other is not None and other.layer.type == step.layer.type
    return other if same and other in nets.readers(step) else None


def _same_name(nets: Partners, step: Step) -> Step | None:
    other = nets.of_name(step)
    if other is None or other.layer.type != step.layer.type:
        return None
    return None if step.layer.type in PASSING else other


def _some_same_bottoms(nets: Partners, step: Step) -> Step | None:
    """Return the only layer of the same parameters that shares a bottom, as a sum of branches."""
    found = [one for one in nets.joins(step) if _record(one) == _record(step)]
    return found[0] if len(found) == 1 and not nets.is_reserved(found[0]) else None


def _only_one(nets: Partners, step: Step) -> Step | None:
    return None if step.layer.type in PASSING else nets.only(step)


def _other_parameters(nets: Partners, step: Step) -> Step | None:
    found = (one for one in nets.readers(step) if one.layer.type == step.layer.type)
    return next((one for one in found if not nets.is_reserved(one)), None)


def _other_type(nets: Partners, step: Step) -> Step | None:
    """Return the layer in whose place another operation stands: of its name, else its bottoms."""
    named = nets.of_name(step)
    found = [named] if named is not None else nets.readers(step)
    if step.layer.type in PASSING:
        return None
    free = (one for one in found if one.layer.type not in PASSING)
    return next((one for one in free if not nets.is_reserved(one)), None)


_WEAKER: tuple[Rule, ...] = (
    _same_name_and_bottoms,
    _same_name,
    _some_same_bottoms,
    _only_one,
    _other_parameters,
    _other_type,
)


def roots_of(net: Net) -> dict[Value, Value]:
    """Return for each value the one that layers without an effect pass on as it."""
    roots: dict[Value, Value] = {}
    for step in net.steps:
        passing = step.layer.type in PASSING
        for top in step.tops:
            roots[top] = roots[step.bottoms[0]] if passing else top
    return roots


def shapes_of(step: Step) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of a layer's weight blobs."""
    return tuple(tuple(blob.shape) for blob in step.blobs)


def _content(step: Step) -> Hashable:
    """Return a few elements of each weight blob, spread over it."""
    return tuple(
        tuple(blob.reshape(-1)[:: max(1, blob.numel() // SAMPLE)].tolist()) for blob in step.blobs
    )


def _type(step: Step) -> Hashable:
    return step.layer.type, shapes_of(step)


def _record(step: Step) -> Hashable:
    return step.layer, shapes_of(step)


def _name_and_type(step: Step) -> Hashable:
    return step.name, step.layer.type


def _keys(step: Step) -> tuple[Hashable, Hashable]:
    return _record(step), _name_and_type(step)


def _named_type(step: Step) -> Hashable:
    return step.name, _type(step)


def _named_record(step: Step) -> Hashable:
    return step.name, _record(step)
