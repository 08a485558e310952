"""ModulePath: which module of the model runs at the moment, and the result of each call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

Elsewhere = Callable[[str], None]
Returned = Callable[[str, Any], None]


class ModulePath:
    """Holds the path of the module whose forward runs, kept by torch's global forward hooks.

    The hooks see every module call of the process; only calls of the tracing thread count.
    """

    def __init__(self, root: nn.Module) -> None:
        self._paths = {id(module): path for path, module in root.named_modules()}
        self._thread = threading.get_ident()
        # Torch runs the global hooks first: changes by a module's own hooks come after them.
        self._hooked = [module for module in root.modules() if module._forward_hooks]
        self._stack: list[str] = []

    @property
    def current(self) -> str:
        return self._stack[-1] if self._stack else ""

    def _enter(self, elsewhere: Elsewhere, module: nn.Module, _: Any) -> None:
        path = self._paths.get(id(module))
        if threading.get_ident() != self._thread:
            if path is not None:
                elsewhere(path)
        else:
            self._stack.append(self.current if path is None else path)

    def _leave(self, returned: Returned, module: nn.Module, _: Any, result: Any) -> None:
        if threading.get_ident() == self._thread and self._stack:
            self._stack.pop()
            if not any(module is hooked for hooked in self._hooked):
                self._report(returned, module, _, result)

    def _report(self, returned: Returned, module: nn.Module, _: Any, result: Any) -> None:
        path = self._paths.get(id(module))
        if path is not None and threading.get_ident() == self._thread:
            returned(path, result)

    @contextmanager
    def follow(self, elsewhere: Elsewhere, returned: Returned) -> Iterator[None]:
        """Keep `current` while the model runs; the hooks are gone afterwards.

        A module of the model that runs in another thread is reported to `elsewhere`, and the result
        of each module of the model to `returned`.
        """
        report = partial(self._report, returned)
        entered = register_module_forward_pre_hook(partial(self._enter, elsewhere))
        left = register_module_forward_hook(partial(self._leave, returned), always_call=True)
        own = [module.register_forward_hook(report) for module in self._hooked]
        try:
            yield
        finally:
            for handle in (entered, left, *own):
                handle.remove()
