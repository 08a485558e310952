"""Commands of the programs that read nets: templates, filled in with a net's files and inputs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from caffe2fx.messages.message import Shape
from fx2caffe.preprocessing import Preprocessing

_ORDERS = {1: "gray", 3: "rgb"}  # of the channels of an image, by their count


@dataclass(frozen=True)
class Feed:
    """Describes an input of a net; of an image also the arithmetic that the program is to do.

    That is (pixel - mean) * factor, a value each for every channel in `order`, which is rgb, bgr
    or gray, and empty for an input that is no image.
    """

    name: str
    shape: Shape
    mean: tuple[float, ...] = ()
    factor: tuple[float, ...] = ()
    order: str = ""


def feed(name: str, shape: Shape, pixels: Preprocessing | None, *, by_caller: bool) -> Feed:
    """Return an input of a net, an image where `pixels` preprocesses it.

    The arithmetic is part of the net, which takes the caller's order of channels, unless the caller
    does it (`by_caller`): then the net takes the model's order.
    """
    if pixels is None or len(shape) != 4 or shape[1] not in _ORDERS:
        return Feed(name, shape)
    channels, order = shape[1], _ORDERS[shape[1]]
    if not by_caller:
        swapped = pixels.swaps and order == "rgb"
        return Feed(name, shape, (0.0,) * channels, (1.0,) * channels, "bgr" if swapped else order)
    affine = pixels.affine(channels)
    mean = (-affine.offset / affine.factor).tolist()
    return Feed(name, shape, tuple(mean), tuple(affine.factor.tolist()), order)


@dataclass(frozen=True)
class TextFile:
    """States a file that a command reads.

    Its lines are templates: `lines` once, `image` for each input that is an image and `other` for
    each that is not. With `one_each` there is a file for each image.
    """

    name: str
    lines: tuple[str, ...] = ()
    image: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    one_each: bool = False


@dataclass(frozen=True)
class Command:
    """States the command by which a program takes a net's files: its arguments, as templates.

    Braces are filled in by the fields of `_of_net`, in files also by those of `_of_feed`. Where the
    net has images, `pixels` are further arguments, `inline` is filled in at {pixels}, and `files`
    with lines for images are written. `one_factor` states that the program multiplies all
    channels by the same value.
    """

    program: str
    arguments: tuple[str, ...]
    pixels: tuple[str, ...] = ()
    inline: str = ""
    files: tuple[TextFile, ...] = ()
    one_factor: bool = False

    def text(self, prototxt: Path, weights: Path, feeds: Sequence[Feed]) -> str:
        """Return the line for a shell, which writes the files first that the command reads."""
        fields = _of_net(prototxt, weights, feeds)
        images = [one for one in feeds if one.order]
        fields["pixels"] = self.inline.format(**fields) if images else ""
        arguments = self.arguments + (self.pixels if images else ())
        written = _joined(argument.format(**fields) for argument in arguments)
        made = (_written(file, fields, feeds) for file in self.files)
        return " && ".join([*(part for parts in made for part in parts), written])

    def why_not(self, feeds: Sequence[Feed]) -> str | None:
        """Return why the program cannot do the arithmetic of these inputs, None if it can."""
        if self.one_factor and any(len(set(one.factor)) > 1 for one in feeds):
            return (
                f"{self.program} needs one std for all channels where the caller preprocesses; "
                "without --caller-preprocesses the net does that arithmetic"
            )
        return None


EXAMPLE = (Feed("data", (1, 3, 224, 224)),)


def example(command: Command) -> str:
    """Return a command for a net of one input, as the pages of the targets show it."""
    return command.text(Path("net.prototxt"), Path("net.caffemodel"), EXAMPLE)


def _joined(arguments: Iterator[str]) -> str:
    return " ".join(map(shlex.quote, arguments))


def _written(file: TextFile, fields: Mapping[str, str], feeds: Sequence[Feed]) -> Iterator[str]:
    """Yield the commands that write a file, or one file for each image."""
    many = list(enumerate(feeds))
    groups = [[pair] for pair in many if pair[1].order] if file.one_each else [many]
    for group in groups:
        lines = [line.format(**fields) for line in file.lines]
        for index, one in group:
            templates = file.image if one.order else file.other
            lines += (line.format(**fields, **_of_feed(index, one)) for line in templates)
        if lines:
            name = file.name.format(**fields, **_of_feed(*group[0]))
            quoted = _joined(part for line in lines for part in line.splitlines())
            yield f"printf '%s\\n' {quoted} > {shlex.quote(name)}"


def _of_net(prototxt: Path, weights: Path, feeds: Sequence[Feed]) -> dict[str, str]:
    """Return the fields of a command: files, inputs in each vendor's form, the first image."""
    images = [one for one in feeds if one.order]
    first = images[0] if images else Feed("", ())
    return {
        "prototxt": str(prototxt),
        "weights": str(weights),
        "stem": str(prototxt.with_suffix("")),
        "name": prototxt.stem,
        "names": ",".join(one.name for one in feeds),
        "shapes": f"[{','.join(map(_bracketed, feeds))}]",
        "bracketed": ",".join(map(_bracketed, feeds)),
        "named": ";".join(f"{one.name}:{_comma_separated(one.shape)}" for one in feeds),
        "prototxt_text": _literal(str(prototxt)),
        "weights_text": _literal(str(weights)),
        "rknn_text": _literal(str(prototxt.with_suffix(".rknn"))),
        "python_shapes": _literal([(one.name, one.shape) for one in feeds]),
        "means": str([[*one.mean] for one in feeds]),
        "divisors": str([[1 / value for value in one.factor] for one in feeds]),
        "named_means": ",".join(f"{one.name}[{_comma_separated(one.mean)}]" for one in images),
        "named_divisors": ",".join(
            f"{one.name}[{_comma_separated(1 / value for value in one.factor)}]" for one in images
        ),
        **_of_image(first),
    }


def _of_image(one: Feed) -> dict[str, str]:
    height, width = one.shape[2:] if one.order else (0, 0)
    return {
        "image_text": _literal(one.name),
        "height": str(height),
        "width": str(width),
        "mean": _comma_separated(one.mean),
        "factor": _comma_separated(one.factor),
        "order": one.order,
        "is_rgb": str(one.order == "rgb"),
        "is_bgr": str(one.order == "bgr"),
    }


def _of_feed(index: int, one: Feed) -> dict[str, str]:
    """Return the fields of a line for one input."""
    channels = range(len(one.mean))
    return {
        "index": str(index),
        "mean_lines": "\n".join(_number(value) for value in one.mean),
        "one_factor": _number(one.factor[0]) if one.factor else "",
        "ORDER": "BGR" if one.order == "bgr" else "RGB",
        "ascend_format": "YUV400_U8" if one.order == "gray" else "RGB888_U8",
        "ascend_swap": str(one.order == "bgr").lower(),
        "ascend_size": "\n".join(
            f"src_image_size_{side}: {value}"
            for side, value in zip("hw", one.shape[2:], strict=False)
        ),
        "ascend_means": "\n".join(f"min_chn_{i}: {_number(one.mean[i])}" for i in channels),
        "ascend_factors": "\n".join(
            f"var_reci_chn_{i}: {_number(one.factor[i])}" for i in channels
        ),
    }


def _literal(value: object) -> str:
    """Return a value as Python writes it, with the quotes that a shell's own leave alone."""
    return json.dumps(value, ensure_ascii=False)


def _bracketed(one: Feed) -> str:
    return f"[{_comma_separated(one.shape)}]"


def _comma_separated(values: Sequence[float] | Iterator[float]) -> str:
    return ",".join(map(_number, values))


def _number(value: float) -> str:
    return f"{value:.9g}"
