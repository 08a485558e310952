"""python -m tests.composed 3000 --seed 1: that many random programs, in runs of 100."""

from __future__ import annotations

import argparse
import traceback
import warnings
from collections import Counter

from tests.composed.run import run
from tests.engine import KeptCaffe


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.composed")
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore")
    ends, caffe = Counter[str](), KeptCaffe()
    for turn in range(0, chosen.count, 100):
        try:
            ends += run(min(100, chosen.count - turn), chosen.seed + turn, caffe)
        except Exception:
            ends["wrong"] += 1
            traceback.print_exc()
        print(turn, dict(ends), flush=True)
    caffe.close()


main()
