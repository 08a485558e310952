"""The guard proves that no operation on a traced value escaped the tracer."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from caffe2fx import compat
from fx2caffe.errors import UnsupportedError
from fx2caffe.tracing.functions.torch_names import NO_FORMS
from fx2caffe.tracing.model.original import Original, bytes_of
from fx2caffe.tracing.recording.reasons import NO_FORM
from fx2caffe.tracing.values.aliasing import storage_key, version
from fx2caffe.tracing.values.tensor_meta import tensors_in

READS_DATA = "reads the data of a traced tensor: a Caffe net has one fixed graph"
DATA_SHAPE = "gives a shape that depends on the data: Caffe's shapes are fixed"
ESCAPES = (
    "runs where torch functions can not be recorded (torch.jit.script, vmap, "
    "DisableTorchFunction): pass the plain Python form"
)
HIDDEN = "writes a tensor of the model, which its name does not show"
UPDATES = "updates its running statistics: needs eval mode: call model.eval()"
RANDOM = "draws random numbers: needs eval mode: call model.eval()"


class DataShape(UnsupportedError):
    """Raised where the shape of a result depends on the data."""


@dataclass(frozen=True)
class Traits:
    """Holds the properties of one operator by torch's own schema and tags."""

    name: str
    users: bool  # an operator that neither torch nor torchvision has
    random: bool
    switches: tuple[tuple[int, str], ...]  # arguments that turn the randomness off
    reads: bool
    allocates: bool  # its result is memory that nobody has written
    data_shape: bool
    view: bool
    writes: tuple[tuple[int, str], ...]
    statistics: tuple[
        tuple[int, str], ...
    ]  # batch norm writes these, its schema does not state that


_ALLOCATE = frozenset({
    "empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided",
})  # fmt: skip
_LIBRARIES = ("aten", "prim", "prims", "mkldnn", "quantized", "torchvision")


@cache
def _traits(function: Any) -> Traits:
    schema, tags = function._schema, function.tags
    arguments = [(i, a.name) for i, a in enumerate(schema.arguments)]
    written = [
        (i, a.name)
        for i, a in enumerate(schema.arguments)
        if a.alias_info is not None and a.alias_info.is_write
    ]
    name = schema.name.removeprefix("aten::")
    return Traits(
        name=name,
        users=function.namespace not in _LIBRARIES,
        random=torch.Tag.nondeterministic_seeded in tags,
        switches=tuple(a for a in arguments if a[1] in ("dropout_p", "train", "training")),
        reads=torch.Tag.data_dependent_output in tags,
        allocates=name in _ALLOCATE,
        data_shape=torch.Tag.dynamic_output_shape in tags,
        view=bool(function.is_view),
        writes=tuple(written),
        statistics=() if "no_training" in schema.name else _named(arguments, "running_mean"),
    )


def _named(arguments: list[tuple[int, str]], name: str) -> tuple[tuple[int, str], ...]:
    return tuple(argument for argument in arguments if argument[1] == name)


class Known:
    """Holds the storages that the tracing thread has seen made, or that were there before.

    Anything else was made out of sight, in another thread, and may follow from traced values.
    To know all that was there before takes a walk over every Python object, longer than the
    trace of a small model; so it is left out until a run shows that it is needed.
    """

    def __init__(self, tensors: Iterable[Tensor], everything: bool) -> None:
        self._weak: dict[int, StorageWeakRef] = {}
        self._everything = everything
        self.doubtful = False
        with torch._C.DisableTorchFunctionSubclass():
            for tensor in _all_tensors() if everything else tensors:
                self.add(tensor)

    def add(self, tensor: Tensor) -> None:
        key = storage_key(tensor)
        if key is not None and key not in self._weak:
            self._weak[key] = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]

    def __contains__(self, tensor: Tensor) -> bool:
        """Return whether the storage is known, or NumPy's: one that torch did not allocate."""
        key = storage_key(tensor)
        if key is None or key in self._weak or not compat.is_resizable(tensor.untyped_storage()):
            return True
        self.doubtful = True
        return not self._everything


def _all_tensors() -> list[Tensor]:
    everything = gc.get_objects()
    kinds = {kind for kind in set(map(type, everything)) if issubclass(kind, Tensor)}
    return [item for item in everything if type(item) in kinds]


class Guard(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operator that the thread runs, below torch's functions.

    Outside a call that the tracer handles, an operator on traced memory has escaped: it is
    refused. Inside one, operators that read data or draw random numbers are refused.
    """

    def __init__(
        self,
        owns: Callable[[Tensor], bool],
        original: Original,
        refuse: Callable[[str, str], None],
        known: Known,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._owns, self._original, self._refuse = owns, original, refuse
        self.known = known
        self.opaque = False
        self._inside = self._constant = self._checks = False
        self._fresh: set[int] | None = None
        self._writes: dict[int | None, int] = {}  # of users' operators, by storage

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keep torch from importing torch._dynamo, which takes a second, where nothing has."""
        return False

    def suspend(self) -> None:
        """Check and record nothing until `resume`, as inside a leaf."""
        self.opaque = True

    def resume(self) -> None:
        """Check and record again."""
        self.opaque = False

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Check and record no operator within this block."""
        self.suspend()
        try:
            yield
        finally:
            self.resume()

    @contextmanager
    def calling(self, traced: bool | None, checks: bool = False) -> Iterator[None]:
        """Within this block, take operators as parts of one recorded call.

        `traced` is true for a call of traced values, false for one of constants, None for both.

        A tensor that a call of traced values makes inside counts as traced until it is over. One
        that `checks` its arguments may read them.
        """
        before = self._inside, self._constant, self._fresh, self._checks
        self._inside, self._constant, self._checks = True, traced is False, checks
        self._fresh = set() if traced else None
        try:
            yield
        finally:
            self._inside, self._constant, self._fresh, self._checks = before

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunction():
            return func(*args, **kwargs) if self.opaque else self._run(func, args, kwargs)

    def _run(self, func: Any, args: Any, kwargs: Any) -> Any:
        traits = _traits(func)
        tensors = tensors_in((args, kwargs))
        outside = self._constant or not (self._inside or traits.view)
        if outside and any(self._owns(tensor) for tensor in tensors):
            self._refuse(traits.name, NO_FORM if traits.name in NO_FORMS else ESCAPES)
        self._check(traits, args, kwargs, tensors)
        with self._watched(traits, args, kwargs, tensors) if traits.users else nullcontext():
            result = func(*args, **kwargs)
        if traits.allocates and not result.is_meta:
            result.zero_()  # uninitialized memory would make each export differ
        self._remember(tensors, result)
        return result

    @contextmanager
    def _watched(
        self, traits: Traits, args: Any, kwargs: Any, tensors: list[Tensor]
    ) -> Iterator[None]:
        """Count the writes of a user's operator, which torch does not count for one of a device.

        Where its schema does not state them, real values are compared.
        """
        for tensor in tensors:
            self._original.lend(tensor)
        written = [_argument(args, kwargs, *argument, None) for argument in traits.writes]
        before = [] if self._constant else [(t, _copied(t)) for t in tensors]
        yield
        changed = [t for t, held in before if held is not None and not torch.equal(held, _bytes(t))]
        for key in {storage_key(t) for t in (*tensors_in(written), *changed)}:
            self._writes[key] = self._writes.get(key, 0) + 1

    def writes_to(self, tensor: Tensor) -> int:
        """Return how often a tensor was written, by users' operators too."""
        return version(tensor) + self._writes.get(storage_key(tensor), 0)

    def _check(self, traits: Traits, args: Any, kwargs: Any, tensors: list[Tensor]) -> None:
        if traits.random and not _switched_off(traits, args, kwargs):
            self._refuse(traits.name, RANDOM)
        if traits.reads and not self._checks and self._depends(tensors):
            self._refuse(traits.name, READS_DATA)
        if traits.data_shape and self._depends(_deciding(traits, args, tensors)):
            self._refuse_shape(traits.name)
        for position, name in traits.statistics:
            updates = _argument(args, kwargs, position, name, None) is not None
            if updates and not _switched_off(traits, args, kwargs):
                self._refuse(traits.name, UPDATES)
        for position, name in traits.writes:
            target = _argument(args, kwargs, position, name, None)
            if isinstance(target, Tensor) and self._original.shares(target):
                self._refuse(traits.name, HIDDEN)

    def _refuse_shape(self, name: str) -> None:
        try:
            self._refuse(name, DATA_SHAPE)
        except UnsupportedError as error:
            raise DataShape(error.refusals) from None

    def _depends(self, tensors: Iterable[Tensor]) -> bool:
        fresh = self._fresh or ()
        return any(self._owns(t) or storage_key(t) in fresh for t in tensors)

    def _remember(self, tensors: list[Tensor], result: Any) -> None:
        """Count the results of operators on traced values as traced until the call is over."""
        made = tensors_in(result)
        for tensor in made:
            self.known.add(tensor)
        if self._fresh is not None and self._depends(tensors):
            self._fresh.update(key for t in made if (key := storage_key(t)) is not None)


def _switched_off(traits: Traits, args: Any, kwargs: Any) -> bool:
    """Return whether an argument turns the randomness off: dropout_p 0, training False."""
    return any(not _argument(args, kwargs, position, name, 0) for position, name in traits.switches)


def _bytes(tensor: Tensor) -> Tensor:
    return bytes_of(tensor.untyped_storage())


def _copied(tensor: Tensor) -> Tensor | None:
    """Return the bytes of a tensor's storage; None where it has none."""
    return None if tensor.is_meta or storage_key(tensor) is None else _bytes(tensor).clone()


def _argument(args: Any, kwargs: Any, position: int, name: str, default: Any) -> Any:
    return args[position] if position < len(args) else kwargs.get(name, default)


def _deciding(traits: Traits, args: Any, tensors: list[Tensor]) -> list[Tensor]:
    """Return the tensors whose data decide the shape: for indexing, the masks alone."""
    if traits.name not in ("index", "index_put", "index_put_", "_index_put_impl_"):
        return tensors
    indices = tensors_in(args[1]) if len(args) > 1 else []
    return [t for t in indices if t.dtype in (torch.bool, torch.uint8)]


class GuardOfCompiled(Guard):  # type: ignore[no-untyped-call]
    """Is a guard that torch._dynamo leaves alone, for models that use torch.compile."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return super().__torch_dispatch__(func, types, args, kwargs)


def guard_class() -> type[Guard]:
    """Return the guard for this process: whoever compiles has imported torch._dynamo."""
    return GuardOfCompiled if "torch._dynamo" in sys.modules else Guard
