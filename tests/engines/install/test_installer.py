"""Packages unpacked and real Caffe installed: whole or not at all."""

from __future__ import annotations

import os
import platform
import tarfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from caffe2fx.engines.install import environment, installer
from caffe2fx.engines.install.download import Package
from caffe2fx.engines.install.environment import Installed
from caffe2fx.engines.install.unpack import unpack
from caffe2fx.errors import EngineError
from tests.engines.install.packages import deb, member, published
from tests.faults.runs import OTHERS, at, forked, points

on_linux = pytest.mark.skipif(environment.this_machine() is None, reason="real Caffe runs on Linux")


# Packages


def test_unpack_makes_absolute_links_relative(tmp_path: Path) -> None:
    (tmp_path / "x.deb").write_bytes(
        deb(
            (member(".", tarfile.DIRTYPE), b""),
            (member("./lib/ld-1.so", mode=0o100), b"loader"),
            (member("./lib64/ld.so", tarfile.SYMTYPE, "/lib/ld-1.so"), b""),
            (member("./usr/lib/up.so", tarfile.SYMTYPE, "../../lib/ld-1.so"), b""),
            (member("./usr/hard", tarfile.LNKTYPE, "./lib/ld-1.so"), b""),
        )
    )
    unpack(tmp_path / "x.deb", tmp_path / "root")
    root = tmp_path / "root"
    assert os.readlink(root / "lib64/ld.so") == "../lib/ld-1.so"
    for name in ("lib64/ld.so", "usr/lib/up.so", "usr/hard"):
        assert (root / name).read_bytes() == b"loader"
    assert (root / "lib/ld-1.so").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "info",
    [
        member("../out"),
        member("..", tarfile.SYMTYPE, "out"),
        member("usr/../../out"),
        member("usr/link", tarfile.SYMTYPE, "../../out"),
        member("usr/link", tarfile.LNKTYPE, "../out"),
        member("dev/null", tarfile.CHRTYPE),
    ],
    ids=lambda info: f"{info.name} {info.linkname}".strip(),
)
def test_unpack_refuses_paths_out_of_the_folder(tmp_path: Path, info: tarfile.TarInfo) -> None:
    (tmp_path / "x.deb").write_bytes(deb((info, b"")))
    with pytest.raises(EngineError, match=r"package member .* needs to"):
        unpack(tmp_path / "x.deb", tmp_path / "root")
    assert not (tmp_path / "out").exists()


def test_unpack_refuses_to_write_through_a_link_that_leads_out(tmp_path: Path) -> None:
    (tmp_path / "x.deb").write_bytes(deb((member("door/file"), b"x")))
    (tmp_path / "root").mkdir()
    (tmp_path / "root/door").symlink_to(tmp_path)
    with pytest.raises(EngineError, match="stay inside"):
        unpack(tmp_path / "x.deb", tmp_path / "root")


WHOLE = deb((member("file"), bytes(range(256)) * 16))


@pytest.mark.parametrize(
    "content", [b"<html>", b"!<arch>\n", WHOLE[:-200]], ids=["html", "empty", "cut"]
)
def test_unpack_refuses_files_that_are_no_package(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.deb").write_bytes(content)
    with pytest.raises(EngineError, match=r"x\.deb needs"):
        unpack(tmp_path / "x.deb", tmp_path / "root")


# The finished folder: a shell script plays the loader, and with it Caffe


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CAFFE2FX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(installer, "write_stubs", lambda libcaffe, folder: None)
    monkeypatch.setattr(installer, "mirrors", lambda given: [Path(given).as_uri()])
    return tmp_path / "cache" / "pycaffe"


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    return tmp_path / "mirror"


def fake_caffe(mirror: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> list[Package]:
    packages = published(mirror, script)
    monkeypatch.setattr(installer, "_packages", lambda machine: packages)
    return packages


@on_linux
def test_install_once(home: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_caffe(mirror, monkeypatch, "echo 0.0 0.0 2.5")
    steps: list[tuple[int, int]] = []
    assert installer.installed() is None
    caffe = installer.install(mirror=str(mirror), progress=lambda *step: steps.append(step[:2]))
    assert steps == [(done, 5) for done in range(1, 6)]
    assert caffe == installer.installed() == installer.install(mirror="/nowhere")
    assert sorted(os.listdir(home.parent)) == ["downloads", "pycaffe", "pycaffe.lock"]


@on_linux
def test_the_child_gets_nothing_of_the_parents_environment(
    home: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/leak")
    monkeypatch.setenv("PYTHONSTARTUP", "/leak")
    fake_caffe(mirror, monkeypatch, f"env > '{home.parent}/env'; echo 0.0 0.0 2.5")
    caffe = installer.install(mirror=str(mirror))
    assert "/leak" not in (home.parent / "env").read_text()
    assert caffe.command[0].startswith(str(home)) and "--inhibit-cache" in caffe.command
    assert caffe.env["PYTHONHOME"] == str(home / "usr")
    assert caffe.env["OPENBLAS_NUM_THREADS"] == "1"


@on_linux
@pytest.mark.parametrize("script", ["echo sick >&2; exit 3", "echo 0.0 nan 2.5"])
def test_a_failed_check_installs_nothing_and_leaves_the_old(
    home: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    old = fake_caffe(mirror, monkeypatch, "echo 0.0 0.0 2.5")
    caffe = installer.install(mirror=str(mirror))
    fake_caffe(mirror, monkeypatch, script)
    assert installer.installed() is None  # another lock list asks for another install
    with pytest.raises(EngineError, match=r"sick|nan"):
        installer.install(mirror=str(mirror))
    assert sorted(os.listdir(home.parent)) == ["downloads", "pycaffe", "pycaffe.lock"]
    monkeypatch.setattr(installer, "_packages", lambda machine: old)
    assert installer.installed() == caffe


@on_linux
def test_a_new_lock_list_replaces_the_old_install(
    home: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for generation in ("first", "second"):
        fake_caffe(mirror, monkeypatch, f"echo 0.0 0.0 2.5 # {generation}")
        loader = installer.install(mirror=str(mirror)).command[0]
        assert generation in Path(loader).read_text()
    assert sorted(os.listdir(home.parent)) == ["downloads", "pycaffe", "pycaffe.lock"]


@on_linux
def test_installs_at_the_same_time_do_the_work_once(
    home: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_caffe(mirror, monkeypatch, "echo 0.0 0.0 2.5")
    checked: list[Installed] = []
    monkeypatch.setattr(installer, "check", checked.append)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: installer.install(mirror=str(mirror)), range(4)))
    assert results == [installer.installed()] * 4
    assert len(checked) == 1


@on_linux
def test_files_of_a_killed_install_are_removed(
    home: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_caffe(mirror, monkeypatch, "echo 0.0 0.0 2.5")
    (home.parent / "pycaffe.partial-x").mkdir(parents=True)
    installer.install(mirror=str(mirror))
    assert not (home.parent / "pycaffe.partial-x").exists()


@on_linux
def test_an_install_that_is_interrupted_is_done_again(
    home: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python -m tests.faults 50 installer` kills it, at more points.

    In a process of its own, with which the threads that unpack end too.
    """

    def interrupted(point: int) -> None:
        at(point, interrupt)
        installer.install(mirror=str(mirror))

    for share in (0.02, 0.1, 0.3, 0.5, 0.7):
        fake_caffe(mirror, monkeypatch, f"echo 0.0 0.0 2.5 # before {share}")
        count, _ = points(lambda: installer.install(mirror=str(mirror)))
        fake_caffe(mirror, monkeypatch, f"echo 0.0 0.0 2.5 # {share}")
        assert forked(partial(interrupted, int(count * share))) == OTHERS
        assert installer.installed() is None
        assert installer.install(mirror=str(mirror)) == installer.installed()
        assert sorted(os.listdir(home.parent)) == ["downloads", "pycaffe", "pycaffe.lock"]


def interrupt() -> None:
    raise KeyboardInterrupt


@on_linux
def test_installed_is_none_while_anything_is_missing(
    home: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert installer.installed(home) is None
    fake_caffe(mirror, monkeypatch, "echo 0.0 0.0 2.5")
    caffe = installer.install(mirror=str(mirror))
    marker = home / installer.MARKER
    complete = marker.read_text()
    for text in ("", "another lock list"):
        marker.write_text(text)
        assert installer.installed() is None
    marker.write_text(complete)
    assert installer.installed() == caffe
    Path(caffe.command[0]).unlink()
    assert installer.installed() is None


@on_linux
def test_a_folder_with_other_files_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "diary").touch()
    with pytest.raises(EngineError, match="needs a folder of its own"):
        installer.install(tmp_path)
    assert (tmp_path / "diary").exists()


@on_linux
def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="needs a folder without"):
        installer.install(tmp_path / "a:b")
    (tmp_path / "file").touch()
    with pytest.raises(EngineError, match="CAFFE2FX_CACHE"):
        installer.install(tmp_path / "file" / "pycaffe")


def test_other_machines_get_an_error_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert installer.installed() is None
    with pytest.raises(EngineError, match=r"riscv64; .*CAFFE2FX_PYCAFFE=/path/to/python"):
        installer.install()


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.setenv("CAFFE2FX_CACHE", "/own")
    assert installer.cache_dir() == Path("/own")
    monkeypatch.delenv("CAFFE2FX_CACHE")
    assert installer.cache_dir() == Path("/xdg/caffe2fx")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert installer.cache_dir() == Path("/home/me/.cache/caffe2fx")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert installer.cache_dir() == Path("/home/me/.cache/caffe2fx")


# The real one


@pytest.fixture(scope="session")
def caffe() -> Installed:
    return installer.installed() or installer.install()


@pytest.mark.pycaffe
@on_linux
def test_real_caffe_imports_and_knows_61_layers(caffe: Installed) -> None:
    assert (
        environment.run(caffe, "-c", "import caffe; print(len(caffe.layer_type_list()))") == "61\n"
    )


@pytest.mark.pycaffe
@on_linux
def test_a_layer_that_reads_a_database_names_the_missing_library(
    caffe: Installed, tmp_path: Path
) -> None:
    net = tmp_path / "data.prototxt"
    net.write_text(
        'layer { name: "x" type: "Data" top: "x" data_param { backend: LMDB batch_size: 1 } }'
    )
    code = f"import caffe; caffe.Net({str(net)!r}, caffe.TEST)"
    with pytest.raises(EngineError, match=r"exit status 70(.|\n)*without liblmdb"):
        environment.run(caffe, "-c", code)
