"""The sources of Debian's package files: the user's mirror, apt's mirrors, the archive."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from caffe2fx.errors import EngineError

APT = Path("/etc/apt")

# A day on which bullseye was complete (11.11) and still in the main archive: its pool
# there holds every version that the lock list names.
SNAPSHOT_TIME = "20250520T000000Z"
SNAPSHOTS = (
    f"http://snapshot.debian.org/archive/debian/{SNAPSHOT_TIME}",
    f"http://snapshot.debian.org/archive/debian-security/{SNAPSHOT_TIME}",
)

_ONE_LINE = re.compile(r"^\s*deb(?:-src)?\s+(?:\[[^\]]*\]\s+)?(\S+)", re.MULTILINE)
_COMMENT = re.compile(r"^#.*\n?", re.MULTILINE)
_FIELD = re.compile(r"^(\S+?):[ \t]*(.*(?:\n[ \t].*)*)", re.MULTILINE)


def mirrors(given: str | None = None, apt: Path = APT) -> list[str]:
    """Return all mirror roots to try, best first, each once and without a slash at its end.

    A mirror that the user names is the only one. EngineError for a folder that does not exist.
    """
    found = [*apt_mirrors(apt), *SNAPSHOTS] if given is None else [_as_uri(given)]
    return list(dict.fromkeys(uri.rstrip("/") for uri in found))


def apt_mirrors(apt: Path = APT) -> list[str]:
    """Return the Debian archives in the package sources below `apt`, in apt's order."""
    uris: list[str] = []
    for path in (apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))):
        text = _text(path)
        if path.suffix == ".list":
            uris += one_line_uris(text)
        elif path.suffix == ".sources":
            uris += deb822_uris(text)
    return [uri for uri in _expanded(uris) if _is_debian(uri)]


def one_line_uris(text: str) -> list[str]:
    """Return the URIs of a sources.list: `deb [options] URI suite component ...`."""
    return _ONE_LINE.findall(text)


def deb822_uris(text: str) -> list[str]:
    """Return the URIs of a .sources file: stanzas of `Field: value`, but for disabled stanzas."""
    uris: list[str] = []
    for stanza in re.split(r"\n[ \t]*\n", _COMMENT.sub("", text)):
        fields = {name.lower(): value for name, value in _FIELD.findall(stanza)}
        if fields.get("enabled", "yes").strip().lower() not in ("no", "false", "off", "0"):
            uris += fields.get("uris", "").split()
    return uris


def _expanded(uris: Iterable[str]) -> Iterator[str]:
    """Yield the URIs; a file of mirrors, as cloud images name one (mirror+file:), is read."""
    for uri in uris:
        if uri.startswith("mirror+file:"):
            listed = _COMMENT.sub("", _text(Path(unquote(urlsplit(uri).path))))
            yield from (line.split()[0] for line in listed.splitlines() if line.strip())
        else:
            yield uri


def _is_debian(uri: str) -> bool:
    """Return whether a URI is of Debian's archive, not another vendor's, and holds no password."""
    parts = urlsplit(uri)
    return parts.scheme in ("http", "https") and "debian" in uri.lower() and "@" not in parts.netloc


def _as_uri(mirror: str) -> str:
    """Return a mirror as a URI; a folder of this machine becomes a file: URI."""
    if "://" in mirror:
        return mirror
    folder = Path(mirror).expanduser().resolve()
    if not folder.is_dir():
        raise EngineError(f"a mirror needs to be a URL or a folder that exists, got {mirror!r}")
    return folder.as_uri()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # absent, or not for us to read: then it names no mirror
        return ""
