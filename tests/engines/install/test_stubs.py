"""Stand-in libraries: whole enough for ld.so, and outspoken when one is called."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from caffe2fx.engines.install import stubs
from caffe2fx.errors import EngineError

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads an ELF library of the host")
on_x86_64 = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="runs x86-64 code"
)


@on_x86_64
@pytest.mark.parametrize("symbol", ["mdb_env_create", "mdb_env_open", "mdb_put"])
def test_a_stub_function_names_the_missing_library_and_exits_70(
    tmp_path: Path, symbol: str
) -> None:
    symbols = ["mdb_env_create", "mdb_env_open", "mdb_put"]
    library = tmp_path / "liblmdb.so.0"
    library.write_bytes(stubs.stub_library(library.name, symbols, 62))
    code = f"import ctypes; ctypes.CDLL({str(library)!r}).{symbol}()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 70
    assert "without liblmdb.so.0, so its layers Data" in done.stderr
    assert f"({symbol} was called)" in done.stderr
    assert done.stderr.endswith("\n")


@on_linux
def test_the_undefined_symbols_of_a_library_are_read() -> None:
    spec = find_spec("torch")
    assert spec is not None and spec.origin is not None
    (library,) = Path(spec.origin).parent.glob("_C.*.so")
    machine, names = stubs.undefined_symbols(library.read_bytes())
    assert machine in (62, 183)
    assert "initModule" in names
    assert "PyInit__C" not in names  # defined there


def test_stubs_are_for_known_machines_only() -> None:
    with pytest.raises(EngineError, match="got ELF machine 243"):
        stubs.stub_library("libx.so", ["f"], 243)
    with pytest.raises(EngineError, match="needs to be a 64-bit"):
        stubs.undefined_symbols(b"MZ")
