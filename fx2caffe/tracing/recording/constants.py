"""The constants of a traced graph: parameters under their own names, all else by value."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from fx2caffe.tracing.model.original import Original, parameter_over
from fx2caffe.tracing.values.aliasing import Geometry, geometry, storage_key

MemoryKey = tuple[int | None, Geometry]


@dataclass
class Captured:
    """Holds one constant as it was when it was first used."""

    ref: weakref.ref[Tensor]
    value: Tensor
    node: Node


class Constants:
    """Gives each constant tensor its get_attr node; keeps the values for the GraphModule.

    Parameters share memory with the user's model, so they are never copied. Everything else
    is copied at its first use and compared at every later one: forward may change it between.
    """

    def __init__(self, original: Original, emit: Callable[[str, Tensor], Node]) -> None:
        self.attributes: dict[str, Any] = {}
        self._original, self._emit = original, emit
        self._names = original.names()
        self._own = dict(self._names.values())
        self._count = 0
        self._name_by_memory: dict[MemoryKey, str] = {}
        for name, tensor in self._names.values():
            if isinstance(tensor, nn.Parameter) and original.shares(tensor):
                self._name_by_memory.setdefault((storage_key(tensor), geometry(tensor)), name)
        self._nodes: dict[str, Node] = {}
        self._captured: dict[int, list[Captured]] = {}

    def node(self, tensor: Tensor) -> Node:
        """Return the get_attr node of a constant's present values."""
        if self._original.shares(tensor):
            name = self._name_by_memory.get((storage_key(tensor), geometry(tensor)))
            if name is not None:
                return self._named(name)
        for captured in self._captured.get(id(tensor), []):
            if captured.ref() is tensor and _same(captured.value, tensor):
                return captured.node
        return self._capture(tensor)

    def _named(self, name: str) -> Node:
        if name not in self._nodes:
            # A parameter of its own: the model's one moves to other memory if forward writes it.
            held = self._own[name]
            self.attributes[name] = parameter_over(held)
            self._nodes[name] = self._emit(name, held)
        return self._nodes[name]

    def _capture(self, tensor: Tensor) -> Node:
        value = tensor.detach().clone()
        own, held = self._names.get(id(tensor), ("", None))
        name = own if held is tensor and own not in self.attributes else self.fresh()
        self.attributes[name] = value
        node = self._emit(name, value)
        self._captured.setdefault(id(tensor), []).append(Captured(weakref.ref(tensor), value, node))
        return node

    def fresh(self) -> str:
        """Return a name that neither the model nor another constant has."""
        while (name := f"_constant{self._count}") in self._own or name in self.attributes:
            self._count += 1
        return name


def _same(value: Tensor, tensor: Tensor) -> bool:
    if value.shape != tensor.shape or value.dtype != tensor.dtype:
        return False
    return bool(torch.equal(value, tensor.detach()))
