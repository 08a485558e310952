"""The model zoo: every model exported, verified and reported in one row."""

from fx2caffe.zoo.models import names
from fx2caffe.zoo.process_pool import run
from fx2caffe.zoo.result import VERDICTS, Job, Row
from fx2caffe.zoo.table import markdown, write

__all__ = ["VERDICTS", "Job", "Row", "markdown", "names", "run", "write"]
