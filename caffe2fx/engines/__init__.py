"""The programs that can run a Caffe net, behind one interface."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from caffe2fx.errors import EngineError
from caffe2fx.first_use import first_use

if TYPE_CHECKING:
    from caffe2fx.engines.base import Engine, Session
else:  # the names of the engines are asked without torch
    __getattr__, __dir__ = first_use(__name__, {"caffe2fx.engines.base": ["Engine", "Session"]})

NAMES = ("torch", "pycaffe", "opencv")


def engine(name: str | Engine) -> Engine:
    """Return the engine of that name; "best" is real Caffe where it is installed, else torch.

    An Engine object is returned as it is. Raises EngineError for an unknown name or a missing
    engine.
    """
    if not isinstance(name, str):
        return name
    found = _engine(best_engine() if name == "best" else name)
    missing = found.why_missing()
    if missing is not None:
        raise EngineError(missing)
    return found


def _engine(name: str) -> Engine:
    # Imported on use: the engines import the loader, which needs none of them.
    from caffe2fx.engines.embedded import EmbeddedEngine
    from caffe2fx.engines.opencv import OpenCVEngine
    from caffe2fx.engines.pycaffe import PycaffeEngine

    known: dict[str, type[Engine]] = {
        "torch": EmbeddedEngine,
        "pycaffe": PycaffeEngine,
        "opencv": OpenCVEngine,
    }
    if name not in known:
        raise EngineError(f"engine needs to be one of {', '.join(known)}, got {name!r}")
    return known[name]()


def best_engine(among: Collection[str] = ("pycaffe",)) -> str:
    """Return the strongest installed engine of `among`: real Caffe, OpenCV, else the embedded."""
    strongest = (name for name in ("pycaffe", "opencv") if name in among)
    return next((name for name in strongest if _engine(name).why_missing() is None), "torch")


def all_engines() -> list[Engine]:
    """Return every engine, whether or not it is installed."""
    return [_engine(name) for name in NAMES]


__all__ = ["NAMES", "Engine", "Session", "all_engines", "best_engine", "engine"]
