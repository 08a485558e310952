"""One row of a table of operations, and everything that is asked of each row."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import caffe2fx
import fx2caffe
from caffe2fx.engines import Engine
from caffe2fx.files import prototxt
from caffe2fx.net.net import Net
from caffe2fx.verdict.reference.calibrate import calibrate
from fx2caffe.exporter.result import Export

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Row:
    """Holds a model with its inputs, and the layers that it becomes or why it is refused."""

    id: str
    module: Callable[..., Any]
    shapes: tuple[Shape, ...] = ((2, 3, 8, 8),)
    layers: tuple[str, ...] | Mapping[str, int] = ()  # how many of each, where they are many
    refused: str = ""
    fixed_batch: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    since: str = "0"  # the oldest version of torch, with its torchvision, that gives this result
    below: tuple[int, ...] = ()  # inputs that are integers from 0 to below this; 0: not this one

    def model(self) -> nn.Module:
        """Return the model in eval mode, with weights that keep its signal alive."""
        made = self.module()
        model = made if isinstance(made, nn.Module) else Function(made)
        return calibrate(model, self.inputs())

    def inputs(self, batch: int | None = None) -> list[Tensor]:
        """Return normal random inputs, or random integers."""
        generator = torch.Generator().manual_seed(7)
        limits = (*self.below, *(0,) * (len(self.shapes) - len(self.below)))
        return [
            torch.randint(limit, shape, generator=generator)
            if limit
            else torch.randn(shape, generator=generator)
            for shape, limit in zip(self.shapes, limits, strict=True)
        ]


@lru_cache(maxsize=4)
def exported(row: Row, target: str = "bvlc") -> tuple[nn.Module, Export]:
    """Return a row's model and its net, kept for the row's next test (see conftest)."""
    torch.manual_seed(0)
    model = row.model()
    return model, fx2caffe.export(model, tuple(row.inputs()), **{"target": target, **row.options})


def here(rows: Iterable[Row]) -> list[Row]:
    """Return the rows that the running version of torch is new enough for."""
    return [row for row in rows if torch.__version__ >= row.since]


class Function(nn.Module):
    """Wraps a plain function as a model."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs)


def function(body: Callable[..., Any]) -> Callable[[], nn.Module]:
    """Return a row's module that is a function of its inputs."""
    return lambda: Function(body)


def types(net: Net) -> tuple[str, ...]:
    """Return the layer types of a net without its inputs."""
    return tuple(step.layer.type for step in net.steps if step.layer.type != "Input")


def assert_layers(row: Row, net: Net) -> None:
    """The net has the row's layers; a failure shows those that came out, as a row writes them."""
    found = types(net)
    layers = dict(Counter(found)) if isinstance(row.layers, Mapping) else found
    assert layers == row.layers, f"row {row.id} became layers={layers}"


def check_exported(row: Row, exported: Export) -> None:
    """Check the layers, the text and the embedded engine's verdict."""
    assert_layers(row, exported.net)
    parsed = prototxt.parse(prototxt.text_of(exported.net))
    assert [(s.name, s.layer, s.bottoms, s.tops) for s in parsed.steps] == [
        (s.name, s.layer, s.bottoms, s.tops) for s in exported.net.steps
    ]
    assert set(parsed.outputs) == set(exported.net.outputs)
    report = exported.verify("torch")
    assert report.ok, str(report)
    assert exported.batch_is_fixed == row.fixed_batch, exported.batch_faults


def check_in_caffe(row: Row, exported: Export, engine: Engine) -> None:
    """Check real Caffe's verdict on every map, with the example's batch and with 3."""
    for batch in (None,) if row.fixed_batch else (None, 3):
        report = exported.verify(engine, batch=batch)
        assert report.ok, str(report)


def check_round_trip(row: Row, model: nn.Module, exported: Export) -> None:
    """Check that the net loaded back computes the same, and exports to the same records."""
    inputs = row.inputs()
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "net.prototxt"), Path(folder, "net.caffemodel")
        exported.save(*files)
        loaded = caffe2fx.load(*files)
    with torch.no_grad():
        wanted = _flat(model(*inputs))
        got = dict(zip(loaded.caffe.outputs, _flat(loaded(*inputs)), strict=True))
    for name, theirs in zip(exported.outputs, wanted, strict=True):
        mine = got[name]
        torch.testing.assert_close(mine, theirs.float(), rtol=1e-4, atol=1e-4)
    options = {"input_names": exported.inputs, **row.options}
    second = fx2caffe.export(loaded, tuple(inputs), **options)
    assert second.net.steps == exported.net.steps
    assert set(second.outputs) == set(exported.outputs)


def _flat(result: Any) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    values: Sequence[Any] = list(result.values()) if isinstance(result, dict) else list(result)
    return [tensor for value in values for tensor in _flat(value)]
