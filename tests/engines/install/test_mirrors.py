"""Mirrors are tried in a fixed order."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe2fx.engines.install import mirrors
from caffe2fx.errors import EngineError

ONE_LINE = """
# deb http://old.example/debian bullseye main
deb http://a.example/debian bookworm main contrib
deb [arch=amd64 signed-by=/usr/share/key.gpg] https://b.example/debian/ bookworm main
deb-src http://a.example/debian bookworm main
  deb [ trusted=yes ] http://c.example/debian-security bookworm-security main
"""
DEB822 = """Types: deb
# URIs: http://commented.example/debian
URIs: http://d.example/debian
  http://e.example/debian
Suites: bookworm

Enabled: no
Types: deb
URIs: http://disabled.example/debian

types: deb
uris: http://f.example/debian-security
"""


def test_one_line_sources() -> None:
    assert mirrors.one_line_uris(ONE_LINE) == [
        "http://a.example/debian",
        "https://b.example/debian/",
        "http://a.example/debian",
        "http://c.example/debian-security",
    ]


def test_deb822_sources() -> None:
    assert mirrors.deb822_uris(DEB822) == [
        "http://d.example/debian",
        "http://e.example/debian",
        "http://f.example/debian-security",
    ]


def test_mirrors_are_tried_in_order_and_once(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(ONE_LINE)
    (tmp_path / "sources.list.d/x.sources").write_text(DEB822)
    assert mirrors.mirrors(apt=tmp_path) == [
        "http://a.example/debian",
        "https://b.example/debian",
        "http://c.example/debian-security",
        "http://d.example/debian",
        "http://e.example/debian",
        "http://f.example/debian-security",
        *mirrors.SNAPSHOTS,
    ]


def test_a_named_mirror_is_asked_alone(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(ONE_LINE)
    alone = ["http://mine.example/debian"]
    assert mirrors.mirrors("http://mine.example/debian/", tmp_path) == alone
    assert mirrors.mirrors(str(tmp_path), tmp_path) == [tmp_path.as_uri()]
    for missing in (tmp_path / "none", tmp_path / "sources.list"):
        with pytest.raises(EngineError, match=f"a URL or a folder that exists, got '{missing}'"):
            mirrors.mirrors(str(missing), tmp_path)


def test_only_open_debian_archives_are_taken_from_apt(tmp_path: Path) -> None:
    listed = tmp_path / "mirror list"
    listed.write_text("# ours\nhttp://g.example/debian priority:1\n")
    (tmp_path / "sources.list").write_text(
        "deb https://vendor.example/apt stable main\n"
        "deb cdrom:[debian]/ stable main\n"
        "deb https://user:secret@h.example/debian stable main\n"
        f"deb mirror+{listed.as_uri()} stable main\n"
    )
    assert mirrors.apt_mirrors(tmp_path) == ["http://g.example/debian"]


def test_a_machine_without_apt_asks_the_archive(tmp_path: Path) -> None:
    assert mirrors.mirrors(apt=tmp_path / "none") == list(mirrors.SNAPSHOTS)
