"""Files are replaced as a whole or left alone."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path
from threading import Thread

import pytest

from caffe2fx.weights.atomic import replacing, replacing_all


class Stopped(Exception):
    """Represents any error while a file is written."""


def test_the_file_appears_under_its_name_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".caffemodel"
        assert not path.exists()
    assert os.listdir(tmp_path) == ["net.caffemodel"]
    assert path.read_text() == "new"


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text("old")
    with pytest.raises(Stopped), replacing(path) as temporary:
        temporary.write_text("half")
        raise Stopped
    assert os.listdir(tmp_path) == ["net.prototxt"]
    assert path.read_text() == "old"


def test_several_files_are_renamed_in_order_after_all_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / "z.caffemodel", tmp_path / "a.prototxt"]
    renamed: list[str] = []
    rename = os.replace

    def watch(source: Path, target: Path) -> None:
        renamed.append(Path(target).name)
        rename(source, target)

    monkeypatch.setattr(os, "replace", watch)
    with replacing_all(paths) as temporaries:
        for temporary in temporaries:
            temporary.write_text(temporary.suffix)
        assert renamed == []
    assert renamed == ["z.caffemodel", "a.prototxt"]
    assert [path.read_text() for path in paths] == [".caffemodel", ".prototxt"]
    assert len(os.listdir(tmp_path)) == 2


def test_nothing_is_renamed_if_one_file_was_not_written(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    with (
        pytest.raises(FileNotFoundError, match=r"Nothing was written for .*/b"),
        replacing_all(paths) as (first, _),
    ):
        first.write_text("new")
    assert os.listdir(tmp_path) == []


def test_a_missing_directory_is_named_before_anything_is_written(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "net.caffemodel"
    with (
        pytest.raises(FileNotFoundError, match=r"directory to write .* not exist.*missing'"),
        replacing_all([tmp_path / "a", path]),
    ):
        pytest.fail("the block must not run")


def test_a_directory_or_a_device_is_not_replaced(tmp_path: Path) -> None:
    for path in (tmp_path, Path(os.devnull)):
        with pytest.raises(OSError, match="Only a regular file"), replacing(path):
            pytest.fail("the block must not run")


def test_one_path_twice_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="different paths"),
        replacing_all([tmp_path / "a", tmp_path / "." / "a"]),
    ):
        pytest.fail("the block must not run")


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_permissions_of_open(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        with replacing(tmp_path / "new") as temporary:
            temporary.write_text("x")
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "private"
    path.write_text("old")
    path.chmod(0o640)
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    link = tmp_path / "link"
    link.symlink_to("real")
    with replacing(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def left_by_a_dead_process(folder: Path) -> list[Path]:
    """Write temporary files whose process is killed while it writes."""
    if (child := os.fork()) == 0:
        with replacing_all([folder / "net.caffemodel", folder / "net.prototxt"]) as (first, _):
            first.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    return sorted(folder.iterdir())


def test_files_of_a_dead_process_are_removed(tmp_path: Path) -> None:
    assert len(left_by_a_dead_process(tmp_path)) == 2
    with replacing(tmp_path / "other") as temporary:
        assert list(tmp_path.iterdir()) == [temporary]
        temporary.write_text("new")
    assert os.listdir(tmp_path) == ["other"]


def test_files_still_being_written_and_similar_names_stay(tmp_path: Path) -> None:
    others = [tmp_path / name for name in (".caffe2fx-1.tmp", "net.tmp", ".0123456789ab.tmp")]
    for path in others:
        path.touch()
    (tmp_path / ".caffe2fx-0123456789ab.tmp").symlink_to(others[0])
    with replacing(tmp_path / "slow") as first:
        with replacing(tmp_path / "fast") as second:
            second.write_text("fast")
        first.write_text("slow")
    assert {path.name for path in others} < set(os.listdir(tmp_path))
    assert [(tmp_path / name).read_text() for name in ("slow", "fast")] == ["slow", "fast"]


def test_everything_is_on_the_disk_before_the_first_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, n=name, r=real: (done.append(n), r(*a))[1])
    for durable in (True, False):
        with replacing_all([tmp_path / "a", tmp_path / "b"], durable=durable) as temporaries:
            for temporary in temporaries:
                temporary.write_text("new")
    assert done == ["fsync", "fsync", "replace", "replace", "fsync", "replace", "replace"]


def test_two_writers_rename_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.replace

    def slow(source: Path, target: Path) -> None:
        rename(source, target)
        time.sleep(0.02)

    def write(text: str) -> None:
        for _ in range(4):
            with replacing_all([tmp_path / "a", tmp_path / "b"]) as temporaries:
                for temporary in temporaries:
                    temporary.write_text(text)

    monkeypatch.setattr(os, "replace", slow)
    threads = [Thread(target=write, args=[text]) for text in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text()
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_an_error_names_the_file_to_be_written(tmp_path: Path, number: int) -> None:
    with (
        pytest.raises(OSError, match=rf"\[Errno {number}\] .*{tmp_path}'$"),
        replacing(tmp_path / "net"),
    ):
        raise OSError(number, os.strerror(number))  # as write() raises it, without a name
    with pytest.raises(OSError, match=r"'.*/net'$"), replacing(tmp_path / "net") as temporary:
        temporary.unlink()
        temporary.read_bytes()
    assert os.listdir(tmp_path) == []
