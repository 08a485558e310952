"""Run in an environment of its own: prototxt, weights, inputs (npz), results (npz), a folder."""

import sys

import numpy as np
from openvino.runtime import Core
from openvino.tools import mo

prototxt, weights, inputs, results = sys.argv[1:5]
model = mo.convert_model(framework="caffe", input_proto=prototxt, input_model=weights)
running = Core().compile_model(model, "CPU", {"ENFORCE_BF16": "NO"})
given = np.load(inputs)
# An input that a Reshape reads has no name as a tensor, but still one as a layer.
found = running([given[port.get_node().get_friendly_name()] for port in running.inputs])
np.savez(results, **{"|".join(sorted(top.get_names())): found[top] for top in running.outputs})
