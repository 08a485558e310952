"""Restore the blob names of a net that came from Caffe, by which programs ask for them.

before: layer "fc7" writes blob "fc7"        after: layer "fc7" writes blob "prob", as in its file
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from caffe2fx.net.net import Net
from caffe2fx.net.step import Value
from caffe2fx.net.unique_names import unique_name
from fx2caffe.passes.names import renamed_blobs, with_blobs
from fx2caffe.passes.pass_result import PassResult, renamed_values


def restore_blob_names(net: Net, blobs: Mapping[Value, str]) -> PassResult:
    """Rename each blob as `blobs` names the value that it holds in the end.

    Where several blobs would get one name, the last gets it. A blob that is not named but collides
    with another's name gets a suffix.
    """
    last = {top.blob: top for step in net.steps for top in step.tops}
    chosen = {blobs[value]: blob for blob, value in last.items() if value in blobs}
    new = {blob: name for name, blob in chosen.items()}
    helpers = {name for step in net.steps for weight in step.dynamic for name in weight[1:]}
    taken = {*chosen, *helpers}
    for blob in last:
        if blob not in new:
            new[blob] = unique_name(blob, taken)
    if all(name == blob for blob, name in new.items()):
        return PassResult(net)
    steps = tuple(with_blobs(step, new) for step in net.steps)
    named = replace(net, steps=steps, outputs=renamed_blobs(net.outputs, new))
    return PassResult(named, renamed_values(net, named))
