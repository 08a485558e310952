"""A child process that answers requests: it may print anything, and it must not hang.

The child gets a random word at its start (argv), and every answer begins with it: all before is
output of the child or its start-up, and is kept for the error message.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from caffe2fx.errors import EngineError

VARIABLE = "CAFFE2FX_TIMEOUT"
SILENT_SECONDS = 120.0  # without a byte or any processor time
_BUSY_FACTOR = 10  # so many times that for one answer, whatever the child does
_STRAY_BYTES = 4096  # printed between answers
_HEADER_BYTES = 64 << 20
_CHUNK = 1 << 20
_LOOK_SECONDS = 0.5
_LAST_SECONDS = 2.0  # for a child that closed its pipes to end


class Ended(EngineError):
    """Raised if the child has ended, hangs or sends no answer; the text states which."""


class Hung(Ended):
    """Raised if the child is alive and does not come to an end."""


def silent_seconds() -> float:
    """Return how long a child may show no sign of life: from the environment, or the default."""
    setting = os.environ.get(VARIABLE, "")
    try:
        seconds = float(setting or SILENT_SECONDS)
    except ValueError:
        seconds = -1.0
    if not seconds > 0:
        raise EngineError(f"{VARIABLE} needs to be a number of seconds, got {setting!r}")
    return seconds


class Child:
    """Runs one process and its pipes; every wait for it ends."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str] | None) -> None:
        self._word = secrets.token_hex(16)
        self._patience = silent_seconds()
        self._stray = b""
        self._buffer = b""
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed in close)
        limit = str(self._patience * _BUSY_FACTOR)
        try:
            self.process = subprocess.Popen(
                [*command, self._word, limit],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=None if env is None else dict(env),
                bufsize=0,
                start_new_session=True,  # its children end with it, and Ctrl-C does not reach it
            )
        except OSError:
            self._errors.close()
            raise
        assert self.process.stdin is not None and self.process.stdout is not None
        self._in, self._out = self.process.stdin.fileno(), self.process.stdout.fileno()
        if os.name == "posix":
            os.set_blocking(self._in, False)

    def send(self, parts: Sequence[bytes | memoryview]) -> None:
        """Write a request. Raises Ended if the child does not take it."""
        wait = _Wait(self.process.pid, self._patience)
        for part in parts:
            rest = memoryview(part)
            while rest:
                wait.until(self._in, to_write=True)
                try:
                    rest = rest[os.write(self._in, rest[:_CHUNK]) :]
                except BlockingIOError:
                    continue
                except BrokenPipeError:
                    raise Ended("died") from None
                wait.renew()

    def receive(self) -> bytes:
        """Return the head of the next answer. Raises Ended where there is none."""
        wait = _Wait(self.process.pid, self._patience)
        mark = b"\n" + self._word.encode() + b" "
        while mark not in self._buffer:
            kept = len(mark) - 1
            self._stray = (self._stray + self._buffer[:-kept])[-_STRAY_BYTES:]
            self._buffer = self._buffer[-kept:] + self._more(wait)
        before, _, self._buffer = self._buffer.partition(mark)
        self._stray = (self._stray + before)[-_STRAY_BYTES:]
        while b"\n" not in self._buffer[:32]:
            if len(self._buffer) > 32:
                raise Ended("gives an answer without a length")
            self._buffer += self._more(wait)
        length, _, self._buffer = self._buffer.partition(b"\n")
        if not length.isdigit() or int(length) > _HEADER_BYTES:
            raise Ended(f"gives an answer of {length!r} bytes")
        head = bytearray(int(length))
        self.fill(memoryview(head))
        return bytes(head)

    def fill(self, view: memoryview) -> None:
        """Read as many bytes as the view has. Raises Ended if they do not come."""
        wait = _Wait(self.process.pid, self._patience)
        have = min(len(self._buffer), len(view))
        view[:have], self._buffer = self._buffer[:have], self._buffer[have:]
        while have < len(view):
            wait.until(self._out)
            count = os.readv(self._out, [view[have : have + _CHUNK]]) if _READV else None
            if count is None:
                chunk = os.read(self._out, min(_CHUNK, len(view) - have))
                view[have : have + len(chunk)] = chunk
                count = len(chunk)
            if not count:
                raise Ended("died")
            have += count
            wait.renew()

    def _more(self, wait: _Wait) -> bytes:
        wait.until(self._out)
        chunk = os.read(self._out, _CHUNK)
        if not chunk:
            raise Ended("died")
        wait.renew()
        return chunk

    def last_words(self) -> tuple[int | None, list[str]]:
        """End the child; return its exit status (None if it was alive) and the lines it printed."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_LAST_SECONDS)
        code = self.process.poll()
        self._kill()
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - (1 << 16)))
        printed = b"\n".join([self._stray + self._buffer[:_STRAY_BYTES], self._errors.read()])
        return code, [line for line in printed.decode(errors="replace").splitlines() if line]

    def close(self) -> None:
        """End the child and all processes that it started."""
        if self.process.returncode is None:  # else its id may be another process's by now
            self._kill()
        self._errors.close()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _kill(self) -> None:
        with contextlib.suppress(OSError):
            if os.name == "posix":
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
        self.process.wait()


_READV = hasattr(os, "readv")


class _Wait:
    """Waits for a pipe as long as the child shows signs of life: bytes, or processor time."""

    def __init__(self, group: int, patience: float) -> None:
        self._group, self._patience = group, patience
        self._started = self._seen = time.monotonic()
        self._ticks = -1

    def renew(self) -> None:
        """Restart the wait, since bytes went through a pipe. Raises Hung where they never end."""
        self._seen = time.monotonic()
        self._check_total()

    def until(self, descriptor: int, *, to_write: bool = False) -> None:
        """Return once the pipe can be read or written. Raises Ended where patience ends."""
        pipes: list[int] = [descriptor]
        empty: list[int] = []
        while os.name == "posix":
            look = min(_LOOK_SECONDS, self._patience)
            sides = (empty, pipes, empty) if to_write else (pipes, empty, empty)
            if any(select.select(*sides, look)):
                return
            self._check()

    def _check(self) -> None:
        ticks, now = _ticks_of(self._group), time.monotonic()
        if ticks > self._ticks:
            self._ticks, self._seen = ticks, now
        if now - self._seen > self._patience:
            raise Hung(f"gives no sign of life for {self._patience:g} s")
        self._check_total()

    def _check_total(self) -> None:
        if time.monotonic() - self._started > self._patience * _BUSY_FACTOR:
            raise Hung(f"gives no answer in {self._patience * _BUSY_FACTOR:g} s")


def _ticks_of(group: int) -> int:
    """Return the processor time of all processes of the group in kernel ticks; 0 if unknown."""
    total = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = path.read_bytes().rpartition(b")")[2].split()
            if int(fields[2]) == group:
                total += int(fields[11]) + int(fields[12])
    return total
