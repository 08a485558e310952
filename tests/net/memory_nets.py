"""Nets that ask what becomes of memory: one input and a layer, and what is written behind them."""

from __future__ import annotations

from pathlib import Path

import torch

HEAD = """layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 4 dim: 2 dim: 2 } } }
layer { name: "first" type: "Power" bottom: "data" top: "x" power_param { scale: 2 } }
"""  # noqa: E501
GIVEN = {"data": torch.linspace(-1, 1, 16).reshape(1, 4, 2, 2)}


def layer(type_: str, bottoms: str, tops: str, more: str = "", name: str = "") -> str:
    wires = "".join(f' bottom: "{b}"' for b in bottoms.split())
    wires += "".join(f' top: "{t}"' for t in tops.split())
    return f'layer {{ name: "{name or tops.split()[0]}" type: "{type_}"{wires} {more} }}\n'


def over(blob: str, name: str = "over", type_: str = "ReLU", more: str = "") -> str:
    return layer(type_, blob, blob, more, name)


def reader(blob: str, name: str = "out") -> str:
    return layer("Power", blob, name, "power_param { shift: 1 }")


def net(folder: Path, text: str) -> Path:
    path = folder / "net.prototxt"
    path.write_text(HEAD + text)
    return path
