"""The layer types of BVLC's Caffe, taken from the records."""

from __future__ import annotations

from caffe2fx.layers import REGISTRY
from caffe2fx.layers.layer import BVLC, MASTER, TAG_1_0


def since(*versions: str) -> frozenset[str]:
    """Return the layer types that BVLC's Caffe introduced in one of these versions."""
    return frozenset(
        record.type
        for meanings in REGISTRY.values()
        for record in meanings
        if BVLC in record.dialects and record.since in versions
    )


OF_TAG_1_0 = since(TAG_1_0)  # April 2017, which nearly every Caffe loads
OF_MASTER = since(TAG_1_0, MASTER)
