"""The schema that the records make, against BVLC's own: data/bvlc.tsv, and real Caffe's."""

from __future__ import annotations

import base64
import csv
import gc
import subprocess
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from google.protobuf import descriptor_pb2

from caffe2fx.engines.pycaffe import starter
from caffe2fx.files import descriptors
from caffe2fx.layers.layer import BVLC
from caffe2fx.layers.registry import records
from caffe2fx.messages.layer_parameter import LayerParameter

TABLE = Path(__file__).parents[1] / "data" / "bvlc.tsv"

# BVLC's messages that nothing here can state yet. Take a message out when its record is made.
WITHOUT_RECORD = frozenset({
    "BlobProtoVector", "Datum", "SolverParameter", "SolverState",
})  # fmt: skip


class Field(NamedTuple):
    """Holds a schema's declaration of one field."""

    number: int
    label: str
    type: str
    default: object
    members: str
    packed: bool


Fields = dict[tuple[str, str], Field]


@pytest.fixture(scope="module")
def table() -> Fields:
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {
        (row["message"], row["field"]): Field(
            int(row["number"]),
            row["label"],
            row["type"],
            _value(row["type"], row["default"]),
            row["enum_values"],
            row["packed"] == "1",
        )
        for row in rows
        if row["message"] != "<enum>"
    }


def _value(type_: str, text: str) -> object:
    """Return a default as its value: 1e-05 and 0.00001 are one."""
    if not text:
        return None
    return np.float32(text) if type_ == "float" else text


def fields(file: descriptor_pb2.FileDescriptorProto) -> Fields:
    """Return every field of a compiled schema."""
    members = dict(_enums(file))
    return {
        (message.name, field.name): _field(field, members)
        for message in file.message_type
        for field in message.field
    }


def _enums(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[str, str]]:
    scopes = [("", file.enum_type)] + [(f"{m.name}.", m.enum_type) for m in file.message_type]
    for scope, enums in scopes:
        for enum in enums:
            members = ",".join(f"{value.name}={value.number}" for value in enum.value)
            yield scope + enum.name, members


def _field(field: descriptor_pb2.FieldDescriptorProto, members: dict[str, str]) -> Field:
    kind = descriptor_pb2.FieldDescriptorProto.Type.Name(field.type)[5:].lower()
    named = field.type_name.removeprefix(".caffe.")
    return Field(
        field.number,
        descriptor_pb2.FieldDescriptorProto.Label.Name(field.label)[6:].lower(),
        f"{kind}:{named}" if named else kind,
        _value(kind, field.default_value),
        members.get(named, "") if kind == "enum" else "",
        field.options.packed,
    )


def test_every_field_that_a_record_states_is_bvlcs(table: Fields) -> None:
    ours = {name: field for name, field in fields(descriptors.file_descriptor()).items()
            if name[0] in {message for message, _ in table}}  # fmt: skip
    # V1's layers have today's typed parameters too: forks of its days did.
    added = {name for name in ours if name not in table and name[0] != "V1LayerParameter"}
    assert added == set(_of_forks()) - set(table)
    wrong = {
        name: (field, table[name])
        for name, field in ours.items()
        if name in table and _of_bvlc(field, table[name]) != table[name]
    }
    assert not wrong


def _of_bvlc(ours: Field, theirs: Field) -> Field:
    """Return our field without the members that forks added to its enumeration."""
    whole = set(theirs.members.split(",")) <= set(ours.members.split(","))
    return ours._replace(members=theirs.members) if whole else ours


def _of_forks() -> Iterator[tuple[str, str]]:
    """Return the fields that only forks have in messages of BVLC's."""
    own = {kind.message for kind in records() if BVLC in kind.dialects}
    for kind in records():
        is_forks = BVLC not in kind.dialects
        if kind.message in own:
            yield from ((kind.message, name) for name, wire in kind.wires()
                        if is_forks or not wire.number)  # fmt: skip
        if is_forks:
            yield from (("LayerParameter", name) for name in kind.parameter_names())
            yield from (("LayerParameter", name) for name, _ in kind.sibling_messages())
        for _, beside in kind.sibling_messages():
            yield from ((beside.type.message, name) for name, wire in beside.type.wires()
                        if not wire.number and BVLC in kind.dialects)  # fmt: skip
    for name, wire in LayerParameter.wires():
        if not wire.number:
            yield "LayerParameter", name
    yield from (("NetParameter", name) for name, _ in descriptors.FORKED_NET_FIELDS)


def test_every_message_that_a_record_states_is_whole(table: Fields) -> None:
    ours = fields(descriptors.file_descriptor())
    stated = {message for message, _ in ours}
    typed = {name for kind in records() for name in kind.parameter_names()}
    missing = {
        (message, name)
        for message, name in table
        if message in stated
        and (message, name) not in ours
        and not (message == "LayerParameter" and name.endswith("_param") and name not in typed)
    }
    assert not missing


def test_messages_without_a_record_are_listed_and_no_others(table: Fields) -> None:
    ours = {message.name for message in descriptors.file_descriptor().message_type}
    assert {message for message, _ in table} - ours == WITHOUT_RECORD


def test_each_records_field_in_the_layer_is_its_own_message(table: Fields) -> None:
    for kind in records():
        if kind.parameter is not None and BVLC in kind.dialects:
            name, number = kind.parameter
            assert table["LayerParameter", name][:3] == (
                number, "optional", f"message:{kind.message}"
            )  # fmt: skip


@pytest.mark.pycaffe
def test_the_table_is_the_schema_of_real_caffe(table: Fields) -> None:
    script = (
        "import base64, caffe.proto.caffe_pb2 as pb\n"
        "print(base64.b64encode(pb.DESCRIPTOR.serialized_pb).decode())"
    )
    found = starter()
    assert found is not None
    command, env = found
    stated = subprocess.run(
        [*command, "-c", script], env=None if env is None else dict(env), capture_output=True,
        check=True,
    ).stdout  # fmt: skip
    file = descriptor_pb2.FileDescriptorProto.FromString(base64.b64decode(stated))
    assert fields(file) == table


def test_classes_of_messages_are_kept() -> None:
    """Made when it is first reached and let go with its last message, one kills other threads."""
    held = weakref.ref(type(descriptors.new("LayerParameter").power_param))  # type: ignore[attr-defined]
    gc.collect()
    assert held() is not None
