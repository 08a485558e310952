"""Run in an environment of its own, which has MNN: see serve."""

from __future__ import annotations

import os
import subprocess
import sys

import MNN
import numpy as np
from serve import serve

# Not the script of that name: it installs other packages and reports its use.
CONVERT = "import sys, _tools; _tools.mnnconvert(sys.argv)"
WINOGRAD = 3  # the hint that limits its tiles' sizes: in large ones rounding grows too
LAYOUT = MNN.Halide_Type_Float, MNN.Tensor_DimensionType_Caffe


def converted(prototxt: str, weights: str, folder: str) -> str:
    made = os.path.join(folder, "net.mnn")
    files = ["--modelFile", weights, "--prototxt", prototxt, "--MNNModel", made]
    command = [sys.executable, "-c", CONVERT, "-f", "CAFFE", *files, "--bizCode", "test"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode or not os.path.exists(made):
        raise RuntimeError(done.stdout.decode())
    return made


def run(
    prototxt: str, weights: str, inputs: dict[str, np.ndarray], folder: str
) -> dict[str, np.ndarray]:
    net = MNN.Interpreter(converted(prototxt, weights, folder))
    net.setSessionHint(WINOGRAD, 0)
    session = net.createSession({"precision": "high", "numThread": 1})
    for name, value in inputs.items():
        net.resizeTensor(net.getSessionInput(session, name), value.shape)
    net.resizeSession(session)
    for name, value in inputs.items():
        kind, order = LAYOUT
        given = MNN.Tensor(value.shape, kind, np.ascontiguousarray(value), order)
        net.getSessionInput(session, name).copyFrom(given)
    if net.runSession(session):
        raise RuntimeError("MNN does not run a layer")
    return {name: _read(top) for name, top in net.getSessionOutputAll(session).items()}


def _read(top: MNN.Tensor) -> np.ndarray:
    shape, (kind, order) = top.getShape(), LAYOUT
    copied = MNN.Tensor(shape, kind, np.zeros(shape, np.float32), order)
    top.copyToHostTensor(copied)
    return np.array(copied.getNumpyData()).reshape(shape)


serve(run)
