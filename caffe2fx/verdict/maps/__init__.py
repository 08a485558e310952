"""Measures of one feature map against its reference."""
