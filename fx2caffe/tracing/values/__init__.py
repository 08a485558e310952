"""Traced values: their metadata, the kinds of tensors that hold them, their writes and views."""
