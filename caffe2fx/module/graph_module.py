"""A torch.fx.GraphModule made from a net: one module a layer, no source file in between."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from caffe2fx import compat
from caffe2fx.errors import CaffeError, ShapeMismatchError
from caffe2fx.files.feature_dump import FeatureMap, as_array, write_dump
from caffe2fx.generated_source import forget_with
from caffe2fx.messages.common import Phase
from caffe2fx.module.image_transform import Transform, transforms
from caffe2fx.net.evaluate import WithoutHooks, streamed
from caffe2fx.net.match_weights import Unmatched
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value, is_input


@dataclass(frozen=True)
class Names:
    """Holds the nodes and modules of a GraphModule that the steps of a net became."""

    nodes: tuple[tuple[str, ...], ...]  # for each step the node of each top
    modules: Mapping[str, str]  # module name in the GraphModule -> layer name in Caffe


class CaffeView:
    """Shows the Caffe net that a GraphModule was built from; found as `gm.caffe`."""

    def __init__(self, module: CaffeGraphModule, net: Net, names: Names) -> None:
        self._module = module
        self.net = net
        self.names = names

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the blob names of the inputs, in the order of the arguments of forward."""
        return tuple(value.blob for value in self.net.inputs)

    @property
    def input_ranks(self) -> tuple[int, ...]:
        """Return the number of axes of each input, the batch included."""
        shapes = (s for step in self.net.steps if is_input(step) for s in step.top_shapes(()))
        return tuple(map(len, shapes))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the outputs' blob names as in `blobs`, in the order of forward's results."""
        names = {value: name for name, value in self.net.names().items()}
        return tuple(names[value] for value in self.net.outputs)

    @property
    def preprocessing(self) -> dict[str, Transform]:
        """Return the transform that Caffe applies to the images of each input, by blob name.

        The modules are in the mode, train or eval, that the net is in. CaffeFileError names a
        mean_file that does not exist.
        """
        made = transforms(self.net)
        return {name: transform.train(self._module.training) for name, transform in made.items()}

    def layers(self) -> Iterator[tuple[Step, nn.Module]]:
        """Yield each step that runs, with the module that it became."""
        made = iter(self.names.modules)
        for step in self.net.steps:
            if step.tops and not is_input(step):
                yield step, self._module.get_submodule(next(made))

    @property
    def unmatched(self) -> Unmatched:
        """Return the layers of the net and of its weights file that did not match."""
        found: Unmatched = self._module.meta.get("caffe_unmatched", Unmatched())
        return found

    def values(self, *inputs: Any) -> dict[Value, Tensor]:
        """Return every value of the net, those that are overwritten in place included."""
        return dict(self.stream(*inputs))

    def stream(self, *inputs: Any) -> Iterator[tuple[Value, Tensor]]:
        """Yield every value of the net as it is computed; keep only those that later ones need."""
        self._module.check_files()
        given = as_tensors(inputs, self.inputs, self.input_ranks)
        values = {
            node: value
            for step, nodes in zip(self.net.steps, self.names.nodes, strict=True)
            for node, value in zip(nodes, step.tops, strict=True)
        }
        for node, result in streamed(WithoutHooks(self._module), *given):
            if node.name in values:
                yield values[node.name], result

    def loss(self, *inputs: Any) -> Tensor:
        """Return the net's loss for these inputs, as Caffe's forward; `backward` starts from it.

        It is the sum over all tops of loss_weight times the sum of the top's elements. The
        loss_weight of a loss layer is 1 by default, and that of every other layer 0.
        """
        values = self.values(*inputs)
        terms = [
            weight * top.sum()
            for step in self.net.steps
            if any(step.loss_weights)
            for weight, top in zip(step.loss_weights, _tops(step, values), strict=True)
            if weight
        ]
        return torch.stack(terms).sum() if terms else torch.zeros(())

    def blobs(self, *inputs: Any) -> dict[str, Tensor]:
        """Return every layer's result by Caffe name, like pycaffe's net.blobs after a forward.

        A blob that in-place layers overwrite has its final content under its own name, and the
        output of each of its layers under "blob@layer". Where a layer overwrites the memory that
        two blobs share and nothing reads the other one afterwards, that one keeps its content here.
        """
        values = self.values(*inputs)
        return {name: values[value] for name, value in self.net.names().items()}

    def dump(self, path: str | Path, *inputs: Any) -> None:
        """Write every feature map with the inputs and a manifest.

        A `path` ending in .npz or .safetensors becomes that file, any other a folder of .npy.
        `caffe2fx.compare` takes it in place of a net.
        """
        given = as_tensors(inputs, self.inputs, self.input_ranks)
        maps = feature_maps(self.net, self.stream(*given))
        with torch.no_grad():
            write_dump(path, dict(zip(self.inputs, given, strict=True)), maps, self.outputs)


def feature_maps(net: Net, values: Iterable[tuple[Value, Tensor]]) -> Iterator[FeatureMap]:
    """Yield the maps that a dump holds of a net's values, as they come: all but the inputs."""
    names = {value: name for name, value in net.names().items()}
    layers = {value: step for value, step in net.producers().items() if not is_input(step)}
    for value, tensor in values:
        if value in layers:
            name = layers[value].name
            yield FeatureMap(names.get(value, f"{value.blob}@{name}"), as_array(tensor),
                             value.blob, name)  # fmt: skip


def _tops(step: Step, values: Mapping[Value, Tensor]) -> Sequence[Tensor]:
    """Return the tops of a step; a loss without a top in the file is not in the graph."""
    if step.tops:
        return [values[top] for top in step.tops]
    return step.layer.compute([values[bottom] for bottom in step.bottoms], step.blobs, 1)


class CaffeGraphModule(fx.GraphModule):
    """Wraps a Caffe net as a torch.fx.GraphModule; `caffe` survives copies and pickling."""

    @property
    def caffe(self) -> CaffeView:
        """Return the net that this module was built from, its names, and `blobs(x)`."""
        net, names = self.meta["caffe"]
        return CaffeView(self, net, names)

    @property
    def is_optimized(self) -> bool:
        """Return whether `load` rewrote the net for speed, so that it is no longer the file's."""
        return bool(self.meta.get("caffe_is_optimized"))

    def __repr__(self) -> str:
        return f"<CaffeGraphModule: {self.caffe.net!r}>"

    def _repr_html_(self) -> str:
        return self.caffe.net._repr_html_()

    def check_files(self, *, copying: bool = False) -> None:
        """Raise CaffeFileError if the weights are bytes of a file that was written into.

        With `copying` also for the weights in the net, which are as they were loaded.
        """
        watch = self.meta.get("caffe_watch")
        if watch is not None and not compat.is_compiling():
            steps = self.caffe.net.steps if copying else ()
            blobs = (blob for step in steps for blob in step.blobs)
            watch.check(lambda: (*self.parameters(), *self.buffers(), *blobs))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.check_files()
        return super().__call__(*args, **kwargs)

    # All that reads every weight checks the files first: a file cut short ends the process.

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return torch's state_dict; raise CaffeFileError as `check_files` does."""
        self.check_files()
        return super().state_dict(*args, **kwargs)

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        self.check_files()
        return super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]

    def __deepcopy__(self, memo: dict[int, Any]) -> fx.GraphModule:
        self.check_files(copying=True)
        return super().__deepcopy__(memo)

    def train(self, mode: bool = True) -> CaffeGraphModule:
        """Set the mode as torch does, except in layers whose file states a phase, as in Caffe.

        Raises CaffeError for train mode of an optimized module, whose Dropouts are gone.
        """
        if mode and self.is_optimized:
            raise CaffeError("train needs a module loaded without optimize, got optimize=True")
        super().train(mode)
        for step, module in self.caffe.layers():
            if step.phase is not None:
                module.train(step.phase is Phase.TRAIN)
        return self

    def recompile(self) -> Any:
        """Generate `forward` from the graph, as torch does."""
        made = super().recompile()
        forget_with(self)
        return made

    def __copy__(self) -> CaffeGraphModule:
        return _restored((fx.GraphModule, (self, self.graph)), dict(self.meta))

    def __reduce__(self) -> tuple[Any, ...]:
        self.check_files(copying=True)
        return _restored, (super().__reduce__(), dict(self.meta))


def _restored(reduced: tuple[Any, ...], meta: dict[str, Any]) -> CaffeGraphModule:
    function, arguments = reduced[0], reduced[1]
    plain = function(*arguments)
    made = CaffeGraphModule(plain, plain.graph)
    made.meta.update(meta)
    made.training = plain.training  # not train(): a layer may be in another mode than the net
    return made


def as_tensors(
    inputs: Sequence[Any], names: Sequence[str], ranks: Sequence[int] | None = None
) -> tuple[Tensor, ...]:
    """Return tensors in the net's order from tensors, arrays, a tuple or a dict by blob name.

    An array of rank 3 (C, H, W) gets a batch axis where the net's input has rank 4 (the default of
    `ranks`).
    """
    given: Any = inputs[0] if len(inputs) == 1 else inputs
    if isinstance(given, Mapping):
        _check_names(given, names)
        given = [given[name] for name in names]
    if not isinstance(given, (tuple, list)):
        given = [given]
    if len(given) != len(names):
        raise ShapeMismatchError(f"the net needs inputs {list(names)}, got {len(given)} of them")
    ranks = (4,) * len(names) if ranks is None else ranks
    return tuple(_as_tensor(value, rank) for value, rank in zip(given, ranks, strict=True))


def _check_names(given: Mapping[str, Any], names: Sequence[str]) -> None:
    if set(given) != set(names):
        raise ShapeMismatchError(f"the net needs inputs {list(names)}, got {sorted(given)}")


def _as_tensor(value: Any, rank: int) -> Tensor:
    if not isinstance(value, np.ndarray):
        return torch.as_tensor(value)
    tensor = torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32))
    return tensor[None] if (tensor.dim(), rank) == (3, 4) else tensor
