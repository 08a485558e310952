"""Shapes for inputs of which a net's text states none: those of a file or a data base."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from caffe2fx.layers import AnnotatedData, PythonData, Source
from caffe2fx.layers.images import Images
from caffe2fx.messages.message import Shape
from caffe2fx.net.net import Net
from caffe2fx.net.step import is_input

# The images of data sets whose nets do not state their sizes.
DATA_SETS = {"/siamese/": (2, 2, 28, 28), "/mnist/": (2, 1, 28, 28), "/cifar10/": (2, 3, 32, 32)}


def with_shapes(net: Net, path: str) -> Net:
    """Return the net with Input layers of a shape each: the text's own, or the defaults."""
    return net.reshaped(list(_inputs(net, path)))


def _inputs(net: Net, path: str) -> Iterator[Shape]:
    for step in net.steps:
        if is_input(step):
            assert isinstance(step.layer, Source)
            if isinstance(step.layer, PythonData):
                yield from (_of_regions(top.blob, step.layer) for top in step.tops)
            else:
                yield from step.input_shapes(_stated(step.layer, len(step.tops), path))


def _of_regions(blob: str, layer: PythonData) -> Shape:
    """Return shapes of one image with one region, as the nets of py-faster-rcnn read them."""
    found = re.search(r"num_classes'?: (\d+)", layer.python_param.param_str)
    targets = 4 * int(found[1]) if found else 0
    known = {"data": (1, 3, 227, 227), "im_info": (1, 3), "gt_boxes": (1, 5), "rois": (1, 5),
             "labels": (1, 1, 1, 1)}  # fmt: skip
    return known.get(blob, (1, targets, 1, 1))


def _stated(layer: Source, tops: int, path: str) -> Sequence[Shape | None]:
    own = layer.stated((None,) * tops) if tops else ()
    return _default(layer, tops, path) if None in own else own


def _default(layer: Source, tops: int, path: str) -> list[Shape | None]:
    """Return 3 channels and 227 x 227 pixels unless the text states otherwise.

    Of several sizes the first counts. Labels are one value an image, or one labelled box.
    Two images are enough: a text's batch of thousands would not fit Caffe's own count.
    """
    known = next((shape for name, shape in DATA_SETS.items() if name in path), (2, 3, 227, 227))
    if layer.type == "SegData":  # a label for each pixel, and sides that 32 divides
        return [(2, 3, 224, 224), (2, 1, 224, 224)]
    if not isinstance(layer, Images):
        return [known, *[(2,)] * (tops - 1)]
    channels, height, width = _first_size(layer).image_shape()
    image = (2, channels or known[1], height or known[2], width or known[3])
    if isinstance(layer, AnnotatedData):
        return [image, (1, 1, 1, 8), (2, 1, image[2] // 8, image[3] // 8)][:tops]
    return [image, layer.label_shape(image, 2), (2, 1, 1, 2)][:tops]


def _first_size(layer: Images) -> Images:
    sizes = layer.transform_param.resize_param
    transform = replace(layer.transform_param, resize_param=sizes[:1])
    return replace(layer, transform_param=transform)
