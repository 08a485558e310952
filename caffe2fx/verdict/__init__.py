"""Comparison of feature maps: measures, judgement and reports."""
