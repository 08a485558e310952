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

from caffe2fx.engines.base import Closing
from caffe2fx.errors import EngineError
from caffe2fx.files.prototxt import text_of
from caffe2fx.files.text_rewrites import CEIL_MODE, GLOBAL_MAX, rewritten_text
from caffe2fx.layers import Input, Power
from caffe2fx.layers.shared_memory import SharedMemory
from caffe2fx.messages.message import Shape
from caffe2fx.module.loader import read_net
from caffe2fx.module.save import weights_of
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value, is_input
from caffe2fx.weights import caffemodel

TEXT_REWRITES = (CEIL_MODE, GLOBAL_MAX)
HOW = "install it: python -m pip install 'opencv-python-headless<5'"


class OpenCVEngine:
    """Runs nets by cv2.dnn.readNetFromCaffe; its names are those of layers, not of blobs."""

    name = "opencv"

    def why_missing(self) -> str | None:
        """Return how to install it, None if it is installed."""
        try:
            import cv2
        except ImportError:
            return f"no OpenCV found: {HOW}"
        if not hasattr(cv2.dnn, "readNetFromCaffe"):
            return f"OpenCV {cv2.__version__} reads no Caffe nets: {HOW}"
        return None

    def describe(self) -> str:
        """Return the version of OpenCV."""
        import cv2

        return f"OpenCV {cv2.__version__}"

    def open(self, prototxt: Path, caffemodel: Path, **options: Any) -> OpenCVSession:
        """Load the two files."""
        return OpenCVSession(read_net(prototxt, caffemodel, **options), prototxt, caffemodel)


def _read(prototxt: Path, weights: Path) -> Any:
    import cv2

    try:
        return cv2.dnn.readNetFromCaffe(str(prototxt), str(weights))
    except cv2.error as error:
        raise EngineError(f"opencv: {error}") from None


def _one_by_one(net: Any) -> Any:
    """Set the net to run every layer by itself, and return it."""
    # A fused layer would give its successor's result, and Winograd's convolution rounds more.
    net.enableFusion(False)
    net.enableWinograd(False)
    return net


class OpenCVSession(Closing):
    """Runs one net in this process; OpenCV raises where Caffe would abort.

    Layers and blobs get integers as names, each top a blob of its own: OpenCV parses a "." in a
    requested name as "layer.output", and calls some layers by their blob. Where a layer has several
    tops, a copy of each is requested: OpenCV returns none that has no reader, and has overwritten
    others than the first by the end of the run. `published` runs the files themselves, under their
    own names and with all of OpenCV's optimizations.
    """

    published_coarsely = True

    def __init__(self, net: Net, prototxt: Path, weights: Path) -> None:
        _check_memory(net)
        import cv2

        self.program = f"OpenCV {cv2.__version__}"
        self.net = net
        self._saved = prototxt, weights
        self._folder = TemporaryDirectory()
        self._copied: dict[Value, Tensor] = {}  # tops of the last run that no layer of files has
        self._given: dict[Value, Tensor] = {}  # the inputs of the last run
        self._names = {id(step): f"layer{index}" for index, step in enumerate(net.steps)}
        self._blobs = {
            top: Value(self._names[id(step)] if len(step.tops) == 1 else f"layer{i}top{k}")
            for i, step in enumerate(net.steps)
            for k, top in enumerate(step.tops)
        }
        steps = [self._numbered(step) for step in net.steps]
        copies = [copy for step in steps if len(step.tops) > 1 for copy in _copies(step)]
        self._running = self._loaded(Net((*steps, *copies), ()))

    def _numbered(self, step: Step) -> Step:
        bottoms, tops = (tuple(self._blobs[v] for v in vs) for vs in (step.bottoms, step.tops))
        dynamic = tuple(w._replace(value=self._blobs[w.value]) for w in step.dynamic)
        return replace(
            step,
            name=self._names[id(step)],
            bottoms=bottoms,
            tops=tops,
            params=(),
            dynamic=dynamic,
        )

    def _loaded(self, net: Net) -> Any:
        files = Path(self._folder.name, "net.prototxt"), Path(self._folder.name, "net.caffemodel")
        text = rewritten_text(text_of(net, hints=False), TEXT_REWRITES)
        files[0].write_text(text, encoding="utf-8")
        caffemodel.write(files[1], net.name, weights_of(net))
        return _one_by_one(_read(*files))

    def close(self) -> None:
        """Release the net that runs."""
        self._folder.cleanup()

    def reshape(self, shapes: Sequence[Shape]) -> None:
        """Do nothing: OpenCV takes the shapes from the inputs themselves."""

    def run(self, inputs: Sequence[Tensor]) -> Iterator[tuple[Step, tuple[Tensor, ...]]]:
        """Yield each step in order with its tops."""
        self._given = given = dict(zip(self.net.inputs, inputs, strict=True))
        asked = [s for s in self.net.steps if s.tops and s.layer.in_files and not is_input(s)]
        names = {id(step): _asked_for(self._numbered(step)) for step in asked}
        numbered = {self._blobs[value]: tensor for value, tensor in given.items()}
        flat = [name for step in asked for name in names[id(step)]]
        results = self._forward(self._running, numbered, flat)
        found = {name: tops[0] for name, tops in zip(flat, results, strict=True)}
        shapes = self.net.shapes()
        read = {v for step in self.net.steps if not step.layer.in_files for v in step.bottoms}
        held: dict[Value, Tensor] = {}
        for step in self.net.steps:
            if is_input(step):
                tops = tuple(given[top] for top in step.tops)
            elif not step.layer.in_files:
                tops = (held[step.bottoms[0]],)
                self._copied[step.tops[0]] = tops[0]
            else:
                mine = [found[name] for name in names.get(id(step), ())]
                tops = _shaped(mine, [shapes[top] for top in step.tops])
            pairs = zip(step.tops, tops, strict=True)
            held.update((top, value) for top, value in pairs if top in read)
            yield step, tops

    def _forward(
        self, running: Any, given: dict[Value, Tensor], names: Sequence[str]
    ) -> list[list[Tensor]]:
        """Return the tops of each layer of these names."""
        import cv2

        try:
            for value, tensor in given.items():
                running.setInput(np.ascontiguousarray(tensor.float().numpy()), value.blob)
            results = running.forwardAndRetrieve(list(names))
        except cv2.error as error:
            raise EngineError(f"opencv: {error}") from None
        return [[torch.from_numpy(np.array(top)) for top in tops] for tops in results]

    def feed(self, step: Step, bottoms: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the tops of one step, run as a net of that one layer."""
        if is_input(step) or not step.tops or not step.layer.in_files:
            return tuple(bottoms) if step.tops else ()
        alone, given = _one_layer_net(step, bottoms)
        one = alone.steps[len(bottoms)]
        results = self._forward(self._loaded(alone), given, _asked_for(one))
        shapes = step.top_shapes([tuple(bottom.shape) for bottom in bottoms])
        return _shaped([tops[0] for tops in results], shapes)

    def published(self) -> dict[str, Tensor]:
        """Return the outputs of the files as they are, each requested by the layer's name."""
        makers = self.net.producers()
        files = [value for value in self.net.outputs if makers[value].layer.in_files]
        wanted = [value for value in files if not is_input(makers[value])]
        # OpenCV has no losses, and so no outputs for their weights.
        copied = {v.blob: self._copied[v] for v in self.net.outputs if v not in files}
        if not wanted:
            return copied
        names = [makers[value].name for value in wanted]
        results = self._forward(_read(*self._as_saved()), self._given, names)
        pairs = zip(wanted, results, strict=True)
        tops = [tops[makers[value].tops.index(value)] for value, tops in pairs]
        shapes = self.net.reshaped([tuple(v.shape) for v in self._given.values()]).shapes()
        shaped = _shaped(tops, [shapes[value] for value in wanted])
        return copied | {value.blob: top for value, top in zip(wanted, shaped, strict=True)}

    def _as_saved(self) -> tuple[Path, Path]:
        """Return the files of the net, or rewritten copies if OpenCV cannot read their form."""
        prototxt, weights = self._saved
        text = prototxt.read_text(encoding="utf-8")
        readable = rewritten_text(text, TEXT_REWRITES)
        if readable != text:
            prototxt = Path(self._folder.name, "saved.prototxt")
            prototxt.write_text(readable, encoding="utf-8")
        if weights.suffix == ".h5":
            weights = Path(self._folder.name, "saved.caffemodel")
            caffemodel.write(weights, self.net.name, weights_of(self.net))
        return prototxt, weights


def _check_memory(net: Net) -> None:
    for step in net.steps:
        if isinstance(step.layer, SharedMemory):
            raise EngineError(
                f"opencv: {step.name!r} needs Caffe's memory, where overwriting one blob changes "
                f"{step.tops[0].blob!r} too; OpenCV has copies"
            )


def _shaped(results: Sequence[Tensor], shapes: Sequence[Shape]) -> tuple[Tensor, ...]:
    """Reshape results: a Mat has at least two axes, so a vector comes back as a column."""
    return tuple(
        result.flatten() if len(shape) == 1 and result.dim() == 2 and result.shape[1] == 1
        else result
        for result, shape in zip(results, shapes, strict=True)
    )  # fmt: skip


def _copies(step: Step) -> tuple[Step, ...]:
    """Return for each top a layer that copies it."""
    names = [f"{top.blob}copy" for top in step.tops]
    return tuple(
        Step(name, Power(), (top,), (Value(name),))
        for name, top in zip(names, step.tops, strict=True)
    )


def _asked_for(step: Step) -> list[str]:
    """Return the names of the layers whose results are the tops of a step."""
    return [step.name] if len(step.tops) == 1 else [copy.name for copy in _copies(step)]


def _one_layer_net(step: Step, bottoms: Sequence[Tensor]) -> tuple[Net, dict[Value, Tensor]]:
    """Return a net of one layer between inputs of its own and tops of its own, and the inputs."""
    values = [Value(f"in{index}") for index in range(len(bottoms))]
    inputs = [
        Step(v.blob, Input(shape=(tuple(b.shape),)), (), (v,))
        for v, b in zip(values, bottoms, strict=True)
    ]
    count = len(step.tops)
    tops = tuple(Value("layer" if count == 1 else f"out{index}") for index in range(count))
    one = replace(step, name="layer", bottoms=tuple(values), tops=tops, params=())
    copies = _copies(one) if count > 1 else ()
    return Net((*inputs, one, *copies), ()), dict(zip(values, bottoms, strict=True))
