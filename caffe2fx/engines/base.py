"""The interface of every engine: net files in, every layer's result out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from torch import Tensor

from caffe2fx.messages.message import Shape
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step

S = TypeVar("S", bound="Closing")


class Session(AbstractContextManager["Session"], Protocol):
    """Holds one net that is loaded into an engine."""

    net: Net
    published_coarsely: bool
    program: str  # the engine's name and version
    seconds: float | None  # of the step that `run` yielded last, where the engine measures it

    def reshape(self, shapes: Sequence[Shape]) -> None:
        """Change the shapes of the inputs, in their order."""

    def run(self, inputs: Sequence[Tensor]) -> Iterator[tuple[Step, tuple[Tensor, ...]]]:
        """Yield each step in order with its tops, as they are before anything overwrites them."""

    def feed(self, step: Step, bottoms: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the tops of one step for the given bottoms; `run` must be exhausted before."""

    def published(self) -> Mapping[str, Tensor]:
        """Return the outputs by name, as the program itself returns them to users of the files.

        They belong to the inputs of the last `run`, which was exhausted, with no `feed` since. With
        `published_coarsely` the program by default does not run layer by layer as `run` does, but
        merges layers and rounds more.
        """


class Closing:
    """Base of the sessions: leaving the `with` block closes them."""

    published_coarsely = False
    program = ""
    seconds: float | None = None

    def __enter__(self: S) -> S:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the resources of the session; by default there are none."""


class Engine(Protocol):
    """Describes a program that runs Caffe nets."""

    name: str

    def why_missing(self) -> str | None:
        """Return how to install this engine; None if it is installed."""

    def describe(self) -> str:
        """Return one line about the program that would run."""

    def open(self, prototxt: Path, caffemodel: Path, **options: Any) -> Session:
        """Load a net. Raises EngineError with the engine's own message.

        `options` are the dialect, batch and shapes of caffe2fx.load.
        """
