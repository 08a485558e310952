"""Layer types that a user defines, and Python layers: the user registers their functions."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, cast

import torch
from torch import Tensor, nn

from caffe2fx.errors import CaffeError
from caffe2fx.layers import registry
from caffe2fx.layers.free_text import FreeText
from caffe2fx.layers.layer import MANY, Evidence, Layer, RecordModule
from caffe2fx.messages.message import Message, Shape, field, sibling_message
from caffe2fx.messages.text_fields import parameters

Parameters = dict[str, Any]
Computed = Tensor | Sequence[Tensor]
Builder = Callable[[Parameters, Sequence[Shape], Sequence[Tensor]], Callable[..., Computed]]
Shapes = Callable[[Parameters, Sequence[Shape]], Sequence[Shape]]
R = TypeVar("R")
B = TypeVar("B", bound=Callable[..., Any])


@dataclass(frozen=True)
class UserLayerDefinition:
    """Holds a user's definition of a layer: its builder, and the shapes of blobs and tops.

    A file need not name the last `optional` tops.
    """

    builder: Builder
    blobs: Shapes | None = None
    tops: Shapes | None = None
    optional: int = 0

    def named(self, results: Sequence[R], tops: int) -> Sequence[R]:
        """Return those of the results, or of their shapes, for which the file has a top."""
        return results[:tops] if 0 <= len(results) - tops <= self.optional else results


@dataclass(frozen=True, kw_only=True)
class DefinedLayer(Layer):
    """Base of the layers that a UserLayerDefinition defines."""

    bottoms = (0, MANY)
    tops = (0, MANY)

    @property
    def definition(self) -> UserLayerDefinition:
        """Return the definition that the user registered for this layer."""
        raise NotImplementedError

    @property
    def parameters(self) -> Parameters:
        """Return the fields of the layer in the file, as a nested dict by their names."""
        raise NotImplementedError

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        shapes_of = self.definition.blobs
        return () if shapes_of is None else tuple(map(tuple, shapes_of(self.parameters, bottoms)))

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        shapes_of = self.definition.tops
        if shapes_of is None:
            return self._by_meta(bottoms, tops)
        shapes = tuple(map(tuple, self.definition.named(shapes_of(self.parameters, bottoms), tops)))
        if len(shapes) != tops:
            raise CaffeError(f"needs {tops} shape(s), one a top, got {len(shapes)}")
        return shapes

    def _by_meta(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        try:
            return super().top_shapes(bottoms, tops)
        except (RuntimeError, NotImplementedError, TypeError) as error:
            raise CaffeError(f"needs tops= of caffe2fx.register, got no shapes: {error}") from error

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        made = self._built([tuple(bottom.shape) for bottom in bottoms], blobs)(*bottoms)
        results = (made,) if isinstance(made, Tensor) else tuple(self.definition.named(made, tops))
        if len(results) != tops:
            raise CaffeError(f"needs {tops} result(s), one a top, got {len(results)}")
        return results

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        """Return the module that the user builds, or his function wrapped in a RecordModule."""
        made = self._built(bottoms, blobs)
        return made if isinstance(made, nn.Module) else RecordModule(self, blobs, tops)

    def _built(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor]) -> Callable[..., Computed]:
        made = self.definition.builder(self.parameters, bottoms, blobs)
        if not isinstance(made, nn.Module):
            return made
        own = list(made.parameters())
        if len(own) != len(blobs) or not all(map(_same, own, blobs)):
            raise CaffeError(
                f"needs a module whose parameters are its {len(blobs)} blob(s) in their order, "
                f"got one with parameters of shapes {[tuple(one.shape) for one in own]}"
            )
        return made


def _same(one: Tensor, two: Tensor) -> bool:
    return one.shape == two.shape and (two.is_meta or torch.equal(one, two))


@dataclass(frozen=True, kw_only=True)
class UserLayer(FreeText, DefinedLayer):
    """Represents a layer of a type that a user registered."""

    since = ""
    evidence = Evidence.DOCUMENT
    own: ClassVar[UserLayerDefinition]

    @property
    def definition(self) -> UserLayerDefinition:
        return self.own

    @property
    def parameters(self) -> Parameters:
        return parameters(self.text)

    def __reduce__(self) -> tuple[Any, ...]:
        return _revived, (self.type, self.text)


def _revived(type_: str, text: str) -> Layer:
    """Return the record of a pickled layer; its type has to be registered on loading, too."""
    if type_ not in _TYPES:
        raise CaffeError(f"layer type {type_!r} needs to be registered (caffe2fx.register)")
    return _TYPES[type_](text=text)


_TYPES: dict[str, type[UserLayer]] = {}
_PYTHON: dict[str, UserLayerDefinition] = {}


@dataclass(frozen=True, kw_only=True)
class PythonParameter(Message):
    """Holds the Python class that computes a layer in Caffe, and its param_str."""

    message = "PythonParameter"
    module: str = field(1, "string", absent="")
    layer: str = field(2, "string", absent="")
    param_str: str = field(3, "string", absent="")
    share_in_parallel: bool = field(4, "bool", False)


@registry.register
@dataclass(frozen=True, kw_only=True)
class Python(DefinedLayer):
    """Run a layer that a Python class computes in Caffe by its registered function."""

    type = "Python"
    message = ""

    python_param: PythonParameter = sibling_message(130, PythonParameter)

    @classmethod
    def unknown_kind(cls, proto: Any) -> str:
        return "" if proto.python_param.layer in _PYTHON else cls.name_of(proto)

    @staticmethod
    def name_of(proto: Any) -> str:
        """Return the name by which errors call the Python class of a layer."""
        return f"Python: {proto.python_param.module}.{proto.python_param.layer}"

    @property
    def definition(self) -> UserLayerDefinition:
        return _PYTHON[self.python_param.layer]

    @property
    def parameters(self) -> Parameters:
        names = (name for name, _ in PythonParameter.wires())
        return {"python_param": {name: getattr(self.python_param, name) for name in names}}


def register(
    type: str,
    *,
    layer: str = "",
    blobs: Shapes | None = None,
    tops: Shapes | None = None,
    optional: int = 0,
) -> Callable[[B], B]:
    """Register the function of a layer type of your own, or of a Python layer.

    The decorated builder takes the fields of the layer in the file, as a nested dict by their
    names, the shapes of the bottoms and the weight blobs. It returns a function (or an nn.Module
    whose parameters are the blobs) of the bottoms:

        @caffe2fx.register("Swish6", blobs=lambda parameters, bottoms: [bottoms[0][1:2]])
        def swish6(parameters, bottoms, blobs):
            limit = parameters["swish6_param"]["limit"]
            return lambda x: (x * torch.sigmoid(x * blobs[0][:, None, None])).clamp(max=limit)

    `blobs` returns the shapes of the weight blobs and defaults to none; `tops` those of the tops,
    and is needed only for functions that cannot run on torch's meta tensors. A file may leave out
    the last `optional` tops.

    A Python layer is named by its class: `register("Python", layer="MyLayer")`. In place of a
    builder a record can be decorated, a dataclass that inherits from caffe2fx.layers.layer.Layer.

    Raises CaffeError for a type that is registered already, as all of Caffe's own are.
    """

    def decorate(target: B) -> B:
        if isinstance(target, builtins.type) and issubclass(target, Layer):
            _check_record(type, target)
            registry.register(target)
        else:
            _define(type, layer, UserLayerDefinition(cast(Builder, target), blobs, tops, optional))
        return target

    _check_new(type, layer)
    return decorate


def _check_new(type_: str, layer: str) -> None:
    if type_ == Python.type:
        if not layer:
            raise CaffeError("a Python layer needs the name of its class: layer=...")
        if layer in _PYTHON:
            raise CaffeError(f"Python layer {layer!r} is registered already")
    elif layer:
        raise CaffeError(f"layer={layer!r} needs type 'Python', got {type_!r}")
    elif type_ in registry.registered():
        raise CaffeError(f"layer type {type_!r} is registered already")


def _check_record(type_: str, record: builtins.type[Layer]) -> None:
    if record.type != type_:
        raise CaffeError(f"{record.__name__} needs type {type_!r}, got {record.type!r}")


def _define(type_: str, layer: str, definition: UserLayerDefinition) -> None:
    if layer:
        _PYTHON[layer] = definition
        return
    record = builtins.type(type_, (UserLayer,), {"type": type_, "own": definition})
    _TYPES[type_] = record
    registry.register(record)


def unregister(type: str, *, layer: str = "") -> None:
    """Remove the function that `register` registered for a type, or for a Python layer."""
    if layer:
        del _PYTHON[layer]
        return
    _TYPES.pop(type, None)
    registry.forget(type)


def types() -> frozenset[str]:
    """Return the registered types, whose fields no schema has."""
    return frozenset(_TYPES)
