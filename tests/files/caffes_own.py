"""Run real Caffe on a prototxt: Net.save after its own upgrade, and its blobs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe2fx.engines.pycaffe import PycaffeEngine, starter

_SCRIPT = """
import json, sys
import caffe

text, weights, model, phase, level, stages, said = sys.argv[1:]
net = caffe.Net(
    text, getattr(caffe, phase), level=int(level), stages=json.loads(stages),
    weights=weights or None,
)
net.save(model)
blobs = {name: blob.data.shape for name, blob in net.blobs.items()}
params = [[name, [blob.data.shape for blob in blobs]] for name, blobs in net.params.items()]
json.dump({"blobs": blobs, "params": params, "layers": list(net._layer_names)}, open(said, "w"))
"""


def saved(
    text: Path,
    model: Path,
    *,
    weights: Path | None = None,
    phase: str = "TEST",
    level: int = 0,
    stages: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Let Caffe read `text` and save the net to `model`; the shapes that it found."""
    said = model.with_suffix(".json")
    _run(_SCRIPT, text, weights or "", model, phase, level, json.dumps(stages), said)
    answer: dict[str, Any] = json.loads(said.read_text())
    return answer


_BACKWARD = """
import json, sys
import numpy as np
import caffe

text, weights, given, found = sys.argv[1:]
arrays = np.load(given)
net = caffe.Net(text, caffe.TEST, weights=weights)
for name in net.inputs:
    net.blobs[name].data[...] = arrays[name]
net.forward()
net.backward()
gradients = {"%s:%d" % (name, index): blob.diff
             for name, blobs in net.params.items() for index, blob in enumerate(blobs)}
np.savez(found, **gradients)
"""


def real_blobs(text: Path, model: Path, x: Tensor) -> dict[str, Tensor]:
    """Return every blob of real Caffe's forward, the last content of each."""
    with PycaffeEngine().open(text, model) as session:
        found = list(session.run([x]))
    pairs = [pair for step, tops in found for pair in zip(step.tops, tops, strict=True)]
    return {top.blob: value for top, value in pairs}


def gradients(text: Path, weights: Path, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the gradient of the net's loss for each "layer:blob"."""
    given, found = text.with_name("given.npz"), text.with_name("found.npz")
    np.savez(given, **{name: value.numpy() for name, value in inputs.items()})
    _run(_BACKWARD, text, weights, given, found)
    return {name: torch.from_numpy(array) for name, array in np.load(found).items()}


_FORWARD = """
import json, sys
import numpy as np
import caffe

text, given, found, said = sys.argv[1:]
arrays = np.load(given)
net = caffe.Net(text, caffe.TEST)
results, losses = {}, []
for turn in range(2):
    for name in net.inputs:
        net.blobs[name].data[...] = arrays[name]
    losses.append(net._forward(0, len(net.layers) - 1))
    results.update({"%s:%d" % (name, turn): net.blobs[name].data.copy() for name in net.outputs})
np.savez(found, **results)
json.dump(losses, open(said, "w"))
"""


def forward_twice(
    text: Path, inputs: dict[str, Tensor]
) -> tuple[list[dict[str, Tensor]], list[float]]:
    """Return the outputs and the loss of the net's first forward and of its second."""
    given, found, said = (text.with_name(name) for name in ("in.npz", "out.npz", "said.json"))
    np.savez(given, **{name: value.numpy() for name, value in inputs.items()})
    _run(_FORWARD, text, given, found, said)
    arrays = {name: torch.from_numpy(array) for name, array in np.load(found).items()}
    turns = [
        {name[:-2]: array for name, array in arrays.items() if name.endswith(f":{turn}")}
        for turn in range(2)
    ]
    return turns, json.loads(said.read_text())


def _run(script: str, *arguments: object) -> None:
    """Run a script in real Caffe's Python."""
    found = starter()
    assert found is not None
    command, env = found
    done = subprocess.run(
        [*command, "-c", script, *map(str, arguments)],
        env=None if env is None else dict(env),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
