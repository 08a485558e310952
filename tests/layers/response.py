"""Rows of LRN and MVN, which normalize by their own bottom."""

from __future__ import annotations

from caffe2fx.layers import LRN, MVN, NormRegion
from caffe2fx.messages.common import Engine
from tests.layers.row import Refusal, Row

IMAGE = (2, 3, 4, 5)
WITHIN = NormRegion.WITHIN_CHANNEL

ROWS = (
    Row("lrn", LRN(), ((2, 7, 3, 3),)),
    Row("lrn size 3", LRN(local_size=3, alpha=0.5, beta=0.6, k=2), ((2, 7, 3, 3),)),
    Row("lrn size 1", LRN(local_size=1, engine=Engine.CAFFE), (IMAGE,)),
    Row("lrn wider than the channels", LRN(local_size=9, alpha=2), (IMAGE,)),
    Row("lrn within", LRN(norm_region=WITHIN, alpha=2), (IMAGE,)),
    Row("lrn within, size 3, k idle", LRN(norm_region=WITHIN, local_size=3, beta=2, k=3), (IMAGE,)),
    Row("mvn", MVN(), (IMAGE,)),
    Row("mvn eps", MVN(eps=0.1), (IMAGE,)),
    Row("mvn across", MVN(across_channels=True), (IMAGE,)),
    Row("mvn centred", MVN(normalize_variance=False), (IMAGE,)),
    Row("mvn centred across", MVN(normalize_variance=False, across_channels=True), (IMAGE,)),
    Row("mvn rank 3", MVN(), ((2, 3, 6),)),
    Row("mvn rank 2, across", MVN(across_channels=True), ((2, 6),)),
)
REFUSALS = (
    Refusal("lrn even", "LRN", "needs an odd local_size, got 4", "lrn_param { local_size: 4 }"),
    Refusal("lrn rank", "LRN", "needs a 4-D bottom", "", ((2, 3, 4),)),
    Refusal("mvn rank", "MVN", "needs a bottom of at most 4 axes", "", ((2, 3, 1, 2, 2),)),
)
