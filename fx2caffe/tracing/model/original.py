"""The user's module itself, run under the tracer and put back as it was."""

from __future__ import annotations

import copy
import functools
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from caffe2fx import compat
from caffe2fx.errors import message_of
from caffe2fx.origin import Origin
from fx2caffe.errors import Refusal, UnsupportedError
from fx2caffe.tracing.model.snapshot import Snapshot
from fx2caffe.tracing.values.aliasing import geometry, storage_key, version

ALONE = threading.RLock()  # a model is changed while it is traced: one trace at a time


QUANTIZED = (
    "is made by torch's quantization: export the float model, before prepare, convert or "
    "quantize_dynamic, or one whose FakeQuantize modules (unfused) do not observe any more"
)
_QUANTIZATION = (".nn.quantized.", ".quantized.modules", ".quantization.observer")


class _Held(NamedTuple):
    """Holds a tensor of the model's and the state of it that forward can change."""

    tensor: Tensor
    memory: Tensor
    version: int
    requires_grad: bool


class Reach:
    """Holds a model and all that it reaches, which each of its runs puts back as it is now.

    Raises UnsupportedError for modules that no run could be traced of.
    """

    def __init__(self, model: nn.Module | Callable[..., Any]) -> None:
        self.root, run = _runnable(model)
        self.run: Callable[..., Any] = self.root if run is None else run
        _refuse_untraceable(self.root)
        self.snapshot = Snapshot(self.root, run)


class Original:
    """Runs the user's model once; its memory moves elsewhere before its forward writes it.

    Hooks, closures and globals of a model name the model itself, so that a copy of it would behave
    otherwise.
    """

    def __init__(self, reach: Reach) -> None:
        self.root, self.run = reach.root, reach.run
        self._snapshot = reach.snapshot
        self.tensors = self._snapshot.tensors
        self._held = [_held(tensor) for tensor in self.tensors if storage_key(tensor)]
        self._memories = {storage_key(h.tensor): h.memory.untyped_storage() for h in self._held}
        self._aliases: dict[int | None, list[weakref.ref[Tensor]]] = {}
        self._lent: dict[int | None, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}
        self.written: set[int | None] = set()
        for held in self._held:
            self.note(held.tensor)

    @contextmanager
    def protected(self) -> Iterator[None]:
        """Put back all objects that the model reaches and its forward changes."""
        try:
            yield
        finally:
            self._snapshot.restore()
            for held in self._held:
                _put_back(held)

    def shares(self, tensor: Tensor) -> bool:
        """Return whether a write to the tensor would reach the user's memory."""
        return storage_key(tensor) in self._memories

    def note(self, tensor: Tensor) -> None:
        """Remember a tensor over the user's memory, to be moved with it."""
        key = storage_key(tensor)
        if key in self._memories:
            self._aliases.setdefault(key, []).append(weakref.ref(tensor))

    def rehome(self, tensor: Tensor) -> None:
        """Move everything over this memory of the user's to a private copy before a write to it."""
        self._move(storage_key(tensor))
        self._lent.pop(storage_key(tensor), None)

    def lend(self, tensor: Tensor) -> None:
        """Move memory to a private copy before it is given away (numpy, data_ptr)."""
        storage = self._memories.get(storage_key(tensor))
        if storage is not None:
            self._move(storage_key(tensor))
            self._lent[storage_key(tensor)] = storage, tensor.untyped_storage()

    def move_as(self, other: Original) -> None:
        """Move the memory that another run of this model has moved."""
        for key in other.written:
            self._move(key)

    def written_unseen(self) -> list[str]:
        """Return the names of the tensors whose memory was given away and then written."""
        lent = self._lent.items()
        changed = {key for key, pair in lent if not torch.equal(*map(bytes_of, pair))}
        named = {name for name, tensor in self.names().values() if storage_key(tensor) in changed}
        return sorted(named) or ["a tensor that it reaches"] * bool(changed)

    def _move(self, key: int | None) -> None:
        storage = self._memories.pop(key, None)
        if storage is None:
            return
        self.written.add(key)
        private = storage.clone()  # type: ignore[no-untyped-call]
        for ref in self._aliases.pop(key, []):
            held = ref()
            if held is not None and storage_key(held) == key:
                held.data = _over(private, held)

    def names(self) -> dict[int, tuple[str, Tensor]]:
        """Return name and tensor of each parameter and buffer by id; the first of tied ones."""
        found: dict[int, tuple[str, Tensor]] = {}
        for name, tensor in (
            *self.root.named_parameters(remove_duplicate=False),
            *self.root.named_buffers(remove_duplicate=False),
        ):
            found.setdefault(id(tensor), (name, tensor))
        return found


def _held(tensor: Tensor) -> _Held:
    return _Held(tensor, tensor.detach(), version(tensor), tensor.requires_grad)


def _put_back(held: _Held) -> None:
    tensor, memory, count, requires_grad = held
    moved = storage_key(tensor) != storage_key(memory) or geometry(tensor) != geometry(memory)
    with torch.no_grad():
        if moved:
            tensor.data = memory
        if tensor.is_leaf and tensor.requires_grad != requires_grad:
            tensor.requires_grad_(requires_grad)
    if version(tensor) != count:
        compat.set_version(tensor, count)


def private_copy(module: nn.Module) -> nn.Module:
    """Return a copy of a module that shares the memory of its parameters.

    Raises UnsupportedError for a module that can not be copied.
    """
    memo: dict[int, Any] = {}
    for parameter in module.parameters():
        memo[id(parameter)] = twin = parameter_over(parameter)
        vars(twin).update(vars(parameter))
    try:
        with torch.no_grad():
            return copy.deepcopy(module, memo)
    except Exception as error:
        reason = f"can not be copied ({message_of(error)})"
        raise UnsupportedError([Refusal(type(module).__name__, reason, Origin())]) from error


def parameter_over(held: Tensor) -> nn.Parameter:
    """Return a parameter over the memory of another; one made in inference mode has no gradient."""
    if held.is_inference():  # before 2.5 torch gives no .data of these under a mode
        return nn.Parameter(held.detach(), requires_grad=False)
    return nn.Parameter(held.data, held.requires_grad)


def bytes_of(storage: torch.UntypedStorage) -> Tensor:
    """Return the bytes of a storage as a tensor over its memory."""
    return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)


def _over(storage: torch.UntypedStorage, like: Tensor) -> Tensor:
    empty = torch.empty(0, dtype=like.dtype, device=like.device)
    return empty.set_(storage, like.storage_offset(), like.shape, like.stride())


def _runnable(
    model: nn.Module | Callable[..., Any],
) -> tuple[nn.Module, Callable[..., Any] | None]:
    """Return the module that owns all parameters, and the function to run if it is not forward."""
    if isinstance(model, nn.Module):
        return getattr(model, "_orig_mod", model), None
    root = nn.Module()
    owner = getattr(model, "__self__", None)
    if isinstance(owner, nn.Module):
        return owner, model
    for name, module in _modules_of(model).items():
        root.add_module(name, module)
    return root, model


def _modules_of(function: Any) -> dict[str, nn.Module]:
    """Return the modules that a function reaches by its closure, globals or bound arguments."""
    if isinstance(function, functools.partial):
        bound = {f"argument_{i}": a for i, a in enumerate(function.args)} | function.keywords
        return _only_modules(bound) | _modules_of(function.func)
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    if code is None:
        return {}
    cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
    held = {name: cell.cell_contents for name, cell in cells.items() if _filled(cell)}
    space = function.__globals__
    names = {name: space[name] for name in code.co_names if name in space}
    return _only_modules(names | held)


def _filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _only_modules(values: dict[str, Any]) -> dict[str, nn.Module]:
    return {name: value for name, value in values.items() if isinstance(value, nn.Module)}


def _refuse_untraceable(root: nn.Module) -> None:
    refusals = [
        Refusal(type(module).__name__, "is compiled: pass the unscripted module", Origin(path))
        for path, module in root.named_modules()
        if isinstance(module, torch.jit.ScriptModule)
    ]
    refusals += [
        Refusal(type(module).__name__, QUANTIZED, Origin(path)) for path, module in _quantized(root)
    ]
    refusals += [
        Refusal(name, "has no shape yet: run the model once", Origin(name.rpartition(".")[0]))
        for name, tensor in (*root.named_parameters(), *root.named_buffers())
        if nn.parameter.is_lazy(tensor)
    ]
    if refusals:
        raise UnsupportedError(refusals)


def _quantized(root: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Return the modules of torch's quantization, without those inside them or inside FakeQuantize.

    A FakeQuantize that no longer observes is a function of its input, unless it is fused.
    """
    inside: tuple[str, ...] = ()
    for path, module in root.named_modules():
        kind = type(module).__module__
        fake = kind.endswith(".quantization.fake_quantize")
        quantized = any(word in kind for word in _QUANTIZATION)
        if (quantized or (fake and _observes(module))) and not path.startswith(inside):
            yield path, module
        if quantized or fake:
            inside = (*inside, f"{path}." if path else "")


def _observes(module: nn.Module) -> bool:
    """Return whether a FakeQuantize updates its observer; a fused one always writes its state."""
    if isinstance(module, torch.ao.quantization.FusedMovingAvgObsFakeQuantize):
        return True
    switch = module.observer_enabled
    return isinstance(switch, Tensor) and bool(switch.any())
