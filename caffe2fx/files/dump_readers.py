"""Dumps of other programs: a reader for each kind of file, and a name map for missing names."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from caffe2fx.errors import CaffeError, CaffeFormatError
from caffe2fx.files import foreign_text
from caffe2fx.files.feature_dump import (
    Array,
    Dump,
    FeatureMap,
    is_exact,
    npy_of,
    npz_of,
    own_dump,
    safetensors_of,
)
from caffe2fx.files.layouts import LAYOUTS
from caffe2fx.weights.atomic import file_errors

Reader = Callable[[Path], Mapping[str, Any]]
_READERS: dict[str, Reader] = {}


def register_reader(suffix: str) -> Callable[[Reader], Reader]:
    """Register a function as the reader of files of dumps whose names end in `suffix`.

    It takes a path and returns arrays by name; an array that was quantized is a FeatureMap. Of
    several suffixes that fit a name the longest decides. CaffeError for one that is taken.
    """
    if not suffix.startswith(".") or suffix in _READERS:
        raise CaffeError(f"register_reader needs a new suffix like '.bin', got {suffix!r}")

    def register(reader: Reader) -> Reader:
        _READERS[suffix] = reader
        return reader

    return register


def unregister_reader(suffix: str) -> None:
    """Remove the reader of a suffix."""
    if _READERS.pop(suffix, None) is None:
        raise CaffeError(f"unregister_reader needs one of {sorted(_READERS)}, got {suffix!r}")


@register_reader(".npy")
def _npy(path: Path) -> Mapping[str, Array]:
    return {path.stem: npy_of(path)}


@register_reader(".npz")
def _npz(path: Path) -> Mapping[str, Array]:
    return npz_of(path)


@register_reader(".safetensors")
def _safetensors(path: Path) -> Mapping[str, Array]:
    return safetensors_of(path)[0]


@register_reader(".txt")
def _text(path: Path) -> Mapping[str, Array]:
    """Read decimal floats, one a line; return an empty dict for other texts."""
    words = path.read_text(encoding="utf-8").split()
    if not words or not _is_decimal(words[0]):
        return {}
    if not all(map(_is_decimal, words)):
        raise ValueError("needs decimal numbers alone")
    return {path.stem: np.array(words, dtype=np.float32)}


def _is_decimal(word: str) -> bool:
    """Return whether a program may have printed a number so; Python's own 1_000 is no such one."""
    try:
        float(word)
    except ValueError:
        return False
    return "_" not in word


FRACTION = 12  # fractional bits in NNIE's results
_NNIE = re.compile(
    r"seg(?P<seg>\d+)_layer(?P<layer>\d+)_(output(?P<output>\d+)|input\((?P<input>.+)\))_\w+"
)
# nnie_mapper's dump of its quantization: layer_output0_C_H_W_quant
_MAPPER = re.compile(r"(?P<layer>.+)_output(?P<output>\d+)_\d+_\d+_\d+_quant")


@register_reader(".hex")
def _hexadecimal(path: Path) -> Mapping[str, FeatureMap]:
    """Read NNIE's hexadecimal values: signed 32-bit with FRACTION fractional bits, one a line."""
    words = path.read_text("ascii").split()
    if not all(re.fullmatch("[0-9a-fA-F]{1,8}", word) for word in words):
        raise ValueError("needs hexadecimal digits of 32 bits, without a sign")
    bits = np.array([int(word, 16) for word in words], dtype=np.uint32)
    value = (bits.view(np.int32) / 2.0**FRACTION).astype(np.float32)
    name = path.name.removesuffix(".hex").removesuffix(".linear")
    parts = _NNIE.fullmatch(name)
    one = FeatureMap(name, value, is_exact=False)
    if parts is None:
        return {name: _of_mapper(one)}
    if parts["input"]:
        return {name: replace(one, name=parts["input"], aliases=(name,))}
    layer = f"seg{parts['seg']}_layer{parts['layer']}"
    aliases = (f"{layer}_output{parts['output']}", layer, parts["layer"])
    return {name: replace(one, aliases=aliases, output=int(parts["output"]))}


def _of_mapper(one: FeatureMap) -> FeatureMap:
    """Return the map with the layer that nnie_mapper's file name states, if it is one of those."""
    parts = _MAPPER.fullmatch(one.name)
    if parts is None:
        return one
    layer, output = parts["layer"], int(parts["output"])
    return replace(one, layer=layer, output=output, aliases=(f"{layer}_output{output}", layer))


@dataclass(frozen=True)
class MapSpec:
    """Holds the entry of a name map for one array: blob or layer, quantization and layout.

    An integer `q` is dequantized as (q - zero_point) * scale.
    """

    blob: str
    scale: float | None = None
    zero_point: float = 0.0
    layout: str | None = None


Names = Mapping[str, Any] | str | Path | None


def read_dump(path: str | Path, *, names: Names = None, layout: str = "NCHW") -> Dump:
    """Read the feature maps of a folder, an archive or a single file.

    `names` maps the dump's own name of an array to a blob or layer name, or a MapSpec (or its
    fields as a dict); it may be a .json file of that, or a .tsv with the columns name, blob, scale,
    zero_point, layout, of which the last three may be left out. An NNIE result is listed as
    "seg0_layer7_output0", "seg0_layer7" or "7". `layout` is that of arrays for which `names` has
    none. Raises CaffeFormatError for files whose content does not match their suffix, and
    CaffeError for integers without a scale.
    """
    if layout not in LAYOUTS:
        raise CaffeError(f"layout needs to be one of {', '.join(LAYOUTS)}, got {layout!r}")
    with file_errors():
        Path(path).stat()
        found = own_dump(Path(path)) or _foreign(Path(path))
    specs = _specs(names)
    unused = set(specs)
    maps = tuple(_specified(one, specs, layout, unused) for one in found.maps)
    if specs and len(unused) == len(specs):  # a table of a whole net may list more than was dumped
        raise CaffeError(f"names needs names of the dump {path}, got {sorted(unused)}")
    return replace(found, maps=maps)


def _foreign(path: Path) -> Dump:
    """Read a dump without a manifest; of a folder every file that has a reader."""
    files = sorted(path.iterdir(), key=_natural) if path.is_dir() else [path]
    maps: list[FeatureMap] = []
    skipped: list[str] = []
    for file in files:
        read = list(_read(file))
        maps += read
        skipped += [] if read else [file.name]
    if not maps:
        endings = ", ".join(sorted(_READERS))
        raise CaffeFormatError(f"{path} needs feature maps in files that end in {endings}")
    names = [one.name for one in maps]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CaffeFormatError(f"{path} needs one array a name, got several of {twice}")
    return Dump(tuple(maps), skipped=tuple(skipped))


def _natural(path: Path) -> list[tuple[int, str]]:
    """Return a sort key by which layer10 comes after layer9."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _read(file: Path) -> Iterator[FeatureMap]:
    suffix = max((s for s in _READERS if file.name.endswith(s)), key=len, default=None)
    if suffix is None or not file.is_file():
        return
    try:
        for name, value in _READERS[suffix](file).items():
            yield value if isinstance(value, FeatureMap) else _as_map(name, np.asarray(value))
    except (ValueError, EOFError) as error:
        if isinstance(error, CaffeError):
            raise
        raise CaffeFormatError(f"{file} needs to be a {suffix} of numbers: {error}") from None


def _as_map(name: str, array: Array) -> FeatureMap:
    return FeatureMap(name, array, is_exact=is_exact(array))


def _specs(names: Names) -> dict[str, MapSpec]:
    if names is None:
        return {}
    if isinstance(names, Mapping):
        return {name: _spec(name, value) for name, value in names.items()}
    path = Path(names)
    with file_errors():
        text = foreign_text.utf8(path)
    if path.suffix != ".json":
        try:
            return dict(_from_table(path, text))
        except csv.Error as error:  # a byte 0, before Python 3.11
            raise CaffeFormatError(f"{path} needs to be a table of text: {error}") from None
    return _specs(foreign_text.json_object(text, path))


_COLUMNS = ("name", "blob", "scale", "zero_point", "layout")


def _from_table(path: Path, text: str) -> Iterator[tuple[str, MapSpec]]:
    for line, cells in enumerate(csv.reader(text.splitlines(), delimiter="\t"), 1):
        if not cells or cells[0].startswith("#") or tuple(cells) == _COLUMNS[: len(cells)]:
            continue
        if not (2 <= len(cells) <= len(_COLUMNS) and cells[0]):
            need = f"{path}:{line} needs the columns {', '.join(_COLUMNS)}"
            raise CaffeFormatError(f"{need}, the first two at least, got {cells}")
        given = {key: cell for key, cell in zip(_COLUMNS, cells, strict=False) if cell}
        yield given.pop("name"), _spec(cells[0], given)


def _spec(name: str, value: Any) -> MapSpec:
    if isinstance(value, (str, MapSpec)):
        return MapSpec(value) if isinstance(value, str) else value
    try:
        spec = MapSpec(**{"blob": name, **value})
        scale = None if spec.scale is None else float(spec.scale)
        spec = replace(spec, scale=scale, zero_point=float(spec.zero_point))
    except (TypeError, ValueError) as error:
        fields = ", ".join(_COLUMNS[1:])
        need = f"names needs for {name!r} a blob, or some of {fields}"
        raise CaffeError(f"{need}, got {value!r}: {error}") from None
    if spec.layout not in (None, *LAYOUTS):
        raise CaffeError(f"{name!r} needs a layout of {', '.join(LAYOUTS)}, got {spec.layout!r}")
    return spec


def _specified(
    one: FeatureMap, specs: Mapping[str, MapSpec], layout: str, unused: set[str]
) -> FeatureMap:
    """Return the map under the name that `specs` gives it, dequantized to floats."""
    key = next((name for name in (one.name, *one.aliases) if name in specs), None)
    spec = MapSpec("") if key is None else specs[key]
    unused.discard(key or "")
    if spec.scale is None and one.value.dtype in (np.int8, np.uint8, np.int16, np.uint16):
        kind = one.value.dtype
        raise CaffeError(f"map {one.name!r} of {kind} needs a scale (see names), got none")
    if spec.scale is not None:
        floats = (one.value.astype(np.float64) - spec.zero_point) * spec.scale
        one = replace(one, value=floats.astype(np.float32), is_exact=False)
    blob, own = (spec.blob, "") if spec.blob else (one.blob, one.layer)
    name = spec.blob or one.name
    return replace(one, name=name, blob=blob if one.blob else "", layer=own,
                   layout=spec.layout or layout)  # fmt: skip
