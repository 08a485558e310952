"""prototxt text to Net and back."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from caffe2fx import schema
from caffe2fx.errors import CaffeError, CaffeFormatError, UnknownLayerError
from caffe2fx.layer import Layer
from caffe2fx.layers import REGISTRY, Input
from caffe2fx.message import LayerParameter, NetState, Phase
from caffe2fx.net import Net, Step, single_assignment, unconsumed
from caffe2fx.origin import Origin


def read(path: str | Path, *, phase: Phase | str = Phase.TEST) -> Net:
    """The net that a prototxt file describes, without weights.

    Raises CaffeFormatError with line and column for text that Caffe would not take, and
    UnknownLayerError that lists every layer type without a record.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CaffeFormatError(
            f"{path} needs to be a text prototxt in UTF-8, got byte "
            f"0x{error.object[error.start]:02x} at offset {error.start}; is it a caffemodel?"
        ) from None
    return parse(text, source=str(path), phase=phase)


def parse(text: str, *, source: str = "<prototxt>", phase: Phase | str = Phase.TEST) -> Net:
    """The net that prototxt text describes; `source` names it in errors."""
    proto = _proto(text, source)
    if not proto.layer:
        raise CaffeFormatError(f"{source} needs at least one layer, got none")
    # As in Caffe, the file's own stages count, and its phase and level do not.
    state = NetState(
        phase=Phase[phase] if isinstance(phase, str) else phase, stage=tuple(proto.state.stage)
    )
    entries = _legacy_inputs(proto, source) + _entries(proto, text, source)
    _check_rules(entries)
    kept = [entry for entry in entries if entry[0].stands_in(state)]
    return Net(steps := _steps(kept), unconsumed(steps), proto.name)


Entry = tuple[LayerParameter, Layer, Origin]


def _proto(text: str, source: str) -> Any:
    proto = schema.new("NetParameter")
    try:
        text_format.Parse(text, proto)
    except text_format.ParseError as error:
        _refuse_unknown_types(text, source)
        raise CaffeFormatError(_parse_message(error, text, source)) from None
    _check_types(proto, source)
    return proto


def _parse_message(error: text_format.ParseError, text: str, source: str) -> str:
    line, column = error.GetLine(), error.GetColumn()
    what = re.sub(r"^\d+:\d+ : ", "", str(error)).replace('"caffe.', '"')
    lines = text.splitlines()
    shown = f"\n    {lines[line - 1].strip()}" if line and line <= len(lines) else ""
    return f"{source}:{line}:{column}: {what}{_nearest_field(what)}{shown}"


def _nearest_field(what: str) -> str:
    found = re.search(r'type "(\w+)" has no field named "(\w+)"', what)
    if not found:
        return ""
    message, name = found.groups()
    if message == "NetParameter" and name == "layers":
        return " 'layers' is the format of 2013 and 2014: upgrade it with upgrade_net_proto_text."
    fields = [field.name for field in schema.new(message).DESCRIPTOR.fields]
    near = difflib.get_close_matches(name, fields, 1)
    return f" Did you mean {near[0]!r}?" if near else ""


def _refuse_unknown_types(text: str, source: str) -> None:
    """An unknown type brings unknown fields: name the types, all at once, rather than a field."""
    proto = schema.new("NetParameter")
    try:
        text_format.Parse(text, proto, allow_unknown_field=True)
    except text_format.ParseError:
        return
    _check_types(proto, source)


def _check_types(proto: Any, source: str) -> None:
    unknown = [(layer.name, layer.type) for layer in proto.layer if layer.type not in REGISTRY]
    if unknown:
        listed = "\n".join(f"  {name!r}: {type_!r}{_nearest(type_)}" for name, type_ in unknown)
        raise UnknownLayerError(f"{source} needs layers that have no record:\n{listed}")


def _nearest(type_: str) -> str:
    known = {name.lower(): name for name in REGISTRY}
    near = difflib.get_close_matches(type_.lower(), known, 1)
    return f" (did you mean {known[near[0]]!r}?)" if near else ""


def _legacy_inputs(proto: Any, source: str) -> list[Entry]:
    """`input:` fields become one Input layer in front, as Caffe's own upgrade does."""
    if not proto.input:
        return []
    shapes = [tuple(shape.dim) for shape in proto.input_shape]
    dims = list(proto.input_dim)
    shapes = shapes or [tuple(dims[i : i + 4]) for i in range(0, len(dims), 4)]
    if not proto.input_shape and len(dims) % 4:
        raise CaffeFormatError(f"{source} needs four input_dim an input, got {len(dims)}")
    if len(shapes) != len(proto.input):
        raise CaffeFormatError(
            f"{source} needs one shape an input, got {len(proto.input)} and {len(shapes)}"
        )
    generic = LayerParameter(name="input", type="Input", top=tuple(proto.input))
    return [(generic, Input(shape=tuple(shapes)), Origin(file=source, line=1))]


def _entries(proto: Any, text: str, source: str) -> list[Entry]:
    lines = _layer_lines(text)
    lines += [0] * (len(proto.layer) - len(lines))
    return [
        (LayerParameter.parse(layer), _record(layer, origin), origin)
        for layer, line in zip(proto.layer, lines, strict=False)
        for origin in [Origin(file=source, line=line)]
    ]


def _record(layer: Any, origin: Origin) -> Layer:
    kind = REGISTRY[layer.type]
    try:
        return kind() if kind.parameter is None else kind.parse(getattr(layer, kind.parameter[0]))
    except CaffeError as error:
        raise type(error)(f"layer {layer.name!r} ({layer.type}) {error} ({origin})") from None


def _check_rules(entries: Sequence[Entry]) -> None:
    for generic, _, origin in entries:
        if generic.include and generic.exclude:
            raise CaffeFormatError(
                f"{origin}: layer {generic.name!r} needs include or exclude rules, got both"
            )


_TOKEN = re.compile(r"""#[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[{}<>\n]|\w+""")


def _layer_lines(text: str) -> list[int]:
    """The line on which each top-level `layer` starts (text_format keeps no positions)."""
    lines, depth, line = [], 0, 1
    for token in _TOKEN.findall(text):
        depth += (token in "{<") - (token in "}>")
        line += token == "\n"
        if depth == 0 and token == "layer":
            lines.append(line)
    return lines


def _steps(entries: Sequence[Entry]) -> tuple[Step, ...]:
    values = single_assignment(
        [
            (f"{origin}: layer {generic.name!r}", generic.bottom, generic.top)
            for generic, _, origin in entries
        ]
    )
    return tuple(
        Step(generic.name, record, bottoms, tops, params=generic.param, origin=origin)
        for (generic, record, origin), (bottoms, tops) in zip(entries, values, strict=True)
    )


def text_of(net: Net, *, header: str = "") -> str:
    """The prototxt of a net: layer parameters live here, and weights in the caffemodel."""
    proto = schema.new("NetParameter")
    if net.name:
        proto.name = net.name  # type: ignore[attr-defined]
    for step in net.steps:
        _fill(proto.layer.add(), step)  # type: ignore[attr-defined]
    comment = "".join(f"# {line}\n" for line in header.splitlines())
    return comment + str(text_format.MessageToString(proto, as_utf8=True))


def _fill(layer: Any, step: Step) -> None:
    LayerParameter(
        name=step.name,
        type=step.layer.type,
        bottom=tuple(value.blob for value in step.bottoms),
        top=tuple(value.blob for value in step.tops),
        param=step.params,
    ).fill(layer)
    if step.layer.parameter is not None:
        step.layer.fill(getattr(layer, step.layer.parameter[0]))


