"""OpenCV as its users run it: the saved files, nothing switched off, results by their names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe2fx.verdict.maps.measures import difference, largest
from fx2caffe.exporter.result import Export

FAR = 1e-4  # of the largest value: more than OpenCV's rounding, less than any fault
LEAST = 1e-7  # of any value


def check_as_users_run_it(exported: Export, folder: Path, least: float = LEAST) -> None:
    """Check each output by its name, all by their names, and the first without names.

    An error of up to `least` is rounding, of a map before the output that holds larger values.
    """
    files = folder / "net.prototxt", folder / "net.caffemodel"
    exported.save(*files)
    given = exported.verify_inputs()
    wanted = exported.reference(given)
    exact = [wanted[value] for value in exported.net.outputs]
    together = loaded(exported, files, given).forward(list(exported.outputs))
    assert set(loaded(exported, files, given).getUnconnectedOutLayersNames()) == set(
        exported.outputs
    )
    assert_near(loaded(exported, files, given).forward(), exact[0], "forward()", least)
    for name, value, other in zip(exported.outputs, exact, together, strict=True):
        assert_near(loaded(exported, files, given).forward(name), value, name, least)
        assert_near(other, value, f"{name} among all", least)


def loaded(exported: Export, files: Sequence[Path], inputs: Sequence[Tensor]) -> Any:
    net = cv2_net(*files)
    for name, value in zip(exported.inputs, inputs, strict=True):
        net.setInput(value.float().numpy(), name)
    return net


def cv2_net(prototxt: Path, weights: Path) -> Any:
    import cv2

    return cv2.dnn.readNetFromCaffe(str(prototxt), str(weights))


def assert_near(found: Any, wanted: Tensor, name: str, least: float = LEAST) -> None:
    """Check that shapes (OpenCV gives one axis a second one) and values are equal."""
    found = torch.from_numpy(np.array(found))
    assert found.shape == wanted.shape or found.shape == (*wanted.shape, 1), name
    error = difference(found.reshape(wanted.shape), wanted)
    assert error <= max(least, FAR * largest(wanted)), f"{name} errs by {error}"
