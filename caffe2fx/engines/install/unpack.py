"""Unpack Debian packages below any folder, with the standard library and without root."""

from __future__ import annotations

import errno
import lzma
import os
import posixpath
import shutil
import tarfile
import zlib
from io import BytesIO
from pathlib import Path

from caffe2fx.errors import EngineError

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER = 60
_UNREADABLE = (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, ValueError, RuntimeError)
# Errors that no full or read-only disk gives, but a member that cannot be at its path.
_MISPLACED = {
    getattr(errno, name)
    for name in ("EEXIST", "EISDIR", "ENOTDIR", "ENOENT", "ENAMETOOLONG", "ELOOP", "EINVAL")
}


def unpack(deb: Path, root: Path) -> None:
    """Write the files of a .deb below `root`; absolute links are rewritten to stay inside it.

    EngineError names the package that is damaged, that has a member which is not a folder, a file
    or a link, or one that does not stay inside.
    """
    try:
        with tarfile.open(fileobj=BytesIO(_data_member(deb)), mode="r:*") as tar:
            links = [path for member in tar if (path := _write(tar, member, root)).is_symlink()]
            _read_out(tar)
        for link in links:  # one may lead out by way of another that came later
            if not link.resolve().is_relative_to(root.resolve()):
                raise _escape(link.name, os.readlink(link))
    except _UNREADABLE as error:
        if isinstance(error, EngineError):
            raise
        raise EngineError(f"{deb} needs a readable data archive, got: {error}") from error
    except OSError as error:
        if error.errno is None:  # how the decompressors of gzip and bz2 speak
            raise EngineError(f"{deb} needs a readable data archive, got: {error}") from error
        if error.errno not in _MISPLACED:
            raise
        raise EngineError(f"{deb} needs members that can be written, got: {error}") from error


def _read_out(tar: tarfile.TarFile) -> None:
    """Read all that follows the last member: a checksum is at the end."""
    source = tar.fileobj
    while source is not None and source.read(1 << 20):
        pass


def _data_member(deb: Path) -> bytes:
    """Return the archive of files inside a .deb, which is an `ar` file with 60-byte headers."""
    content = deb.read_bytes()
    if not content.startswith(_AR_MAGIC):
        raise EngineError(f"{deb} needs to be a Debian package, got {content[:8]!r} at its start")
    offset = len(_AR_MAGIC)
    while offset < len(content):
        header = content[offset : offset + _AR_HEADER]
        offset += _AR_HEADER
        size = _member_size(deb, header, max(0, len(content) - offset))
        if header.startswith(b"data.tar"):
            return content[offset : offset + size]
        offset += size + size % 2  # members begin at even offsets
    raise EngineError(f"{deb} needs a member data.tar, got none")


def _member_size(deb: Path, header: bytes, offset: int) -> int:
    """Return how many bytes follow the header; raise where fewer are there."""
    size = header[48:58].strip()
    if len(header) < _AR_HEADER or not size.isdigit() or int(size) > offset:
        limit = f"members of up to {offset} bytes"
        raise EngineError(f"{deb} needs {limit}, got {size!r} in its header")
    return int(size)


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> Path:
    """Write one member by hand: tarfile's own filters depend on the Python version."""
    target = _inside(member.name, member.name, root)
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    if member.issym():
        target.symlink_to(_link_text(member))
    elif member.islnk():
        os.link(_inside(member.linkname, member.name, root), target, follow_symlinks=False)
    elif member.isreg():
        _write_file(tar, member, target)
    else:
        raise EngineError(f"package member {member.name} needs to be a file, folder or link")
    return target


def _write_file(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    source = tar.extractfile(member)
    if source is None:
        raise EngineError(f"package member {member.name} needs content, got none")
    with source, target.open("wb") as file:
        shutil.copyfileobj(source, file)
    target.chmod(member.mode & 0o755 | 0o600)  # never unreadable, never set-user-id
    os.utime(target, (member.mtime, member.mtime))


def _inside(name: str, member: str, root: Path) -> Path:
    """Return the path of an archive member below `root`; raise if it or a link on it leads out."""
    if ".." in name.split("/"):
        raise _escape(member, name)
    path = root / posixpath.normpath(name).lstrip("/")
    if path != root and not path.parent.resolve().is_relative_to(root.resolve()):
        raise _escape(member, name)
    return path


def _link_text(member: tarfile.TarInfo) -> str:
    """Return the link's target relative to its own folder, which an unpacked root needs."""
    folder = posixpath.join("/", posixpath.dirname(member.name))
    if member.linkname.startswith("/"):
        return posixpath.relpath(member.linkname, folder)
    inside = posixpath.join(folder, member.linkname)
    depth = 0
    for part in inside.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        if depth < 0:
            raise _escape(member.name, member.linkname)
    return member.linkname


def _escape(member: str, name: str) -> EngineError:
    return EngineError(f"package member {member} needs to stay inside the package, got {name}")
