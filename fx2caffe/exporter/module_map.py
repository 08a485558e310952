"""The table behind Export.map, of modules, layers and blobs."""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from caffe2fx.errors import CaffeError
from caffe2fx.messages.message import Shape
from caffe2fx.net.net import Net
from caffe2fx.net.step import Value
from caffe2fx.weights.atomic import file_errors, replacing


@dataclass(frozen=True)
class MapEntry:
    """Holds one top of one layer: a row of Export.map.

    `module` is the path of the module whose forward called the operation, `returned_by` are
    the modules whose last call returned this very tensor, and `node` is its traced node; these
    are empty for tops that only a rewrite made. `blob` is the blob's name in the file; a blob
    that in-place layers overwrite is in several rows.
    """

    layer: str
    type: str
    blob: str
    shape: Shape
    module: str
    returned_by: tuple[str, ...]
    node: str
    file: str
    line: int


class Map(Sequence[MapEntry]):
    """Holds all tops of a net in execution order, and finds them by module, layer or blob."""

    def __init__(self, entries: Sequence[MapEntry]) -> None:
        self._entries = tuple(entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> MapEntry:  # type: ignore[override]
        return self._entries[index]

    def __iter__(self) -> Iterator[MapEntry]:
        return iter(self._entries)

    def layers(self, module: str) -> tuple[str, ...]:
        """Return the layers that came from a module or from one inside it, in order of execution.

        Raises CaffeError for a path from which no layer came.
        """
        inside = [p.layer for p in self if f"{p.module}.".startswith(f"{module}.") or not module]
        if not inside:
            raise self._unknown(module, {entry.module for entry in self})
        return tuple(dict.fromkeys(inside))

    def blob(self, module: str) -> str:
        """Return the blob that holds the (first) result of a module's last call.

        Raises CaffeError where the net has none: a convolution into which BatchNorm was folded
        leaves no result of its own.
        """
        for entry in self:
            if module in entry.returned_by:
                return entry.blob
        raise self._unknown(module, {path for entry in self for path in entry.returned_by})

    def module(self, layer: str) -> str:
        """Return the path of a layer's module. Raises CaffeError for an unknown layer."""
        for entry in self:
            if entry.layer == layer:
                return entry.module
        raise self._unknown(layer, {entry.layer for entry in self})

    def _unknown(self, name: str, known: set[str]) -> CaffeError:
        near = difflib.get_close_matches(name, sorted(known), 3)
        return CaffeError(f"the map has no {name!r}; near names: {', '.join(near) or 'none'}")

    def save(self, path: str | Path) -> None:
        """Write the table as .json (a list of objects) or .tsv. Raises CaffeError for others."""
        forms = {".json": self._json, ".tsv": self._tsv}
        if Path(path).suffix not in forms:
            raise CaffeError(f"a map needs a name ending in .json or .tsv, got {str(path)!r}")
        with file_errors(), replacing(path) as temporary:
            temporary.write_text(forms[Path(path).suffix](), encoding="utf-8")

    def _json(self) -> str:
        return json.dumps([asdict(entry) for entry in self], indent=1)

    def _tsv(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, delimiter="\t", lineterminator="\n")
        writer.writerow(field.name for field in fields(MapEntry))
        for entry in self:
            row = asdict(entry)
            row["shape"] = "x".join(map(str, entry.shape))
            row["returned_by"] = " ".join(path or "." for path in entry.returned_by)
            writer.writerow(row.values())
        return text.getvalue()


def map_of(
    net: Net,
    nodes: Mapping[Value, str],
    returned: Mapping[str, tuple[tuple[str, ...], ...]],
) -> Map:
    """Return the map of a net, given the traced node of each value and each module's results."""
    modules: dict[str, list[str]] = defaultdict(list)
    for path, calls in returned.items():
        for node in calls[-1]:
            modules[node].append(path)
    shapes = net.shapes()
    return Map(
        [
            MapEntry(
                layer=step.name,
                type=step.layer.type,
                blob=top.blob,
                shape=shapes[top],
                module=step.origin.module,
                returned_by=tuple(modules.get(nodes.get(top, ""), ())),
                node=nodes.get(top, ""),
                file=step.origin.file,
                line=step.origin.line,
            )
            for step in net.steps
            for top in step.tops
        ]
    )
