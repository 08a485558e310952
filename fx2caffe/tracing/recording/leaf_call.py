"""LeafCall: the forward of a leaf module in the form of a torch function."""

from __future__ import annotations

import threading
from typing import Any

from torch import nn
from torch.overrides import handle_torch_function

from caffe2fx.layers.layer import RecordModule


class LeafCall:
    """Wraps a leaf module's forward in the shape of a torch function."""

    def __init__(self, path: str, module: nn.Module) -> None:
        self.path, self.forward = path, module.forward
        self._operation = module if isinstance(module, RecordModule) else None
        self._class = type(module).__name__
        self.__name__ = path or "model"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    @property
    def is_unknown(self) -> bool:
        """Return whether the module is a layer of Caffe's of which the shapes alone are known."""
        return self._operation is not None and not self._operation.layer.has_meaning

    @property
    def type(self) -> str:
        """Return the type of Caffe's layer; the module's class for any other module."""
        return self._class if self._operation is None else self._operation.layer.type

    def without_data(self, *args: Any, **kwargs: Any) -> Any:
        """Return results without data if a layer of Caffe's knows their shapes; else None."""
        if self._operation is None or kwargs:
            return None
        return self._operation.without_data(*args)


class LeafForward:
    """Wraps a forward so that it hands itself to the function mode, as torch functions do.

    Other threads that run the model at this time run the module's own forward.
    """

    def __init__(self, call: LeafCall) -> None:
        self._call = call
        self._thread = threading.get_ident()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != self._thread:
            return self._call(*args, **kwargs)
        return handle_torch_function(self._call, (), *args, **kwargs)
