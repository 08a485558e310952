"""Engine `opencv`: the Caffe importer of OpenCV 4 (OpenCV 5 has none)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe2fx import caffemodel
from caffe2fx.engines.base import Closing
from caffe2fx.errors import EngineError
from caffe2fx.layers import Input
from caffe2fx.load import read_net
from caffe2fx.message import Shape
from caffe2fx.net import Net, Step, Value, is_input
from caffe2fx.prototxt import text_of
from caffe2fx.save import weights_of

HOW = "install it: python -m pip install 'opencv-python-headless<5'"


class OpenCVEngine:
    """cv2.dnn.readNetFromCaffe; its names are those of layers, not of blobs."""

    name = "opencv"

    def why_missing(self) -> str | None:
        """How to get it, None if it is there."""
        try:
            import cv2
        except ImportError:
            return f"no OpenCV found: {HOW}"
        if not hasattr(cv2.dnn, "readNetFromCaffe"):
            return f"OpenCV {cv2.__version__} reads no Caffe nets: {HOW}"
        return None

    def describe(self) -> str:
        """The version of OpenCV."""
        import cv2

        return f"OpenCV {cv2.__version__}"

    def open(self, prototxt: Path, caffemodel: Path) -> OpenCVSession:
        """Load the two files."""
        return OpenCVSession(read_net(prototxt, caffemodel))


def _read(prototxt: Path, weights: Path) -> Any:
    import cv2

    try:
        net = cv2.dnn.readNetFromCaffe(str(prototxt), str(weights))
    except cv2.error as error:
        raise EngineError(f"opencv: {error}") from None
    # A fused layer would give its successor's result.
    net.enableFusion(False)
    return net


class OpenCVSession(Closing):
    """One net in this process; OpenCV throws where Caffe would abort.

    Layers and blobs go in under numbers, each top a blob of its own: OpenCV takes a "." in a
    name that it is asked for as "layer.output", and calls some layers by their blob.
    """

    def __init__(self, net: Net) -> None:
        self.net = net
        self._folder = TemporaryDirectory()
        self._names = {id(step): f"layer{index}" for index, step in enumerate(net.steps)}
        self._blobs = {
            top: Value(self._names[id(step)] if len(step.tops) == 1 else f"layer{i}top{k}")
            for i, step in enumerate(net.steps)
            for k, top in enumerate(step.tops)
        }
        steps = tuple(self._numbered(step) for step in net.steps)
        self._running = self._loaded(Net(steps, ()))

    def _numbered(self, step: Step) -> Step:
        bottoms, tops = (tuple(self._blobs[v] for v in vs) for vs in (step.bottoms, step.tops))
        return replace(step, name=self._names[id(step)], bottoms=bottoms, tops=tops, params=())

    def _loaded(self, net: Net) -> Any:
        files = Path(self._folder.name, "net.prototxt"), Path(self._folder.name, "net.caffemodel")
        files[0].write_text(text_of(net), encoding="utf-8")
        caffemodel.write(files[1], net.name, weights_of(net))
        return _read(*files)

    def close(self) -> None:
        """End what runs the net."""
        self._folder.cleanup()

    def reshape(self, shapes: Sequence[Shape]) -> None:
        """OpenCV takes the shapes from the inputs themselves."""

    def run(self, inputs: Sequence[Tensor]) -> Iterator[tuple[Step, tuple[Tensor, ...]]]:
        """Each step in order with its tops."""
        given = dict(zip(self.net.inputs, inputs, strict=True))
        asked = [step for step in self.net.steps if step.tops and not is_input(step)]
        names = [self._names[id(step)] for step in asked]
        numbered = {self._blobs[value]: tensor for value, tensor in given.items()}
        results = self._forward(self._running, numbered, names)
        found = {id(step): tops for step, tops in zip(asked, results, strict=True)}
        for step in self.net.steps:
            if is_input(step):
                yield step, tuple(given[top] for top in step.tops)
            else:
                yield step, _shaped(found.get(id(step), ()), len(step.tops))

    def _forward(
        self, running: Any, given: dict[Value, Tensor], names: Sequence[str]
    ) -> list[tuple[Tensor, ...]]:
        import cv2

        try:
            for value, tensor in given.items():
                running.setInput(np.ascontiguousarray(tensor.float().numpy()), value.blob)
            results = running.forwardAndRetrieve(list(names))
        except cv2.error as error:
            raise EngineError(f"opencv: {error}") from None
        return [tuple(torch.from_numpy(np.array(top)) for top in tops) for tops in results]

    def feed(self, step: Step, bottoms: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The tops of one step, as a net of that one layer."""
        if is_input(step) or not step.tops:
            return tuple(bottoms) if is_input(step) else ()
        alone, given = _alone(step, bottoms)
        results = self._forward(self._loaded(alone), given, [alone.steps[-1].name])
        return _shaped(results[0], len(step.tops))


def _shaped(tops: Sequence[Tensor], count: int) -> tuple[Tensor, ...]:
    """OpenCV gives no top for what nobody reads: NaN stands for it, and fails the verdict."""
    return (*tops, *(torch.full((), torch.nan),) * (count - len(tops)))[:count]


def _alone(step: Step, bottoms: Sequence[Tensor]) -> tuple[Net, dict[Value, Tensor]]:
    """A net of one layer between inputs of its own and tops of its own."""
    values = [Value(f"in{index}") for index in range(len(bottoms))]
    inputs = [
        Step(v.blob, Input(shape=(tuple(b.shape),)), (), (v,))
        for v, b in zip(values, bottoms, strict=True)
    ]
    count = len(step.tops)
    tops = tuple(Value("layer" if count == 1 else f"out{index}") for index in range(count))
    one = replace(step, name="layer", bottoms=tuple(values), tops=tops, params=())
    return Net((*inputs, one), tops), dict(zip(values, bottoms, strict=True))
