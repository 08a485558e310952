"""Models that are files: programs of torch.export, TorchScript, and ONNX through onnx2torch."""

from __future__ import annotations

import logging
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from caffe2fx.errors import CaffeError, CaffeFormatError
from caffe2fx.weights.atomic import file_errors
from fx2caffe.zoo.models import Made

OPSET = 17  # of ONNX: the newest of which onnx2torch has the usual operators


def from_program(path: Path, given: Any) -> Made:
    """Return the module of a .pt2, with its own example inputs where none are given."""
    _check_there(path)
    try:
        with _silent("torch.export"):  # it logs a traceback as well
            program = torch.export.load(path)
    except Exception as error:  # torch.export raises anything for a file that is not its own
        cause = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise CaffeFormatError(
            f"{path} needs to be a file of torch.export.save, got {cause}"
        ) from None
    args, kwargs = program.example_inputs or ((), {})
    own: Any = kwargs if kwargs and not args else args
    if args and kwargs and given is None:
        raise CaffeError(f"{path} has positional and named inputs: needs --input for each")
    return Made(program.module(), (own or None) if given is None else given, own_weights=True)


def from_script(path: Path, given: Any) -> Made:
    """Return a TorchScript module as a program of torch.export, which the tracer can run."""
    _check_there(path)
    if not _is_script(path):
        raise CaffeFormatError(
            f"{path} needs to be TorchScript, got weights or a pickled model: name a factory, as "
            f"my_package.models:build_net --weights {path}"
        )
    if given is None:
        raise CaffeError(f"{path} gives no inputs: needs --input, as 1x3x224x224")
    if not isinstance(given, tuple):
        raise CaffeError(f"{path} needs inputs in order, got names: {', '.join(given)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch.jit is deprecated; the file is there
        try:
            script: Any = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
        except Exception as error:  # of a damaged file
            cause = str(error).strip().partition("\n")[0]
            raise CaffeFormatError(f"{path} needs to be whole TorchScript, got {cause}") from None
    return Made(_program(path, script.eval(), given), given, own_weights=True)


def _is_script(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as file:
            return any("/code/" in name for name in file.namelist())
    except zipfile.BadZipFile:
        return False


def _program(path: Path, script: Any, inputs: tuple[Tensor, ...]) -> Any:
    try:
        from torch._export.converter import TS2EPConverter

        with _silent("torch._export.non_strict_utils"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of buffers that nothing reads; we report the batch
            return TS2EPConverter(script, inputs).convert().module()
    except Exception as error:  # the converter raises anything, and may be gone from torch
        cause = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise CaffeError(
            f"{path} needs TorchScript that torch can turn into a program, got {cause}; "
            "export the Python model that it was made of"
        ) from error


def from_onnx(path: Path, given: Any) -> Made:
    """Return the module that onnx2torch makes of an .onnx, with inputs of its own shapes."""
    _check_there(path)
    try:
        import onnx
        from onnx2torch import convert
    except ImportError as error:
        way = "python -m pip install 'fx2caffe[onnx]'"
        raise CaffeError(f"{path} needs the package onnx2torch: {way} ({error})") from None
    try:
        read = onnx.load(path)
        model = _converted(read, convert)
    except Exception as error:  # onnx2torch raises anything for an operator that it does not have
        cause = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise CaffeError(
            f"{path} needs to be a model that onnx2torch reads, as of opset {OPSET}, got {cause}"
        ) from error
    inputs = _onnx_inputs(path, read.graph) if given is None else given
    return Made(model.eval(), inputs, own_weights=True)


def _converted(read: Any, convert: Callable[[Any], Any]) -> Any:
    """Return onnx2torch's module of a model, if need be of the same in an older opset."""
    try:
        return convert(read)
    except NotImplementedError:
        from onnx import version_converter

        version = max((one.version for one in read.opset_import if not one.domain), default=0)
        if version > OPSET:
            with suppress(Exception):  # the converter has its own gaps: the first error stands
                return convert(version_converter.convert_version(read, OPSET))
        raise


def _onnx_inputs(path: Path, graph: Any) -> tuple[Tensor, ...]:
    """Return random inputs of the graph's shapes, with 1 for a batch that it leaves open."""
    weights = {weight.name for weight in graph.initializer}
    shapes = []
    for value in graph.input:
        if value.name in weights:
            continue
        sizes = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        sizes[:1] = [sizes[0] or 1] if sizes else []
        if not all(sizes) or value.type.tensor_type.elem_type != 1:  # 1: float32
            raise CaffeError(f"{path} leaves input {value.name!r} open: needs --input for each")
        shapes.append(sizes)
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(sizes, generator=generator) for sizes in shapes)


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """Suppress the messages of one of torch's loggers within this block."""
    logger = logging.getLogger(name)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _check_there(path: Path) -> None:
    with file_errors():
        path.open("rb").close()
