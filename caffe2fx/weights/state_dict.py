"""Weights of a torch model: finds them in a training script's checkpoint and matches them."""

from __future__ import annotations

import difflib
import pickle
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from caffe2fx.errors import CaffeError, CaffeFormatError
from caffe2fx.weights.atomic import file_errors

State = dict[str, Tensor]
MOST_LISTED = 5  # keys that a message lists
_CLASS = re.compile(r"GLOBAL (\S+) was not an allowed global|class ['\"]?([\w.]+)['\"]?")
_COUNTER = "num_batches_tracked"  # files from before 2018 have none, and nothing computes with it


def read_state_dict(path: str | Path) -> State:
    """Return the tensors by name of a file that torch.save or safetensors wrote.

    Of a checkpoint, which holds more, the one dict of tensors. Nothing in the file is run. Raises
    CaffeFormatError for other files, with the way out.
    """
    with file_errors():
        open(path, "rb").close()
    if str(path).endswith(".safetensors"):
        return _safetensors(path)
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CaffeFormatError(_refused(path, error)) from None
    except MemoryError:
        raise
    except Exception as error:  # unpickling other bytes raises any class
        cause = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise CaffeFormatError(
            f"{path} needs to be a file of torch.save, got another ({cause})"
        ) from None
    return _only_state(path, held)


def _safetensors(path: str | Path) -> State:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        way = "python -m pip install 'fx2caffe[safetensors]'"
        raise CaffeError(f"{path} needs the package safetensors: {way}") from None
    try:
        return dict(load_file(path))
    except SafetensorError as error:
        raise CaffeFormatError(f"{path} needs to be a .safetensors file, got {error}") from None


def _refused(path: str | Path, error: Exception) -> str:
    text = str(error)
    found = _CLASS.search(text)
    if "weights_only" not in text or found is None:
        return f"{path} needs to be a file of torch.save, got something else"
    return (
        f"{path} needs to hold tensors alone, got an object of {found[1] or found[2]}, perhaps a "
        "whole model: save model.state_dict() instead"
    )


def _only_state(path: str | Path, held: Any) -> State:
    """Return the one dict of tensors in a checkpoint. Raises CaffeFormatError for none or more."""
    if isinstance(held, Mapping) and not held:  # that of a model without parameters
        return {}
    found = dict(_states(held, ""))
    if not found:
        raise CaffeFormatError(f"{path} needs to hold a state_dict, got {type(held).__name__}")
    if len(found) > 1:
        names = ", ".join(found)
        raise CaffeFormatError(f"{path} needs to hold one state_dict, got {names}: save one alone")
    return next(iter(found.values()))


def _states(held: Any, name: str) -> Iterator[tuple[str, State]]:
    """Yield the dicts of tensors, with the keys that lead to them; not those inside one."""
    if not isinstance(held, Mapping):
        return
    tensors = {str(key): value for key, value in held.items() if isinstance(value, Tensor)}
    if tensors and len(tensors) * 2 > len(held):
        yield name or "the file itself", tensors
        return
    for key, value in held.items():
        if "optim" not in str(key).lower():
            yield from _states(value, f"{name}.{key}" if name else str(key))


def without_prefix(state: State, wanted: Collection[str]) -> State:
    """Return the state without a prefix of all its keys ("module.") where they fit better so."""
    shorter = (
        {key[len(prefix) :]: value for key, value in state.items()}
        for prefix in common_prefixes(state)
    )
    return max(shorter, key=lambda names: len(wanted & names.keys()))


def common_prefixes(names: Collection[str]) -> list[str]:
    """Return the prefixes that end in a dot and that all names have, shortest first, after ""."""
    first, found = next(iter(names), ""), [""]
    while "." in first[len(found[-1]) :]:
        prefix = first[: first.index(".", len(found[-1])) + 1]
        if not all(name.startswith(prefix) for name in names):
            break
        found.append(prefix)
    return found


def check_fits(path: str | Path, state: State, wanted: Mapping[str, Tensor]) -> None:
    """Raise CaffeError that lists keys that are missing, are too many, or have other shapes."""
    faults = list(_faults(state, wanted))
    if faults:
        more = f"\n(and {len(faults) - MOST_LISTED} more)" if len(faults) > MOST_LISTED else ""
        listed = "\n".join(faults[:MOST_LISTED])
        raise CaffeError(f"{path} does not fit the model:\n{listed}{more}")


def _faults(state: State, wanted: Mapping[str, Tensor]) -> Iterator[str]:
    missing = [key for key in wanted if key not in state and not key.endswith(_COUNTER)]
    spare = [key for key in state if key not in wanted]
    for key in missing:
        near = difflib.get_close_matches(key, spare, 1)
        yield f"{key} is missing{f', the nearest key is {near[0]}' if near else ''}"
    for key in spare:
        near = difflib.get_close_matches(key, missing, 1)
        yield f"{key} is not of the model{f', the nearest key is {near[0]}' if near else ''}"
    for key in state.keys() & wanted.keys():
        mine, theirs = tuple(wanted[key].shape), tuple(state[key].shape)
        if mine != theirs:
            yield f"{key} needs shape {mine}, got {theirs}"
