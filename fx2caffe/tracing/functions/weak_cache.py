"""A cache of facts about functions, each kept for as long as its function lives."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

Function = Callable[..., Any]
Known = TypeVar("Known")


def per_function(compute: Callable[[Function], Known]) -> Callable[[Function], Known]:
    """Return a function that calls `compute` once for each function it is given.

    functools.cache would keep the user's own functions, and the models that they hold, for ever.
    """
    lasting: dict[Function, Known] = {}  # of C's descriptors, which take no weak reference
    living: WeakKeyDictionary[Function, Known] = WeakKeyDictionary()

    @wraps(compute)
    def remembered(function: Function) -> Known:
        try:
            return lasting[function] if function in lasting else living[function]
        except TypeError:
            known = lasting[function] = compute(function)
        except KeyError:
            known = living[function] = compute(function)
        return known

    return remembered
