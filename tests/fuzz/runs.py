"""Reading changed files: only our own errors, no input over a second a megabyte, memory bounded."""

from __future__ import annotations

import math
import random
import resource
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from caffe2fx.errors import CaffeError
from tests.fuzz.formats import Format
from tests.fuzz.mutations import mutated, shrunk

SECONDS_PER_MEGABYTE = 1.0
MEMORY = 768 << 20  # bytes beyond the memory of the process when the first input is read


def fault(format: Format, path: Path, data: bytes) -> str | None:
    """Return how reading the bytes fails but for an error of ours, or reads them wrongly."""
    path.write_bytes(data)
    begin = time.perf_counter()
    try:
        found = format.read(path)
        if format.twin is not None:
            format.twin(path, found)
    except CaffeError:
        pass
    except Exception:
        return traceback.format_exc()
    allowed = SECONDS_PER_MEGABYTE * max(1.0, len(data) / (1 << 20))
    if time.perf_counter() - begin < allowed:
        return None  # the processor's time is no longer, and asking for it takes longer than a read
    spent = _processor_time(format, path)
    return f"takes {spent:.1f} s for {len(data)} bytes" if spent > allowed else None


def _processor_time(format: Format, path: Path) -> float:
    begin = time.process_time()
    with suppress(CaffeError):
        format.read(path)
    return time.process_time() - begin


def bound_memory(bytes_: int = MEMORY) -> None:
    """Let this process grow by so many bytes at most: more is a MemoryError."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + bytes_
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def inputs(format: Format, folder: Path, seed: int) -> Iterator[bytes]:
    """Yield the valid examples and then changed ones without end, the same for the same seed."""
    examples = format.examples(folder)
    yield from examples
    r = random.Random(seed)
    while True:
        yield mutated(r, examples, format.words)


def kind_of(text: str) -> str:
    """Return the key of a failure: the error's class and the innermost line of our own."""
    lines = text.splitlines()
    ours = [one.strip() for one in lines if "caffe2fx/" in one or "fx2caffe/" in one]
    return f"{lines[-1].split(':')[0]} {ours[-1] if ours else ''}" if len(lines) > 1 else "time"


def search(
    format: Format, folder: Path, seconds: float, seed: int, most: float = math.inf
) -> tuple[int, dict[str, tuple[bytes, str]]]:
    """Read changed files for so long, or so many; return how many, and each failure's input."""
    found: dict[str, tuple[bytes, str]] = {}
    path = folder / f"input{format.ending}"
    end, count = time.monotonic() + seconds, 0
    for count, data in enumerate(inputs(format, folder, seed), 1):
        text = fault(format, path, data)
        if text is not None and (kind := kind_of(text)) not in found:
            least = shrunk(data, lambda some, k=kind: _fails_so(format, path, some, k))  # type: ignore[misc]
            found[kind] = least, text
            print(f"{kind}: {least[:200]!r}\n{text}", file=sys.stderr, flush=True)
        if time.monotonic() > end or count >= most:
            break
    return count, found


def _fails_so(format: Format, path: Path, data: bytes, kind: str) -> bool:
    text = fault(format, path, data)
    return text is not None and kind_of(text) == kind
