"""`caffe2fx weights`: the weights of a torch model for a prototxt that is there."""

from __future__ import annotations

import argparse

from caffe2fx.cli.output import Output
from caffe2fx.errors import CaffeError
from caffe2fx.module.fill import filled
from caffe2fx.module.loader import describe
from caffe2fx.module.save import write_weights
from caffe2fx.weights.atomic import file_errors
from caffe2fx.weights.pairing import stated_in_text
from caffe2fx.weights.state_dict import read_state_dict


def fill_net(arguments: argparse.Namespace, output: Output) -> int:
    """Run the command."""
    target = arguments.output or arguments.prototxt.with_suffix(".caffemodel")
    with output.progress():
        net = describe(arguments.prototxt, None)
        try:
            net = filled(net, read_state_dict(arguments.state), arguments.match)
        except CaffeError as error:
            raise CaffeError(
                f"{arguments.state} does not fit {arguments.prototxt}: {error}"
            ) from None
        with file_errors():
            identifier = stated_in_text(arguments.prototxt)
        write_weights(net, target, identifier)
    output.note(str(target))
    return 0
