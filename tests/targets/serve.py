"""Share a loop among the programs' scripts: each runs nets until its input ends. Python 3.8."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

import numpy as np


def serve(
    run: Callable[[str, str, dict[str, np.ndarray], str], dict[str, np.ndarray]],
) -> None:
    """Run, for each line, the net in that folder on in.npz into out.npz; repeat the line.

    `run` takes the prototxt, the weights, the inputs by name and a folder for its own files. An
    error is written to error.txt.
    """
    for line in sys.stdin:
        folder = line.rstrip("\n")
        paths = [os.path.join(folder, name) for name in ("net.prototxt", "net.caffemodel")]
        try:
            with np.load(os.path.join(folder, "in.npz")) as given:
                found = run(*paths, dict(given), folder)
            np.savez(os.path.join(folder, "out.npz"), **found)
        except Exception:
            with open(os.path.join(folder, "error.txt"), "w") as file:
                file.write(traceback.format_exc())
        print(folder, flush=True)
