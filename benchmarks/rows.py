"""The rows of the table: a function of ours that is timed on a model, and its alternative."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torch.fx.passes.shape_prop import ShapeProp

import caffe2fx
import fx2caffe
from benchmarks.turns import Ratio, in_turns
from caffe2fx.verdict.reference.calibrate import calibrate

CNNS = ("resnet50", "mobilenet_v3_small")
MODELS = (*CNNS, "swin_t")
FUSED = ("mobilenet_v2", *MODELS)  # whose nets have functions in several layers
SIDE = 224
SHORT, LONG = 100, 400  # layers of the chains that show how a stage grows


@dataclass(frozen=True)
class Row:
    """One line of the table; `measure` is given the model's name and a folder of its own."""

    stage: str
    model: str
    other: str
    measure: Callable[[str, Path], Ratio]

    @property
    def name(self) -> str:
        """Return the word that selects the row on the command line."""
        return f"{self.stage}:{self.model}:{self.other}"


@dataclass(frozen=True)
class Saved:
    """A model with its example, its net and the net's files."""

    model: nn.Module
    x: Tensor
    net: fx2caffe.Export
    files: tuple[Path, Path]


def model_of(name: str) -> tuple[nn.Module, Tensor]:
    """Return a model of torchvision's and an image, or a chain of layers ("chain:100")."""
    torch.manual_seed(0)
    if name.startswith("chain:"):
        return chain(int(name.removeprefix("chain:"))), torch.randn(1, 4, 4, 4)
    model, x = torchvision.models.get_model(name, weights=None), torch.randn(1, 3, SIDE, SIDE)
    # Where the signal of random weights dies out, the verdict tries inputs without end.
    return calibrate(model.eval(), [x]), x


def chain(layers: int) -> nn.Module:
    """Return convolutions and ReLUs in turns, through which a signal goes unchanged."""
    parts = [part for _ in range(layers // 2) for part in (nn.Conv2d(4, 4, 1), nn.ReLU())]
    for part in parts[::2]:
        nn.init.dirac_(part.weight)
    return nn.Sequential(*parts).eval()


def saved(name: str, folder: Path, target: str = "bvlc") -> Saved:
    """Export a model into the folder."""
    model, x = model_of(name)
    net = fx2caffe.export(model, x, target=target)
    stem = name.replace(":", "_")
    files = folder / f"{stem}.prototxt", folder / f"{stem}.caffemodel"
    net.save(*files)
    return Saved(model, x, net, files)


def export(name: str, _: Path) -> Ratio:
    model, x = model_of(name)

    def by_fx() -> None:
        with torch.no_grad():
            ShapeProp(torch.fx.symbolic_trace(model)).propagate(x)

    return in_turns(lambda: fx2caffe.export(model, x), by_fx)


def save(name: str, folder: Path) -> Ratio:
    made = saved(name, folder)
    contents = [file.read_bytes() for file in made.files]

    def written() -> None:
        for index, content in enumerate(contents):
            with open(folder / f"plain{index}", "wb") as file:
                file.write(content)
                os.fsync(file.fileno())

    return in_turns(lambda: made.net.save(*made.files), written)


def load(name: str, folder: Path) -> Ratio:
    made = saved(name, folder)
    path = folder / "model.pth"
    torch.save(made.model, path)
    return in_turns(
        lambda: caffe2fx.load(*made.files),
        lambda: torch.load(path, weights_only=False, mmap=True),
    )


def first_output(name: str, folder: Path) -> Ratio:
    made = saved(name, folder)
    path = folder / "model.pth"
    torch.save(made.model, path)

    def run(load: Callable[[], nn.Module]) -> None:
        with torch.no_grad():
            load()(made.x)

    return in_turns(
        lambda: run(lambda: caffe2fx.load(*made.files)),
        lambda: run(lambda: torch.load(path, weights_only=False, mmap=True)),
    )


def forward(name: str, folder: Path) -> Ratio:
    made = saved(name, folder)
    loaded = caffe2fx.load(*made.files)
    with torch.no_grad():
        return in_turns(lambda: loaded(made.x), lambda: made.model(made.x))


def optimized_forward(name: str, folder: Path) -> Ratio:
    made = saved(name, folder)
    loaded = caffe2fx.load(*made.files, optimize=True)
    with torch.no_grad():
        return in_turns(lambda: loaded(made.x), lambda: made.model(made.x))


def verify(name: str, folder: Path) -> Ratio:
    made = saved(name, folder)
    wide, x = model_of(name)[0].double(), made.x.double()
    with torch.no_grad():
        return in_turns(made.net.verify, lambda: wide(x))


def export_growth(_: str, __: Path) -> Ratio:
    few, many = (model_of(f"chain:{layers}") for layers in (SHORT, LONG))
    return in_turns(
        lambda: fx2caffe.export(*many), lambda: fx2caffe.export(*few), scale=LONG / SHORT
    )


def load_growth(_: str, folder: Path) -> Ratio:
    few, many = (saved(f"chain:{layers}", folder) for layers in (SHORT, LONG))
    return in_turns(
        lambda: caffe2fx.load(*many.files), lambda: caffe2fx.load(*few.files), scale=LONG / SHORT
    )


def verify_growth(_: str, folder: Path) -> Ratio:
    few, many = (saved(f"chain:{layers}", folder) for layers in (SHORT, LONG))
    return in_turns(many.net.verify, few.net.verify, scale=LONG / SHORT)


FX = "torch.fx.symbolic_trace + ShapeProp"
WRITE = "write + fsync of the same bytes"
PICKLE = "torch.load(mmap=True) of the pickled model"
GROWN = f"a chain of {SHORT} layers, a layer"
CHAIN = f"chain of {LONG} layers"

ROWS = (
    *(Row("export", model, FX, export) for model in MODELS),
    Row("export", CHAIN, GROWN, export_growth),
    *(Row("save", model, WRITE, save) for model in CNNS),
    *(Row("load", model, PICKLE, load) for model in MODELS),
    Row("load", CHAIN, GROWN, load_growth),
    *(Row("load + forward", model, PICKLE, first_output) for model in CNNS),
    *(Row("forward", model, "the model itself", forward) for model in MODELS),
    *(Row("optimized forward", model, "the model itself", optimized_forward) for model in FUSED),
    *(Row("verify", model, "its forward in float64", verify) for model in CNNS),
    Row("verify", CHAIN, GROWN, verify_growth),
)
