"""The lock list's package files: fetched, checked against size and SHA256, and kept."""

from __future__ import annotations

import contextlib
import hashlib
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from http.client import HTTPException
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import quote

from caffe2fx.errors import EngineError
from caffe2fx.weights.atomic import replacing

Progress = Callable[[int, int, str], None]

THREADS = 8
TIMEOUT_SECONDS = 20.0
ATTEMPTS = 2
SLOWEST = 10_000  # bytes a second that a mirror must send
_CHUNK = 1 << 16
_NETWORK = (OSError, HTTPException, ValueError)


@dataclass(frozen=True)
class Package:
    """Holds one row of the lock list; `path` is the file's path below a mirror's root."""

    architecture: str
    name: str
    version: str
    path: str
    size: int
    sha256: str

    @property
    def file_name(self) -> str:
        return PurePosixPath(self.path).name


@dataclass
class Mirror:
    """Holds a mirror's root and its failures, so that a dead one is asked only once."""

    root: str
    delivered: int = 0
    unreachable: str = ""

    def uri(self, package: Package) -> str:
        # A bare + would be read as a blank by some mirrors.
        return f"{self.root}/{quote(package.path)}"


@dataclass
class Downloads:
    """Fetches package files into a folder from mirrors, each checked against the lock list."""

    folder: Path
    mirrors: Sequence[Mirror] = field(default_factory=tuple)

    def fetch_all(self, packages: Sequence[Package], progress: Progress | None = None) -> None:
        """Fetch the missing files, 8 at a time; those that arrived stay even if one fails."""
        self.folder.mkdir(parents=True, exist_ok=True)
        pool = ThreadPoolExecutor(THREADS)
        try:
            jobs = {pool.submit(self.fetch, package): package for package in packages}
            for done, job in enumerate(as_completed(jobs), 1):
                job.result()
                if progress is not None:
                    progress(done, len(packages), f"fetched {jobs[job].file_name}")
        finally:
            pool.shutdown(cancel_futures=True)

    def fetch(self, package: Package) -> Path:
        """Return the package's file, from the folder or from the first mirror that has it."""
        kept = self.kept(package)
        if kept is not None:
            return kept
        answers: list[tuple[str, str]] = []
        for mirror in self.mirrors:
            answer = self._ask(mirror, package)
            if not answer:
                return self._path(package)
            answers.append((mirror.root, answer))
        raise EngineError(_no_mirror_text(package, answers, self.folder))

    def kept(self, package: Package) -> Path | None:
        """Return the file if it is there and right, by hash or, put there by hand, by name."""
        for path in (self._path(package), self.folder / package.file_name):
            if path.is_file() and not _wrong(package, *_measure(path)):
                return path
        return None

    def _path(self, package: Package) -> Path:
        return self.folder / f"{package.sha256}.deb"

    def _ask(self, mirror: Mirror, package: Package) -> str:
        """Fetch from one mirror; return why that failed, empty if it did not."""
        answer = mirror.unreachable
        for _ in range(0 if answer else ATTEMPTS):
            try:
                self._receive(mirror.uri(package), package)
            except _Unreached as error:
                answer = str(error)
                if not mirror.delivered and not isinstance(error, _Cut):
                    mirror.unreachable = answer
            except _Wrong as error:
                return str(error)
            else:
                mirror.delivered += 1
                return ""
        return answer

    def _receive(self, uri: str, package: Package) -> None:
        """Write the body under a temporary name and rename it if it is the locked file.

        Errors of the folder (a full disk) are not the mirror's: they go on as OSError.
        """
        with (
            contextlib.closing(_opened(uri)) as body,
            replacing(self._path(package)) as path,
            path.open("wb") as file,
        ):
            size, sha256 = _copy(body, file, package.size)
            if wrong := _wrong(package, size, sha256):
                raise (_Cut if size < package.size else _Wrong)(wrong)


class _Unreached(Exception):
    """Raised if the mirror cannot be reached, or stops early; another try may succeed."""


class _Cut(_Unreached):
    """Raised if a body ends too early; the mirror's other files may be complete all the same."""


class _Wrong(Exception):
    """Raised if the mirror answers, and does not have the locked file."""


def _opened(uri: str) -> Any:
    request = urllib.request.Request(uri, headers={"User-Agent": "caffe2fx"})
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        raise _Wrong(f"HTTP {error.code} {error.reason}") from None
    except _NETWORK as error:
        raise _Unreached(_reason(error)) from None


def lock_text() -> str:
    """Return the text of the lock list as it was shipped."""
    return (
        resources.files("caffe2fx.engines.install").joinpath("lock.tsv").read_text(encoding="utf-8")
    )


def read_lock(text: str, architecture: str) -> list[Package]:
    """Return the rows of a lock list (tab separated, after a head line) for one architecture."""
    rows = (line.split("\t") for line in text.splitlines()[1:] if line)
    try:
        return [
            Package(arch, package, version, path, int(size), sha256)
            for arch, package, version, path, size, sha256 in rows
            if arch == architecture
        ]
    except ValueError as error:
        raise EngineError(f"the lock list needs rows of six cells, one a size: {error}") from None


def digest(packages: Iterable[Package]) -> str:
    """Return one SHA256 that identifies these packages, whatever their order in the list."""
    return hashlib.sha256(
        "".join(sorted(package.sha256 for package in packages)).encode()
    ).hexdigest()


def _copy(source: Any, target: IO[bytes], limit: int) -> tuple[int, str]:
    """Return size and SHA256 of the copied bytes; a body longer than the limit is not read out."""
    size, sha256 = 0, hashlib.sha256()
    end = time.monotonic() + TIMEOUT_SECONDS + limit / SLOWEST
    while size <= limit and (chunk := _read(source, end)):
        size += len(chunk)
        sha256.update(chunk)
        target.write(chunk)
    return size, sha256.hexdigest()


def _read(source: Any, end: float) -> bytes:
    """Return the bytes that have come; a mirror that sends too few in its time is given up."""
    try:
        chunk = bytes(source.read1(_CHUNK))
    except _NETWORK as error:
        raise _Unreached(_reason(error)) from None
    if time.monotonic() > end:
        raise _Unreached(f"sends less than {SLOWEST} bytes a second")
    return chunk


def _measure(path: Path) -> tuple[int, str]:
    data = path.read_bytes()
    return len(data), hashlib.sha256(data).hexdigest()


def _wrong(package: Package, size: int, sha256: str) -> str:
    """Return how the bytes differ from the locked ones; empty if they do not."""
    if size > package.size:
        return f"{package.file_name} needs {package.size} bytes, got more"
    if size != package.size:
        return f"{package.file_name} needs {package.size} bytes, got {size}"
    if sha256 != package.sha256:
        return f"{package.file_name} needs SHA256 {package.sha256}, got {sha256}"
    return ""


def _reason(error: Exception) -> str:
    """Return the text of a failed connection's error, without urllib's wrapping."""
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(inner) or type(inner).__name__


def _no_mirror_text(package: Package, answers: Sequence[tuple[str, str]], folder: Path) -> str:
    tried = [f"  {root}: {answer}" for root, answer in answers] or ["  (no mirror was given)"]
    return "\n".join(
        [
            f"the pycaffe engine needs {package.file_name}, got it from none of these mirrors:",
            *tried,
            "Name a Debian mirror that has it: caffe2fx engine install pycaffe --mirror URL",
            "(the URL, or folder, that holds pool/). Without a network, copy the .deb files that",
            f"caffe2fx/engines/install/lock.tsv lists into {folder} and install again.",
            "The other engines work without it.",
        ]
    )
