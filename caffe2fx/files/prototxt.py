"""Parse prototxt text to a Net, and write a Net as text."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import compress, product
from pathlib import Path
from typing import Any

import torch
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from torch import Tensor

from caffe2fx.errors import CaffeError, CaffeFormatError, UnknownLayerError
from caffe2fx.files import binary_net, descriptors, layer_positions, upgrade, v1_words
from caffe2fx.files.dialects import Hints, kinds
from caffe2fx.files.known_gaps import about_field, about_type
from caffe2fx.files.plaintext import read_text, written
from caffe2fx.files.shared_memory import with_shared_memory
from caffe2fx.files.weighted_tops import with_weighted_tops
from caffe2fx.layers import REGISTRY, user_defined
from caffe2fx.layers.any_data import reads_data
from caffe2fx.layers.layer import BVLC, Layer
from caffe2fx.messages.common import BlobProto, NetState, Phase
from caffe2fx.messages.layer_parameter import LayerHints, LayerParameter
from caffe2fx.messages.text_fields import FIELD, folded, unfolded
from caffe2fx.net.dynamic_weights import read_back, written_out
from caffe2fx.net.net import Net
from caffe2fx.net.ssa import single_assignment, unconsumed
from caffe2fx.net.step import Step
from caffe2fx.origin import Origin
from caffe2fx.weights import caffemodel


def read(
    path: str | Path,
    *,
    phase: Phase | str = Phase.TEST,
    level: int = 0,
    stages: Sequence[str] = (),
    hints: Hints | None = None,
) -> Net:
    """Return the net that a prototxt file of any age describes, without weights.

    Include and exclude rules are matched against `phase`, `level` and `stages`. Raises
    CaffeFormatError with line and column for text that Caffe would not take, and UnknownLayerError
    that lists every layer type without a record.
    """
    text = read_text(path)
    return parse(text, source=str(path), phase=phase, level=level, stages=stages, hints=hints)


def parse(
    text: str,
    *,
    source: str = "<prototxt>",
    phase: Phase | str = Phase.TEST,
    level: int = 0,
    stages: Sequence[str] = (),
    hints: Hints | None = None,
) -> Net:
    """Return the net that prototxt text describes; `source` names it in errors."""
    proto = message_of(text, source)
    indices = upgrade.upgrade(proto, source)
    _check_types(proto, source)
    lines = [found.line for found in layer_positions.entries(text)]
    lines += [0] * (len(indices) - len(lines))  # entries written as a list, `layer [{}, {}]`
    origins = [Origin(file=source, line=1 if index is None else lines[index]) for index in indices]
    state = NetState(phase=_phase(phase), level=level, stage=tuple(stages))
    return net_of(proto, origins, source, state, hints)


def _phase(phase: Phase | str) -> Phase:
    if phase not in [*Phase, *Phase.__members__]:
        raise CaffeError(f"phase needs to be TRAIN or TEST, got {phase!r}")
    return Phase[phase] if isinstance(phase, str) else phase


def net_of(
    proto: Any,
    origins: Sequence[Origin],
    source: str,
    state: NetState,
    hints: Hints | None = None,
) -> Net:
    """Return the net of a NetParameter message in today's form, for a phase, level and stages."""
    if not proto.layer:
        raise CaffeFormatError(f"{source} needs at least one layer, got none")
    if state.phase == Phase.TRAIN and proto.bn_stats_batch_size:
        raise CaffeFormatError(
            f"{source} needs batch statistics of the whole batch in the TRAIN phase, "
            f"got bn_stats_batch_size {proto.bn_stats_batch_size}"
        )
    # As in Caffe, the file's own stages count, and its phase and level do not.
    state = state.replace(stage=(*proto.state.stage, *state.stage))
    entries = _entries(proto, origins, hints or Hints())
    _check_rules(entries)
    standing = [entry[0].is_included(state) for entry in entries]
    _check_rates(list(compress(zip(proto.layer, origins, strict=True), standing)))
    kept = list(compress(entries, standing))
    found = _steps(kept, proto.force_backward)
    steps = with_shared_memory(read_back(with_weighted_tops(found)))
    return Net(steps, unconsumed(steps), proto.name)


def inside(
    path: str | Path,
    *,
    phase: Phase | str | None = None,
    level: int = 0,
    stages: Sequence[str] = (),
) -> Net:
    """Return the net that a .caffemodel describes beside its blobs, read by BVLC's field numbers.

    `phase` is the one that it was saved in, if None. Forks gave the same numbers to other fields:
    so CaffeFormatError for any field or layer that is not BVLC's, or that a fork could have meant
    otherwise.
    """
    source, proto = str(path), _definition(path)
    binary_net.refuse(proto, source)
    saved = binary_net.saved_phase(proto)
    upgrade.upgrade(proto, source)
    _check_types(proto, source)
    for layer in proto.layer:
        layer.ClearField("phase")  # of the net that was saved: Caffe writes it into every layer
    origins = [Origin(file=source)] * len(proto.layer)
    state = NetState(phase=_phase(saved if phase is None else phase), level=level,
                     stage=tuple(stages))  # fmt: skip
    try:
        return net_of(proto, origins, source, state, Hints(dialect=BVLC))
    except CaffeFormatError as error:
        if saved is state.phase:
            raise
        only = f"only the layers of phase {saved.name} are in the file: load it with that phase"
        raise CaffeFormatError(f"{error} ({only})") from None


def phase_inside(path: str | Path) -> Phase:
    """Return the phase in which Caffe saved the net of a .caffemodel; TEST if it names none."""
    return binary_net.saved_phase(_definition(path))


def _definition(path: str | Path) -> Any:
    """Return the NetParameter of a .caffemodel without its blobs."""
    proto: Any = descriptors.new("NetParameter")
    try:
        proto.ParseFromString(caffemodel.definition(path))
    except DecodeError as error:
        wanted = f"{path} needs layers of BVLC's Caffe, got {error}"
        raise CaffeFormatError(f"{wanted}{binary_net.GIVE}") from None
    return proto


Entry = tuple[LayerParameter, Layer, Origin]


def message_of(text: str, source: str) -> Any:
    """Return the NetParameter that a text is, of its own age."""
    if line := layer_positions.too_deep(text):
        depth = f"at most {layer_positions.MAX_DEPTH} messages inside each other"
        raise CaffeFormatError(f"{source}:{line}: needs {depth}, got more")
    if line := layer_positions.line_of(text, FIELD):
        raise CaffeFormatError(f"{source}:{line}: a layer has no field named {FIELD!r}")
    proto = descriptors.new("NetParameter")
    types = user_defined.types() | _sources(text)
    words = [word for word, (_, type_) in v1_words.words().items() if type_ in types]
    read = folded(text, types, words)
    try:
        text_format.Parse(read, proto)
    except text_format.ParseError as error:
        _refuse_unknown_types(read, source)
        raise CaffeFormatError(_parse_message(error, text, source)) from None
    _check_required(proto, text, source)
    return proto


def _sources(text: str) -> set[str]:
    """Return the types without a record whose layers read data."""
    return {
        found.type
        for found in layer_positions.entries(text)
        if found.keyword == "layer" and found.type not in REGISTRY
        if reads_data(found.type, found.bottom, found.top)
    }


def _check_required(proto: Any, text: str, source: str) -> None:
    """Raise CaffeFormatError for a missing required field, as Caffe's own parser does."""
    for missing in proto.FindInitializationErrors():
        entry, *inside = missing.split(".")
        keyword, _, index = entry.rstrip("]").partition("[")
        entries = [e for e in layer_positions.entries(text) if e.keyword == keyword]
        found = entries[int(index)]
        layer = f"layer {found.name!r} ({found.type})" if found.type else f"`{keyword}`"
        raise CaffeFormatError(
            f"{layer} needs {'.'.join(inside)} to be given, got none ({source}:{found.line})"
        )


def _parse_message(error: text_format.ParseError, text: str, source: str) -> str:
    line, column = error.GetLine(), error.GetColumn()
    message = re.sub(r"^\d+:\d+ : ", "", str(error)).replace('"caffe.', '"')
    lines = text.splitlines()
    shown = f"\n    {lines[line - 1].strip()}" if line and line <= len(lines) else ""
    return f"{source}:{line}:{column}: {message}{_nearest_field(message)}{shown}"


def _nearest_field(fault: str) -> str:
    found = re.search(r'type "(\w+)" has no field named "(\w+)"', fault)
    if not found:
        return ""
    message, name = found.groups()
    if message == "NetParameter" and name in _SOLVERS:
        return " This is a solver's file: give the prototxt that its `net` or `train_net` names."
    if known := about_field(message, name):
        return f" It is of forks; {known}."
    fields = [field.name for field in descriptors.new(message).DESCRIPTOR.fields]
    near = difflib.get_close_matches(name, fields, 1)
    return f" Did you mean {near[0]!r}?" if near else ""


# Fields of a solver's file, which a user may take for the net's.
_SOLVERS = {"net", "train_net", "test_net", "net_param", "base_lr", "lr_policy", "max_iter",
            "test_iter", "test_interval", "display", "snapshot", "solver_mode", "type"}  # fmt: skip


def _refuse_unknown_types(text: str, source: str) -> None:
    """Raise for all unknown types at once: they bring unknown fields, and the parser names one."""
    known = v1_words.words()
    unknown = [
        (found.name, found.type, _meant(found.type) or _nearest_word(found.type, known))
        for found in layer_positions.entries(text)
        if found.keyword == "layers" and not found.type.isdigit() and found.type not in known
        if found.type
    ]
    _refuse(unknown, source)
    proto = descriptors.new("NetParameter")
    try:
        text_format.Parse(text, proto, allow_unknown_field=True)
    except text_format.ParseError:
        return
    _check_types(proto, source)


def _meant(word: str) -> str:
    """Return as a hint which types the word could be, if several."""
    could = v1_words.meanings().get(word, ())
    return f" (which of {', '.join(could)}?)" if len(could) > 1 else ""


def _nearest_word(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word.upper(), known, 1)
    return f" (did you mean {near[0]}?)" if near else ""


def _refuse(unknown: Sequence[tuple[str, str, str]], source: str) -> None:
    if unknown:
        listed = "\n".join(f"  {name!r}: {type_!r}{hint}" for name, type_, hint in unknown)
        raise UnknownLayerError(f"{source} needs layers that have no record:\n{listed}")


def _check_types(proto: Any, source: str) -> None:
    unknown = [(layer.name, layer.type, _nearest(layer.type)) for layer in proto.layer
               if layer.type not in REGISTRY
               and not reads_data(layer.type, layer.bottom, layer.top)]  # fmt: skip
    unknown += [
        (layer.name, kinds[0], " (see caffe2fx.register)")
        for layer in proto.layer
        if all(kinds := [kind.unknown_kind(layer) for kind in REGISTRY.get(layer.type, ())])
        if kinds
    ]
    _refuse(unknown, source)


def _nearest(type_: str) -> str:
    if about := about_type(type_):
        return f" ({about})"
    known = {name.lower(): name for name in REGISTRY}
    near = difflib.get_close_matches(type_.lower(), known, 1)
    return f" (did you mean {known[near[0]]!r}?)" if near else ""


def _entries(proto: Any, origins: Sequence[Origin], hints: Hints) -> list[Entry]:
    found = kinds(proto.layer, origins, hints)
    return [
        (LayerParameter.parse(layer), _record(kind, layer, origin), origin)
        for kind, layer, origin in zip(found, proto.layer, origins, strict=True)
    ]


def _record(kind: type[Layer], layer: Any, origin: Origin) -> Layer:
    try:
        return kind.read(layer)
    except CaffeError as error:
        raise type(error)(f"layer {layer.name!r} ({layer.type}) {error} ({origin})") from None


def _check_rules(entries: Sequence[Entry]) -> None:
    for generic, _, origin in entries:
        if generic.include and generic.exclude:
            raise CaffeFormatError(
                f"{origin}: layer {generic.name!r} needs include or exclude rules, got both"
            )


def _check_rates(layers: Sequence[tuple[Any, Origin]]) -> None:
    """Raise unless blobs that share a name agree in the lr_mult and the decay_mult that are set."""
    first: dict[tuple[str, str], float] = {}
    for layer, origin in layers:
        for spec, name in product(layer.param, ("lr_mult", "decay_mult")):
            if spec.name and spec.HasField(name):
                own = getattr(spec, name)
                theirs = first.setdefault((spec.name, name), own)
                if own != theirs:
                    raise CaffeFormatError(
                        f"layer {layer.name!r} ({layer.type}) shares {spec.name!r} and needs its "
                        f"{name} {theirs:g}, got {own:g} ({origin})"
                    )


def _steps(entries: Sequence[Entry], forced: bool) -> tuple[Step, ...]:
    """Return the layers as steps; with force_backward gradients are `forced` along all paths."""
    values = single_assignment(
        [
            (f"{origin}: layer {generic.name!r}", generic.bottom, generic.top)
            for generic, _, origin in entries
        ]
    )
    return tuple(
        Step(
            generic.name,
            record,
            bottoms,
            tops,
            _blobs(generic, origin),
            params=generic.param,
            origin=origin,
            loss_weight=generic.loss_weight,
            propagate_down=tuple(passes or forced for passes in generic.propagate_down),
            phase=generic.phase,
            hints=generic.hints,
        )
        for (generic, record, origin), (bottoms, tops) in zip(entries, values, strict=True)
    )


def _blobs(generic: LayerParameter, origin: Origin) -> tuple[Tensor, ...]:
    """Return the weights in the text itself, with which Caffe starts."""
    return tuple(_blob(blob, generic, origin) for blob in generic.blobs)


def _blob(blob: BlobProto, generic: LayerParameter, origin: Origin) -> Tensor:
    values = torch.tensor(blob.double_data or blob.data)
    legacy = (blob.num, blob.channels, blob.height, blob.width)
    shape = legacy if any(legacy) or blob.shape is None else blob.shape
    if values.numel() != math.prod(shape) or min(shape, default=1) < 1:
        where = f"{origin}: layer {generic.name!r}"
        raise CaffeFormatError(
            f"{where} needs blobs with a value for each element, got {values.numel()} for {shape}"
        )
    return values.reshape(shape)


def text_of(net: Net, *, header: str = "", hints: bool = True) -> str:
    """Return the prototxt of a net: it has the layer parameters, the caffemodel the weights.

    Without `hints` fields that only state how forks run a layer are left out.
    """
    proto = descriptors.new("NetParameter")
    if net.name:
        proto.name = net.name  # type: ignore[attr-defined]
    for step in written_out(net).steps:
        if not step.layer.in_files:
            continue
        plain = replace(step, layer=step.layer.unhinted(), hints=LayerHints())
        _fill(proto.layer.add(), step if hints else plain)  # type: ignore[attr-defined]
    comment = "".join(f"# {line}\n" for line in header.splitlines())
    return comment + unfolded(written(proto))


def _fill(layer: Any, step: Step) -> None:
    LayerParameter(
        name=step.name,
        type=step.layer.type,
        bottom=tuple(value.blob for value in step.bottoms),
        top=tuple(value.blob for value in step.tops),
        param=step.params,
        loss_weight=step.loss_weight,
        propagate_down=step.propagate_down,
        phase=step.phase,
    ).fill(layer)
    step.hints.fill(layer)
    step.layer.write(layer)
