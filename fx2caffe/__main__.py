"""`python -m fx2caffe` is the command `fx2caffe`."""

import sys

from fx2caffe.cli import main

if __name__ == "__main__":
    sys.exit(main())
