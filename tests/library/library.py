"""A library of the sweep: the names of its models, how one is built, and random inputs."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from caffe2fx.verdict.reference.calibrate import calibrate

Built = tuple[nn.Module, tuple[Tensor, ...]]


@dataclass(frozen=True)
class Library:
    """Holds names of a library's models; `build` gives the model of a name, with its inputs."""

    names: tuple[str, ...]
    build: Callable[[str], Built]

    def __getattr__(self, name: str) -> Callable[[], Built]:
        """Return the factory of a model, with weights that keep its signal alive."""
        if name not in self.names:
            raise AttributeError(name)

        def factory() -> Built:
            torch.manual_seed(0)
            model, inputs = self.build(name)
            return calibrate(model.eval(), inputs), inputs

        return factory


def package(name: str) -> Any:
    """Import a library, which only the environment of the sweep has."""
    return importlib.import_module(name)


def images(*shape: int) -> tuple[Tensor, ...]:
    """Return one normal random tensor of that shape behind a batch of one."""
    return (torch.randn(1, *shape),)


def tokens(count: int = 7, below: int = 99) -> tuple[Tensor, ...]:
    """Return the identifiers of one text, none of them one of the first, which are special."""
    return (torch.randint(5, below, (1, count)),)


def words(text: str) -> tuple[str, ...]:
    """Return the names in a text."""
    return tuple(text.split())
