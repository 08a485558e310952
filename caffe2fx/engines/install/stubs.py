"""Stubs for modules that `import caffe` needs but no net does: OpenCV, LevelDB, LMDB, scipy.

Real OpenCV alone would bring a hundred packages. Only the Data, ImageData and WindowData layers and
caffe.io's image helpers lose their function, and state so when they are used.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from caffe2fx.errors import EngineError

VERSION = 1  # raise it when a stub changes, so that installed ones are replaced

LIBRARIES: Mapping[str, re.Pattern[str]] = {
    "libopencv_imgcodecs.so.4.5": re.compile(r"_ZNK?2cv"),
    "libopencv_imgproc.so.4.5": re.compile(r"_ZNK?2cv"),
    "libopencv_core.so.4.5": re.compile(r"_ZNK?2cv"),
    "libleveldb.so.1d": re.compile(r"_ZNK?7leveldb"),
    "liblmdb.so.0": re.compile(r"mdb_"),
}

EXIT_CODE = 70  # EX_SOFTWARE of sysexits.h

_MODULE = '''"""Stand-in: this Caffe was installed without {package}."""


def {function}(*args, **kwargs):
    raise NotImplementedError(
        "caffe.io needs {package} for this, and this Caffe was installed without it"
    )
'''

MODULES: Mapping[str, str] = {
    "skimage/__init__.py": _MODULE.format(package="skimage", function="img_as_float"),
    "skimage/io.py": _MODULE.format(package="skimage", function="imread"),
    "skimage/transform.py": _MODULE.format(package="skimage", function="resize"),
    "scipy/__init__.py": "",
    "scipy/ndimage.py": _MODULE.format(package="scipy", function="zoom"),
}

_X86_64, _AARCH64 = 62, 183  # e_machine
_EXPORTED_FUNCTION = 0x12  # STB_GLOBAL, STT_FUNC
_EHDR, _PHDR, _SHDR, _SYM = "<16sHHIQQQIHHHHHH", "<IIQQQQQQ", "<IIQQQQIIQQ", "<IBBHQQ"
_PT_LOAD, _PT_DYNAMIC, _PT_GNU_STACK = 1, 2, 0x6474E551
_DT_END, _DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_STRSZ, _DT_SYMENT, _DT_SONAME = (
    0,
    4,
    5,
    6,
    10,
    11,
    14,
)
_R, _RW, _RX = 4, 6, 5
_PAGE = 0x10000  # the largest page of either architecture


def write_stubs(libcaffe: Path, folder: Path) -> None:
    """Write `folder`/py (modules) and `folder`/lib (libraries with libcaffe's symbols)."""
    for name, text in MODULES.items():
        path = folder / "py" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "lib").mkdir(exist_ok=True)
    machine, missing = undefined_symbols(libcaffe.read_bytes())
    for soname, pattern in LIBRARIES.items():
        symbols = [symbol for symbol in missing if pattern.match(symbol)]
        (folder / "lib" / soname).write_bytes(stub_library(soname, symbols, machine))


def undefined_symbols(elf: bytes) -> tuple[int, list[str]]:
    """Return the machine of a 64-bit ELF library, and the names that it expects from others."""
    if elf[:6] != b"\x7fELF\x02\x01":
        raise EngineError(f"libcaffe needs to be a 64-bit little-endian ELF, got {elf[:6]!r}")
    header = struct.unpack_from(_EHDR, elf)
    machine, table, entry, count = header[2], header[6], header[11], header[12]
    sections = [struct.unpack_from(_SHDR, elf, table + i * entry) for i in range(count)]
    (symbols,) = (section for section in sections if section[1] == 11)  # SHT_DYNSYM
    strings = sections[symbols[6]][4]
    rows = struct.iter_unpack(_SYM, elf[symbols[4] : symbols[4] + symbols[5]])
    names = [_string(elf, strings + row[0]) for row in rows if row[3] == 0]
    return machine, [name for name in names if name]


def stub_library(soname: str, symbols: Sequence[str], machine: int) -> bytes:
    """Return a shared library whose functions print the missing library's name and exit with 70."""
    strings, offsets = _string_table([soname, *symbols])
    layout = _Layout(len(symbols), len(strings))
    bodies = [_body(_message(soname, symbol), machine) for symbol in symbols]
    starts = [layout.code + sum(map(len, bodies[:i])) for i in range(len(bodies))]
    rows = zip(offsets[1:], starts, map(len, bodies), strict=True)
    code = b"".join(bodies)
    read_only = b"".join(
        [
            struct.pack(f"<{3 + len(symbols) + 1}I", *_hash(len(symbols))).ljust(
                layout.hash_size, b"\0"
            ),
            bytes(struct.calcsize(_SYM)),
            *(
                struct.pack(_SYM, name, _EXPORTED_FUNCTION, 0, 1, at, size)
                for name, at, size in rows
            ),
            strings.ljust(layout.code - layout.strings, b"\0"),
            code,
        ]
    )
    dynamic = _dynamic(layout, len(strings), offsets[0])
    return layout.headers(machine, len(code), len(dynamic)) + read_only + dynamic


@dataclass(frozen=True)
class _Layout:
    """Holds the offsets of a stub library's parts: headers, hash, symbols, strings and code.

    One segment is for reading and running. The dynamic section has its own, since ld.so writes into
    it: the same file offset, one page further in memory.
    """

    symbol_count: int
    string_size: int

    @property
    def hash(self) -> int:
        return struct.calcsize(_EHDR) + 4 * struct.calcsize(_PHDR)

    @property
    def hash_size(self) -> int:
        return _aligned(4 * (4 + self.symbol_count))

    @property
    def symbols(self) -> int:
        return self.hash + self.hash_size

    @property
    def strings(self) -> int:
        return self.symbols + (1 + self.symbol_count) * struct.calcsize(_SYM)

    @property
    def code(self) -> int:
        return _aligned(self.strings + self.string_size)

    def headers(self, machine: int, code_size: int, dynamic_size: int) -> bytes:
        end = self.code + code_size
        ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
        sizes = (struct.calcsize(_EHDR), struct.calcsize(_PHDR), 4, struct.calcsize(_SHDR), 0, 0)
        at, size = end + _PAGE, dynamic_size
        return b"".join(
            [
                struct.pack(_EHDR, ident, 3, machine, 1, 0, struct.calcsize(_EHDR), 0, 0, *sizes),
                struct.pack(_PHDR, _PT_LOAD, _RX, 0, 0, 0, end, end, _PAGE),
                struct.pack(_PHDR, _PT_LOAD, _RW, end, at, at, size, size, _PAGE),
                struct.pack(_PHDR, _PT_DYNAMIC, _RW, end, at, at, size, size, 8),
                struct.pack(_PHDR, _PT_GNU_STACK, _RW, 0, 0, 0, 0, 0, 16),
            ]
        )


def _dynamic(layout: _Layout, string_size: int, soname: int) -> bytes:
    entries = [
        (_DT_SONAME, soname),
        (_DT_HASH, layout.hash),
        (_DT_STRTAB, layout.strings),
        (_DT_SYMTAB, layout.symbols),
        (_DT_STRSZ, string_size),
        (_DT_SYMENT, struct.calcsize(_SYM)),
        (_DT_END, 0),
    ]
    return b"".join(struct.pack("<QQ", tag, value) for tag, value in entries)


def _hash(symbol_count: int) -> list[int]:
    """Return a hash table of one bucket that chains all symbols: right for any hash function."""
    chain = [*range(2, symbol_count + 1), 0] if symbol_count else []
    return [1, 1 + symbol_count, min(1, symbol_count), 0, *chain]


def _body(message: bytes, machine: int) -> bytes:
    """Return the code of one function, with the message that it prints behind it."""
    codes: Mapping[int, Callable[[int], bytes]] = {_X86_64: _x86_64, _AARCH64: _aarch64}
    if machine not in codes:
        raise EngineError(f"libcaffe needs to be for x86-64 or aarch64, got ELF machine {machine}")
    code = codes[machine](len(message)) + message
    return code.ljust(_aligned(len(code)), b"\0")


def _x86_64(length: int) -> bytes:
    """Return code for write(2, the bytes behind this code, length); exit_group(70)."""
    rest = (
        b"\xba" + struct.pack("<I", length)  # mov edx, length
        + b"\xbf" + struct.pack("<I", 2)  # mov edi, stderr
        + b"\xb8" + struct.pack("<I", 1)  # mov eax, SYS_write
        + b"\x0f\x05"  # syscall
        + b"\xbf" + struct.pack("<I", EXIT_CODE)  # mov edi, 70
        + b"\xb8" + struct.pack("<I", 231)  # mov eax, SYS_exit_group
        + b"\x0f\x05"  # syscall
    )  # fmt: skip
    return b"\x48\x8d\x35" + struct.pack("<i", len(rest)) + rest  # lea rsi, [rip + rest]


def _aarch64(length: int) -> bytes:
    """Return code for write(2, the bytes behind this code, length); exit_group(70)."""
    svc = 0xD4000001
    words = [
        _movz(2, length), _movz(0, 2), _movz(8, 64), svc,
        _movz(0, EXIT_CODE), _movz(8, 94), svc,
    ]  # fmt: skip
    adr = 0x10000001 | (1 + len(words)) << 5  # adr x1, the word behind the last
    return struct.pack(f"<{1 + len(words)}I", adr, *words)


def _movz(register: int, value: int) -> int:
    return 0xD2800000 | value << 5 | register


def _message(soname: str, symbol: str) -> bytes:
    text = (
        f"caffe2fx: this Caffe was installed without {soname}, so its layers Data, ImageData "
        f"and WindowData cannot run ({symbol} was called); feed the net by Input layers\n"
    )
    return text.encode("ascii")


def _string_table(strings: Sequence[str]) -> tuple[bytes, list[int]]:
    """Return an ELF string table and each string's offset in it."""
    table, offsets = b"\0", []
    for string in strings:
        offsets.append(len(table))
        table += string.encode("ascii") + b"\0"
    return table, offsets


def _string(elf: bytes, offset: int) -> str:
    return elf[offset : elf.index(b"\0", offset)].decode("ascii")


def _aligned(size: int) -> int:
    return -(-size // 8) * 8
