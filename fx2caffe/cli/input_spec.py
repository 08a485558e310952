"""An input as the command line writes it: a shape, integers in a range, arrays, or an image."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

ARRAYS = (".npy", ".npz")
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
FORMS = "1x3x224x224, 1x16@0:30521, x.npy, x.npz, photo.jpg@224x224"
_SHAPE = re.compile(
    r"(?:(?P<name>\w+)=)?(?P<sizes>\d+(?:x\d+)*)(?:@(?P<low>-?\d+):(?P<high>-?\d+))?"
)
_FILE = re.compile(
    r"(?:(?P<name>[A-Za-z_]\w*)=)?(?P<path>.+?\.\w+)(?:@(?P<height>\d+)x(?P<width>\d+))?"
)


@dataclass(frozen=True)
class InputSpec:
    """Holds one `--input`: random values of a shape, or a file.

    `name` is the argument of forward, empty where inputs come in order. With `span` the values are
    integers from its first bound to its second, both included; `size` is the height and width to
    which an image is resized.
    """

    name: str = ""
    shape: tuple[int, ...] = ()
    span: tuple[int, int] | None = None
    path: Path | None = None
    size: tuple[int, int] | None = None


def input_spec(text: str) -> InputSpec:
    """Parse an `--input`."""
    found = _SHAPE.fullmatch(text)
    if found is not None:
        return _random(text, found)
    file = _FILE.fullmatch(text)
    if file is None or Path(file["path"]).suffix.lower() not in (*ARRAYS, *IMAGES):
        raise argparse.ArgumentTypeError(
            f"needs positive sizes joined by x, or a file: {FORMS}; got {text!r}"
        )
    size = (int(file["height"]), int(file["width"])) if file["height"] else None
    if size and (0 in size or Path(file["path"]).suffix.lower() in ARRAYS):
        raise argparse.ArgumentTypeError(f"needs a positive size after an image, got {text!r}")
    return InputSpec(file["name"] or "", path=Path(file["path"]), size=size)


def _random(text: str, found: re.Match[str]) -> InputSpec:
    shape = tuple(map(int, found["sizes"].split("x")))
    if 0 in shape:
        raise argparse.ArgumentTypeError(f"needs positive sizes joined by x, got {text!r}")
    if found["low"] is None:
        return InputSpec(found["name"] or "", shape)
    span = int(found["low"]), int(found["high"])
    if span[0] > span[1]:
        raise argparse.ArgumentTypeError(f"needs a range LOW:HIGH that rises, got {text!r}")
    return InputSpec(found["name"] or "", shape, span)
