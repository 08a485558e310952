"""Target: the layers and limits of a program that reads Caffe nets, as a value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from caffe2fx.errors import CaffeError
from caffe2fx.files import foreign_text
from caffe2fx.files.text_rewrites import INPUT_FIELDS, Respelling
from caffe2fx.layers.layer import BVLC, Layer
from caffe2fx.layers.registry import records, registered
from caffe2fx.messages.message import Shape
from caffe2fx.net.step import Step
from fx2caffe.targets.command import Command
from fx2caffe.targets.limit import EVERY, Limit
from fx2caffe.targets.proto import Messages, messages
from fx2caffe.targets.vocabulary import OF_TAG_1_0

Merge = Callable[[Step, Step], bool]  # takes a layer and its only reader


@dataclass(frozen=True)
class Target:
    """Describes a program that reads the exported files: its layers and its limits on each.

    `types` are the layer types, with the meaning that they have in one of its `dialects`;
    `without` the fields of a type that it does not know, `limits` its rules by layer type
    (EVERY: for all), and `text_rewrites` its own forms of fields that Caffe writes otherwise.
    `judges` names the engines that verify its nets, and `placeholder` the layer type that replaces
    refused operations, if the user asks for that. A target with a `batch` runs nets of that batch
    only, one with `outputs` nets of at most so many outputs. With `outputs_by_layer` it returns
    results by layer name, the last layer's where none is given: each output is then the only top of
    the layer of its name. Where it is not Caffe alone that runs the nets (`in_caffe` False), TanH
    errs near 0 by a digit of 1, and a constant made of a map by the factor 0 is NaN for infinite
    elements: layers that depend on either are avoided. One that `drops_batch` has values without
    their axis 0, which is 1 wherever a layer reads the axes. `wrong_merges` take a layer and its
    only reader, and return whether the program merges the two into one layer that computes other
    values. `commands` are those by which programs take the files.
    """

    name: str
    types: frozenset[str]
    dialects: frozenset[str] = frozenset({BVLC})
    limits: Mapping[str, tuple[Limit, ...]] = field(default_factory=dict)
    without: Mapping[str, frozenset[str]] = field(default_factory=dict)
    text_rewrites: tuple[Respelling, ...] = ()
    judges: tuple[str, ...] = ("pycaffe",)
    placeholder: str = "Python"
    batch: int | None = None
    outputs: int | None = None
    outputs_by_layer: bool = False
    in_caffe: bool = True
    drops_batch: bool = False
    wrong_merges: tuple[Merge, ...] = ()
    about: str = ""
    commands: tuple[Command, ...] = ()

    def why_unsupported(self, layer: Layer, bottoms: Sequence[Shape], tops: int = 1) -> str | None:
        """Return why the target cannot run this layer, None if it can."""
        if not self.has(layer):
            return f"needs layer {layer.type}, which target {self.name!r} does not have"
        missing = self._missing_field(layer)
        if missing is not None:
            return f"needs {missing} of {layer.type}, which target {self.name!r} does not have"
        limits = (*self.limits.get(EVERY, ()), *self.limits.get(layer.type, ()))
        if not limits:
            return None
        shapes = _top_shapes(layer, bottoms, tops)
        faults = (limit.fault(layer, bottoms, shapes) for limit in limits)
        fault = next((fault for fault in faults if fault is not None), None)
        return fault and f"as {layer.type} {fault} in target {self.name!r}"

    def has(self, layer: Layer) -> bool:
        """Return whether the target has layers of this type, with this meaning."""
        return layer.type in self.types and not self.dialects.isdisjoint(layer.dialects)

    def merges_wrongly(self, first: Step, second: Step) -> bool:
        """Return whether the target would merge a layer with its only reader into a wrong layer."""
        return any(merge(first, second) for merge in self.wrong_merges)

    def _missing_field(self, layer: Layer) -> str | None:
        """Return the first field that is not at its default and that the target does not know."""
        unknown = self.without.get(layer.type, frozenset())
        for item in fields(layer):  # type: ignore[arg-type]
            value = getattr(layer, item.name)
            if item.name in unknown and value != item.default:
                return f"{item.name}: {getattr(value, 'name', value)}"
        if BVLC not in layer.dialects:
            return None
        found = next(layer.beyond_bvlc(), None)  # fields that only some forks have
        return found and f"{found[0]}: {getattr(found[1], 'name', found[1])}"

    def derived(
        self,
        name: str,
        *,
        add: Iterable[str] = (),
        remove: Iterable[str] = (),
        limits: Mapping[str, Limit | Sequence[Limit]] | None = None,
        without: Mapping[str, Iterable[str]] | None = None,
        **changes: object,
    ) -> Target:
        """Return a target like this one with layers added and removed, and further limits.

        `changes` are other fields of Target: dialects, judges, placeholder, batch ...
        """
        types = (self.types | frozenset(add)) - frozenset(remove)
        merged = {type_: self.limits.get(type_, ()) + _many(new) for type_, new in _items(limits)}
        unknown = {
            type_: self.without.get(type_, frozenset()) | frozenset(new)
            for type_, new in (without or {}).items()
        }
        return replace(
            self,
            name=name,
            types=types,
            limits={**self.limits, **merged},
            without={**self.without, **unknown},
            **changes,  # type: ignore[arg-type]
        )

    @classmethod
    def from_layer_list(cls, names: Iterable[str], name: str = "mine") -> Target:
        """Return the target of a Caffe, given its `caffe.layer_type_list()`.

        A Caffe without Clip is taken to be older than Pooling's round_mode, which is older than
        Clip. Raises CaffeError for names that are not a Caffe's.
        """
        types = frozenset(names)
        if not types & {"Convolution", "InnerProduct"}:
            raise CaffeError(f"needs the layer types of a Caffe, got {sorted(types)[:5]}")
        old = {} if "Clip" in types else {"Pooling": frozenset({"round_mode"})}
        types, dialects = _clear(types)
        about = "by the layer list of a Caffe"
        return cls(name, types, dialects, without=old, about=about)

    @classmethod
    def from_proto(cls, path: str | Path, name: str = "mine") -> Target:
        """Return the target of a Caffe, given its caffe.proto: layer parameters and their fields.

        A schema does not list layers without parameters: those of 2017 are assumed. Raises
        CaffeError for a file without LayerParameter.
        """
        known = messages(foreign_text.utf8(path))
        if "type" not in known.get("LayerParameter", {}):
            raise CaffeError(f"{path} needs to describe LayerParameter with a type, got none")
        found = {layer.type for layer in records() if _is_described(layer, known)}
        text_rewrites: tuple[Respelling, ...] = ()
        if "Input" not in found and "input_shape" in known.get("NetParameter", {}):
            found, text_rewrites = {*found, "Input"}, (INPUT_FIELDS,)
        types, dialects = _clear(found)
        without = {
            layer.type: frozenset(set(dict(layer.wires())) - set(_described(layer, known)))
            for layer in records()
            if layer.type in types - {"Input"} and layer.parameter is not None
            if dialects.intersection(layer.dialects)
        }
        missing = {type_: names for type_, names in without.items() if names}
        about = f"by {Path(path).name}"
        return cls(name, types, dialects, {}, missing, text_rewrites, about=about)


def _clear(types: Iterable[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the types whose meaning is clear, and the dialects that they belong to.

    A type that is not Caffe's own and that forks use in several ways is left out; only a derived
    target can state which is meant.
    """
    kept, dialects = set(), {BVLC}
    for type_ in types:
        meanings = registered().get(type_, ())
        if not any(BVLC in meaning.dialects for meaning in meanings):
            if len(meanings) > 1:
                continue
            dialects.update(name for meaning in meanings for name in meaning.dialects)
        kept.add(type_)
    return frozenset(kept), frozenset(dialects)


def _top_shapes(layer: Layer, bottoms: Sequence[Shape], tops: int) -> Sequence[Shape]:
    try:
        return layer.top_shapes(bottoms, tops)
    except CaffeError:
        return ()  # the emitter reports the error when the layer is added


def _items(
    limits: Mapping[str, Limit | Sequence[Limit]] | None,
) -> Iterable[tuple[str, Limit | Sequence[Limit]]]:
    return (limits or {}).items()


def _many(limits: Limit | Sequence[Limit]) -> tuple[Limit, ...]:
    return (limits,) if isinstance(limits, Limit) else tuple(limits)


def _described(layer: type[Layer], known: Messages) -> Mapping[str, str]:
    """Return the fields that the schema gives a layer's parameters."""
    of_layer = known["LayerParameter"]
    named = [of_layer[name] for name in layer.parameter_names() if name in of_layer]
    return known.get(named[0].rpartition(".")[2], {}) if named else {}


def _is_described(layer: type[Layer], known: Messages) -> bool:
    names = set(layer.parameter_names())
    if BVLC not in layer.dialects:
        # A fork's layer that borrows the parameters of one of Caffe's own does not show in them.
        own = (record for record in records() if BVLC in record.dialects)
        names -= {name for record in own for name in record.parameter_names()}
    elif not names:
        return layer.type in OF_TAG_1_0
    return not names.isdisjoint(known["LayerParameter"])
