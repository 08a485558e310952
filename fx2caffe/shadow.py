"""The private copy of the user's module that is run in its place."""

from __future__ import annotations

import copy
import functools
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)

from caffe2fx.origin import Origin
from fx2caffe.alias import storage_key
from fx2caffe.errors import Refusal, UnsupportedError
from fx2caffe.values import tensors_in


class Shadow:
    """A copy of a model whose parameters share the user's memory until one is written."""

    def __init__(self, model: nn.Module | Callable[..., Any]) -> None:
        self.root, self.run = _runnable(model)
        _refuse_uncopyable(self.root)
        memo: dict[int, Any] = {}
        parameters = _share(self.root, memo)
        self.root, self.run = _copy(self.root, self.run, memo)
        self._memories = {storage_key(p): p.untyped_storage() for p in parameters}
        self._aliases: dict[int | None, list[weakref.ref[Tensor]]] = {}
        for parameter in parameters:
            self.note(parameter)

    def shares(self, tensor: Tensor) -> bool:
        """Whether a write to the tensor would reach the user's memory."""
        return storage_key(tensor) in self._memories

    def note(self, tensor: Tensor) -> None:
        """Remember a tensor over the user's memory, to be moved with it."""
        key = storage_key(tensor)
        if key in self._memories:
            self._aliases.setdefault(key, []).append(weakref.ref(tensor))

    def rehome(self, tensor: Tensor) -> None:
        """Before a write: move everything over this memory of the user's to a private copy."""
        key = storage_key(tensor)
        storage = self._memories.pop(key, None)
        if storage is None:
            return
        private = storage.clone()  # type: ignore[no-untyped-call]
        for ref in self._aliases.pop(key, []):
            held = ref()
            if held is not None and storage_key(held) == key:
                held.data = _over(private, held)

    def tensors(self) -> list[Tensor]:
        """Every tensor that the copy's modules hold."""
        return [tensor for module in self.root.modules() for tensor in _held(module)]

    def names(self) -> dict[int, tuple[str, Tensor]]:
        """Dotted names of parameters and buffers by identity; the first of tied ones."""
        found: dict[int, tuple[str, Tensor]] = {}
        for name, tensor in (
            *self.root.named_parameters(remove_duplicate=False),
            *self.root.named_buffers(remove_duplicate=False),
        ):
            found.setdefault(id(tensor), (name, tensor))
        return found


def _over(storage: torch.UntypedStorage, like: Tensor) -> Tensor:
    empty = torch.empty(0, dtype=like.dtype, device=like.device)
    return empty.set_(storage, like.storage_offset(), like.shape, like.stride())


def _runnable(
    model: nn.Module | Callable[..., Any],
) -> tuple[nn.Module, Callable[..., Any] | None]:
    """The module that owns all parameters, and the function to run if it is not forward."""
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
    """The modules that a function reaches through its closure, globals or bound arguments."""
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


def _refuse_uncopyable(root: nn.Module) -> None:
    refusals = [
        Refusal(type(module).__name__, "is compiled: pass the unscripted module", Origin(path))
        for path, module in root.named_modules()
        if isinstance(module, torch.jit.ScriptModule)
    ]
    refusals += [
        Refusal(name, "has no shape yet: run the model once", Origin(name.rpartition(".")[0]))
        for name, tensor in (*root.named_parameters(), *root.named_buffers())
        if nn.parameter.is_lazy(tensor)
    ]
    if refusals:
        raise UnsupportedError(refusals)


def _share(root: nn.Module, memo: dict[int, Any]) -> list[nn.Parameter]:
    """Enter into a deepcopy memo what is not copied: parameters and non-leaf tensors."""
    parameters: list[nn.Parameter] = []
    for module in root.modules():
        for parameter in module._parameters.values():
            if parameter is not None and id(parameter) not in memo:
                memo[id(parameter)] = twin = _twin(parameter)
                parameters.append(twin)
        for tensor in _held(module):
            if not tensor.is_leaf and id(tensor) not in memo:
                memo[id(tensor)] = tensor.detach()
    return parameters


def _held(module: nn.Module) -> list[Tensor]:
    return tensors_in({k: v for k, v in vars(module).items() if k != "_modules"})


def _twin(parameter: nn.Parameter) -> nn.Parameter:
    twin = nn.Parameter(parameter.data, parameter.requires_grad)
    vars(twin).update(vars(parameter))
    return twin


def _copy(
    root: nn.Module, run: Callable[..., Any] | None, memo: dict[int, Any]
) -> tuple[nn.Module, Callable[..., Any] | None]:
    try:
        with torch.no_grad():
            twin: nn.Module = copy.deepcopy(root, memo)
    except Exception as error:
        reason = f"can not be copied ({type(error).__name__}: {error})"
        raise UnsupportedError([Refusal(type(root).__name__, reason, Origin())]) from error
    return twin, None if run is None else _rebound(run, memo)


def _rebound(function: Any, memo: dict[int, Any]) -> Any:
    """The function with the copied modules in place of the user's."""
    if isinstance(function, functools.partial):
        args = [memo.get(id(a), a) for a in function.args]
        keywords = {k: memo.get(id(v), v) for k, v in function.keywords.items()}
        return functools.partial(_rebound(function.func, memo), *args, **keywords)
    if isinstance(function, types.MethodType):
        return types.MethodType(
            _rebound(function.__func__, memo), memo.get(id(function.__self__), function.__self__)
        )
    if not isinstance(function, types.FunctionType):
        return function
    space = dict(function.__globals__)
    for name in _modules_of(function):
        space[name] = memo.get(id(space.get(name)), space.get(name))
    cells = tuple(_rebound_cell(cell, memo) for cell in function.__closure__ or ())
    made = types.FunctionType(
        function.__code__, space, function.__name__, function.__defaults__, cells
    )
    made.__kwdefaults__ = function.__kwdefaults__
    return made


def _rebound_cell(cell: types.CellType, memo: dict[int, Any]) -> types.CellType:
    held = cell.cell_contents if _filled(cell) else None
    return types.CellType(memo[id(held)]) if id(held) in memo else cell


class ModulePath:
    """The path of the module whose forward runs, kept by torch's global forward hooks.

    The hooks see every module call of the process; only calls of the tracing thread count,
    and a module of the copy that runs in another thread is reported to `elsewhere`. What each
    module of the copy returned is reported to `returned`.
    """

    def __init__(
        self,
        root: nn.Module,
        elsewhere: Callable[[str], None],
        returned: Callable[[str, Any], None],
    ) -> None:
        self._paths = {id(module): path for path, module in root.named_modules()}
        self._root = root
        self._thread = threading.get_ident()
        self._elsewhere = elsewhere
        self._returned = returned
        # Torch runs the global hooks first: what a module's own hooks change comes after them.
        self._hooked = [module for module in root.modules() if module._forward_hooks]
        self._stack: list[str] = []

    @property
    def current(self) -> str:
        return self._stack[-1] if self._stack else ""

    def _enter(self, module: nn.Module, _: Any) -> None:
        path = self._paths.get(id(module))
        if threading.get_ident() != self._thread:
            if path is not None:
                self._elsewhere(path)
        else:
            self._stack.append(self.current if path is None else path)

    def _leave(self, module: nn.Module, _: Any, result: Any) -> None:
        if threading.get_ident() == self._thread and self._stack:
            self._stack.pop()
            if not any(module is hooked for hooked in self._hooked):
                self._report(module, _, result)

    def _report(self, module: nn.Module, _: Any, result: Any) -> None:
        path = self._paths.get(id(module))
        if path is not None and threading.get_ident() == self._thread:
            self._returned(path, result)

    @contextmanager
    def follow(self) -> Iterator[None]:
        """Keep `current` while the model runs; the hooks are gone afterwards."""
        entered = register_module_forward_pre_hook(self._enter)
        left = register_module_forward_hook(self._leave, always_call=True)
        own = [module.register_forward_hook(self._report) for module in self._hooked]
        try:
            yield
        finally:
            for handle in (entered, left, *own):
                handle.remove()
