"""searchsorted, bucketize and isin."""

from __future__ import annotations

import torch

from tests.ops.picks import IDS, pick

AMONG = ("AbsVal", "Threshold", "Power", "Reduction", "Threshold")
EDGES = torch.tensor([-1.0, -0.5, 0.1, 0.9])


# fmt: off
ROWS = [
    pick("searchsorted", lambda x: torch.searchsorted(EDGES, x),
         layers=("Parameter", "Reshape", "Tile", "Power", "Bias", "Threshold", "Reduction")),
    pick("searchsorted_right", lambda x: torch.searchsorted(EDGES, x.clamp(-0.5, 0.1), right=True),
         layers=("Power", "Eltwise", "Power", "Power", "Eltwise", "Power", "Parameter",
             "Reshape", "Tile", "Power", "Bias", "Threshold", "Power", "Reduction")),
    pick("searchsorted_traced", lambda s, x: torch.searchsorted(s.abs().cumsum(1) - 2, x),
         ((2, 6), (2, 9)),
         layers=("AbsVal", "InnerProduct", "Power", "Reshape", "Tile", "Power", "Bias",
             "Threshold", "Reduction")),
    pick("bucketize", lambda x: torch.bucketize(x.clamp(-0.5, 0.1), EDGES),
         layers=("Power", "Eltwise", "Power", "Power", "Eltwise", "Power", "Parameter",
             "Reshape", "Tile", "Power", "Bias", "Threshold", "Reduction")),
    pick("bucketize_right", lambda x: torch.bucketize(x, EDGES, right=True),
         layers=("Parameter", "Reshape", "Tile", "Power", "Bias", "Threshold", "Power",
             "Reduction")),
    pick("isin", lambda i: torch.isin(i, torch.tensor([1, 4])), IDS, below=(6,),
         layers=("Reshape", "Parameter", "Tile", "Bias", "AbsVal", "Power", "ArgMax",
             "Flatten", "Power", "Threshold", "Power")),
    pick("isin_inverted", lambda i: torch.isin(i, torch.tensor([1, 4]), invert=True), IDS,
         below=(6,),
         layers=("Reshape", "Parameter", "Tile", "Bias", "AbsVal", "Power", "ArgMax",
             "Flatten", "Power", "Threshold")),
    pick("isin_computed", lambda i, t: torch.isin(i, t), (*IDS, (1, 3)), below=(6, 6),
         layers=("Reshape", "Flatten", "Tile", "Power", "Bias", *AMONG)),
    pick("isin_computed_inverted", lambda i, t: torch.isin(i, t[:, 1:3], invert=True),
         (*IDS, (1, 2, 4)), below=(6, 6),
         layers=("Slice", "Reshape", "Flatten", "Tile", "Power", "Bias", *AMONG, "Power",
             "Silence")),
    pick("isin_constant_of_computed", lambda t: torch.isin(torch.arange(6), t[0]), IDS, below=(6,),
         layers=("DummyData", "Crop", "Flatten", "Parameter", "Reshape", "Tile", "Power", "Bias",
             *AMONG)),
    pick("isin_of_too_many", lambda x: torch.isin(x, x[0]), ((2, 2100),),
         refused="needs at most 4194304 pairs of an element and a test element that the net "
         "computes, got 8820000"),
]
