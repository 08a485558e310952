"""Feature maps as files: a folder of .npy, an .npz or a .safetensors, each with a manifest.

The manifest is JSON: {"format", "version", "inputs", "outputs", "maps"}. Each input and map has
the keys name, blob, layer, shape, dtype, file and crc32 (of the elements); `outputs` are names in
the model's own order; a folder's manifest has the key `incomplete` while the folder is written.
In a folder and in an .npz it is the file manifest.json, in a .safetensors the metadata "manifest".
"""

from __future__ import annotations

import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tokenize import TokenError
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe2fx.errors import CaffeError, CaffeFormatError
from caffe2fx.files import foreign_text
from caffe2fx.net.unique_names import unique_name
from caffe2fx.weights.atomic import file_errors, replacing, replacing_all

FORMAT = "caffe2fx feature maps"
VERSION = 1
MANIFEST = "manifest.json"

Array = np.ndarray[Any, Any]
Add = Callable[[str, Array], str]  # writes an array under a name, and returns its file
_Sink = tuple[Add, Callable[[str], None]]  # the second writes the manifest's text


@dataclass(frozen=True)
class FeatureMap:
    """Holds one array of a dump.

    `name` is its name in the dump: in our own dumps "blob", or "blob@layer" where in-place layers
    overwrite the blob; in others the key or the file name. `aliases` are other names under which a
    name map may list it, `output` is the index among its layer's tops. `is_exact` is false for a
    quantized array; `layout` is NCHW or NHWC.
    """

    name: str
    value: Array
    blob: str = ""
    layer: str = ""
    aliases: tuple[str, ...] = ()
    output: int = 0
    is_exact: bool = True
    layout: str = "NCHW"


@dataclass(frozen=True)
class Dump:
    """Holds the feature maps of one run, in their order, with the inputs by blob.

    `outputs` are names of maps in the model's own order, empty where the dump does not list them;
    `skipped` are files of a folder that no reader takes.
    """

    maps: tuple[FeatureMap, ...]
    inputs: Mapping[str, Array] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


def as_array(value: Tensor) -> Array:
    """Return the tensor as a NumPy array; bfloat16, which NumPy does not have, as float32."""
    plain = value.detach().cpu()
    array: Array = (plain.float() if plain.dtype is torch.bfloat16 else plain).numpy()
    return array


def write_dump(
    path: str | Path,
    inputs: Mapping[str, Tensor],
    maps: Iterable[FeatureMap],
    outputs: Sequence[str] = (),
) -> None:
    """Write maps as they come, to `path` if it ends in .npz or .safetensors, else to a folder."""
    taken = {Path(MANIFEST).stem}
    manifest: dict[str, Any] = {"format": FORMAT, "version": VERSION, "outputs": list(outputs)}
    with file_errors(), _sink(Path(path)) as (add, finish):
        given = [FeatureMap(name, as_array(v), blob=name) for name, v in inputs.items()]
        for key, found in (("inputs", given), ("maps", maps)):
            manifest[key] = [_written(one, add, taken) for one in found]
        finish(json.dumps(manifest, indent=1))


def _written(one: FeatureMap, add: Add, taken: set[str]) -> dict[str, Any]:
    """Write one map; return its entry in the manifest."""
    value = one.value
    file = add(file_name(one.name, taken), np.asarray(value, order="C"))
    about = {"name": one.name, "blob": one.blob, "layer": one.layer, "file": file}
    sizes = {"shape": list(value.shape), "dtype": str(value.dtype)}
    return {**about, **sizes, "crc32": _digest(value)}


def _digest(value: Array) -> int:
    return zlib.crc32(np.ascontiguousarray(value).data)


_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.I)  # devices of Windows


def file_name(name: str, taken: set[str]) -> str:
    """Return a name that any file system takes, distinct from those taken in any letter case."""
    plain = re.sub(r"[^\w.@-]", "_", name, flags=re.ASCII).lstrip(".")[:100] or "_"
    plain = f"_{plain}" if _RESERVED.match(plain) else plain
    return unique_name(plain, taken, key=str.lower)


def _sink(path: Path) -> AbstractContextManager[_Sink]:
    if path.suffix == ".npz":
        return _into_npz(path)
    return _into_safetensors(path) if path.suffix == ".safetensors" else _into_folder(path)


@contextmanager
def _into_folder(folder: Path) -> Iterator[_Sink]:
    """Yield a sink into a folder, whose manifest calls it incomplete until all is written.

    Without a manifest the files written by then would be read as a simulator's whole dump.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def add(name: str, array: Array) -> str:
        with replacing_all([folder / f"{name}.npy"], durable=False) as (temporary,):
            np.save(temporary, array)
        return f"{name}.npy"

    def finish(manifest: str) -> None:
        with replacing(folder / MANIFEST) as temporary:
            temporary.write_text(manifest, encoding="utf-8")

    finish(json.dumps({"format": FORMAT, "version": VERSION, "incomplete": True}))
    yield add, finish


@contextmanager
def _into_npz(path: Path) -> Iterator[_Sink]:
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:

        def add(name: str, array: Array) -> str:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
            return f"{name}.npy"

        yield add, lambda manifest: archive.writestr(MANIFEST, manifest)


@contextmanager
def _into_safetensors(path: Path) -> Iterator[_Sink]:
    library = _safetensors()
    arrays: dict[str, Array] = {}

    def add(name: str, array: Array) -> str:
        arrays[name] = array
        return name

    def finish(manifest: str) -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(library.save(arrays, metadata={"manifest": manifest}))

    yield add, finish


def _safetensors() -> ModuleType:
    try:
        import safetensors.numpy as library
    except ImportError:
        wanted = "python -m pip install safetensors"
        raise CaffeError(f"a .safetensors file needs the package safetensors: {wanted}") from None
    return library


def own_dump(path: Path) -> Dump | None:
    """Read a dump that `write_dump` wrote; None for a folder or an archive without a manifest."""
    arrays, manifest = _arrays(path)
    if manifest is None:
        return None
    try:
        found = foreign_text.json_object(manifest, path)
        if found["format"] != FORMAT or found["version"] > VERSION:
            version = f"{found['format']!r} of version {found['version']}"
            raise CaffeFormatError(f"{path} needs a {FORMAT!r} of version {VERSION}, got {version}")
        if found.get("incomplete"):
            raise CaffeFormatError(
                f"{path} needs to be a whole dump, got one whose writing stopped"
            )
        maps = tuple(_read(entry, arrays) for entry in found["maps"])
        inputs = {entry["blob"]: _read(entry, arrays).value for entry in found["inputs"]}
        return Dump(maps, inputs, tuple(found.get("outputs", ())))
    except (ValueError, KeyError, TypeError, EOFError) as error:
        if isinstance(error, CaffeError):
            raise
        raise CaffeFormatError(f"{path} needs the manifest and arrays of a dump: {error}") from None


def _read(entry: Mapping[str, Any], arrays: Callable[[str], Array]) -> FeatureMap:
    name, value = entry["name"], arrays(entry["file"])
    if list(value.shape) != list(entry["shape"]):
        raise ValueError(f"{name!r} is of shape {entry['shape']}, got {list(value.shape)}")
    if _digest(value) != entry.get("crc32", _digest(value)):
        changed = f"{name!r} has other elements than the dump that wrote the manifest"
        raise ValueError(f"{changed}; if they are to be read, take its crc32 out of {MANIFEST}")
    return FeatureMap(name, value, entry["blob"], entry["layer"], is_exact=is_exact(value))


def is_exact(value: Array) -> bool:
    """Return whether an array was computed in float32 or better, so that float32's limits apply."""
    return value.dtype in (np.float32, np.float64)


def _arrays(path: Path) -> tuple[Callable[[str], Array], str | None]:
    """Return a function that reads an array by its file, and the text of the manifest."""
    if path.is_dir():
        manifest = path / MANIFEST
        text = foreign_text.utf8(manifest) if manifest.exists() else None
        return lambda file: npy_of(path / Path(file).name), text
    if path.suffix == ".safetensors":
        read, about = safetensors_of(path)
        return lambda file: read[file], about.get("manifest")
    if path.suffix == ".npz":
        read = npz_of(path)
        return lambda file: read[Path(file).stem], _in_zip(path)
    return lambda _: np.empty(0), None


def npy_of(path: Path) -> Array:
    """Return the array of an .npy; raise CaffeFormatError if it is not one."""
    with _zip_errors(path, "an .npy of numbers"):
        found = np.load(path, allow_pickle=False)
    if isinstance(found, np.ndarray):
        return found
    found.close()
    raise CaffeFormatError(f"{path} needs to be an .npy, got an archive: name it .npz")


def _in_zip(path: Path) -> str | None:
    with _zip_errors(path), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        return archive.read(MANIFEST).decode() if MANIFEST in names else None


@contextmanager
def _zip_errors(path: Path, kind: str = "an .npz of arrays") -> Iterator[None]:
    """Raise CaffeFormatError for whatever is wrong in an array or in an archive of them."""
    try:
        yield
    except _WRONG_ZIP as error:
        raise CaffeFormatError(f"{path} needs to be {kind}: {error!r}") from None


# NotImplementedError (a RuntimeError) for other compressions, RuntimeError for encrypted members,
# MemoryError for sizes that no file of arrays has; an array's head is Python, of any mistakes.
_WRONG_ZIP = (
    *(ValueError, EOFError, KeyError, RuntimeError, OverflowError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, struct.error, SyntaxError, TokenError, TypeError),
)


def npz_of(path: Path) -> dict[str, Array]:
    """Return the arrays of an .npz by name; raise CaffeFormatError if it is not one."""
    with _zip_errors(path), path.open("rb") as file:
        archive = np.load(file, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise CaffeFormatError(f"{path} needs to be an .npz, got one array: name it .npy")
        return {name: archive[name] for name in archive.files if name != MANIFEST}


def safetensors_of(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the arrays of a .safetensors file by name, and its metadata."""
    _safetensors()
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise CaffeFormatError(f"{path} needs to be a .safetensors file: {error}") from None
