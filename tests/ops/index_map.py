"""Operations that only move elements, slice assignment among them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torchvision.ops import stochastic_depth

from tests.rows import Row, Shape, function

X = ((2, 4, 6, 8),)
SLICE, CROP = ("Slice", "Silence"), ("DummyData", "Crop")
SWAP = ("Reshape", "Im2col", "Reshape")
WINDOW = ("Reshape", "Im2col", "Reshape")
AFTER = ("Reshape", "Im2col", "Flatten", *CROP)  # padding behind the last element
PIECES = ("Slice", "Concat")
MATRIX = ("Reshape", "Convolution", "Reshape")
ROWS_BY_INDEX = ("Parameter", "Reshape", "BatchReindex", "Reshape")


def move(
    id: str, body: Callable[..., Any], *layers: str, shapes: tuple[Shape, ...] = X, **options: Any
) -> Row:
    return Row(id, function(body), shapes, layers, **options)


def _written(body: Callable[..., None]) -> Callable[..., Tensor]:
    """Return a function that gives a copy of its first argument after `body` wrote into it."""

    def run(x: Tensor, *others: Tensor) -> Tensor:
        copy = x.clone()
        body(copy, *others)
        return copy

    return run


def _set(index: Any, value: Any = None) -> Callable[..., Tensor]:
    """Write a constant, or the second argument, at an index."""

    def body(x: Tensor, *others: Tensor) -> None:
        x[index] = others[0] if others else value

    return _written(body)


def _row_of_a_base_that_is_written(x: Tensor) -> Tensor:
    base = x + 0
    row = base[0, 1:]
    base.unsqueeze(1).mul_(2)
    return row


def _through_view(x: Tensor) -> None:
    x[:, 0].mul_(2)


def _ragged(x: Tensor, *lengths: int, **options: Any) -> Tensor:
    rows = zip(x, lengths, strict=False)
    return pad_sequence([row[:length] for row, length in rows], **options)


ALL = slice(None)
GRID = (ALL, ALL, slice(None, None, 2), slice(1, 4))
# fmt: off
SLICES = [
    move("slice", lambda x: x[:, 1:3], *SLICE),
    move("slice_from_start", lambda x: x[:, :3], *SLICE),
    move("slice_operator", lambda x: torch.ops.aten.slice(x, 1, 1, 3), *SLICE),
    move("slice_negative", lambda x: x[..., -3:-1], *SLICE),
    move("slice_two_axes", lambda x: x[:, :, 1:3, 2:], *CROP),
    move("slice_far_axes", lambda x: x[:, 1:3, :, 2:7], *CROP),
    move("slice_everything", lambda x: x[:, :, :100] * 2, "Power"),
    move("slice_steps", lambda x: x[:, :, ::2, ::3], "Im2col"),
    move("slice_steps_one_axis", lambda x: x[..., ::3], *WINDOW),
    move("slice_steps_from_one", lambda x: x[..., 1::3], "Slice", *WINDOW, "Silence"),
    move("slice_steps_of_channels", lambda x: x[:, ::2], "Reshape", "Im2col", "Flatten",
         shapes=((2, 4, 6),)),
    move("slice_rank_2", lambda x: x[:, 1:], *SLICE, shapes=((3, 5),)),
    move("select", lambda x: x[:, -1], "Slice", "Flatten", "Silence"),
    move("select_function", lambda x: x.select(2, 3), "Slice", "Flatten", "Silence"),
    move("select_two_axes", lambda x: x[:, 1, :, 2], *CROP, "Flatten"),
    move("select_sample", lambda x: x[0], *CROP, "Flatten"),
    move("select_last_sample", lambda x: x[-1], "Slice", "Flatten", "Silence", fixed_batch=True),
    move("slice_samples", lambda x: x[:1], *CROP),
    move("slice_new_axis", lambda x: x[:, None, ..., 0], "Slice", "Reshape", "Silence"),
    move("slice_list", lambda x: x[:, [3, 1, 1, 0]], *PIECES, "Silence"),
    move("slice_many_of_list", lambda x: x[..., list(range(0, 40, 2)) + list(range(39, 0, -3))],
         "InnerProduct", shapes=((2, 3, 40),)),
    move("slice_pairs", lambda x: x[:, :, [0, 1, 2], [1, 3, 3]],
         "Flatten", "InnerProduct", "Reshape"),
    move("slice_mask", lambda x: x[:, torch.arange(4) % 2 == 1], "Slice", *WINDOW, "Silence"),
    move("slice_slices", lambda x: x[:, :, 1:][:, :, :3], *SLICE),
    move("slice_slices_read_twice", lambda x: (lambda y: (y, y[:, :, :3]))(x[:, :, 1:]),
         "Slice", "Slice", "Silence"),
    move("slice_flips_twice", lambda x: x.flip(1).flip(1), "Power"),
    move("slice_pad_and_cut", lambda x: F.pad(x, (0, 2))[..., 1:], "Slice", *WINDOW, *CROP,
         "Silence"),
    move("slice_focus", lambda x: torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2]], 1),
         "Im2col", *CROP, "Im2col", "Concat"),
    move("narrow", lambda x: x.narrow(2, 1, 3), *SLICE),
    move("index_select", lambda x: x.index_select(3, torch.tensor([7, 0])), *PIECES, "Silence"),
    move("take", lambda x: x.take(torch.tensor([[1, 5], [7, 0]])), "Flatten", "Reshape",
         "Convolution", "Reshape", "Reshape", fixed_batch=True),
    move("diagonal", lambda x: x.diagonal(0, 1, 2), "Flatten", "InnerProduct", "Reshape",
         shapes=((2, 4, 4, 3),)),
    move("tensor_unfold", lambda x: x.unfold(2, 3, 2), "Flatten", "InnerProduct", "Reshape"),
    move("getitem_nothing", lambda x: x[:, 4:] * 1.0, refused="needs tensors with elements"),
    move("cat_with_nothing", lambda x: torch.cat([x[:, 4:] * 2, x, x[:, :0]], 1) * 1.0, "Power"),
    move("hstack_with_nothing", lambda x: torch.hstack([x[:, 4:], x]) * 1.0, "Power"),
    move("split_off_nothing", lambda x: torch.cat(x.split([0, 1, 3], 1)[::-1], 1), "Slice",
         "Concat"),
    move("sum_of_nothing", lambda x: x + x[:, 4:].sum(), "Power"),
    move("write_nothing", _written(lambda x: x[:, 4:].fill_(3.0)), "Power"),
]
PERMUTES = [
    move("permute_to_last", lambda x: x.permute(0, 2, 3, 1), *SWAP),
    move("permute_to_first", lambda x: x.permute(0, 3, 1, 2), *SWAP),
    move("permute_reversed", lambda x: x.permute(3, 2, 1, 0), *SWAP, *SWAP[1:], *SWAP[1:]),
    move("permute_batch_behind", lambda x: x.permute(1, 2, 0), *SWAP, shapes=((2, 3, 4),)),
    move("permute_of_ones", lambda x: x.permute(0, 2, 1, 3), "Reshape", shapes=((2, 1, 6, 8),)),
    move("permute_rank_6", lambda x: x.view(2, 4, 3, 2, 4, 2).permute(0, 2, 4, 3, 5, 1),
         *SWAP, *SWAP[1:], *SWAP[1:], fixed_batch=True),
    move("transpose_batch", lambda x: x.transpose(0, 1), *SWAP),
    move("transpose_batch_back", lambda x: x.permute(1, 0, 2).relu().permute(1, 0, 2),
         "Reshape", "Im2col", "Flatten", "ReLU", "Reshape", "Deconvolution", "Reshape",
         shapes=((2, 3, 4),)),
    move("transpose_apart", lambda x: x.transpose(1, -1), *SWAP, *SWAP[1:]),
    move("movedim", lambda x: x.movedim(1, 3), *SWAP),
    move("channel_shuffle", lambda x: F.channel_shuffle(x, 2), *SWAP, "Flatten"),
    move("native_channel_shuffle", lambda x: F.native_channel_shuffle(x, 2), *SWAP, "Flatten"),
    move("channel_shuffle_by_hand",
         lambda x: x.view(2, 2, 2, 6, 8).transpose(1, 2).reshape(2, 4, 6, 8),
         *SWAP, "Flatten", fixed_batch=True),
    Row("pixel_shuffle", lambda: nn.PixelShuffle(2), X, ("Deconvolution",)),
    Row("pixel_shuffle_3", lambda: nn.PixelShuffle(3), ((2, 18, 2, 3),), ("Deconvolution",)),
    Row("pixel_shuffle_rank_5", lambda: nn.PixelShuffle(2), ((2, 2, 4, 3, 3),),
        ("Flatten", "Deconvolution", "Reshape")),
    Row("pixel_unshuffle_rank_5", lambda: nn.PixelUnshuffle(2), ((2, 2, 4, 2, 6),),
        ("Flatten", "Im2col", "Reshape")),
    Row("pixel_unshuffle_rank_3", lambda: nn.PixelUnshuffle(2), ((4, 6, 4),),
        ("Reshape", "Im2col", "Flatten")),
    Row("pixel_unshuffle", lambda: nn.PixelUnshuffle(2), X, ("Im2col",)),
    Row("unfold", lambda: nn.Unfold((3, 2), dilation=2, padding=1, stride=(2, 1)), X,
        ("Im2col", "Flatten")),
]
ORDERS = [
    move("flip_channels", lambda x: x.flip(1), *PIECES),
    move("flip_image", lambda x: x.flip([2, -1]), *PIECES * 2),
    move("flip_long", lambda x: x.flip(2), "InnerProduct", shapes=((2, 3, 20),)),
    move("flip_long_channels", lambda x: x.flip(1), *MATRIX, shapes=((2, 20, 3),)),
    move("flip_very_long", lambda x: x.flip(1), "Parameter", "Flatten", "BatchReindex", "Reshape",
         shapes=((2, 2100, 2),), fixed_batch=True),
    move("flip_samples", lambda x: x.flip(0), "Slice", "Concat", fixed_batch=True),
    move("fliplr", lambda x: x.fliplr(), *PIECES),
    move("flipud", lambda x: x.flipud(), "Slice", "Concat", shapes=((3, 2),), fixed_batch=True),
    move("rot90", lambda x: x.rot90(1, (2, 3)), *PIECES, *SWAP),
    move("roll", lambda x: x.roll((1, -2), (2, 3)), *PIECES * 2),
    move("fftshift", lambda x: torch.fft.fftshift(x, (2, 3)), "Slice", "Concat", "Slice", "Concat"),
    move("ifftshift", lambda x: torch.fft.ifftshift(x, 1), "Slice", "Concat"),
    move("roll_around", lambda x: x.roll(6, 2) * 2, "Power"),
    move("chunk", lambda x: x.chunk(2, 1), "Slice"),
    move("chunk_uneven", lambda x: x.chunk(3, 3), "Slice"),
    move("chunk_one", lambda x: x.chunk(1, 1)[0] * 2, "Power"),
    move("split", lambda x: x.split(3, -1), "Slice"),
    move("split_list", lambda x: x.split([1, 3], 1), "Slice"),
    move("split_with_sizes", lambda x: torch.split_with_sizes(x, [1, 3], 1), "Slice"),
    move("split_samples", lambda x: x.split(1)[0], *CROP),
    move("tensor_split", lambda x: x.tensor_split((1, 3), 2), "Slice"),
    move("hsplit", lambda x: x.hsplit(2), "Slice"),
    move("vsplit", lambda x: x[0].vsplit((1, 3)), "DummyData", "Crop", "Flatten", "Slice"),
    move("dsplit", lambda x: x.dsplit((1, 4)), "Slice"),
    move("unbind_copy", lambda x: torch.unbind_copy(x, 1),
         "Slice", "Flatten", "Flatten", "Flatten", "Flatten"),
    move("split_with_sizes_copy", lambda x: torch.split_with_sizes_copy(x, [1, 3], 1), "Slice"),
    move("adjoint", lambda x: x.mH, "Reshape", "Im2col", "Reshape"),
    move("combinations_repeated", lambda x: torch.combinations(x[0, 0, 0], 3, True),
         "DummyData", "Crop", "Flatten", "Reshape", "Convolution", "Reshape", "Reshape",
        since="2.13"),
    move("permute_copy", lambda x: torch.permute_copy(x, (0, 2, 1, 3)), "Reshape", "Im2col"),
    move("transpose_copy", lambda x: torch.transpose_copy(x, 1, 2), "Reshape", "Im2col"),
    move("t_copy", lambda x: torch.t_copy(x), "Reshape", "Im2col", "Reshape", shapes=((2, 3),)),
    move("narrow_copy", lambda x: x.narrow_copy(2, 1, 3), "Slice", "Silence"),
    move("select_copy", lambda x: torch.select_copy(x, 2, 3), "Slice", "Flatten", "Silence"),
    move("slice_copy", lambda x: torch.slice_copy(x, 2, 1, 4), "Slice", "Silence"),
    move("diagonal_copy", lambda x: torch.diagonal_copy(x, 0, 2, 3),
         "Flatten", "InnerProduct", "Reshape"),
    move("unfold_copy", lambda x: torch.unfold_copy(x, 3, 4, 2),
         "Flatten", "InnerProduct", "Reshape"),
    move("expand_copy", lambda x: torch.expand_copy(x[:, :, :1], (-1, -1, 3, -1)),
         "Slice", "Tile", "Silence"),
    move("unbind", lambda x: x.unbind(1), "Slice", *("Flatten",) * 4),
    move("iterate_unpacked", lambda x: (lambda a, b: a + b)(*x.unbind(2)), "Slice", "Flatten",
         "Flatten", "Eltwise", shapes=((2, 3, 2),)),
]
COPIES = [
    move("repeat", lambda x: x.repeat(1, 2, 1, 3), "Tile", "Tile"),
    move("repeat_new_axis", lambda x: x[:, 0].repeat(1, 1, 2, 1), "Slice", "Flatten", "Tile",
         "Reshape", "Silence"),
    move("repeat_samples", lambda x: x.repeat(2, 1, 1, 1), "Tile", fixed_batch=True),
    move("tile", lambda x: x.tile(2, 1), "Tile"),
    move("expand", lambda x: x.expand(-1, -1, 5, 3), "Tile", shapes=((2, 4, 1, 3),)),
    move("expand_new_axis", lambda x: x.expand(4, 2, 3), "Reshape", "Tile", shapes=((2, 3),),
         fixed_batch=True),
    move("broadcast_to", lambda x: torch.broadcast_to(x[:, :, None], (2, 3, 4)), "Reshape", "Tile",
         shapes=((2, 3),), fixed_batch=True),
    move("repeat_interleave", lambda x: x.repeat_interleave(3, 1), "Reshape", "Tile", "Flatten"),
    move("repeat_interleave_image", lambda x: x.repeat_interleave(3, 3), "Deconvolution"),
    move("stack", lambda x, y: torch.stack([x, y], 2), "Reshape", "Reshape", "Concat",
         shapes=X * 2),
    move("stack_last", lambda x, y: torch.stack((x, y), -1), "Reshape", "Reshape", "Concat",
         shapes=X * 2),
    move("hstack", lambda x, y: torch.hstack([x, y]), "Concat", shapes=X * 2),
    move("column_stack", lambda x, y: torch.column_stack([x, y]), "Concat", shapes=X * 2),
    move("column_stack_lines", lambda x, y: torch.column_stack([x[0], y[0], torch.ones(4)]),
         "DummyData", "Crop", "Flatten", "DummyData", "Crop", "Flatten", "DummyData",
         "Reshape", "Reshape", "Reshape", "Concat",
         shapes=((2, 4), (2, 4))),
    move("dstack", lambda x, y: torch.dstack([x, y]), "Concat", shapes=X * 2),
    move("dstack_matrices", lambda x, y: torch.dstack([x, y]), "Reshape", "Reshape", "Concat",
         shapes=((2, 4), (2, 4))),
    move("dstack_of_rank_3", lambda x, y: torch.dstack([x, y]), "Concat", shapes=((2, 3, 4),) * 2),
    move("vstack", lambda x, y: torch.vstack([x, y]), "Concat", shapes=X * 2),
]
PADS = [
    move("pad_even", lambda x: F.pad(x, (1, 1, 2, 2)), "Im2col"),
    move("pad_uneven", lambda x: F.pad(x, (1, 2, 3, 0)), "Im2col", *CROP),
    move("pad_one_side", lambda x: F.pad(x, (0, 1, 0, 1)), "Im2col", *CROP),
    move("pad_rank_2", lambda x: F.pad(x, (0, 2)), "Reshape", "Im2col", "Flatten", *CROP,
         shapes=((2, 5),)),
    move("pad_channels", lambda x: F.pad(x, (0, 0, 0, 0, 2, 2)), *WINDOW),
    move("pad_shortcut", lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2)), "Im2col", *WINDOW),
    move("pad_number", lambda x: F.pad(x, (1, 2, 3, 1), value=1.5), "Im2col", *CROP, "Bias"),
    move("pad_number_one_axis", lambda x: F.pad(x, (1, 1), value=-2.0), *WINDOW, "Bias"),
    move("pad_negative", lambda x: F.pad(x, (-1, -2, -1, 0)), *CROP),
    move("pad_mixed", lambda x: F.pad(x, (-1, 2)), "Slice", *WINDOW, *CROP, "Silence"),
    move("pad_sequence", lambda x: _ragged(x, 2, 5), "Slice", "Flatten", "Flatten", "Slice", *AFTER,
         "Reshape", "Reshape", "Concat", "Silence", shapes=((2, 5),), fixed_batch=True),
    move("pad_sequence_of_features",
         lambda x: _ragged(x.permute(1, 2, 0), 4, 1, padding_value=-1.0),
         "Reshape", "Im2col", "Reshape", "Slice", "Flatten", "Flatten", "Slice", "Reshape",
         "Convolution", "Reshape", "Bias", "Reshape", "Reshape", "Concat", "Silence",
         shapes=((3, 2, 4),)),
    move("pad_sequence_left", lambda x: pad_sequence([x[:, 1:].t(), torch.ones(2, 3)], True, 0.5,
                                                     padding_side="left"),
         "Slice", *WINDOW, "DummyData", *AFTER, "Bias", "Reshape", "Reshape", "Concat", "Silence",
         shapes=((3, 4),), since="2.5", fixed_batch=True),
    move("pad_reflect", lambda x: F.pad(x, (1, 2, 3, 1), "reflect"), *PIECES * 2),
    move("pad_replicate", lambda x: F.pad(x, (1, 2, 3, 1), "replicate"), *PIECES * 2),
    move("pad_circular", lambda x: F.pad(x, (1, 2, 3, 1), "circular"), *PIECES * 2),
    move("pad_circular_1d", lambda x: F.pad(x, (2, 2), "circular"), *PIECES, shapes=((2, 3, 7),)),
    move("pad_reflect_wide", lambda x: F.pad(x, (9, 9), "reflect"), "InnerProduct",
         shapes=((2, 3, 12),)),
    move("constant_pad_nd", lambda x: torch.constant_pad_nd(x, (1, 1)),
         "Reshape", "Im2col", "Reshape"),
    move("pad_samples", lambda x: F.pad(x, (0, 0, 1, 1)), "Reshape", "Im2col", "Flatten",
         shapes=((2, 5),), fixed_batch=True),
    move("stochastic_depth", lambda x: stochastic_depth(x, 0.5, "row", training=False) * 2,
         "Power"),
    move("pad_to_nothing", lambda x: F.pad(x, (-4, -4)) * 1.0,
         refused="needs tensors with elements in them"),
]
WRITES = [
    move("set_channels", _set((ALL, slice(1, 3))), "Slice", "Slice", "Concat", "Silence",
         shapes=(*X, (2, 2, 6, 8))),
    move("set_first_channels", _set((ALL, slice(0, 2))), "Slice", "Concat", "Silence",
         shapes=(*X, (2, 2, 6, 8))),
    move("set_channel_broadcast", _set((ALL, 1)),
         "Reshape", "Tile", "Slice", "Slice", "Concat", "Silence", shapes=(*X, (2, 1, 8))),
    move("set_everything", lambda x, y: _set(ALL)(x, y) * 2, "Power", "Silence", shapes=X * 2),
    move("set_grid", _set(GRID), "Scale", *MATRIX, *WINDOW, *CROP, "Eltwise",
         shapes=(*X, (2, 4, 3, 3))),
    move("set_zero", _set((ALL, ALL, slice(1, 3), slice(2, 5)), 0), "Scale"),
    move("set_number", _set((ALL, ALL, slice(1, 3), slice(2, 5)), 1.5), "Scale"),
    move("set_numbers", _set((ALL, ALL, 2), torch.arange(8.0)), "Scale"),
    move("set_grid_number", _set((ALL, [0, 2]), 0.25), "Scale"),
    move("set_sample", _set(0, 1.5), "Scale", fixed_batch=True),
    move("set_scattered", _set((ALL, ALL, [0, 1], [1, 2])), "Flatten", "Flatten", "Concat",
         "InnerProduct", "Reshape", shapes=(*X, (2, 4, 2))),
    move("set_scattered_number", _set((ALL, ALL, [0, 1], [1, 2]), 1.0), "Scale"),
    move("write_through_view", _written(_through_view),
         "Slice", "Flatten", "Power", "Reshape", "Concat"),
    move("read_beside_a_write", _row_of_a_base_that_is_written,
         "Power", "Reshape", "Power", "DummyData", "Crop", "Flatten", fixed_batch=True),
]  # fmt: skip
PICKED = torch.tensor([[1, 9, -3], [2, 0, 7]])
CHUNKS = [
    Row("chunk_cat", function(lambda x, y: torch._chunk_cat([x, y], 1, 3)), ((2, 5, 3), (2, 3, 4)),
        since="2.3",
        layers=("Reshape", "Im2col", "Flatten", "DummyData", "Crop", "Reshape", "Concat")),
    Row("chunk_cat_of_constant",
        function(lambda x: torch._chunk_cat([x, torch.ones(2, 7)], -1, 2)), ((2, 5),),
        since="2.3",
        layers=("DummyData", "Reshape", "Im2col", "Flatten", "DummyData", "Crop", "Reshape",
            "Im2col", "Flatten", "DummyData", "Crop", "Reshape", "Reshape", "Concat"),
            fixed_batch=True),
    Row("masked_index", function(lambda x: torch._unsafe_masked_index(
        x, PICKED.abs() < 5, [PICKED - 2, PICKED], 0.5)), ((4, 5),),
        since="2.5",
        layers=("Flatten", "Reshape", "Convolution", "Reshape", "Reshape", "Scale", "Bias"),
            fixed_batch=True),
    Row("masked_index_traced", function(lambda x, i: torch.ops.aten._unsafe_masked_index(
        x, i < 4, [i, i * 2], -2.0)), ((4, 9), (3, 2)), below=(0, 9),
        since="2.5", layers={"Power": 14, "Threshold": 1, "Eltwise": 7, "Tile": 2, "Flatten": 2,
            "BatchReindex": 1, "Reshape": 1}, fixed_batch=True),
]  # fmt: skip
ROWS = [*SLICES, *PERMUTES, *ORDERS, *COPIES, *PADS, *WRITES, *CHUNKS]
