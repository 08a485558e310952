"""Shorten layer and blob names, or restrict them to an alphabet, for other programs.

before: layer "features.denseblock4.denselayer16.conv1"     after: "features_denseblock4_1a2b3c4d"
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from caffe2fx.errors import CaffeError
from caffe2fx.net.net import Net
from caffe2fx.net.step import Dynamic, Step, Value
from fx2caffe.passes.pass_result import PassResult, renamed_values

DIGITS = 8  # length of the hash that distinguishes shortened names
PRINTABLE = [chr(code) for code in range(33, 127)]


def limit_names(net: Net, limit: int | None, alphabet: str | None) -> PassResult:
    """Rename layers and blobs to at most `limit` characters, all of `alphabet`.

    `alphabet` is a regular expression for one character, such as "[A-Za-z0-9_]". A name that fits
    is kept. In others, characters outside the alphabet are replaced; where the result is too long
    or taken, it ends in a hash of the whole name alone, so that it is the same in every export.

    Raises CaffeError for a limit below 16 and an alphabet of fewer than 2 characters.
    """
    if limit is None and alphabet is None:
        return PassResult(net)
    given = [name for step in net.steps for name in _names(step)]
    new = limited(given, limit, alphabet)
    steps = tuple(
        replace(
            step,
            name=new[step.name],
            bottoms=renamed_blobs(step.bottoms, new),
            tops=renamed_blobs(step.tops, new),
            params=tuple(spec.replace(name=new.get(spec.name, "")) for spec in step.params),
            dynamic=tuple(_renamed_weight(weight, new) for weight in step.dynamic),
        )
        for step in net.steps
    )
    name = limited([net.name], limit, alphabet)[net.name] if net.name else ""
    named = Net(steps, renamed_blobs(net.outputs, new), name)
    return PassResult(named, renamed_values(net, named))


def _names(step: Step) -> list[str]:
    """Return the names of the layer, its tops, its shared weights and its dynamic weights."""
    shared = [spec.name for spec in step.params if spec.name]
    helpers = [name for weight in step.dynamic for name in weight[1:]]
    return [step.name, *(top.blob for top in step.tops), *shared, *helpers]


def _renamed_weight(weight: Dynamic, new: dict[str, str]) -> Dynamic:
    value, *names = weight
    return Dynamic(renamed_blobs([value], new)[0], *(new[name] for name in names))


def renamed_blobs(values: Sequence[Value], new: dict[str, str]) -> tuple[Value, ...]:
    """Return the values with their blobs renamed."""
    return tuple(value._replace(blob=new[value.blob]) for value in values)


def with_blobs(step: Step, new: dict[str, str]) -> Step:
    """Return a step with the blobs renamed that it reads and writes."""
    return replace(
        step,
        bottoms=renamed_blobs(step.bottoms, new),
        tops=renamed_blobs(step.tops, new),
        dynamic=tuple(
            weight._replace(value=renamed_blobs([weight.value], new)[0]) for weight in step.dynamic
        ),
    )


def limited(names: Iterable[str], limit: int | None, alphabet: str | None) -> dict[str, str]:
    """Map each name to its replacement; different names get different ones."""
    rule = _Rule(limit, alphabet)
    order = list(dict.fromkeys(names))
    made = {name: name for name in order if rule.fits(name)}
    taken = set(made)
    for name in order:
        if name in made:
            continue
        candidates = (rule.candidate(name, attempt) for attempt in range(1000))
        made[name] = next(candidate for candidate in candidates if candidate not in taken)
        taken.add(made[name])
    return made


class _Rule:
    """Holds a limit of length and an alphabet for names."""

    def __init__(self, limit: int | None, alphabet: str | None) -> None:
        if limit is not None and limit < 2 * DIGITS:
            raise CaffeError(f"name_limit needs to be at least {2 * DIGITS}, got {limit}")
        self.limit, self.alphabet = limit, alphabet
        self.allowed = [char for char in PRINTABLE if self._takes(char)]
        if len(self.allowed) < 2:
            raise CaffeError(f"name_alphabet needs 2 characters or more, got {alphabet!r}")
        self.filler = next((char for char in "_-." if char in self.allowed), self.allowed[0])
        plain = [char for char in self.allowed if char.isdigit() or char.islower()]
        self.digits = plain if len(plain) >= 2 else self.allowed

    def _takes(self, char: str) -> bool:
        try:
            return self.alphabet is None or re.fullmatch(self.alphabet, char) is not None
        except re.error as error:
            raise CaffeError(
                f"name_alphabet needs a regular expression, got {self.alphabet!r}: {error}"
            ) from None

    def fits(self, name: str) -> bool:
        """Return whether a name is within the limit and the alphabet."""
        return (self.limit is None or len(name) <= self.limit) and all(map(self._takes, name))

    def candidate(self, name: str, attempt: int) -> str:
        """Return the name in the alphabet, with a hash if it is too long or attempt is not 0."""
        plain = "".join(char if self._takes(char) else self.filler for char in name)
        if not attempt and (self.limit is None or len(plain) <= self.limit):
            return plain
        room = len(plain) if self.limit is None else self.limit - DIGITS - 1
        return f"{plain[:room]}{self.filler}{self._mark(name, attempt)}"

    def _mark(self, name: str, attempt: int) -> str:
        remaining = int(hashlib.sha256(f"{attempt}:{name}".encode()).hexdigest(), 16)
        marks = []
        for _ in range(DIGITS):
            remaining, digit = divmod(remaining, len(self.digits))
            marks.append(self.digits[digit])
        return "".join(marks)
