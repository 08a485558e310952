"""Packages that are damaged, or whose members lead out of the folder they are unpacked into."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from caffe2fx.engines.install.unpack import unpack
from caffe2fx.errors import EngineError

FILE, FOLDER, LINK, HARD = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
DEVICE, PIPE = tarfile.CHRTYPE, tarfile.FIFOTYPE
Member = tuple[str, bytes, str]


def archive(*members: Member, mode: str = "w:xz", content: bytes = b"x") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as tar:  # type: ignore[call-overload]
        for name, kind, link in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, link, len(content) * (kind == FILE)
            tar.addfile(info, io.BytesIO(content))
    return made.getvalue()


def deb(data: bytes, size: bytes | None = None) -> bytes:
    """Return an ar file of one member, with any size in its header."""
    stated = str(len(data)).encode() if size is None else size
    head = b"data.tar.xz".ljust(16) + b"0".ljust(24) + b"100644".ljust(8) + stated.ljust(10)
    return b"!<arch>\n" + head + b"`\n" + data


def damaged(mode: str) -> bytes:
    whole = archive(("a", FILE, ""), mode=mode, content=os.urandom(50_000))
    return deb(whole[:5000] + bytes(50) + whole[5050:])


OUT: dict[str, list[Member]] = {
    "a member above": [("../evil", FILE, "")],
    "a link above": [("l", LINK, "../outside"), ("l/f", FILE, "")],
    "a link by a link": [("p", LINK, "."), ("p/p/p/e", LINK, "../../../outside")],
    "a member behind it": [("p", LINK, "."), ("p/p/e", LINK, "../../outside"), ("e/f", FILE, "")],
    "a link whose way comes later": [("a/l", LINK, "p/../../outside"), ("a/p", LINK, "..")],
    "a hard link above": [("h", HARD, "../outside/f")],
    "a hard link by a link": [
        ("p", LINK, "."), ("p/p/e", LINK, "../../outside/f"), ("h", HARD, "e"), ("h", FILE, "")
    ],
}  # fmt: skip
MISPLACED: dict[str, list[Member]] = {
    "a hard link to nothing": [("h", HARD, "nope")],
    "a hard link to an absolute path": [("h", HARD, "/etc/passwd")],
    "a device": [("dev", DEVICE, "")],
    "a pipe": [("pipe", PIPE, "")],
    "a folder over a file": [("a", FILE, ""), ("a", FOLDER, "")],
    "a file over a folder": [("a", FOLDER, ""), ("a", FILE, "")],
    "a file in a file": [("a", FILE, ""), ("a/b", FILE, "")],
    "a long name": [("a" * 300, FILE, "")],
    "a link that is long": [("l", LINK, "a" * 5000)],
    "a circle": [("a", LINK, "b"), ("b", LINK, "a"), ("a/f", FILE, "")],
    "the root as a file": [(".", FILE, "")],
}
DAMAGED: dict[str, bytes] = {
    "xz": damaged("w:xz"),
    "gz": damaged("w:gz"),
    "bz2": damaged("w:bz2"),
    "cut": deb(archive(("a", FILE, ""), content=os.urandom(50_000))[:30_000]),
    "negative size": deb(b"x", b"-60"),
    "size in words": deb(b"x", b"abc"),
    "size with a sign": deb(b"x", b"+1"),
    "size beyond the file": deb(b"x", b"9999999999"),
    "header cut": b"!<arch>\ndata.t",
    "nothing": b"",
    "no data": b"!<arch>\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder beside which there is something that must stay as it is."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/f").write_text("original")
    return tmp_path / "root"


def refused(package: bytes, root: Path, reason: str) -> None:
    (path := root.parent / "p.deb").write_bytes(package)
    root.mkdir()
    with pytest.raises(EngineError, match=reason):
        unpack(path, root)
    assert (root.parent / "outside/f").read_text() == "original"
    assert sorted(os.listdir(root.parent)) == ["outside", "p.deb", "root"]
    assert os.listdir(root.parent / "outside") == ["f"]


@pytest.mark.parametrize("members", OUT.values(), ids=OUT)
def test_paths_out_of_the_folder_are_refused(root: Path, members: list[Member]) -> None:
    refused(deb(archive(*members)), root, "package member .* needs to stay inside the package")


@pytest.mark.parametrize("members", MISPLACED.values(), ids=MISPLACED)
def test_a_member_that_cannot_be_is_refused(root: Path, members: list[Member]) -> None:
    refused(deb(archive(*members)), root, "p.deb needs |needs to be a file, folder or link")


@pytest.mark.parametrize("package", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_package_is_refused(root: Path, package: bytes) -> None:
    refused(package, root, "p.deb needs ")


def test_a_full_disk_is_the_systems_own_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path := root.parent / "p.deb").write_bytes(deb(archive(("a", FILE, ""))))
    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(OSError, match="No space left"):
        unpack(path, root)


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")
