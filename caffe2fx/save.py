"""Write a net as Caffe's two files: weights first, prototxt last, each by rename."""

from __future__ import annotations

from pathlib import Path

from caffe2fx import caffemodel, hdf5
from caffe2fx.atomic import replacing_all
from caffe2fx.net import Net
from caffe2fx.prototxt import text_of


def save(
    net: Net, prototxt: str | Path, weights: str | Path, *, header: str = ""
) -> None:
    """Write prototxt and weights; a weights path ending in .h5 makes an HDF5 file.

    Nothing is replaced unless both files were written whole.
    """
    layers = weights_of(net)
    text = text_of(net, header=header)
    with replacing_all([weights, prototxt]) as (new_weights, new_prototxt):
        if str(weights).endswith(".h5"):
            hdf5.write(new_weights, layers)
        else:
            caffemodel.write(new_weights, net.name, layers)
        new_prototxt.write_text(text, encoding="utf-8")


def weights_of(net: Net) -> tuple[caffemodel.LayerWeights, ...]:
    """The layers of the net as a weights file lists them."""
    return tuple(
        caffemodel.LayerWeights(
            step.name,
            step.layer.type,
            step.blobs,
            tuple(value.blob for value in step.bottoms),
            tuple(value.blob for value in step.tops),
        )
        for step in net.steps
    )
