"""Each outermost torch call on a traced value becomes nodes."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from caffe2fx.layers.shape_only import SHAPES_ONLY
from fx2caffe.ir.graph_functions import plain_index, setitem
from fx2caffe.tracing.functions.canonical import Call, canonical, written
from fx2caffe.tracing.functions.dropped_arguments import completed, drops
from fx2caffe.tracing.functions.overriding_classes import by_classes, overridden
from fx2caffe.tracing.functions.torch_names import (
    FILLS,
    IDENTITIES,
    LENDS,
    MOVES,
    NO_FORMS,
    READS,
    RESHAPED,
    SHAPE_ONLY,
    Function,
    asks_layout,
    is_metadata,
    name_of,
    only_checks,
    title_of,
)
from fx2caffe.tracing.model.original import Original
from fx2caffe.tracing.recording import reasons
from fx2caffe.tracing.recording.dispatch_guard import READS_DATA, DataShape, Guard
from fx2caffe.tracing.recording.graph_builder import GraphBuilder
from fx2caffe.tracing.recording.leaf_call import LeafCall
from fx2caffe.tracing.recording.leaf_functions import SEE_THROUGH, see_through
from fx2caffe.tracing.recording.metadata import Metadata
from fx2caffe.tracing.recording.refusal_log import RefusalLog
from fx2caffe.tracing.recording.selections import Selections
from fx2caffe.tracing.recording.size_use import SizeUse
from fx2caffe.tracing.recording.surroundings import calls_are_shown, refuse_surroundings
from fx2caffe.tracing.recording.written_values import WrittenValues
from fx2caffe.tracing.values.aliasing import UnseenWrite, is_basic, is_row_major
from fx2caffe.tracing.values.tensor_meta import TensorMeta, map_tensors, meta_of, tensors_in
from fx2caffe.tracing.values.value_modes import Values

Args = tuple[Any, ...]
Kwargs = dict[str, Any]


class Recorder(TorchFunctionMode):
    """Runs every torch function of the model, and records those that touch a traced value."""

    def __init__(
        self,
        builder: GraphBuilder,
        log: RefusalLog,
        guard: Guard,
        values: Values,
        original: Original,
        leaf_functions: frozenset[Function],
        sizes: SizeUse,
    ) -> None:
        super().__init__()
        self._sizes = sizes
        self._builder, self._table = builder, builder.table
        self._log, self._guard, self._values, self._original = log, guard, values, original
        self._written = WrittenValues(builder, guard)
        self._selections = Selections(builder, guard, log, values.readable, self._dispatch)
        self._metadata = Metadata(builder.table, guard, values, sizes)
        self._leaf_functions = leaf_functions
        self._see_through = SEE_THROUGH - leaf_functions

    def __torch_function__(
        self, func: Function, types: Any, args: Args = (), kwargs: Kwargs | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if overridden(types) and not self._guard.opaque:
            self._sizes.are_asked = True
            with self:  # the classes' own calls are recorded
                return by_classes(func, types, args, kwargs)
        kwargs = completed(func, kwargs)
        if self._guard.opaque:
            return func(*args, **kwargs)
        try:
            return self._dispatch(func, args, kwargs)
        except UnseenWrite as error:
            self._log.refuse(title_of(func), str(error))
        except Exception:  # the model may go on, in another way
            self._sizes.are_asked = True
            raise

    def _dispatch(self, func: Function, args: Args, kwargs: Kwargs) -> Any:
        owner, name = name_of(func)
        if self._selections.concern(func, name, args, kwargs):
            self._sizes.are_asked = True
            return self._selections.call(func, args, kwargs)
        if is_metadata(owner, name, args, kwargs):
            return self._metadata.of(func, args, kwargs)
        targets = written(func, args, kwargs)
        for target in targets:
            if self._original.shares(target):
                self._original.rehome(target)
        operands = tensors_in((args, kwargs))
        touched = any(self._table.owns(tensor) for tensor in (*operands, *targets))
        # A leaf module is a node even if it makes a constant: its caller asked for it by name.
        if not touched and not isinstance(func, LeafCall):
            return self._constant(func, args, kwargs)
        return self._record(func, owner, name, args, kwargs, operands, targets)

    def _constant(self, func: Function, args: Args, kwargs: Kwargs) -> Any:
        if args and isinstance(args[0], Tensor) and name_of(func).name in LENDS:
            self._original.lend(args[0])
        with self._guard.calling(traced=False):
            result = func(*args, **kwargs)
        for tensor in tensors_in(result):
            self._original.note(tensor)
        return result

    def _record(
        self,
        func: Function,
        owner: str,
        name: str,
        args: Args,
        kwargs: Kwargs,
        operands: list[Tensor],
        targets: list[Tensor],
    ) -> Any:
        refuse_surroundings(self._log, func, operands)
        self._sizes.are_asked |= calls_are_shown(self._guard)
        if func in self._leaf_functions or isinstance(func, LeafCall):
            return self._leaf(func, args, kwargs, operands)
        if func in self._see_through or drops(func, kwargs):
            with self:
                return see_through(func)(*args, **kwargs)
        if owner == "get" and name == "grad":
            return self._gradient(func, args)
        if name in READS or (owner == "get" and name in READS):
            return self._read(func, args, kwargs)
        if name in SHAPE_ONLY:
            return self._shape_only(func, args, kwargs)
        if owner == "set":
            return self._set_data(func, args)
        if name in ("tensor", "as_tensor", "asarray", "new_tensor"):
            return self._from_data(func, name, args, kwargs)
        if name in IDENTITIES:
            return self._identity(func, args, kwargs, operands)
        if name == "as_strided":
            return self._as_strided(func, args, kwargs)
        if targets or name in RESHAPED:
            return self._write(func, name, args, kwargs, operands, targets)
        return self._functional(func, args, kwargs, operands)

    # Calls that are no operation of a network

    def _read(self, func: Function, args: Args, kwargs: Kwargs) -> Any:
        """Refuse a read of data; with real values the run goes on and finds all refusals."""
        self._log.note(title_of(func), READS_DATA)
        return self._unrecorded(func, args, kwargs)

    def _unrecorded(self, func: Function, args: Args, kwargs: Kwargs) -> Any:
        """Run a refused call if values are real; its result is a constant for later calls."""
        if not self._values.readable:
            raise self._log.error()
        operands = filter(self._table.owns, tensors_in((args, kwargs)))
        self._builder.refused_operands += map(self._builder.node, operands)
        with self._guard.suspended():
            result = func(*args, **kwargs)
        for tensor in tensors_in(result):
            self._guard.known.add(tensor)
        return result

    def _gradient(self, func: Function, args: Args) -> None:
        """Return None, which `x.grad` is where nothing ran backward; refuse a tensor."""
        with self._guard.calling(None):
            if func(*args) is not None:
                self._log.refuse("grad", reasons.GRADIENTS)

    def _shape_only(self, func: Function, args: Args, kwargs: Kwargs) -> Any:
        """Run a call that reads no data, which the guard can not know."""
        self._sizes.are_asked = True
        with self._guard.calling(None):
            args, kwargs = map_tensors((args, kwargs), self._values.example)
            return func(*args, **kwargs)

    def _from_data(self, func: Function, name: str, args: Args, kwargs: Kwargs) -> Any:
        """Record torch.tensor(x) as a copy, and refuse torch.tensor([x, 1]), which reads x."""
        source = args[1] if name == "new_tensor" else args[0] if args else kwargs.get("data")
        if not isinstance(source, Tensor):
            if not any(self._table.owns(tensor) for tensor in tensors_in(source)):
                return self._shape_only(func, args, kwargs)
            self._log.refuse(title_of(func), READS_DATA + "; use torch.stack")
        if name in ("tensor", "new_tensor"):
            source = self._identity(Tensor.clone, (source,), {}, [source])
        dtype = kwargs.get("dtype") or source.dtype
        return self._functional(Tensor.to, (source, dtype), {}, [source])

    def _identity(self, func: Function, args: Args, kwargs: Kwargs, operands: list[Tensor]) -> Any:
        node = self._builder.node(operands[0])
        if name_of(func).name in MOVES and not self._values.readable:
            return args[0]  # fake values are on no device
        if asks_layout(func, args, kwargs) and not is_row_major(operands[0]):
            self._sizes.are_asked = True  # a part of one sample is dense, of more it is not
        result, _ = self._run(func, args, kwargs, operands)
        if isinstance(result, Tensor) and result is not operands[0]:
            self._table.bind(result, node)
        return result

    def _as_strided(self, func: Function, args: Args, kwargs: Kwargs) -> Any:
        source = args[0]
        self._sizes.are_asked = True
        self._builder.node(source)
        result, _ = self._run(func, args, kwargs, [source])
        self._table.derive(result, source)
        return result

    def _set_data(self, func: Function, args: Args) -> Any:
        """Run `x.data = y`, after which x is an alias of y."""
        target, source = args
        self._sizes.are_asked = True
        node = self._builder.node(source) if self._table.owns(source) else None
        if source.is_meta != target.is_meta:
            self._log.refuse("data", reasons.NEEDS_REAL)
        with self._guard.calling(traced=True):
            func(target, source)
        self._table.forget(target)
        if node is not None:
            self._table.bind(target, node)

    # Calls that are

    def _leaf(self, func: Function, args: Args, kwargs: Kwargs, operands: list[Tensor]) -> Any:
        """Record a call of a leaf as one node, without a look inside.

        Where values are fake it needs data all the same, unless it is a layer of Caffe's.
        """
        if isinstance(func, LeafCall) and func.is_unknown:
            self._log.refuse(func.type, SHAPES_ONLY)

        def run(*args: Any, **kwargs: Any) -> Any:
            if isinstance(func, LeafCall) and not self._values.readable:
                known = func.without_data(*args, **kwargs)
                if known is not None:
                    return known
            args, kwargs = map_tensors((args, kwargs), self._values.example)
            with self._guard.suspended():
                return map_tensors(func(*args, **kwargs), self._values.held)

        return self._plain(run, Call(func, args, kwargs), args, kwargs, operands)

    def _functional(
        self, func: Function, args: Args, kwargs: Kwargs, operands: list[Tensor]
    ) -> Any:
        call = canonical(func, args, kwargs)
        if call.target is operator.getitem:
            index = plain_index(call.args[1], self._table.owns)
            func, args, kwargs = operator.getitem, (call.args[0], index), {}
            call, operands = Call(func, args, {}), tensors_in(args)
        used = tensors_in((call.args, call.kwargs))
        if not any(self._table.owns(tensor) for tensor in used):
            self._sizes.are_asked = True
            return self._constant(call.target, call.args, call.kwargs)
        if call.target is Tensor.to and not self._values.readable:
            # Fake values are on no device that they could be moved from.
            func, args, kwargs = call
        if call.target is Tensor.to and call.args[0].dtype == call.args[1]:
            return self._identity(func, args, kwargs, operands)
        return self._plain(func, call, args, kwargs, operands)

    def _plain(
        self, func: Function, call: Call, args: Args, kwargs: Kwargs, operands: list[Tensor]
    ) -> Any:
        inputs = self._builder.create_arg((call.args, call.kwargs))
        try:
            result, changed = self._run(func, args, kwargs, operands)
        except DataShape:
            return self._unrecorded(func, args, kwargs)
        if changed:
            self._log.refuse(
                title_of(func), reasons.HIDDEN_WRITE.format(_named(changed[0], kwargs))
            )
        if not tensors_in(result):
            self._log.note(title_of(func), READS_DATA)
            return result
        if isinstance(result, Tensor) and any(result is tensor for tensor in operands):
            # A function may do so for this size alone; a layer does for all.
            self._sizes.are_asked |= not isinstance(call.target, LeafCall)
            return result
        result = map_tensors(result, self._constant_if_empty)
        self._builder.bind(result, self._builder.emit(call.target, inputs, meta_of(result)))
        return result

    def _constant_if_empty(self, tensor: Tensor) -> Tensor:
        """Make a tensor without elements a constant, since Caffe has no such blobs."""
        if tensor.numel():
            return tensor
        self._sizes.are_asked = True
        device = "cpu" if tensor.is_meta else tensor.device
        like = {"dtype": tensor.dtype, "device": device}
        empty: Tensor = self._constant(torch.zeros, (tensor.shape,), like)
        return empty

    def _run(
        self, func: Function, args: Args, kwargs: Kwargs, operands: list[Tensor]
    ) -> tuple[Any, list[Tensor]]:
        """Run a call and return its result and the arguments that it wrote."""
        with self._guard.calling(traced=True, checks=only_checks(func, args, kwargs)):
            given = [self._values.operand(t, self._table.owns(t)) for t in operands]
            substitutes = {id(t): g for t, g in zip(operands, given, strict=True) if t is not g}
            if substitutes:
                args, kwargs = map_tensors((args, kwargs), lambda t: substitutes.get(id(t), t))
            before = [self._guard.writes_to(tensor) for tensor in given]
            result = self._called(func, args, kwargs)
        if substitutes:
            own = {id(g): t for t, g in zip(operands, given, strict=True)}
            result = map_tensors(result, lambda t: own.get(id(t), t))
        after = zip(operands, given, before, strict=True)
        counted = self._guard.writes_to
        return result, [tensor for tensor, g, count in after if counted(g) != count]

    def _called(self, func: Function, args: Args, kwargs: Kwargs) -> Any:
        try:
            return func(*args, **kwargs)
        except (NotImplementedError, RuntimeError) as error:
            unreadable = isinstance(error, NotImplementedError) or "meta tensor" in str(error)
            if self._values.readable or not unreadable:
                raise
            self._log.refuse(title_of(func), reasons.NEEDS_REAL)

    # Writes

    def _write(
        self,
        func: Function,
        name: str,
        args: Args,
        kwargs: Kwargs,
        operands: list[Tensor],
        targets: list[Tensor],
    ) -> Any:
        for target in targets:
            if not self._table.owns(target):
                with self._guard.calling(None):
                    self._builder.adopt(target)
        call = canonical(func, args, kwargs)
        if name not in RESHAPED and not self._written.is_definite(name, call, targets):
            return self._write_part(func, call, args)
        if name in NO_FORMS or (name not in FILLS and call.target is func and name.endswith("_")):
            self._log.refuse(title_of(func), reasons.NO_FORM)
        inputs = self._builder.create_arg((call.args, call.kwargs))
        likes = [TensorMeta(tuple(t.shape), t.dtype) for t in targets]
        before = [] if name in RESHAPED else [self._builder.node(target) for target in targets]
        value = self._written.nodes_of(name, call, inputs, likes, targets)
        result, changed = self._run(func, args, kwargs, [*operands, *_missing(targets, operands)])
        if name in RESHAPED:
            targets = [args[0]]
        # A view shares its base's count of writes, so aliases of the targets count as well.
        extra = [t for t in changed if not any(self._table.same_memory(t, o) for o in targets)]
        if extra:
            self._log.refuse(title_of(func), reasons.HIDDEN_WRITE.format(_named(extra[0], kwargs)))
        after = value(targets)
        for target, node in zip(targets, after, strict=True):
            self._table.write(target, node)
        self._sizes.overwritten += zip(before, after, strict=False)
        return result

    def _write_part(self, func: Function, call: Call, args: Args) -> None:
        """Record `x[index] = value` of an x that overlaps itself as a write of the view."""
        index = plain_index(args[1], self._table.owns) if call.target is setitem else [[]]
        if not is_basic(index):
            self._log.refuse(title_of(func), reasons.OVERLAPS)
        part = self._dispatch(Tensor.__getitem__, (args[0], index), {})
        value = args[2]
        if not isinstance(value, Tensor):
            self._dispatch(Tensor.fill_, (part, value), {})
            return
        if value.dim() > part.dim():  # x[0] = a tensor with axes of size 1 in front
            shape = value.shape[value.dim() - part.dim() :]
            value = self._dispatch(Tensor.reshape, (value, shape), {})
        self._dispatch(Tensor.copy_, (part, value), {})


def _missing(tensors: list[Tensor], among: list[Tensor]) -> list[Tensor]:
    return [t for t in tensors if not any(t is other for other in among)]


def _named(tensor: Tensor, kwargs: Kwargs) -> str:
    names = (name for name, value in kwargs.items() if value is tensor)
    return next(names, "one of its arguments")
