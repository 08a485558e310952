"""Nets that take raw pixels give the model's outputs for preprocessed ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fx2caffe
from caffe2fx.errors import CaffeError
from caffe2fx.verdict.reference.calibrate import calibrate
from fx2caffe import Preprocessing
from tests.rows import Function, types

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "scale": 1 / 255}
PIXELS = torch.randint(0, 256, (2, 3, 12, 12), generator=torch.Generator().manual_seed(3)).float()


class Two(nn.Module):
    """Two readers of the input, one of which pads."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.one(x), self.two(x)


class WithInputAsOutput(Two):
    """The input is an output too."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, self.one(x)


ROWS: dict[str, tuple[Callable[[], nn.Module], dict[str, Any], tuple[str, ...]]] = {
    "no padding": (lambda: nn.Conv2d(3, 4, 3), IMAGENET, ("Convolution",)),
    "no padding, BGR": (
        lambda: nn.Conv2d(3, 4, 3, stride=2),
        {**IMAGENET, "channel_order": "BGR"},
        ("Convolution",),
    ),
    "no bias": (lambda: nn.Conv2d(3, 4, 3, bias=False), IMAGENET, ("Convolution",)),
    "padding": (lambda: nn.Conv2d(3, 4, 3, padding=1), IMAGENET, ("Scale", "Convolution")),
    "padding, BGR": (
        lambda: nn.Conv2d(3, 4, 3, padding=(0, 1)),
        {**IMAGENET, "channel_order": "BGR"},
        ("Scale", "Convolution"),
    ),
    "padding, no mean": (
        lambda: nn.Conv2d(3, 4, 3, padding=1, bias=False),
        {"std": (58.0, 57.0, 56.0), "channel_order": "BGR"},
        ("Convolution",),
    ),
    "only the order": (
        lambda: nn.Conv2d(3, 4, 3, padding=1),
        {"channel_order": "BGR"},
        ("Convolution",),
    ),
    "folded BatchNorm": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)),
        {**IMAGENET, "channel_order": "BGR"},
        ("Convolution",),
    ),
    "BatchNorm in front": (
        lambda: nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)),
        IMAGENET,
        ("Scale", "Convolution"),
    ),
    "depthwise": (
        lambda: nn.Conv2d(3, 6, 3, groups=3),
        {**IMAGENET, "channel_order": "BGR"},
        ("Slice", "Concat", "Scale", "Convolution"),
    ),
    "no convolution": (
        lambda: Function(lambda x: F.max_pool2d(x, 2)),
        {"mean": 127.5, "std": 127.5, "channel_order": "BGR"},
        ("Slice", "Concat", "Scale", "Pooling"),
    ),
    "two readers": (
        Two,
        {**IMAGENET, "channel_order": "BGR"},
        ("Scale", "Convolution", "Convolution"),
    ),
    "an output": (
        lambda: Function(lambda x: (x, x.relu())),
        IMAGENET,
        ("Scale", "ReLU", "Power"),
    ),
    "an output beside a convolution": (
        lambda: WithInputAsOutput(),
        {**IMAGENET, "channel_order": "BGR"},
        ("Slice", "Concat", "Scale", "Convolution", "Power"),
    ),
    "nothing": (lambda: nn.Conv2d(3, 4, 3, padding=1), {}, ("Convolution",)),
}


@pytest.mark.pycaffe
@pytest.mark.parametrize("name", ROWS)
def test_raw_pixels(name: str) -> None:
    make, options, layers = ROWS[name]
    wanted = Preprocessing(**options)
    x = wanted.apply(PIXELS)
    model = calibrate(make(), [x])
    exported = fx2caffe.export(model, x, preprocessing=wanted)
    assert types(exported.net) == layers
    values = exported.reference([PIXELS])
    expected = model(_by_hand(options))
    expected = [expected] if isinstance(expected, Tensor) else expected
    for value, theirs in zip(exported.net.outputs, expected, strict=True):
        torch.testing.assert_close(values[value], theirs, rtol=1e-4, atol=1e-5)
    for inputs in (PIXELS, None):
        report = exported.verify("pycaffe", inputs)
        assert report.ok, str(report)
    assert exported.verify("pycaffe", batch=3).ok


def _by_hand(options: dict[str, Any]) -> Tensor:
    """Return the model's input, written down once more."""
    channels = [2, 1, 0] if options.get("channel_order") == "BGR" else [0, 1, 2]
    x = PIXELS[:, channels] * options.get("scale", 1.0)
    mean, std = (
        torch.tensor(options.get(name, default)).expand(3).reshape(1, 3, 1, 1)
        for name, default in (("mean", 0.0), ("std", 1.0))
    )
    return (x - mean) / std


def test_undo_gives_the_pixels_back() -> None:
    wanted = Preprocessing(**IMAGENET, channel_order="BGR")
    torch.testing.assert_close(wanted.undo(wanted.apply(PIXELS)), PIXELS)


def test_the_blob_is_the_callers() -> None:
    """A channel that only the caller's first plane reaches."""
    conv = nn.Conv2d(3, 1, 1, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([0.0, 0.0, 1.0]).reshape(1, 3, 1, 1))
    wanted = Preprocessing(channel_order="BGR")
    net = fx2caffe.export(conv.eval(), PIXELS, preprocessing=wanted).net
    assert net.steps[1].blobs[0].flatten().tolist() == [1.0, 0.0, 0.0]


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, image: Tensor, other: Tensor) -> Tensor:
        return self.conv(image) + other


def test_one_of_several_inputs() -> None:
    wanted = Preprocessing(**IMAGENET)
    inputs = (wanted.apply(PIXELS), torch.randn(2, 4, 10, 10))
    model = calibrate(Pair(), inputs)
    exported = fx2caffe.export(
        model,
        inputs,
        preprocessing={"image-0": wanted},
        input_names=["image-0", "other"],
        name_alphabet="[a-z0-9]",
    )
    assert exported.inputs == ("image00", "other")
    assert list(exported.preprocessing) == ["image00"]
    assert exported.verify().ok
    with pytest.raises(CaffeError, match=r"dict by input for \['image', 'other'\]"):
        fx2caffe.export(model, inputs, preprocessing=wanted)
    with pytest.raises(CaffeError, match=r"inputs \['image', 'other'\], got \['imag'\]"):
        fx2caffe.export(model, inputs, preprocessing={"imag": wanted})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"std": (1, 0, 1)}, "std and scale other than 0"),
        ({"scale": 0}, "std and scale other than 0"),
        ({"mean": float("nan")}, "mean needs finite numbers"),
        ({"mean": ()}, "mean needs finite numbers"),
        ({"channel_order": "GBR"}, "RGB or BGR, got 'GBR'"),
        ({"mean": (1, 2)}, "mean needs one number or one a channel"),
    ],
)
def test_layers_that_are_no_preprocessing(options: dict[str, Any], message: str) -> None:
    with pytest.raises(CaffeError, match=message):
        fx2caffe.export(nn.Conv2d(3, 4, 3), PIXELS, preprocessing=Preprocessing(**options))


def test_gray_has_no_order() -> None:
    with pytest.raises(CaffeError, match="BGR needs 3 channels"):
        fx2caffe.export(
            nn.Conv2d(1, 4, 3), PIXELS[:, :1], preprocessing=Preprocessing(channel_order="BGR")
        )
