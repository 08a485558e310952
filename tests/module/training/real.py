"""Real Caffe's gradients and its solver, for nets given as text and weights."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe2fx.engines.pycaffe import starter
from caffe2fx.errors import EngineError
from caffe2fx.weights import caffemodel
from caffe2fx.weights.caffemodel import LayerWeights

CHILD = Path(__file__).with_name("child.py")
Blobs = dict[str, Tensor]
SOLVER = 'net: "net.prototxt" lr_policy: "fixed" solver_mode: CPU random_seed: 1 snapshot: 0 '


def ask(
    op: str,
    text: str,
    weights: Sequence[LayerWeights],
    given: Mapping[str, Tensor],
    *,
    phase: str = "TEST",
    solver: str = "",
    **job: Any,
) -> Blobs:
    """Return the results of child.py; EngineError with Caffe's last words where it dies."""
    found = starter()
    assert found is not None, "mark the test with `pycaffe`"
    with tempfile.TemporaryDirectory() as folder:
        net, model = Path(folder, "net.prototxt"), Path(folder, "net.caffemodel")
        net.write_text(text)
        caffemodel.write(model, "", weights)
        if solver:
            net = Path(folder, "solver.prototxt")
            net.write_text(SOLVER.replace("net.prototxt", f"{folder}/net.prototxt") + solver)
        job |= {"op": op, "prototxt": str(net), "weights": str(model), "phase": phase}
        Path(folder, "job.json").write_text(json.dumps(job))
        np.savez(Path(folder, "given.npz"), **{n: v.detach().numpy() for n, v in given.items()})
        _run(found, folder)
        with np.load(Path(folder, "found.npz")) as file:
            return {name: torch.from_numpy(file[name]) for name in file.files}


def _run(found: tuple[Sequence[str], Mapping[str, str] | None], folder: str) -> None:
    command, env = found
    done = subprocess.run(
        [*command, str(CHILD), folder],
        env=None if env is None else dict(env),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise EngineError(f"pycaffe died (exit {done.returncode}): {done.stderr[-2000:]}")
