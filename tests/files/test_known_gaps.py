"""Fields and layers that are known by name alone are refused with the notes on them."""

from __future__ import annotations

import re

import pytest

from caffe2fx.errors import CaffeFormatError, UnknownLayerError
from caffe2fx.files import descriptors
from caffe2fx.files.known_gaps import FIELDS, TYPES, about_field, about_type
from caffe2fx.files.prototxt import parse
from caffe2fx.layers import REGISTRY

PARAMETERS = {
    field.message_type.name: field.name
    for field in descriptors.new("LayerParameter").DESCRIPTOR.fields
    if field.message_type is not None
}


@pytest.mark.parametrize(("message", "name"), FIELDS)
def test_a_field_is_refused_with_its_note(message: str, name: str) -> None:
    message = message or "ConvolutionParameter"
    parameter = PARAMETERS[message]
    text = f'layer {{ name: "l" type: "ReLU" {parameter} {{ {name}: 1 }} }}'
    reason = re.escape(f'"{message}" has no field named "{name}". It is of forks; ')
    with pytest.raises(CaffeFormatError, match=reason) as error:
        parse(text)
    assert about_field(message, name) in str(error.value)


@pytest.mark.parametrize("type_", TYPES)
def test_a_type_is_refused_with_its_note(type_: str) -> None:
    assert type_ not in REGISTRY
    text = f'layer {{ name: "l" type: "{type_}" some_param {{ size: 1 }} }}'
    with pytest.raises(UnknownLayerError) as error:
        parse(text)
    assert f"'l': '{type_}' ({about_type(type_)})" in str(error.value)
