"""Run in an environment of its own, which has ncnn, with caffe2ncnn on the path: see serve."""

from __future__ import annotations

import os
import subprocess

import ncnn
import numpy as np
from serve import serve

# Fast ways that round more than float32 does.
ROUGH = ("use_winograd_convolution", "use_sgemm_convolution", "use_fp16_packed",
         "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage")  # fmt: skip


def run(
    prototxt: str, weights: str, inputs: dict[str, np.ndarray], folder: str
) -> dict[str, np.ndarray]:
    param, binary = (os.path.join(folder, f"net.{part}") for part in ("param", "bin"))
    subprocess.run(["caffe2ncnn", prototxt, weights, param, binary], check=True)
    net = ncnn.Net()
    for name in ROUGH:
        setattr(net.opt, name, False)
    if net.load_param(param) or net.load_model(binary):
        raise RuntimeError(f"ncnn does not load {param}")
    extractor = net.create_extractor()
    # Its values have no axis for the batch.
    given = {name: np.ascontiguousarray(value[0]) for name, value in inputs.items()}
    for name, value in given.items():
        extractor.input(name, ncnn.Mat(value).clone())
    found = {name: extractor.extract(name) for name in net.output_names()}
    failed = [name for name, (code, _) in found.items() if code]
    if failed:
        raise RuntimeError(f"ncnn does not give {failed}")
    return {name: np.array(value) for name, (_, value) in found.items()}


serve(run)
