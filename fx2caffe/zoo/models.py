"""The models of the zoo: their names, their construction and their inputs."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from caffe2fx.errors import CaffeError
from caffe2fx.messages.message import Shape
from fx2caffe.tracing.model.pytree import flatten
from fx2caffe.zoo.detection_heads import PARTS
from fx2caffe.zoo.factory import from_factory

Shapes = tuple[Shape, ...]


def image(*sides: int) -> Shapes:
    """Return the shapes of RGB images with these sides, without the batch."""
    return tuple((3, side, side) for side in sides)


def video(frames: int, side: int) -> Shapes:
    """Return the shape of one RGB video, without the batch."""
    return ((3, frames, side, side),)


def fit_mvit(model: Any, shapes: Shapes) -> None:
    """Change an MViT to take videos of a size that its builder does not offer."""
    encoding, sizes = model.pos_encoding, shapes[0][1:]
    strides = zip(sizes, model.conv_proj.stride, strict=True)
    frames, height, width = (size // stride for size, stride in strides)
    encoding.temporal_size, encoding.spatial_size = frames, (height, width)
    for name, count in (("temporal_pos", frames), ("spatial_pos", height * width)):
        if getattr(encoding, name, None) is not None:
            setattr(encoding, name, nn.Parameter(getattr(encoding, name).detach()[:count].clone()))


@dataclass(frozen=True)
class Family:
    """Holds input shapes, without the batch, of the models whose names match.

    `small` is the smallest that runs and still proves something. A model for one size only is
    `sized` (its constructor takes `image_size`), or `fit` changes it.
    """

    names: str  # patterns, separated by spaces
    full: Shapes
    small: Shapes
    sized: bool = False
    fit: Callable[[Any, Shapes], None] | None = None

    def has(self, name: str) -> bool:
        """Return whether a model of this name belongs to the family."""
        return any(fnmatchcase(name, pattern) for pattern in self.names.split())

    def options(self, shapes: Shapes) -> dict[str, Any]:
        """Return the constructor's arguments for inputs of these shapes."""
        return {"image_size": shapes[0][-1]} if self.sized else {}


BOX_REGION, REGION = (256, 7, 7), (256, 14, 14)
SMALL = image(64)
SMALL_SIDES = (64, 96, 128)  # tried for a model of unknown input size
# The first family that matches is taken.
FAMILIES = (
    Family("fasterrcnn*/roi_heads", (BOX_REGION,), (BOX_REGION,)),
    Family("*/roi_heads", (BOX_REGION, REGION), (BOX_REGION, REGION)),
    Family("alexnet squeezenet*", image(224), image(96)),
    Family("inception_v3", image(299), image(128)),
    Family("efficientnet_b1", image(240), SMALL),
    Family("efficientnet_b2", image(288), SMALL),
    Family("efficientnet_b3", image(300), SMALL),
    Family("efficientnet_b4", image(380), SMALL),
    Family("efficientnet_b5", image(456), SMALL),
    Family("efficientnet_b6", image(528), SMALL),
    Family("efficientnet_b7", image(600), SMALL),
    Family("efficientnet_v2_s", image(384), SMALL),
    Family("efficientnet_v2_*", image(480), SMALL),
    Family("vit_h_14", image(518), image(56), sized=True),
    Family("vit_*", image(224), SMALL, sized=True),
    Family("maxvit_t", image(224), image(224)),  # no smaller side is divisible into its windows
    Family("swin_v2_*", image(256), SMALL),
    Family("fcn_* deeplabv3_* lraspp_*", image(520), image(65)),
    Family("ssd300_vgg16", image(300), image(300)),
    Family("ssdlite320_* *_320_fpn", image(320), SMALL),
    Family("*rcnn_* retinanet_* fcos_*", image(800), SMALL),
    Family("swin3d_*", video(16, 224), video(4, 64)),
    Family("mvit_*", video(16, 224), video(8, 64), fit=fit_mvit),
    Family("s3d", video(16, 224), video(13, 209)),
    Family("mc3_18 r3d_18 r2plus1d_18", video(16, 112), video(8, 32)),
    Family("raft_*", image(256, 256), image(128, 128)),
    Family("*", image(224), SMALL),
)


@dataclass(frozen=True)
class Made:
    """Holds a model with the inputs that it is exported with."""

    model: nn.Module
    inputs: Any
    own_weights: bool = False  # whether the user made the weights, rather than at random

    def repeated(self) -> list[Tensor]:
        """Return random inputs shaped like the example, of a batch that suffices for statistics."""
        generator = torch.Generator().manual_seed(1)
        values = flatten(self.inputs).tensors
        batch = 600_000 // sum(value.numel() for value in values)
        size = max(2, min(16, batch))
        return [torch.randn(size, *value.shape[1:], generator=generator) for value in values]


def names(sources: Iterable[str], patterns: Sequence[str] = ()) -> list[str]:
    """Return the models of `sources` whose name, with or without its source, matches a pattern.

    A source is `torchvision`, `timm`, or `PACKAGE.MODULE:FACTORY`, which is one model.
    Raises CaffeError for a pattern that fits nothing.
    """
    found = [name for source in sources for name in _of_source(source)]
    for pattern in patterns:
        if not any(_fits(name, pattern) for name in found):
            raise CaffeError(f"zoo needs names of models, got {pattern!r}")
    wanted = patterns or ("*",)
    return [name for name in found if any(_fits(name, pattern) for pattern in wanted)]


def _fits(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name.partition(":")[2], pattern)


def _of_source(source: str) -> list[str]:
    if source == "torchvision":
        return [f"torchvision:{name}" for name in _torchvision_names()]
    if source == "timm":
        return [f"timm:{name}" for name in _timm().list_models()]
    if ":" not in source:
        choices = "torchvision, timm or PACKAGE.MODULE:FACTORY"
        raise CaffeError(f"source needs to be {choices}, got {source!r}")
    return [source]


def _torchvision_names() -> list[str]:
    """Return all models but the quantized; parts of detection models have names of their own."""
    import torchvision

    plain = [name for name in torchvision.models.list_models() if "quantized" not in name]
    return [f"{name}/{part}" if part else name for name in plain for part in _parts(name)]


def _parts(name: str) -> Mapping[str, Any]:
    fitting = (parts for pattern, parts in PARTS.items() if fnmatchcase(name, pattern))
    return next(fitting, {"": lambda model: model})


def make(name: str, small: bool, seed: int = 0) -> Made:
    """Return the model of a name that `names` returned, in eval mode, with its inputs."""
    torch.manual_seed(seed)
    source, _, own = name.partition(":")
    if source == "torchvision":
        return _make_torchvision(own, small)
    return _make_timm(own, small) if source == "timm" else _make_own(name)


def _make_torchvision(name: str, small: bool) -> Made:
    family = next(family for family in FAMILIES if family.has(name))
    shapes = family.small if small else family.full
    plain, _, part = name.partition("/")
    whole = torchvision_model(plain, **family.options(shapes))
    if family.fit is not None:
        family.fit(whole, shapes)
    model = _parts(plain)[part](whole)
    return Made(model.eval(), random_inputs(shapes))


def _make_timm(name: str, small: bool) -> Made:
    model: Any = timm_model(name)
    full = tuple(model.default_cfg["input_size"])
    sides = SMALL_SIDES if small and not model.default_cfg.get("fixed_input_size") else ()
    smaller = [(full[0], side, side) for side in sides if side < full[-1]]
    shape = next((shape for shape in smaller if _takes(model, shape)), full)
    return Made(model, random_inputs([shape]))


def _takes(model: nn.Module, shape: Shape) -> bool:
    """Return whether a model runs on this input size; timm does not state which it takes."""
    try:
        with torch.no_grad():
            model(*random_inputs([shape]))
    except Exception:  # models raise anything for a size that they are not made for
        return False
    return True


def _make_own(name: str) -> Made:
    model, inputs = from_factory(name)
    given = random_inputs(image(224)) if inputs is None else inputs
    return Made(model.eval(), given, own_weights=True)


def random_inputs(shapes: Iterable[Shape]) -> tuple[Tensor, ...]:
    """Return normal random tensors with a batch of one."""
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(1, *shape, generator=generator) for shape in shapes)


def torchvision_model(name: str, **options: Any) -> nn.Module:
    """Return a torchvision model with random weights. Raises CaffeError for an unknown name."""
    import torchvision

    if name not in torchvision.models.list_models():
        meant = _meant(name, torchvision.models.list_models())
        raise CaffeError(f"torchvision has no model {name!r}{meant}")
    builder = torchvision.models.get_model_builder(name)
    # GoogLeNet and Inception warn about, and are slow in, initializing weights by default.
    quick = "init_weights" in inspect.signature(builder).parameters
    known: dict[str, Any] = {"init_weights": False} if quick else {}
    if "weights_backbone" in inspect.signature(builder).parameters:
        known["weights_backbone"] = None
    model: nn.Module = builder(weights=None, **known, **options)
    return model


def full_inputs(name: str) -> tuple[Tensor, ...]:
    """Return random inputs of the size that a torchvision model is made for."""
    return random_inputs(next(family for family in FAMILIES if family.has(name)).full)


def timm_model(name: str) -> nn.Module:
    """Return a timm model with random weights. Raises CaffeError for an unknown name."""
    timm = _timm()
    if name not in timm.list_models():
        raise CaffeError(f"timm has no model {name!r}{_meant(name, timm.list_models())}")
    model: nn.Module = timm.create_model(name, pretrained=False)
    return model.eval()


def _meant(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, 3)
    return f" (did you mean {', '.join(near)}?)" if near else ""


def _timm() -> Any:
    try:
        return importlib.import_module("timm")
    except ImportError as error:
        raise CaffeError(f"source timm needs the package timm: {error}") from None
