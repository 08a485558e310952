"""All Python state and all tensors that a model reaches, to be put back after its forward ran."""

from __future__ import annotations

import dis
import functools
import operator
import sys
import types
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, MutableSequence
from enum import Enum
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Undo = Callable[[], None]
Contents = tuple[dict[Any, Any], tuple[Any, ...], tuple[Any, ...]]  # with its keys and its values
_MISSING = object()
_ATOMS = (
    str, bytes, int, float, complex, bool, type(None), torch.dtype, torch.device, torch.Size,
    np.generic, np.dtype, Enum, types.CodeType, types.BuiltinFunctionType,
)  # fmt: skip
_PLAIN_ATOMS = frozenset({str, int, float, bool, type(None)})  # nearly all, found at one look
# Packages whose functions and objects keep nothing of a model that its modules do not hold. An
# assert in a test's forward names pytest's, which reach every test of the session.
_FOREIGN = {"torch", "numpy", "functorch", "caffe2fx", "fx2caffe", "_pytest", "pluggy"}
_FOREIGN |= sys.stdlib_module_names
_FOREIGN -= {"__main__"}


class Snapshot:
    """Holds all that the roots reach: attributes, containers, closures, globals and tensors.

    Objects of torch, of NumPy and of Python's own library are not entered, but for modules,
    tensors, arrays, containers and functools.partial. `restore` puts back which objects
    everything holds, not the elements of the tensors: those have their own protection.
    """

    def __init__(self, *roots: Any) -> None:
        self.tensors: list[Tensor] = []
        self._undo: list[Undo] = []
        self._contents: list[Contents] = []
        self._empty: list[dict[Any, Any]] = []  # most: a module has a dict for each kind of hook
        self._seen: dict[int, Any] = {}
        self._visits: dict[type, Callable[[Snapshot, Any], None]] = {}
        self._bindings: set[tuple[int, str]] = set()
        self._pending = list(roots)
        while self._pending:
            self._visit(self._pending.pop())

    def restore(self) -> None:
        """Restore the contents that everything had when the snapshot was made."""
        for value in self._empty:
            if dict.__len__(value):
                _plain(value).clear(value)
        for contents in self._contents:
            _put_back_items(*contents)
        for undo in self._undo:
            undo()

    def _visit(self, value: Any) -> None:
        if _is_atom(value) or id(value) in self._seen:
            return
        self._seen[id(value)] = value  # held, so that no other object gets its address
        kind = type(value)
        if kind not in self._visits or value.__class__ is not kind:
            self._visits[kind] = _visit_of(value)
        self._visits[kind](self, value)

    def _later(self, values: Iterable[Any]) -> None:
        self._pending.extend(value for value in values if not _is_atom(value))

    def _tensor(self, value: Tensor) -> None:
        self.tensors.append(value)
        self._mapping(vars(value))

    def _module(self, value: nn.Module) -> None:
        self._mapping(vars(value))
        self._undo.append(functools.partial(_put_back_class, value, type(value)))
        self._later([type(value)])

    def _object(self, value: Any) -> None:
        if _is_foreign(type(value)):
            return
        if isinstance(getattr(value, "__dict__", None), dict):
            self._mapping(vars(value))
        for name, slot in _slots(type(value)).items():
            put = functools.partial(_set_slot, slot)
            self._binding(value, name, _in_slot(slot, value), put)
        self._later([type(value)])

    def _mapping(self, value: dict[Any, Any]) -> None:
        keys, items = _items(value)
        if keys:
            self._contents.append((value, keys, items))
            self._later(keys)
            self._later(items)
        else:
            self._empty.append(value)
        if type(value) is not dict and hasattr(value, "__dict__"):
            self._mapping(vars(value))

    def _list(self, value: list[Any] | deque[Any]) -> None:
        self._undo.append(functools.partial(_put_back_list, value, list(value)))
        self._later(value)

    def _set(self, value: set[Any]) -> None:
        self._undo.append(functools.partial(_put_back_set, value, set(value)))
        self._later(value)

    def _array(self, value: np.ndarray[Any, Any]) -> None:
        if value.dtype == object:
            self._later(value.ravel().tolist())
        else:
            self._undo.append(functools.partial(_put_back_array, value, value.copy()))

    def _partial(self, value: functools.partial[Any]) -> None:
        self._later([value.func, *value.args])
        self._mapping(value.keywords)
        self._mapping(vars(value))

    def _method(self, value: types.MethodType) -> None:
        self._later([value.__func__, value.__self__])

    def _function(self, value: types.FunctionType) -> None:
        if _is_foreign(value):
            return
        for cell in value.__closure__ or ():
            self._binding(cell, "cell_contents", _contents(cell), _set_attribute)
        self._mapping(vars(value))
        self._mapping(value.__kwdefaults__ or {})
        self._later(value.__defaults__ or ())
        for name in _names(value.__code__):
            self._global(value.__globals__, name, value.__code__)

    def _global(self, space: dict[str, Any], name: str, code: types.CodeType) -> None:
        held = space.get(name, _MISSING)
        if isinstance(held, types.ModuleType):
            self._attributes_of(held, code)
        elif _is_followed(held, code) or name in _stored(code):
            self._binding(space, name, held, _set_item)

    def _attributes_of(self, module: types.ModuleType, code: types.CodeType) -> None:
        space = vars(module)
        if not _is_foreign_name(module.__name__):
            for name in _names(code) & space.keys():
                if _is_followed(space[name], code):
                    self._binding(space, name, space[name], _set_item)

    def _class(self, value: type) -> None:
        if _is_foreign(value):
            return
        for name, held in list(vars(value).items()):
            if not (name.startswith("__") and name.endswith("__")) or callable(held):
                self._binding(value, name, held, _set_attribute)
        self._later(value.__bases__)

    def _descriptor(self, value: Any) -> None:
        inner = ("__func__", "fget", "fset", "fdel", "func", "__wrapped__")
        self._later(getattr(value, name, None) for name in inner)

    def _reference(self, value: weakref.ref[Any]) -> None:
        self._later([value()])

    def _binding(
        self, owner: Any, name: str, held: Any, put: Callable[[Any, str, Any], None]
    ) -> None:
        if (id(owner), name) not in self._bindings:
            self._seen[id(owner)] = self._seen.get(id(owner), owner)
            self._bindings.add((id(owner), name))
            self._undo.append(functools.partial(put, owner, name, held))
            self._later([held])


def _is_atom(value: Any) -> bool:
    return type(value) in _PLAIN_ATOMS or isinstance(value, _ATOMS)


def _is_foreign(value: Any) -> bool:
    return _is_foreign_name(str(getattr(value, "__module__", "")))


def _is_foreign_name(module: str) -> bool:
    return module.partition(".")[0] in _FOREIGN


@functools.cache
def _names(code: types.CodeType) -> frozenset[str]:
    """Return the globals and attributes that a function, or one nested in it, reads by name."""
    inner = (_names(c) for c in code.co_consts if isinstance(c, types.CodeType))
    return frozenset(code.co_names).union(*inner)


@functools.cache
def _stored(code: types.CodeType) -> frozenset[str]:
    """Return the globals that a function, or one nested in it, assigns."""
    inner = (_stored(c) for c in code.co_consts if isinstance(c, types.CodeType))
    own = (i.argval for i in dis.get_instructions(code) if i.opname == "STORE_GLOBAL")
    return frozenset(own).union(*inner)


def _is_followed(held: Any, code: types.CodeType) -> bool:
    """Return whether a function's global may hold state; those of installed packages do not."""
    if held is _MISSING or isinstance(held, _ATOMS):
        return False
    installed = "site-packages" in code.co_filename or "dist-packages" in code.co_filename
    return not (installed and isinstance(held, type | types.FunctionType))


def _contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _MISSING


def _slots(kind: type) -> dict[str, types.MemberDescriptorType]:
    """Give the slots of a class and of its bases, by the class that declares them and their name.

    A property of the slot's name in a subclass hides it and may not be assigned; the slot may.
    """
    return {
        f"{base.__qualname__}.{name}": slot
        for base in kind.__mro__
        if "__slots__" in vars(base)
        for name, slot in vars(base).items()
        if isinstance(slot, types.MemberDescriptorType)
    }


def _in_slot(slot: types.MemberDescriptorType, owner: Any) -> Any:
    try:
        return slot.__get__(owner)
    except AttributeError:
        return _MISSING


def _set_slot(slot: types.MemberDescriptorType, owner: Any, _: str, held: Any) -> None:
    now = _in_slot(slot, owner)
    if held is _MISSING and now is not _MISSING:
        slot.__delete__(owner)
    elif now is not held:
        slot.__set__(owner, held)


def _set_attribute(owner: Any, name: str, held: Any) -> None:
    if held is _MISSING:
        if getattr(owner, name, _MISSING) is not _MISSING:
            delattr(owner, name)
    elif _own(owner, name) is not held:
        setattr(owner, name, held)


def _own(owner: Any, name: str) -> Any:
    """Return an attribute as it is stored: a class's own entry, unbound, or a cell's contents."""
    if isinstance(owner, type):
        return vars(owner).get(name, _MISSING)
    return _contents(owner) if isinstance(owner, types.CellType) else getattr(owner, name, _MISSING)


def _set_item(space: dict[str, Any], name: str, held: Any) -> None:
    if held is _MISSING:
        space.pop(name, None)
    elif space.get(name, _MISSING) is not held:
        space[name] = held


def _put_back_class(module: nn.Module, kind: type) -> None:
    if type(module) is not kind:
        object.__setattr__(module, "__class__", kind)


def _items(value: dict[Any, Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return keys and values of a dict by dict's own methods: a subclass may override them."""
    if type(value) is dict:
        return tuple(value), tuple(value.values())
    keys = tuple(_plain(value).keys(value))
    return keys, tuple(dict.__getitem__(value, key) for key in keys)


def _plain(value: dict[Any, Any]) -> type[dict[Any, Any]]:
    return OrderedDict if isinstance(value, OrderedDict) else dict


def _put_back_items(value: dict[Any, Any], keys: tuple[Any, ...], items: tuple[Any, ...]) -> None:
    kept, held = _items(value)
    same_keys = _are_same(kept, keys)
    if same_keys and _are_same(held, items):
        return
    kind = _plain(value)
    for key in () if same_keys else kept:
        kind.__delitem__(value, key)
    for key, item in zip(keys, items, strict=True):
        kind.__setitem__(value, key, item)


def _are_same(now: tuple[Any, ...], before: tuple[Any, ...]) -> bool:
    """Return whether two tuples hold the same objects."""
    return len(now) == len(before) and all(map(operator.is_, now, before))


def _put_back_list(value: MutableSequence[Any], held: list[Any]) -> None:
    if len(value) != len(held) or any(a is not b for a, b in zip(value, held, strict=True)):
        value.clear()
        value.extend(held)


def _put_back_set(value: set[Any], held: set[Any]) -> None:
    if value != held:
        value.clear()
        value.update(held)


def _put_back_array(value: np.ndarray[Any, Any], held: np.ndarray[Any, Any]) -> None:
    if value.tobytes() != held.tobytes():
        value[...] = held


_VISITS: tuple[tuple[Any, Callable[[Snapshot, Any], None]], ...] = (
    (Tensor, Snapshot._tensor),
    (nn.Module, Snapshot._module),
    (dict, Snapshot._mapping),
    ((list, deque), Snapshot._list),
    (set, Snapshot._set),
    ((tuple, frozenset), Snapshot._later),
    (np.ndarray, Snapshot._array),
    (functools.partial, Snapshot._partial),
    (types.MethodType, Snapshot._method),
    (types.FunctionType, Snapshot._function),
    (type, Snapshot._class),
    ((staticmethod, classmethod, property, functools.cached_property), Snapshot._descriptor),
    (weakref.ref, Snapshot._reference),
)


def _visit_of(value: Any) -> Callable[[Snapshot, Any], None]:
    found = (visit for kind, visit in _VISITS if isinstance(value, kind))
    return next(found, Snapshot._object)
