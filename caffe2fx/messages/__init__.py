"""Caffe's protobuf messages as dataclasses."""
