"""`python -m caffe2fx` is the command `caffe2fx`."""

import sys

from caffe2fx.cli import main

if __name__ == "__main__":
    sys.exit(main())
