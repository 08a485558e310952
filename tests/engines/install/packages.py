"""Packages of a Caffe that a shell script plays: it is the loader, and with it Caffe."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

from caffe2fx.engines.install import environment
from caffe2fx.engines.install.download import Package


def deb(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """Return a package of these members."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    parts = [
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", b"odd"),
        ("data.tar.xz", data.getvalue()),
    ]
    return b"!<arch>\n" + b"".join(
        f"{name:<16}{0:<12}{0:<6}{0:<6}{644:<8}{len(content):<10}`\n".encode()
        + content
        + b"\n" * (len(content) % 2)
        for name, content in parts
    )


def member(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644
) -> tarfile.TarInfo:
    """Return the head of a member of a package."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info


def published(mirror: Path, script: str) -> list[Package]:
    """Write the packages of a Caffe whose loader is a script into a folder that plays a mirror."""
    machine = environment.this_machine()
    assert machine is not None
    loader = f"#!/bin/sh\n{script}\n".encode()
    return [
        publish(mirror, "loader", deb((member(machine.loader, mode=0o755), loader))),
        publish(mirror, "python", deb((member("usr/bin/python3.9", mode=0o755), b""))),
    ]


def publish(mirror: Path, name: str, content: bytes) -> Package:
    """Write one package file; return its row of the lock list."""
    path = mirror / f"pool/{name}_1_amd64.deb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    return Package("amd64", name, "1", f"pool/{path.name}", len(content), sha256)
