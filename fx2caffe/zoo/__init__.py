"""The model zoo: every model exported, verified and reported in one row."""

from typing import TYPE_CHECKING

from caffe2fx.first_use import first_use

if TYPE_CHECKING:
    from fx2caffe.zoo.models import names
    from fx2caffe.zoo.result import VERDICTS, Job, Row
    from fx2caffe.zoo.runner import run
    from fx2caffe.zoo.table import markdown, write
else:
    __getattr__, __dir__ = first_use(
        __name__,
        {
            "fx2caffe.zoo.models": ["names"],
            "fx2caffe.zoo.result": ["VERDICTS", "Job", "Row"],
            "fx2caffe.zoo.runner": ["run"],
            "fx2caffe.zoo.table": ["markdown", "write"],
        },
    )

__all__ = ["VERDICTS", "Job", "Row", "markdown", "names", "run", "write"]
