"""The schema that the records make, against BVLC's own: data/bvlc.tsv, and real Caffe's."""

from __future__ import annotations

import base64
import csv
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from google.protobuf import descriptor_pb2

from caffe2fx import schema
from caffe2fx.engines.pycaffe import starter
from caffe2fx.layers import REGISTRY

TABLE = Path(__file__).parents[1] / "data" / "bvlc.tsv"

# BVLC's messages that nothing here can state yet. Take a message out when its record is made.
WITHOUT_RECORD = frozenset({
    "AccuracyParameter", "BlobProtoVector", "ContrastiveLossParameter", "DataParameter", "Datum",
    "HDF5DataParameter", "HDF5OutputParameter", "HingeLossParameter", "ImageDataParameter",
    "InfogainLossParameter", "LossParameter", "MemoryDataParameter", "PythonParameter",
    "RecurrentParameter", "SPPParameter", "SolverParameter", "SolverState",
    "TransformationParameter", "V0LayerParameter", "V1LayerParameter", "WindowDataParameter",
})  # fmt: skip
# Fields left out on purpose: the layers of 2013 and 2014 are another message altogether.
LEFT_OUT = {("NetParameter", "layers")}


class Field(NamedTuple):
    """What a schema says of one field."""

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
    """A default as the number that it is: 1e-05 and 0.00001 are one."""
    if not text:
        return None
    return np.float32(text) if type_ == "float" else text


def fields(file: descriptor_pb2.FileDescriptorProto) -> Fields:
    """Every field of a compiled schema."""
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
    ours = fields(schema.file_descriptor())
    assert not {name for name in ours if name not in table}
    wrong = {name: (field, table[name]) for name, field in ours.items() if field != table[name]}
    assert not wrong


def test_every_message_that_a_record_states_is_whole(table: Fields) -> None:
    ours = fields(schema.file_descriptor())
    stated = {message for message, _ in ours}
    typed = {kind.parameter[0] for kind in REGISTRY.values() if kind.parameter is not None}
    missing = {
        (message, name)
        for message, name in table
        if message in stated
        and (message, name) not in ours
        and (message, name) not in LEFT_OUT
        and not (message == "LayerParameter" and name.endswith("_param") and name not in typed)
    }
    assert not missing


def test_messages_without_a_record_are_listed_and_no_others(table: Fields) -> None:
    ours = {message.name for message in schema.file_descriptor().message_type}
    assert {message for message, _ in table} - ours == WITHOUT_RECORD


def test_each_records_place_in_the_layer_is_its_own_message(table: Fields) -> None:
    for kind in REGISTRY.values():
        if kind.parameter is not None:
            name, number = kind.parameter
            assert table["LayerParameter", name][:3] == (
                number, "optional", f"message:{kind.message}"
            )  # fmt: skip


@pytest.mark.pycaffe
def test_the_table_is_what_real_caffe_was_compiled_from(table: Fields) -> None:
    script = (
        "import base64, caffe.proto.caffe_pb2 as pb\n"
        "print(base64.b64encode(pb.DESCRIPTOR.serialized_pb).decode())"
    )
    found = starter()
    assert found is not None
    command, env = found
    said = subprocess.run(
        [*command, "-c", script], env=None if env is None else dict(env), capture_output=True,
        check=True,
    ).stdout  # fmt: skip
    file = descriptor_pb2.FileDescriptorProto.FromString(base64.b64decode(said))
    assert fields(file) == table
