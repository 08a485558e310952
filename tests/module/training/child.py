"""Real Caffe's backward and its solver, as a script: `child.py FOLDER`.

FOLDER holds job.json {"op", "prototxt", ...} and given.npz; the results become found.npz there.
It needs numpy and caffe only.
"""

import json
import os
import sys

import numpy as np


def put(net, given, index=None):
    """Fill the inputs: all of `given`, or the entry `index` of each."""
    for name in given:
        net.blobs[name].data[...] = given[name] if index is None else given[name][index]


def params(net, what):
    """Return every weight blob, or its gradient, as "layer/index"."""
    return {
        f"{name}/{number}": getattr(blob, what).copy()
        for name, blobs in net.params.items()
        for number, blob in enumerate(blobs)
    }


def opened(caffe, job):
    net = caffe.Net(str(job["prototxt"]), getattr(caffe, job["phase"]))
    if job["weights"]:
        net.copy_from(str(job["weights"]))
    return net


def layers(caffe, job, given):
    """Run each named layer alone: gradients of bottoms and weights for given ones of its tops."""
    net = opened(caffe, job)
    names = list(net._layer_names)
    put(net, {name: given[name] for name in job["inputs"]})
    net.forward()
    found = {}
    for wanted in job["layers"]:
        at = names.index(wanted)
        for number, blob in enumerate(net._top_ids(at)):
            net.blobs[net._blob_names[blob]].diff[...] = given[f"{wanted}/top{number}"]
        for blob in net.layers[at].blobs:
            blob.diff[...] = 0
        net._backward(at, at)
        for number, blob in enumerate(net._bottom_ids(at)):
            diff = net.blobs[net._blob_names[blob]].diff
            found[f"{wanted}/bottom{number}"] = diff.copy()
        for number, blob in enumerate(net.layers[at].blobs):
            found[f"{wanted}/blob{number}"] = blob.diff.copy()
    return found


def backward(caffe, job, given):
    """Run forward and backward of the whole net once."""
    net = opened(caffe, job)
    put(net, given)
    loss = net._forward(0, len(net.layers) - 1)
    net.clear_param_diffs()
    if job["phase"] == "TRAIN":
        net.backward()
    found = {"grad:" + name: value for name, value in params(net, "diff").items()}
    found.update(("param:" + name, value) for name, value in params(net, "data").items())
    found.update(("diff:" + name, net.blobs[name].diff.copy()) for name in given)
    found.update(("blob:" + name, blob.data.copy()) for name, blob in net.blobs.items())
    found["loss"] = np.array(loss)
    return found


def solve(caffe, job, given):
    """Return a step of the solver for each entry of the data; the weights after them."""
    solver = caffe.get_solver(str(job["prototxt"]))
    solver.net.copy_from(str(job["weights"]))
    for index in range(job["steps"]):
        put(solver.net, given, index)
        solver.step(1)
    return params(solver.net, "data")


def main(folder):
    import caffe

    caffe.set_mode_cpu()
    with open(os.path.join(folder, "job.json")) as file:
        job = json.load(file)
    given = dict(np.load(os.path.join(folder, "given.npz")))
    found = {"layers": layers, "backward": backward, "solve": solve}[job["op"]](caffe, job, given)
    np.savez(os.path.join(folder, "found.npz"), **found)


if __name__ == "__main__":
    main(sys.argv[1])
