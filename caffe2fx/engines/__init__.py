"""The programs that can run a Caffe net, behind one interface."""

from __future__ import annotations

from caffe2fx.engines.base import Engine, Session
from caffe2fx.errors import EngineError

NAMES = ("torch", "pycaffe", "opencv")


def engine(name: str) -> Engine:
    """The engine of that name. Raises EngineError for an unknown name or a missing engine."""
    found = _engine(name)
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


def all_engines() -> list[Engine]:
    """Every engine, whether or not it is there."""
    return [_engine(name) for name in NAMES]


__all__ = ["NAMES", "Engine", "Session", "all_engines", "engine"]
