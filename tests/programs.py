"""Programs that need a Python of their own: found here, and installed by the tests that ask them.

Such tests are `long`: they take packages from the registry that pip is set up for.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest


def environment(folder: Path, version: str, *installs: Sequence[str]) -> Path:
    """Make an environment of a Python version in `folder`, after each `pip install`.

    Skips the test where there is no such Python.
    """
    base = interpreter(version)
    if base is None:
        pytest.skip(f"not run: no Python {version}")
    python = folder / "bin" / "python"
    subprocess.run([base, "-m", "venv", folder], check=True)
    for packages in installs:
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
    return python


def interpreter(version: str) -> str | None:
    """Return a Python of that version, of the path or of pyenv."""
    found = shutil.which(f"python{version}")
    known = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for candidate in [found, *map(str, known)]:
        if candidate and subprocess.run([candidate, "-V"], capture_output=True).returncode == 0:
            return candidate
    return None
