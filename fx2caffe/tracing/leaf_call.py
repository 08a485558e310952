"""LeafCall: the forward of a leaf module in the form of a torch function."""

from __future__ import annotations

from typing import Any

from torch import nn

from caffe2fx.layers.layer import RecordModule


class LeafCall:
    """A leaf module's forward in the shape of a torch function."""

    def __init__(self, path: str, module: nn.Module) -> None:
        self.path, self.forward = path, module.forward
        self._operation = module if isinstance(module, RecordModule) else None
        self.__name__ = path or "model"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def without_data(self, *args: Any, **kwargs: Any) -> Any:
        """The results without data, where a layer of Caffe's tells their shapes; else None."""
        if self._operation is None or kwargs:
            return None
        return self._operation.without_data(*args)
