"""The programs in which each fork's record was run, by the tests that compare with them."""

from __future__ import annotations

import re
from collections import defaultdict

from caffe2fx.layers.layer import Layer
from tests.layers.forks import test_opencv, test_tpu
from tests.layers.forks.test_forkcases import CONFIRMED, case

FORKS = {"psp": "pspnet", "syn": "synopsys"}  # by other names in nets.txt
TPU = "tpu_mlir"


def programs() -> dict[type[Layer], tuple[str, ...]]:
    """Return for each record the forks, by their dialects' names, and OpenCV, in their order."""
    found: dict[type[Layer], set[str]] = defaultdict(set)
    for name, confirmed in CONFIRMED.items():
        forks = re.findall(r"the (\w+) fork's own", confirmed)
        kind = type(case(name)[0].steps[-1].layer)
        found[kind].update(FORKS.get(fork, fork) for fork in forks)
        found[kind].update([TPU] if "tpu_mlir's Caffe" in confirmed else ())
    for name in test_opencv.JUDGED:
        found[type(test_opencv.ROWS_BY_ID[name].layer)].add("opencv")
    for row in test_tpu.ASKED:
        if row.id not in test_tpu.ROWS_OTHERWISE and row.id not in test_tpu.SHAPES:
            found[type(row.layer)].add(TPU)
    return {kind: tuple(sorted(names)) for kind, names in found.items()}
