"""Comparison of feature maps: what is measured, how it is judged and reported."""
