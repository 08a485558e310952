"""Comparison of feature maps: measures, judgement and reports.

`comparison` and `dump_comparison` are the ways in, and `judge` decides. `maps/` measures one
feature map, `reference/` runs the reference, and `result/` holds the rows and their verdict.
"""
