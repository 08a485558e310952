"""RefusalLog collects all that one run of the model refuses, each with the user's line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb
from typing import NoReturn

from torch.fx import Node

from caffe2fx.errors import CaffeError, ShapeMismatchError, message_of
from caffe2fx.origin import Origin
from fx2caffe.errors import Refusal, UnsupportedError
from fx2caffe.tracing.model.module_calls import ModulePath
from fx2caffe.tracing.recording.source_lines import origin_here, origin_of
from fx2caffe.tracing.values.aliasing import UnseenWrite

COMPILES = "runs inside forward (torch.compile, torch.cond): write the operations out"
SCRIPTED = "has no Python form (torch.jit.load, CompilationUnit): pass the plain Python form"


class RefusalLog:
    """Holds the refusals of one run of the model, in the order in which they were found.

    `path` knows which module runs when something is refused.
    """

    def __init__(self, path: ModulePath) -> None:
        self._path = path
        self._refusals: list[Refusal] = []

    def __bool__(self) -> bool:
        return bool(self._refusals)

    def origin(self) -> Origin:
        """Return the module that runs and the innermost line of the user's own code."""
        return origin_here(self._path.current)

    def note(self, op: str, reason: str) -> None:
        """Remember a refusal and go on."""
        refusal = Refusal(op, reason, self.origin())
        if refusal not in self._refusals:
            self._refusals.append(refusal)

    def note_thread(self, path: str) -> None:
        """Remember that the module at `path` ran in another thread."""
        self._refusals.append(Refusal(path, "runs in another thread", Origin(path)))

    def refuse(self, op: str, reason: str) -> NoReturn:
        """Raise UnsupportedError with all refusals so far, of which this is the last."""
        self.note(op, reason)
        raise self.error()

    def refuse_node(self, node: Node, reason: str) -> NoReturn:
        """Raise UnsupportedError with all refusals so far, of which this node's is the last."""
        name = getattr(node.target, "__name__", str(node.target))
        self._refusals.append(Refusal(name, reason, node.meta["origin"]))
        raise self.error()

    def error(self) -> UnsupportedError:
        """Return the error that lists all refusals so far."""
        return UnsupportedError(self._refusals)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Raise all refusals of the block even if the model caught the error or failed after it.

        An error of the model's own becomes a CaffeError with the user's line.
        """
        try:
            yield
        except UnsupportedError:
            raise self.error() from None
        except UnseenWrite as error:
            self.refuse("output", str(error))
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            compiled = _compiled(error)
            if compiled is not None:
                self._refusals.append(Refusal(*compiled, origin_of(error, self._path.current)))
            if self._refusals:
                raise self.error() from error
            if isinstance(error, CaffeError):
                raise
            raise _as_caffe_error(error, self._path.current) from error


_COMPILERS = {"torch._dynamo", "torch._dynamo.convert_frame"}


def _compiled(error: BaseException) -> tuple[str, str] | None:
    """Return which compiler of torch's raised an error and why it is refused; None if none did."""
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return "torch.compile", COMPILES
    if _COMPILERS & {frame.f_globals.get("__name__") for frame, _ in walk_tb(error.__traceback__)}:
        return "torch.compile", COMPILES  # before 2.4 its errors are of any class
    # Under export torch runs a script function's Python source, by this attribute.
    return ("torch.jit", SCRIPTED) if "_torchdynamo_inline" in message_of(error) else None


def _as_caffe_error(error: BaseException, module: str) -> CaffeError:
    """Wrap an error that forward itself raised into a CaffeError with the user's line."""
    shapes = isinstance(error, (RuntimeError, ValueError, TypeError, IndexError))
    kind = ShapeMismatchError if shapes else CaffeError
    origin = origin_of(error, module)
    where = f"; {origin}" if origin != Origin() else ""
    return kind(f"the model does not run on these inputs: {message_of(error)}{where}")
