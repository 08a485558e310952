"""Rows of the layers that move elements without changing them."""

from __future__ import annotations

from caffe2fx.layers import Concat, Crop, Flatten, Reshape, Silence, Slice, Split, Tile
from caffe2fx.messages.message import Shape
from tests.layers.row import Refusal, Row

IMAGE = (2, 6, 4, 5)


def reshape(id: str, layer: Reshape, bottom: Shape = IMAGE) -> Row:
    return Row(f"reshape {id}", layer, (bottom,))


def crop(id: str, second: Shape, axis: int = 2, offset: Shape = (), as_text: str = "") -> Row:
    layer = Crop(axis=axis, offset=offset)
    return Row(f"crop {id}", layer, (IMAGE, second), as_text=as_text)


ROWS = (
    Row("concat", Concat(), ((2, 3, 4), (2, 1, 4))),
    Row("concat of 3", Concat(), ((2, 3), (2, 1), (2, 2))),
    Row("concat of 1", Concat(), ((2, 3),)),
    Row("concat axis 0", Concat(axis=0), ((2, 3), (4, 3))),
    Row("concat axis 2", Concat(axis=2), ((2, 3, 4), (2, 3, 1))),
    Row("concat axis -1", Concat(axis=-1), ((2, 3, 4), (2, 3, 1))),
    Row("concat concat_dim", Concat(axis=2), ((2, 3, 4), (2, 3, 1)),
        as_text="concat_param { concat_dim: 2 }"),
    Row("slice in 2", Slice(), (IMAGE,), 2),
    Row("slice in 3", Slice(), (IMAGE,), 3),
    Row("slice of 1", Slice(), (IMAGE,)),
    Row("slice points", Slice(slice_point=(1, 4)), (IMAGE,), 3),
    Row("slice point, axis 0", Slice(axis=0, slice_point=(1,)), (IMAGE,), 2),
    Row("slice axis -1", Slice(axis=-1, slice_point=(1, 2)), (IMAGE,), 3),
    Row("slice axis 2", Slice(axis=2), (IMAGE,), 2),
    Row("slice slice_dim", Slice(axis=2), (IMAGE,), 2, as_text="slice_param { slice_dim: 2 }"),
    Row("flatten", Flatten(), (IMAGE,)),
    Row("flatten axis 0", Flatten(axis=0), (IMAGE,)),
    Row("flatten axis 2", Flatten(axis=2), (IMAGE,)),
    Row("flatten axis -2", Flatten(axis=-2), (IMAGE,)),
    Row("flatten to 2", Flatten(end_axis=2), (IMAGE,)),
    Row("flatten to -3", Flatten(axis=0, end_axis=-3), (IMAGE,)),
    Row("flatten one axis", Flatten(axis=2, end_axis=2), (IMAGE,)),
    Row("flatten no axis", Flatten(axis=2, end_axis=1), (IMAGE,)),
    Row("flatten rank 2", Flatten(), ((2, 3),)),
    reshape("whole", Reshape(shape=(4, 60))),
    reshape("0 and -1", Reshape(shape=(0, -1))),
    reshape("0 in the middle", Reshape(shape=(-1, 0, 2))),
    reshape("zeros", Reshape(shape=(0, 0, 0, 0))),
    reshape("axis", Reshape(shape=(3, -1), axis=1)),
    reshape("axis, num_axes", Reshape(shape=(3, 2), axis=1, num_axes=1)),
    reshape("axis, num_axes, 0", Reshape(shape=(0, 2, 2), axis=1, num_axes=2), (2, 6, 4, 5)),
    reshape("inserted", Reshape(shape=(1,), axis=2, num_axes=0)),
    reshape("appended", Reshape(shape=(1, 1), axis=-1, num_axes=0)),
    reshape("axis -2", Reshape(shape=(5, 1), axis=-2)),
    reshape("to a scalar", Reshape(shape=()), (1, 1)),
    reshape("nothing said, to a scalar", Reshape(), (1, 1)),
    reshape("from a scalar", Reshape(shape=(1, 1, 1)), ()),
    reshape("-1 that is 1", Reshape(shape=(0, 6, -1, 20)), (2, 6, 4, 5)),
    reshape("same", Reshape(shape=IMAGE)),
    crop("", (2, 6, 2, 3)),
    crop("offset", (2, 6, 2, 3), offset=(2,)),
    crop("two offsets", (2, 6, 2, 3), offset=(1, 2)),
    crop("axis 1", (9, 2, 3, 4), axis=1, offset=(3, 1, 0)),
    crop("axis 0", (1, 2, 3, 4), axis=0, offset=(1, 0, 1, 1)),
    crop("axis -1", (9, 9, 9, 3), axis=-1, offset=(2,)),
    crop("nothing", IMAGE),
    crop("offset of 0", (2, 6, 2, 3), as_text="crop_param { offset: 0 }"),
    crop("offsets of 0", (2, 6, 2, 3), offset=(0, 0)),
    Row("tile", Tile(tiles=3), ((2, 3, 4),)),
    Row("tile once", Tile(tiles=1), ((2, 3, 4),)),
    Row("tile axis 0", Tile(axis=0, tiles=2), ((2, 3, 4),)),
    Row("tile axis -1", Tile(axis=-1, tiles=2), ((2, 3, 4),)),
    Row("split", Split(), (IMAGE,), 3),
    Row("split of 1", Split(), (IMAGE,)),
    Row("silence", Silence(), (IMAGE,), 0),
    Row("silence of 2", Silence(), (IMAGE, (2, 3)), 0),
)  # fmt: skip


def refuse(
    type_: str, id: str, reason: str, parameters: str, *bottoms: Shape, tops: int = 1
) -> Refusal:
    stated = f"{type_.lower()}_param {{ {parameters} }}" if parameters else ""
    return Refusal(f"{type_} {id}", type_, reason, stated, bottoms or (IMAGE,), tops)


REFUSALS = (
    refuse("Concat", "sizes", "needs shapes equal but for axis 1", "", (2, 3, 4), (2, 3, 5)),
    refuse("Concat", "ranks", "needs shapes equal but for axis 1", "", (2, 3, 4), (2, 3)),
    refuse("Concat", "axis", r"needs an axis in \[-2, 2\), got 2", "axis: 2", (2, 3), (2, 3)),
    refuse("Concat", "axis twice", "needs axis or concat_dim, got both",
           "axis: 0 concat_dim: 1", (2, 3), (2, 3)),
    refuse("Slice", "parts", "needs a size divisible by 4 tops, got 6", "", tops=4),
    refuse("Slice", "points", "needs 1 slice_point for 2 tops, got 2",
           "slice_point: 1 slice_point: 2", tops=2),
    refuse("Slice", "order", "needs slice_point increasing within 6",
           "slice_point: 3 slice_point: 2", tops=3),
    refuse("Slice", "beyond", "needs slice_point increasing within 6", "slice_point: 7", tops=2),
    refuse("Slice", "equal", "needs slice_point increasing within 6",
           "slice_point: 3 slice_point: 3", tops=3),
    refuse("Slice", "point 0", "needs slice_point increasing within 6", "slice_point: 0", tops=2),
    refuse("Slice", "axis", r"needs an axis in \[-4, 4\), got 4", "axis: 4"),
    refuse("Slice", "axis twice", "needs axis or slice_dim, got both", "axis: 0 slice_dim: 1"),
    refuse("Flatten", "axis", r"needs an axis in \[-4, 4\), got 4", "axis: 4"),
    refuse("Flatten", "end", r"needs an axis in \[-4, 4\), got 4", "end_axis: 4"),
    refuse("Flatten", "backwards", "needs axis up to end_axis, got 3 and 1",
           "axis: 3 end_axis: 1"),
    refuse("Reshape", "count", r"needs a shape of 240 elements", "shape { dim: 7 }"),
    refuse("Reshape", "inferred", r"needs a shape of 240 elements", "shape { dim: 7 dim: -1 }"),
    refuse("Reshape", "two inferred", "needs a shape of 240 elements",
           "shape { dim: -1 dim: -1 }"),
    refuse("Reshape", "0 beyond", "needs an axis of .* under each 0",
           "shape { dim: 2 dim: 6 dim: 4 dim: 5 dim: 0 }"),
    refuse("Reshape", "axis", "needs axes within", "shape { dim: 1 } axis: 5 num_axes: 0"),
    refuse("Reshape", "num_axes", "needs axes within", "shape { dim: 1 } axis: 2 num_axes: 3"),
    refuse("Reshape", "num_axes -2", "needs axes within",
           "shape { dim: -1 } num_axes: -2"),
    refuse("Crop", "one bottom", r"needs 2 bottom\(s\), got 1", ""),
    refuse("Crop", "ranks", "needs bottoms of one rank", "", IMAGE, (2, 6, 4)),
    refuse("Crop", "larger", "needs a crop within", "", IMAGE, (2, 6, 5, 5)),
    refuse("Crop", "offset", "needs a crop within", "offset: 1", IMAGE, (2, 6, 4, 4)),
    refuse("Crop", "three offsets of 0", "needs offset once or 2 times",
           "offset: 0 offset: 0 offset: 0", IMAGE, IMAGE),
    refuse("Crop", "three offsets", "needs offset once or 2 times",
           "offset: 1 offset: 1 offset: 1", IMAGE, (2, 6, 2, 2)),
    refuse("Tile", "no tiles", "needs tiles of 1 or more, got 0", ""),
    refuse("Tile", "tiles 0", "needs tiles of 1 or more, got 0", "tiles: 0"),
    refuse("Tile", "axis", r"needs an axis in \[-4, 4\), got 4", "tiles: 2 axis: 4"),
    refuse("Split", "no top", r"needs at least 1 top\(s\), got 0", "", tops=0),
    refuse("Silence", "a top", r"needs 0 top\(s\), got 1", ""),
)  # fmt: skip
