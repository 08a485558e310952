"""Run in an environment of its own: prototxt, weights, inputs (npz), results (npz), a folder."""

import os
import subprocess
import sys

import numpy as np

prototxt, weights, inputs, results, folder = sys.argv[1:6]
converted = os.path.join(folder, "net.mnn")
# Not the script of that name: it installs other packages and reports its use.
convert = "import sys, _tools; _tools.mnnconvert(sys.argv)"
files = ["--modelFile", weights, "--prototxt", prototxt, "--MNNModel", converted]
command = [sys.executable, "-c", convert, "-f", "CAFFE", *files, "--bizCode", "test"]
subprocess.run(command, check=True, stdout=subprocess.PIPE)

import MNN  # noqa: E402

net = MNN.Interpreter(converted)
session = net.createSession({"precision": "high"})
for name, value in np.load(inputs).items():
    net.resizeTensor(net.getSessionInput(session, name), value.shape)
    net.resizeSession(session)
    order, number = MNN.Tensor_DimensionType_Caffe, MNN.Halide_Type_Float
    given = MNN.Tensor(value.shape, number, np.ascontiguousarray(value), order)
    net.getSessionInput(session, name).copyFrom(given)
net.runSession(session)
found = {}
for name, value in net.getSessionOutputAll(session).items():
    empty = np.zeros(value.getShape(), np.float32)
    order, number = MNN.Tensor_DimensionType_Caffe, MNN.Halide_Type_Float
    copied = MNN.Tensor(value.getShape(), number, empty, order)
    value.copyToHostTensor(copied)
    found[name] = np.array(copied.getNumpyData()).reshape(value.getShape())
np.savez(results, **found)
