"""Legalization: rules decompose the layers that a target does not have."""
