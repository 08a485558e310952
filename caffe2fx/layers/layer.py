"""The record of a Caffe layer type: parameters, shapes, weight blobs and meaning in one place."""

from __future__ import annotations

from collections.abc import Sequence, Set
from enum import Enum
from functools import cache
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from caffe2fx import compat
from caffe2fx.errors import CaffeError, CaffeFormatError, ShapeMismatchError
from caffe2fx.messages.common import Filler, ParamSpec
from caffe2fx.messages.message import Message, Shape

MANY = 1 << 30
BVLC = "bvlc"
TAG_1_0 = "1.0"
MASTER = "master"
Sharing = Literal["never", "always", "one bottom", "one top"]


class Evidence(Enum):
    """Selects how a record's shapes and meaning are known."""

    RUN = "run in a program that has the layer"
    SOURCE = "read in the fork's source, not run"
    DOCUMENT = "by a document, a schema or a user, not run"


class Layer(Message):
    """Base of all layer records.

    A subclass is a frozen dataclass whose fields are the fields of the layer's own message. It
    states `type` (Caffe's type name), `parameter` (name and number of its field in LayerParameter;
    None for a layer without parameters), how many bottoms and tops it takes, whether Caffe computes
    it correctly when its top is its bottom (`in_place`), and when its tops are its bottom's memory
    under another name (`shares_memory`). Without `in_files` the layer is in no file, only in the
    single-assignment form. A loss (`is_loss`) has a weight of 1 in the net's total, and its one top
    even where the file names none. Where the bottoms' elements decide how many rows the tops have
    (`has_dynamic_shape`), `top_shapes` returns the shapes that Caffe assumes before it runs.
    Of a layer without `has_meaning` the shapes alone are known, and `compute` raises.

    `dialects` are the Caffes in which `type` has this meaning; all forks have what "bvlc" has.
    `since` is the first version of BVLC's Caffe that has the layer (TAG_1_0 of 2017, or the MASTER
    branch of 2018 and later), and `evidence` is how its meaning is known. `aliases` are other names
    that forks give to the field `parameter`.
    """

    type: ClassVar[str] = ""
    parameter: ClassVar[tuple[str, int] | None] = None
    dialects: ClassVar[tuple[str, ...]] = (BVLC,)
    since: ClassVar[str] = TAG_1_0
    evidence: ClassVar[Evidence] = Evidence.RUN
    aliases: ClassVar[tuple[str, ...]] = ()
    bottoms: ClassVar[tuple[int, int]] = (1, 1)
    tops: ClassVar[tuple[int, int]] = (1, 1)
    in_place: ClassVar[bool] = False
    shares_memory: ClassVar[Sharing] = "never"
    in_files: ClassVar[bool] = True
    is_loss: ClassVar[bool] = False
    has_dynamic_shape: ClassVar[bool] = False
    has_meaning: ClassVar[bool] = True
    nan_needs: ClassVar[str] = ""  # of the elements, where Caffe may lose NaN or infinities

    @classmethod
    def read(cls, proto: Any) -> Layer:
        """Return the record that a LayerParameter message states."""
        found = [name for name in cls.parameter_names() if proto.HasField(name)]
        if len(found) > 1:
            raise CaffeFormatError(f"needs its parameters once, got {' and '.join(found)}")
        record = cls.parse(getattr(proto, found[0])) if found else cls._by_default()
        others = {
            name: wire.type.parse(getattr(proto, name)) for name, wire in cls.sibling_messages()
        }
        return record.replace(**others) if others else record

    @classmethod
    def _by_default(cls) -> Layer:
        """Return the record of a layer without a message of parameters."""
        if wanted := [name for name, wire in cls.wires() if wire.label == "required"]:
            message = cls.parameter_names()[0]
            raise CaffeFormatError(f"needs {message} with {' and '.join(wanted)}, got none")
        return cls()

    def write(self, proto: Any) -> None:
        """Write the fields that `read` reads into a LayerParameter message."""
        if self.parameter is not None:
            self.fill(getattr(proto, self.parameter[0]))
        for name, _ in self.sibling_messages():
            getattr(self, name).fill(getattr(proto, name))

    @classmethod
    def parameter_names(cls) -> tuple[str, ...]:
        """Return the fields of LayerParameter that may hold this layer's parameters."""
        return () if cls.parameter is None else (cls.parameter[0], *cls.aliases)

    @classmethod
    def unknown_kind(cls, proto: Any) -> str:
        """Return the name in errors of a layer without such a record; empty if it may have it."""
        return ""

    @classmethod
    def matches_fields(cls, names: Set[str]) -> bool:
        """Return whether a file that sets these fields can mean this record.

        Called only where a type has several meanings, and no dialect was given.
        """
        return True

    @classmethod
    def matches_bottoms(cls, count: int) -> bool:
        """Return whether a layer of so many bottoms means this record, whatever its fields are.

        Called where `matches_fields` is.
        """
        return False

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        """Return the tops, one tensor each, that Caffe's forward computes in the TEST phase."""
        raise NotImplementedError(f"{self.type} has no torch meaning")

    def compute_losing_nan(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        """Return the tops of a Caffe whose BLAS or sort loses NaN, which is no defined result.

        By default those of `compute`; `nan_needs` states the constraint where they are others.
        """
        return self.compute(bottoms, blobs, tops)

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        """Return the shapes of the tops; by default `compute` runs on meta tensors."""
        inputs = [torch.empty(shape, device="meta") for shape in bottoms]
        blobs = [torch.empty(shape, device="meta") for shape in self.blob_shapes(bottoms)]
        return tuple(tuple(top.shape) for top in self.compute(inputs, blobs, tops))

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        """Return the shapes of the weight blobs, in file order."""
        return ()

    def blob_fillers(self, count: int) -> tuple[Filler, ...]:
        """Return the fillers of `count` blobs; () where weight_filler and bias_filler decide."""
        return ()

    def shares(self, bottoms: int, tops: int) -> bool:
        """Return whether Caffe makes that many tops share the memory of that many bottoms.

        Without bottoms there is none to share, in a file that is refused for it later.
        """
        if not bottoms:
            return False
        return {
            "never": False,
            "always": True,
            "one bottom": bottoms == 1,
            "one top": tops == 1,
        }[self.shares_memory]

    def overwrites(self, bottoms: Sequence[Shape], tops: int) -> bool:
        """Return whether Caffe computes the layer correctly where its top is its bottom's blob.

        Besides the layers that exports run so (`in_place`), there are those that only files do.
        """
        return self.in_place

    def reads_before_writing(self, bottom: int) -> bool:
        """Return whether Caffe reads each element of a bottom before it writes it to the top.

        The bottom at that index may then be the memory that the layer overwrites, besides the one
        whose blob the top is.
        """
        return False

    @property
    def is_constant(self) -> bool:
        """Return whether the tops depend on nothing but the shapes of the bottoms."""
        return False

    @property
    def is_stateful(self) -> bool:
        """Return whether Caffe keeps state between forwards, which `compute` does not have."""
        return False

    def accumulation_length(self, bottoms: Sequence[Shape]) -> int:
        """Return how many terms are summed for one element of the result."""
        return 1

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        """Return a module that computes the same; torch.nn's own where one is exactly equal."""
        return RecordModule(self, blobs, tops)

    def blobs_of(self, module: nn.Module) -> tuple[Tensor, ...]:
        """Return the weight blobs that a module made by `module` now holds, in file order."""
        if isinstance(module, RecordModule):
            return module.blobs
        # By name: who replaces a parameter changes the order of parameters().
        named = (getattr(module, name, None) for name in ("weight", "bias"))
        return tuple(blob for blob in named if blob is not None)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        """Raise a CaffeError where Caffe would abort; the caller adds the layer's name."""
        _check_count("bottom", len(bottoms), self.bottoms)
        _check_count("top", tops, self.tops)

    def check_params(self, params: Sequence[ParamSpec]) -> None:
        """Raise a CaffeError where Caffe would abort over the learning rates in the file."""


def _check_count(name: str, got: int, limits: tuple[int, int]) -> None:
    low, high = limits
    if low <= got <= high:
        return
    wanted = str(low) if low == high else f"at least {low}" if high == MANY else f"{low} to {high}"
    raise ShapeMismatchError(f"needs {wanted} {name}(s), got {got}")


class RecordModule(nn.Module):
    """Runs a layer that has no equal in torch.nn: its record, and its blobs as parameters.

    The last `dynamic` arguments of forward are weight blobs that the net computes. `loss_weight`
    are the weights of the tops in the net's loss by the file; empty if it has none.
    """

    loss_weight: tuple[float, ...] = ()

    def __init__(
        self, layer: Layer, blobs: Sequence[Tensor], tops: int, *, dynamic: int = 0
    ) -> None:
        super().__init__()
        self.layer = layer
        self.tops = tops
        self.dynamic = dynamic
        self._count = len(blobs)
        for index, blob in enumerate(blobs):
            self.register_parameter(f"blob{index}", nn.Parameter(blob))

    @property
    def blobs(self) -> tuple[Tensor, ...]:
        """Return the weight blobs in file order."""
        return tuple(getattr(self, f"blob{index}") for index in range(self._count))

    def forward(self, *values: Tensor) -> Tensor | tuple[Tensor, ...]:
        count = len(values) - self.dynamic
        tops = self.layer.compute(values[:count], (*values[count:], *self.blobs), self.tops)
        return tops[0] if self.tops == 1 else tops

    def without_data(self, *values: Tensor) -> Tensor | tuple[Tensor, ...] | None:
        """Return meta tensors of the tops' shapes.

        None where the shapes depend on the data, or the bottoms do not fit the layer and its blobs.
        """
        if self.layer.has_dynamic_shape:
            return None
        count = len(values) - self.dynamic
        bottoms = [tuple(value.shape) for value in values[:count]]
        blobs = tuple(tuple(value.shape) for value in (*values[count:], *self.blobs))
        kinds = [value.dtype for value in values if value.is_floating_point()]
        dtype = kinds[0] if kinds else torch.get_default_dtype()
        try:
            self.layer.check(bottoms, self.tops)
            shapes = self.layer.top_shapes(bottoms, self.tops)
            if blobs != tuple(self.layer.blob_shapes(bottoms)):
                return None
        except CaffeError:
            return None  # with data there is another error, or none
        made = tuple(torch.empty(shape, dtype=dtype, device="meta") for shape in shapes)
        return made[0] if self.tops == 1 else made

    def extra_repr(self) -> str:
        return str(self.layer)


def axis_of(axis: int, rank: int, *, most: int | None = None) -> int:
    """Return the axis as Caffe's CanonicalAxisIndex does: negative axes count from the end."""
    limit = rank if most is None else most
    if not -rank <= axis < limit:
        raise ShapeMismatchError(f"needs an axis in [{-rank}, {limit}), got {axis}")
    return axis + rank if axis < 0 else axis


def of_four_axes(shape: Shape) -> Shape:
    """Return the shape padded to four axes with trailing 1s, as older layers assume."""
    return (*shape, *(1,) * (4 - len(shape)))


def torch_module(
    kind: type[nn.Module], blobs: Sequence[Tensor], *args: Any, **kwargs: Any
) -> nn.Module:
    """Return kind(*args, **kwargs) with blobs for parameters, in order, without a copy."""
    bare = _without_initial_values(kind)  # type: ignore[arg-type]
    module: nn.Module = bare(*args, **kwargs, device="meta")
    module.__class__ = kind
    for (name, _), blob in zip(list(module.named_parameters()), blobs, strict=True):
        module.register_parameter(name, nn.Parameter(blob))
    return module


@cache
def _without_initial_values(kind: type[nn.Module]) -> type[nn.Module]:
    """Return the kind without the drawing of initial values, which took most of a load."""
    return type(kind.__name__, (kind,), {"reset_parameters": lambda self: None})


def needs_one(name: str, got: int) -> None:
    """Raise ShapeMismatchError for a count of 0, which is also the value of an absent field."""
    if got < 1:
        raise ShapeMismatchError(f"needs {name} of 1 or more, got {got}")


def needs_indices(name: str, indices: Tensor, count: int) -> None:
    """Raise ShapeMismatchError for an index below 0 or from `count` on; meta tensors have none."""
    if indices.is_meta or compat.is_compiling():
        return
    wrong = indices[(indices < 0) | (indices >= count)]
    if len(wrong):
        raise ShapeMismatchError(f"needs {name} from 0 to {count - 1}, got {int(wrong[0])}")
