"""Engine `pycaffe`: real Caffe, always in a child process, since a failed CHECK aborts it."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe2fx.engines.base import Closing
from caffe2fx.engines.child import VARIABLE, Child, Ended, Hung
from caffe2fx.engines.install.installer import installed
from caffe2fx.errors import EngineError
from caffe2fx.layers.shared_memory import SharedMemory
from caffe2fx.messages.message import Shape
from caffe2fx.module.loader import describe
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, is_input

WORKER = Path(__file__).with_name("worker.py")
HOW = (
    "run `caffe2fx engine install pycaffe` (Linux, no root needed), or point the environment "
    "variable CAFFE2FX_PYCAFFE at a Python that can `import caffe`"
)


def starter() -> tuple[tuple[str, ...], Mapping[str, str] | None] | None:
    """Return command and environment of a Python with caffe: named, in the cache, or this one."""
    named = os.environ.get("CAFFE2FX_PYCAFFE")
    if named:
        return (named,), None
    found = installed()
    if found is not None:
        return found.command, found.env
    return ((sys.executable,), None) if _imports_here() else None


def _imports_here() -> bool:
    command = [sys.executable, "-c", "import caffe; caffe.Net, caffe.layer_type_list"]
    try:
        return subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


class PycaffeEngine:
    """Runs nets in BVLC Caffe or a fork of it, through its Python interface."""

    name = "pycaffe"

    def why_missing(self) -> str | None:
        """Return how to install it, None if it is installed."""
        return None if starter() is not None else f"no pycaffe found: {HOW}"

    def describe(self) -> str:
        """Return version, number of layer types and the interpreter."""
        with Worker() as worker:
            hello = worker.hello
        return f"Caffe {hello['version']}, {len(hello['types'])} layer types ({worker.command[0]})"

    def open(self, prototxt: Path, caffemodel: Path, **options: Any) -> PycaffeSession:
        """Load the two files in a child of their own."""
        worker = Worker()
        try:
            net = describe(prototxt, None, **options)
            return PycaffeSession(worker, net, prototxt, caffemodel)
        except BaseException:
            worker.close()
            raise


class Worker(Closing):
    """Sends requests to the child process and reads its answers."""

    def __init__(self) -> None:
        found = starter()
        if found is None:
            raise EngineError(f"no pycaffe found: {HOW}")
        self.command, env = found
        self._fate = ""
        try:
            self._child = Child([*self.command, str(WORKER)], env)
        except OSError as error:
            raise EngineError(f"pycaffe: cannot start {self.command[0]}: {error}; {HOW}") from None
        self._process = self._child.process
        try:
            self.hello, _ = self.ask("hello")
            _need(self.hello, version=str, types=list)
        except EngineError:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Return whether the child is still running."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the child, and all processes that it started."""
        self._child.close()

    def ask(
        self, operation: str, arrays: Sequence[np.ndarray] = (), **request: Any
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        """Send one request, return its answer. Raises EngineError with Caffe's own message."""
        if self._fate:
            raise EngineError(self._fate)
        try:
            self._send({"op": operation, **request}, arrays)
            answer = _answer(self._child.receive())
            results = [self._array(kind) for kind in answer["arrays"]]
        except Ended as error:
            self._fate = self._last_words(error, operation)
            raise EngineError(self._fate) from None
        if "error" in answer:
            raise EngineError(f"pycaffe: {answer['error']}")
        return answer, results

    def _send(self, request: dict[str, Any], arrays: Sequence[np.ndarray]) -> None:
        request["arrays"] = [[array.dtype.str, list(array.shape)] for array in arrays]
        head = json.dumps(request).encode() + b"\n"
        bodies = (np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in arrays)
        self._child.send([head, *(body.data for body in bodies if body.size)])

    def _array(self, kind: Any) -> np.ndarray:
        """Return the next array of an answer, of the type and shape that its head states."""
        try:
            (name, shape), limit = kind, _MOST_VALUES
            dtype = np.dtype(str(name))
            if dtype.kind not in "fiub" or not all(0 <= int(size) <= limit for size in shape):
                raise ValueError(name, shape)
            if math.prod(shape) > limit:
                raise ValueError(name, shape)
            array = np.empty([int(size) for size in shape], dtype)
        except (TypeError, ValueError, MemoryError):
            raise Ended(f"answers with an array {kind!r}, which is none") from None
        self._child.fill(array.reshape(-1).view(np.uint8).data)
        return array

    def _last_words(self, fault: Ended, operation: str) -> str:
        code, lines = self._child.last_words()
        fatal = [line for line in lines if line.startswith("F") or "Check failed" in line]
        reason = "\n".join(fatal[:3] if fatal else lines[-15:])
        if str(fault) == "died":
            return f"pycaffe died (exit {code}): {reason}"
        longer = f"; {VARIABLE} (seconds) allows more" if isinstance(fault, Hung) else ""
        return f"pycaffe {fault} when asked to {operation}, and was ended{longer}: {reason}"


_MOST_VALUES = 2**31 - 1  # in a blob of Caffe's


def _answer(head: bytes) -> dict[str, Any]:
    """Return the head of an answer, with the list of its arrays."""
    try:
        answer = json.loads(head)
        if isinstance(answer, dict) and isinstance(answer["arrays"], list):
            return answer
    except (ValueError, KeyError, RecursionError):
        pass
    raise Ended(f"answers {head[:80]!r}, which is no answer")


def _need(answer: Mapping[str, Any], **kinds: type) -> None:
    """Raise EngineError for an answer without one of these entries, or of another type."""
    for name, kind in kinds.items():
        if not isinstance(answer.get(name), kind):
            got = str(answer.get(name))[:80]
            raise EngineError(f"pycaffe needs to answer with {name}, a {kind.__name__}, got {got}")


class PycaffeSession(Closing):
    """Holds one net in one child."""

    def __init__(self, worker: Worker, net: Net, prototxt: Path, caffemodel: Path) -> None:
        self._worker = worker
        self.program = f"Caffe {worker.hello['version']}"
        self.net = net
        self._files = str(prototxt), str(caffemodel)
        self._shapes: list[list[Any]] = []
        answer = self._load()
        self._layers: list[dict[str, Any]] = answer["layers"]
        self.outputs: list[str] = answer["outputs"]
        self._index = dict(zip(range(len(net.steps)), self._match(), strict=True))
        self._order = {id(step): index for index, step in enumerate(net.steps)}

    def _load(self) -> dict[str, Any]:
        prototxt, weights = self._files
        answer, _ = self._worker.ask("load", prototxt=prototxt, weights=weights, phase="TEST")
        _need(answer, layers=list, outputs=list)
        for layer in answer["layers"]:
            _need(layer, name=str, type=str, bottoms=list, tops=list)
        self._remembers = False
        return answer

    def _begin(self, steps: Sequence[Step]) -> None:
        """Load the net again if one of the steps would go on from an earlier forward."""
        if not any(step.layer.is_stateful for step in steps):
            return
        if self._remembers:
            self._load()
            self._worker.ask("reshape", shapes=self._shapes)
        self._remembers = True

    def _match(self) -> list[int]:
        """Return the index of each step among Caffe's layers, between which it inserts Splits."""
        found, at = [], 0
        for step in self.net.steps:
            if isinstance(step.layer, SharedMemory):
                found.append(at - 1)  # it is done with the layer before
                continue
            while self._layers[at]["name"] != step.name:
                at += 1
            found.append(at)
            at += 1
        return found

    def close(self) -> None:
        """End the child that runs the net."""
        self._worker.close()

    def reshape(self, shapes: Sequence[Shape]) -> None:
        """Change the shapes of the inputs, in their order."""
        names = [value.blob for value in self.net.inputs]
        self._shapes = [[name, list(shape)] for name, shape in zip(names, shapes, strict=True)]
        self._worker.ask("reshape", shapes=self._shapes)

    def run(self, inputs: Sequence[Tensor]) -> Iterator[tuple[Step, tuple[Tensor, ...]]]:
        """Yield each step in order with its tops; layer by layer, to read in-place tops too."""
        self._begin(self.net.steps)
        names = [value.blob for value in self.net.inputs]
        self._ask(names, [_array(value) for value in inputs], 0, -1, [])
        start = 0
        for index, step in enumerate(self.net.steps):
            end = self._index[index]
            # A layer that reads data would overwrite the inputs.
            last = end - 1 if is_input(step) else end
            wanted = self._tops(step, end)
            results = self._ask([], [], start, last, wanted)
            start = end + 1
            yield step, results
        if start < len(self._layers):
            self._ask([], [], start, len(self._layers) - 1, [])

    def published(self) -> Mapping[str, Tensor]:
        """Return the blobs that Caffe itself counts as outputs, as forward left them."""
        return dict(zip(self.outputs, self._ask([], [], 0, -1, self.outputs), strict=True))

    def _tops(self, step: Step, at: int) -> list[str]:
        """Return the blobs of Caffe's that hold the tops of a step, whose layer has index `at`."""
        if not step.layer.in_files:
            return [top.blob for top in step.tops]
        # A loss that names no top has one in Caffe, called "(automatic)".
        tops: list[str] = self._layers[at]["tops"]
        return tops[: len(step.tops)]

    def feed(self, step: Step, bottoms: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the tops of one step for the values that it reads."""
        if is_input(step):
            return tuple(bottoms)
        if not step.layer.in_files:
            return step.layer.compute(bottoms, (), len(step.tops))
        self._begin([step])
        at = self._index[self._order[id(step)]]
        layer = self._layers[at]
        # The top of a Parameter is the memory of its weight, and of all that share it.
        blobs = [*layer["bottoms"], *(weight.parameter for weight in step.dynamic)]
        wanted = self._tops(step, at)
        return self._ask(blobs, [_array(value) for value in bottoms], at, at, wanted)

    def _ask(
        self, blobs: list[str], arrays: list[np.ndarray], start: int, end: int, wanted: list[str]
    ) -> tuple[Tensor, ...]:
        answer, results = self._worker.ask(
            "run", arrays, blobs=blobs, start=start, end=end, wanted=wanted
        )
        seconds = answer.get("seconds")
        self.seconds = seconds if isinstance(seconds, float) else None
        if len(results) != len(wanted):
            raise EngineError(f"pycaffe needs to answer with blobs {wanted}, got {len(results)}")
        return tuple(torch.from_numpy(array) for array in results)


def _array(value: Tensor) -> np.ndarray:
    array = value.detach().to(torch.float32).numpy()
    return np.ascontiguousarray(array).reshape(array.shape)  # it makes a vector of a scalar
