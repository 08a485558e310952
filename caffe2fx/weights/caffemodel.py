"""Weights in a .caffemodel: written straight from the tensors' memory, read in place.

Only names, types, wiring and blobs are carried. Layer parameters live in the prototxt: their field
numbers mean different things in different forks of Caffe.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from caffe2fx.errors import CaffeFormatError
from caffe2fx.messages.v1 import V1_TYPES
from caffe2fx.weights import wire_format
from caffe2fx.weights.blob_message import MAX_AXES, blob_head, dated_blob
from caffe2fx.weights.file_kinds import hint
from caffe2fx.weights.mapped import memory_of

SIZE_LIMIT = 2**31 - 1  # bytes: Caffe's parser takes no longer message

_NET_NAME = 1
_NET_STATE, _STAGE = 6, 3  # whose stages no Caffe reads in a weights file
_IDENTIFIED, _LONGEST = "caffe2fx id: ", "0" * 16


@dataclass(frozen=True)
class LayerWeights:
    """Holds one layer entry of a weights file: its name, and its blobs in Caffe's order.

    `legacy` are the numbers of the blobs whose file gives num, channels, height and width instead
    of a shape: those have four axes, of which the first ones may be ones that nobody meant.
    """

    name: str
    type: str
    blobs: tuple[torch.Tensor, ...]
    bottoms: tuple[str, ...] = ()
    tops: tuple[str, ...] = ()
    legacy: frozenset[int] = frozenset()


class _LayerFields(NamedTuple):
    """Holds the field numbers of one generation of layer messages; 0 for a missing field."""

    message: str
    name: int
    type: int
    bottom: int
    top: int
    blobs: int
    nested: int = 0


_V2 = _LayerFields("layer", name=1, type=2, bottom=3, top=4, blobs=7)
_V1 = _LayerFields("layers", name=4, type=5, bottom=2, top=3, blobs=6, nested=1)
_V0 = _LayerFields("layers.layer", name=1, type=2, bottom=0, top=0, blobs=50)
_LAYERS = {100: _V2, 2: _V1}


def fits(net_name: str, layers: Sequence[LayerWeights]) -> bool:
    """Return whether the weights are few enough for a .caffemodel, as Caffe reads it."""
    return sum(map(_size, _layout(net_name, layers, _LONGEST))) <= SIZE_LIMIT


def write(
    path: str | os.PathLike[str],
    net_name: str,
    layers: Sequence[LayerWeights],
    identifier: str = "",
) -> None:
    """Write a weights file whose blobs all start at a multiple of 64 bytes.

    Contiguous float32 blobs go from their own memory to the file; others are converted one at a
    time. `identifier` states which net's weights they are (see caffe2fx.weights.pairing).
    CaffeFormatError, before the file is touched, if Caffe could not read the result.
    """
    pieces = list(_layout(net_name, layers, identifier))
    size = sum(map(_size, pieces))
    if size > SIZE_LIMIT:
        raise CaffeFormatError(
            f"{os.fspath(path)} needs {size} bytes, and Caffe reads at most {SIZE_LIMIT} of a "
            ".caffemodel: write a .caffemodel.h5 instead"
        )
    with open(path, "wb") as file:
        for piece in pieces:
            file.write(
                piece if isinstance(piece, bytes) else float32(piece).reshape(-1).numpy().data
            )


def read(
    path: str | os.PathLike[str], *, may_map: bool = True
) -> tuple[str, tuple[LayerWeights, ...]]:
    """Read the net's name and its layers from a file of any age: today's `layer`, V1 or V0.

    Blobs are float32 tensors over the file's bytes where it holds float32, which are mapped if
    they may be and are many (see caffe2fx.weights.mapped): nothing is read until it is used,
    writing to a blob does not reach the file, and a blob may start at any byte.
    Types of V0 layers are V0's own words. CaffeFormatError names the byte where the file is wrong.
    """
    source = _source(path, may_map=may_map)
    try:
        return _net(source)
    except CaffeFormatError as error:
        raise CaffeFormatError(f"{error}{hint(source.data[:256])}") from None


def identifier(path: str | os.PathLike[str]) -> str:
    """Return the identifier that `write` was given, empty for a file that was written otherwise."""
    source = _source(path)
    for found in source.fields(0, len(source.data)):
        if found.number in _LAYERS:
            break
        if found.number == _NET_STATE and found.wire == wire_format.DELIMITED:
            for inner in source.fields(found.begin, found.end):
                stage = source.data[inner.begin : inner.end].decode(errors="replace")
                if inner.number == _STAGE and stage.startswith(_IDENTIFIED):
                    return stage.removeprefix(_IDENTIFIED)
    return ""


# The field numbers on the way to blobs: None for the blobs, else those of the message.
_BlobFields = Mapping[int, "_BlobFields | None"]
_BLOBS: _BlobFields = {
    100: {_V2.blobs: None},
    2: {_V1.blobs: None, _V1.nested: {_V0.blobs: None}},
}


def definition(path: str | os.PathLike[str]) -> bytes:
    """Return the file's NetParameter without the blobs, as bytes small enough for protobuf.

    CaffeFormatError names the byte where the file is wrong.
    """
    source = _source(path)
    try:
        return _without(_BLOBS, source, 0, len(source.data))
    except CaffeFormatError as error:
        raise CaffeFormatError(f"{error}{hint(source.data[:256])}") from None


def _without(fields: _BlobFields, source: wire_format.Source, begin: int, end: int) -> bytes:
    kept = []
    for found in source.fields(begin, end):
        if found.number not in fields:
            kept.append(source.data[found.offset : found.end])
        elif (inner := fields[found.number]) is not None:
            source.require(found, "a layer", wire_format.DELIMITED)
            payload = _without(inner, source, found.begin, found.end)
            kept.append(wire_format.encode_delimited(found.number, payload))
    return b"".join(kept)


def read_blob(path: str | os.PathLike[str]) -> torch.Tensor:
    """Read the one blob of a .binaryproto: a mean image, or the matrix of an InfogainLoss."""
    source = _source(path)
    whole = wire_format.Field(0, wire_format.DELIMITED, 0, 0, len(source.data))
    return float32(dated_blob(source, whole, "the blob")[0])


def float32(blob: torch.Tensor) -> torch.Tensor:
    """Convert a blob to contiguous float32 in the CPU's memory; itself if it is that already."""
    return blob.detach().to("cpu", torch.float32).contiguous()


def refuse_unwritable(layer: LayerWeights) -> None:
    """Raise CaffeFormatError for blobs that no weights file can hold, whatever its format."""
    for index, blob in enumerate(layer.blobs):
        where = f"layer {layer.name!r}, blob {index}"
        if blob.is_complex() or blob.is_meta:
            kind = f"{blob.dtype} on {blob.device}"
            raise CaffeFormatError(f"{where} needs real values in memory, got {kind}")
        if blob.dim() > MAX_AXES:
            raise CaffeFormatError(f"{where} needs at most {MAX_AXES} axes, got {blob.dim()}")


# Writing


_Piece = bytes | torch.Tensor


def _size(piece: _Piece) -> int:
    return len(piece) if isinstance(piece, bytes) else 4 * piece.numel()


def _layout(
    net_name: str, layers: Iterable[LayerWeights], identifier: str = ""
) -> Iterator[_Piece]:
    """Yield the file from its first byte to its last: wire bytes, and the tensors between them."""
    head = wire_format.encode_delimited(_NET_NAME, net_name.encode())
    if identifier:
        stage = wire_format.encode_delimited(_STAGE, _IDENTIFIED.encode() + identifier.encode())
        head += wire_format.encode_delimited(_NET_STATE, stage)
    yield head
    offset = len(head)
    tag = wire_format.encode_tag(100, wire_format.DELIMITED)
    for layer in layers:
        refuse_unwritable(layer)
        offset += len(tag) + wire_format.LENGTH_BYTES
        body = list(_layer_pieces(layer, offset))
        length = sum(map(_size, body))
        yield tag + wire_format.encode_varint(length, wire_format.LENGTH_BYTES)
        yield from body
        offset += length


def _layer_pieces(layer: LayerWeights, offset: int) -> Iterator[_Piece]:
    """Yield a layer's message, whose first byte lies at `offset`, as wire bytes and tensors."""
    texts = [(_V2.name, layer.name), (_V2.type, layer.type)]
    texts += [(_V2.bottom, bottom) for bottom in layer.bottoms]
    texts += [(_V2.top, top) for top in layer.tops]
    head = b"".join(wire_format.encode_delimited(number, text.encode()) for number, text in texts)
    yield head
    offset += len(head)
    for blob in layer.blobs:
        head = blob_head(_V2.blobs, blob.shape, offset)
        yield head
        yield blob
        offset += len(head) + _size(blob)


# Reading


def _source(path: str | os.PathLike[str], *, may_map: bool = True) -> wire_format.Source:
    return wire_format.Source(os.fspath(path), memory_of(path, may_map=may_map))


def _net(source: wire_format.Source) -> tuple[str, tuple[LayerWeights, ...]]:
    name: str | None = None
    layers: list[LayerWeights] = []
    generation: _LayerFields | None = None
    for found in source.fields(0, len(source.data)):
        if found.number == _NET_NAME:
            name = source.text(found, "name")
        elif found.number in _LAYERS:
            previous, generation = generation, _LAYERS[found.number]
            if previous not in (None, generation):
                raise source.error(found.offset, "either `layer` or `layers`, found both")
            layers.append(_layer(source, found, generation))
    if name is None and not layers:
        raise source.error(0, "a net's name or a layer, found neither")
    return name if name is not None else "", tuple(layers)


@dataclass
class _Draft:
    """Holds a layer while its fields are read, which may come in any order."""

    name: str = ""
    type: str = ""
    bottoms: list[str] = field(default_factory=list)
    tops: list[str] = field(default_factory=list)
    blobs: list[wire_format.Field] = field(default_factory=list)


def _layer(
    source: wire_format.Source, message: wire_format.Field, generation: _LayerFields
) -> LayerWeights:
    draft = _Draft()
    _collect(source, message, generation, draft)
    blobs = [
        dated_blob(source, blob, f"layer {draft.name!r}, blob {index}")
        for index, blob in enumerate(draft.blobs)
    ]
    return LayerWeights(
        draft.name,
        draft.type,
        tuple(blob for blob, _ in blobs),
        tuple(draft.bottoms),
        tuple(draft.tops),
        frozenset(index for index, (_, is_legacy) in enumerate(blobs) if is_legacy),
    )


def _collect(
    source: wire_format.Source, message: wire_format.Field, generation: _LayerFields, draft: _Draft
) -> None:
    source.require(message, generation.message, wire_format.DELIMITED)
    for found in source.fields(message.begin, message.end):
        if found.number == generation.name:
            draft.name = source.text(found, "name")
        elif found.number == generation.type:
            draft.type = _layer_type(source, found, generation)
        elif found.number == generation.bottom:
            draft.bottoms.append(source.text(found, "bottom"))
        elif found.number == generation.top:
            draft.tops.append(source.text(found, "top"))
        elif found.number == generation.blobs:
            draft.blobs.append(found)
        elif found.number == generation.nested:
            _collect(source, found, _V0, draft)


def _layer_type(
    source: wire_format.Source, found: wire_format.Field, generation: _LayerFields
) -> str:
    """Return the name of a V1 type's value; "" for an unknown one, which Caffe reads as NONE."""
    if generation is not _V1:
        return source.text(found, "type")
    source.require(found, "type", wire_format.VARINT)
    return V1_TYPES.get(found.value, "")
