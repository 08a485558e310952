"""Run in an environment of its own, which has OpenVINO 2022: see serve."""

from __future__ import annotations

import numpy as np
from openvino.runtime import Core
from openvino.tools import mo
from serve import serve


def run(
    prototxt: str, weights: str, inputs: dict[str, np.ndarray], folder: str
) -> dict[str, np.ndarray]:
    # In between it writes net_tmp.bin, by default where other processes do so too.
    given = {"input_proto": prototxt, "input_model": weights, "output_dir": folder}
    model = mo.convert_model(framework="caffe", **given)
    running = Core().compile_model(model, "CPU", {"ENFORCE_BF16": "NO"})
    # An input that a Reshape reads has no name as a tensor, but still one as a layer.
    found = running([inputs[port.get_node().get_friendly_name()] for port in running.inputs])
    return {"|".join(sorted(top.get_names())): found[top] for top in running.outputs}


serve(run)
