"""Package files: fetched once, checked, and kept; the error where no mirror delivers."""

from __future__ import annotations

import errno
import hashlib
import http.client
import http.server
import io
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from caffe2fx.engines.install import download
from caffe2fx.engines.install.download import Downloads, Mirror, Package, lock_text, read_lock
from caffe2fx.engines.install.mirrors import mirrors
from caffe2fx.errors import EngineError


class Server(http.server.ThreadingHTTPServer):
    """A mirror on this machine: `files` by path, and the paths that were asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/debian"

    def add(self, package: Package, content: bytes) -> None:
        self.files[f"/debian/{package.path}"] = content


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        content = self.server.files.get(unquote(self.path))
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def package(name: str, content: bytes, architecture: str = "amd64") -> Package:
    path = f"pool/main/{name}_1+git2_{architecture}.deb"
    sha256 = hashlib.sha256(content).hexdigest()
    return Package(architecture, name, "1+git2", path, len(content), sha256)


def test_a_mirror_may_be_a_folder(tmp_path: Path) -> None:
    wanted = package("one", b"1")
    (tmp_path / "disk" / wanted.path).parent.mkdir(parents=True)
    (tmp_path / "disk" / wanted.path).write_bytes(b"1")
    root = mirrors(str(tmp_path / "disk"), tmp_path)[0]
    Downloads(tmp_path, [Mirror(root)]).fetch_all([wanted])
    assert (tmp_path / f"{wanted.sha256}.deb").read_bytes() == b"1"


def test_a_second_run_fetches_only_missing_files(tmp_path: Path, server: Server) -> None:
    packages = [package(name, name.encode()) for name in ("one", "two", "three")]
    for there in packages[:2]:
        server.add(there, there.name.encode())
    with pytest.raises(EngineError, match="three_1"):
        Downloads(tmp_path, [Mirror(server.root)]).fetch_all(packages)
    server.add(packages[2], b"three")
    server.asked.clear()
    seen: list[tuple[int, int]] = []
    Downloads(tmp_path, [Mirror(server.root)]).fetch_all(
        packages, lambda done, steps, _: seen.append((done, steps))
    )
    assert server.asked == ["/debian/pool/main/three_1%2Bgit2_amd64.deb"]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert {path.name for path in tmp_path.iterdir()} == {f"{p.sha256}.deb" for p in packages}


@pytest.mark.parametrize("sent", [b"wrong", b"short", b"much longer"], ids=str)
def test_wrong_content_is_named_and_not_kept(tmp_path: Path, server: Server, sent: bytes) -> None:
    wanted = package("one", b"right" if sent == b"wrong" else b"rather")
    server.add(wanted, sent)
    with pytest.raises(EngineError, match=r"one_1\+git2_amd64\.deb needs (6 bytes|SHA256)"):
        Downloads(tmp_path, [Mirror(server.root)]).fetch_all([wanted])
    assert not list(tmp_path.iterdir())


def test_a_damaged_kept_file_is_fetched_again(tmp_path: Path, server: Server) -> None:
    wanted = package("one", b"right")
    server.add(wanted, b"right")
    (tmp_path / f"{wanted.sha256}.deb").write_bytes(b"wrong")
    assert Downloads(tmp_path, [Mirror(server.root)]).fetch(wanted).read_bytes() == b"right"


def test_the_next_mirror_is_asked(tmp_path: Path, server: Server) -> None:
    wanted = package("one", b"1")
    server.add(wanted, b"1")
    tried = [Mirror(f"{server.root}/absent"), Mirror("nonsense://x"), Mirror(server.root)]
    Downloads(tmp_path, tried).fetch_all([wanted])
    assert [mirror.delivered for mirror in tried] == [0, 0, 1]


def test_files_copied_by_hand_need_no_mirror(tmp_path: Path) -> None:
    wanted = package("one", b"1")
    (tmp_path / wanted.file_name).write_bytes(b"1")
    assert Downloads(tmp_path).fetch(wanted) == tmp_path / wanted.file_name


def test_offline_the_error_names_the_mirrors_and_the_remedy(tmp_path: Path, server: Server) -> None:
    with socket.socket() as unused:  # bound but not listening: connections are refused
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(EngineError) as caught:
            Downloads(tmp_path, [Mirror(closed), Mirror(server.root)]).fetch(package("one", b"1"))
    stated = str(caught.value)
    for part in (f"{closed}: ", "refused", f"{server.root}: HTTP 404", "--mirror", str(tmp_path)):
        assert part in stated
    assert "other engines work without" in stated


def test_a_dead_mirror_is_asked_for_one_file_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloads = Downloads(tmp_path, [Mirror("http://dead.example")])
    asked: list[str] = []

    def refuse(request: urllib.request.Request, timeout: float) -> None:
        asked.append(request.full_url)
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    for name in ("one", "two"):
        with pytest.raises(EngineError, match="refused"):
            downloads.fetch(package(name, b""))
    assert {uri.rsplit("/", 1)[1] for uri in asked} == {"one_1%2Bgit2_amd64.deb"}


class Body(io.BytesIO):
    """Sends the bytes of a hostile or broken mirror, one at a time."""

    def __init__(self, *chunks: bytes | Exception) -> None:
        super().__init__()
        self.chunks = iter(chunks)
        self.count = 0

    def read1(self, size: int | None = -1) -> bytes:
        self.count += 1
        chunk = next(self.chunks, b"")
        if isinstance(chunk, Exception):
            raise chunk
        return chunk


BODIES: dict[str, tuple[Callable[[], Body], str]] = {
    "endless": (lambda: Body(*[b"x" * 100] * 1000), "needs 5 bytes, got more"),
    "cut": (lambda: Body(b"ri"), "needs 5 bytes, got 2"),
    "reset": (lambda: Body(b"ri", ConnectionResetError("reset by peer")), "reset by peer"),
    "garbled": (lambda: Body(http.client.IncompleteRead(b"")), "IncompleteRead"),
    "slow": (lambda: Body(*[b"r"] * 3), "sends less than 10000 bytes a second"),
}


@pytest.mark.parametrize(("body", "reason"), BODIES.values(), ids=BODIES)
def test_a_mirror_that_misbehaves_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: Callable[[], Body], reason: str
) -> None:
    sent: list[Body] = []

    def opened(*_: object, **__: object) -> Body:
        sent.append(body())
        return sent[-1]

    monkeypatch.setattr(urllib.request, "urlopen", opened)
    if "second" in reason:
        monkeypatch.setattr(download, "TIMEOUT_SECONDS", -1.0)
    with pytest.raises(EngineError, match=reason):
        Downloads(tmp_path, [Mirror("http://bad.example")]).fetch(package("one", b"right"))
    assert not list(tmp_path.iterdir()) and max(one.count for one in sent) < 4


def test_a_full_disk_is_not_blamed_on_the_mirror(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    wanted = package("one", b"right")
    server.add(wanted, b"right")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "_copy", full)
    mirror = Mirror(server.root)
    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path}'"):
        Downloads(tmp_path, [mirror]).fetch(wanted)
    assert not mirror.unreachable and not list(tmp_path.iterdir())


def test_the_shipped_lock_list_holds_both_architectures() -> None:
    packages = {arch: read_lock(lock_text(), arch) for arch in ("amd64", "arm64")}
    names = {arch: {package.name for package in rows} for arch, rows in packages.items()}
    assert len(names["amd64"]) == len(packages["amd64"]) == 34
    assert names["amd64"] - names["arm64"] == {"libquadmath0"}  # arm64's long double is IEEE quad
    assert all(len(row.sha256) == 64 for rows in packages.values() for row in rows)
