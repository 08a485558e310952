"""The generated parts of fx2caffe/README.md and caffe2fx/README.md: floors, tree and ways."""

from __future__ import annotations

import ast
from collections.abc import Callable
from configparser import ConfigParser
from pathlib import Path

from tests.table import markdown
from tests.table.ways import page_of, way_in, way_out

ROOT = Path(__file__).parents[2]
PACKAGES = ("fx2caffe", "caffe2fx")


def floors(package: str) -> str:
    """Return the floors of a package, by the import contracts."""
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg")
    stated = parser[f"importlinter:contract:{package}"]["layers"].split("\n")
    return "```text\n" + "\n".join(line for line in stated if line) + "\n```"


def tree(package: str) -> str:
    """Return the rooms and the files at the top of a package, with their first lines."""
    folder = ROOT / package
    rooms = [path for path in folder.iterdir() if (path / "__init__.py").exists()]
    files = [path for path in folder.glob("*.py") if path.stem != "__init__"]
    lines = [f"- `{room.name}/`: {_about(room / '__init__.py')}" for room in sorted(rooms)]
    return "\n".join([*lines, *(f"- `{file.name}`: {_about(file)}" for file in sorted(files))])


def _about(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return docstring.partition("\n")[0]


def way(package: str) -> str:
    """Return the way of the small model, or of the small prototxt."""
    return page_of(way_out() if package == "fx2caffe" else way_in())


PARTS: dict[str, Callable[[str], str]] = {"floors": floors, "tree": tree, "way": way}


def regenerated(package: str, text: str) -> str:
    """Return the page with its generated parts made anew."""
    for name, part in PARTS.items():
        text = markdown.with_part(text, name, part(package))
    return text


def write() -> None:
    """Write both pages."""
    for package in PACKAGES:
        path = ROOT / package / "README.md"
        markdown.write(path, regenerated(package, path.read_text("utf-8")))
