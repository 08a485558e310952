"""optimized: a net that computes the same as another in fewer and faster torch calls."""

from __future__ import annotations

from collections.abc import Callable

from caffe2fx.net.net import Net
from caffe2fx.optimize.drop_dead_steps import drop_dead_steps
from caffe2fx.optimize.drop_identities import drop_identities
from caffe2fx.optimize.fold_batchnorm import fold_batchnorm
from caffe2fx.optimize.recognize_clip import recognize_clip
from caffe2fx.optimize.recognize_floor_pooling import recognize_floor_pooling
from caffe2fx.optimize.recognize_gelu import recognize_gelu
from caffe2fx.optimize.recognize_hard_sigmoid import (
    recognize_hard_sigmoid,
    recognize_hard_swish,
)
from caffe2fx.optimize.recognize_layer_norm import recognize_layer_norm
from caffe2fx.optimize.recognize_matmul import recognize_matmul
from caffe2fx.optimize.recognize_swish import recognize_swish
from caffe2fx.optimize.unshare_weights import unshare_weights

PASSES: tuple[Callable[[Net], Net], ...] = (
    # Before all else: a Silence, or a branch that nobody reads, is a reader that stops a match.
    drop_dead_steps,
    # Before folding: weights into which something different is folded are no longer shared.
    unshare_weights,
    # Before all patterns: a Split, Dropout or idle Reshape hides that two steps are neighbours.
    drop_identities,
    # Before the patterns, which read the tops of the layers that it leaves.
    fold_batchnorm,
    recognize_clip,
    # After Clip, of which both are made; hard-swish may contain a whole hard-sigmoid's steps, so
    # that it comes first.
    recognize_hard_swish,
    recognize_hard_sigmoid,
    recognize_swish,
    recognize_gelu,
    recognize_layer_norm,
    recognize_matmul,
    recognize_floor_pooling,
    # Again, for the sizes that a Crop read and the bounds of a Clip.
    drop_dead_steps,
)


def optimized(net: Net) -> Net:
    """Return a net in phase TEST with the same inputs and outputs, and fewer steps.

    The outputs are equal up to float32's rounding, for the sizes that the inputs have.
    """
    for run in PASSES:
        net = run(net)
    return net
