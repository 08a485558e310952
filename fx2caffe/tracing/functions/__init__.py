"""Torch's functions: their names, signatures and the one canonical call of each."""
