"""Debian packages unpacked below any folder, by the standard library and without root."""

from __future__ import annotations

import os
import posixpath
import shutil
import tarfile
from io import BytesIO
from pathlib import Path

from caffe2fx.errors import EngineError

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER = 60


def unpack(deb: Path, root: Path) -> None:
    """Write the files of a .deb below `root`; absolute links are made to stay inside it."""
    try:
        with tarfile.open(fileobj=BytesIO(_data_member(deb)), mode="r:*") as tar:
            for member in tar:
                _write(tar, member, root)
    except (tarfile.TarError, EOFError) as error:
        raise EngineError(f"{deb} needs a readable data archive, got: {error}") from error


def _data_member(deb: Path) -> bytes:
    """The archive of files inside a .deb, which is an `ar` file with 60-byte headers."""
    content = deb.read_bytes()
    if not content.startswith(_AR_MAGIC):
        raise EngineError(f"{deb} needs to be a Debian package, got {content[:8]!r} at its start")
    offset = len(_AR_MAGIC)
    while offset < len(content):
        header = content[offset : offset + _AR_HEADER]
        offset += _AR_HEADER
        size = int(header[48:58])
        if header.startswith(b"data.tar"):
            return content[offset : offset + size]
        offset += size + size % 2  # members begin at even places
    raise EngineError(f"{deb} needs a member data.tar, got none")


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
    """Write one member by hand: tarfile's own filters depend on the Python version."""
    target = _inside(member.name, member.name, root)
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    if member.issym():
        target.symlink_to(_link_text(member))
    elif member.islnk():
        os.link(_inside(member.linkname, member.name, root), target)
    elif member.isreg():
        _write_file(tar, member, target)
    else:
        raise EngineError(f"package member {member.name} needs to be a file, folder or link")


def _write_file(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    source = tar.extractfile(member)
    if source is None:
        raise EngineError(f"package member {member.name} needs content, got none")
    with source, target.open("wb") as file:
        shutil.copyfileobj(source, file)
    target.chmod(member.mode & 0o755 | 0o600)  # never unreadable, never set-user-id
    os.utime(target, (member.mtime, member.mtime))


def _inside(name: str, member: str, root: Path) -> Path:
    """The place of an archive path below `root`, refused if it or a link on it leads out."""
    if ".." in name.split("/"):
        raise _escape(member, name)
    path = root / posixpath.normpath(name).lstrip("/")
    if path != root and not path.parent.resolve().is_relative_to(root.resolve()):
        raise _escape(member, name)
    return path


def _link_text(member: tarfile.TarInfo) -> str:
    """The link's target relative to its own folder, which an unpacked root needs."""
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
