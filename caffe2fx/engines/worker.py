"""The child that runs real Caffe. Needs numpy and caffe only; Python 2.7 and 3.5 or newer.

It is started as a script and shares no code with its parent. Requests come on standard input: a
line of JSON {"op", "arrays": [[dtype, shape], ...], ...}, then the bytes of the arrays. Answers go
to standard output in the same form, after a line with the first argument (a word) and the length of
the JSON: so they are distinct from all that is printed between them. Caffe itself prints to
standard error. The second argument is the time limit of an answer in seconds: then the process ends
itself, also if its parent is gone.
"""

from __future__ import absolute_import, print_function

import json
import os
import sys
import timeit

import numpy as np

try:
    import faulthandler
except ImportError:  # Python 2.7
    faulthandler = None

WORD, LIMIT = (sys.argv[1:] + ["", ""])[:2]


def end_in_time():
    """Restart the clock of a request. It needs no Python, which a layer that hangs may hold."""
    if faulthandler is not None and LIMIT:
        faulthandler.dump_traceback_later(float(LIMIT), exit=True)


def wait_for_ever():
    """Stop the clock: waiting for a request may take as long as it likes."""
    if faulthandler is not None:
        faulthandler.cancel_dump_traceback_later()


def take_pipes():
    """Return our two pipes, with standard output redirected to standard error for all others."""
    source = getattr(sys.stdin, "buffer", sys.stdin)
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return source, sink


def receive(source):
    """Return the next request and its arrays, or (None, None) at the end."""
    line = source.readline()
    if not line:
        return None, None
    request = json.loads(line.decode("utf-8"))
    arrays = []
    for dtype, shape in request["arrays"]:
        count = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        arrays.append(np.frombuffer(source.read(count), dtype=str(dtype)).reshape(shape))
    return request, arrays


def send(sink, answer, arrays=()):
    """Send one answer and its arrays."""
    arrays = [np.ascontiguousarray(array).reshape(np.shape(array)) for array in arrays]
    answer["arrays"] = [[array.dtype.str, list(array.shape)] for array in arrays]
    head = json.dumps(answer).encode("utf-8")
    if WORD:
        sink.write(("\n%s %d\n" % (WORD, len(head))).encode("ascii") + head)
    else:  # started by hand
        sink.write(head + b"\n")
    for array in arrays:
        sink.write(array.tobytes())
    sink.flush()


class Runner(object):
    """Holds one net; every method answers a request."""

    def __init__(self):
        import caffe

        self.caffe = caffe
        caffe.set_mode_cpu()
        self.net = None

    def hello(self, request, arrays):
        version = getattr(self.caffe, "__version__", "unknown")
        types = sorted(self.caffe.layer_type_list())
        return {"version": version, "types": [str(name) for name in types]}, []

    def load(self, request, arrays):
        files = [str(request["prototxt"])]
        phase = getattr(self.caffe, request["phase"])
        self.net = self.caffe.Net(*(files + [phase]))
        if request["weights"]:
            self.net.copy_from(str(request["weights"]))
        layers = [
            {
                "name": name,
                "type": layer.type,
                "bottoms": [self.blob_name(i) for i in self.net._bottom_ids(index)],
                "tops": [self.blob_name(i) for i in self.net._top_ids(index)],
            }
            for index, (name, layer) in enumerate(zip(self.net._layer_names, self.net.layers))
        ]
        # net.outputs counts blobs of one name, as losses without a top make them, as one.
        outputs = [self.blob_name(index) for index in self.net._outputs]
        return {"layers": layers, "outputs": outputs}, []

    def blob_name(self, index):
        return self.net._blob_names[index]

    def reshape(self, request, arrays):
        for name, shape in request["shapes"]:
            self.net.blobs[name].reshape(*shape)
        self.net.reshape()
        return {}, []

    def run(self, request, arrays):
        """Fill blobs, run the layers from `start` to `end`, send blobs back."""
        for name, array in zip(request["blobs"], arrays):
            self.put(name, array)
        started = timeit.default_timer()
        if request["start"] <= request["end"]:
            self.net._forward(request["start"], request["end"])
        seconds = timeit.default_timer() - started
        return {"seconds": seconds}, [
            self.net.blobs[name].data.copy() for name in request["wanted"]
        ]

    def put(self, name, array):
        blob = self.net.blobs[name]
        if tuple(blob.data.shape) != array.shape:
            raise ValueError("blob %r has shape %r, got %r" % (name, blob.data.shape, array.shape))
        blob.data[...] = array


def main():
    source, sink = take_pipes()
    end_in_time()
    runner = Runner()
    while True:
        wait_for_ever()
        request, arrays = receive(source)
        if request is None:
            return
        end_in_time()
        try:
            answer, results = getattr(runner, request["op"])(request, arrays)
        except Exception as error:
            answer, results = {"error": "%s: %s" % (type(error).__name__, error)}, []
        send(sink, answer, results)


if __name__ == "__main__":
    main()
