"""Renaming the files of legalize/ changes no exported byte: RULES alone orders the rules."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import fx2caffe

PACKAGE = Path(fx2caffe.__file__).parent
EXPORT = """
import hashlib, sys, tempfile
from pathlib import Path
import torch
from torch import nn
import fx2caffe

class Model(nn.Module):
    def forward(self, x):
        y = nn.functional.max_pool2d(x, 2)
        z = y.permute(0, 2, 3, 1).flatten(1)[:, [5, 2, 9, 9]]
        return z.relu().clamp(max=6.0), nn.functional.pad(y, (1, 0, 2, 1)).log_softmax(1)

for target in ("bvlc", "portable", "nnie"):
    net = fx2caffe.export(Model().eval(), torch.randn(1, 3, 9, 9), target=target)
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "net.prototxt"), Path(folder, "net.caffemodel")
        net.save(*files)
        print(target, *(hashlib.sha256(file.read_bytes()).hexdigest() for file in files))
print(fx2caffe.__file__, file=sys.stderr)
"""


def exported(folder: Path) -> str:
    """Return the checksums of the files that the packages in a folder export."""
    roots = [str(folder), str(PACKAGE.parent)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(roots)}
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", EXPORT],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.splitlines()[-1] == str(folder / "fx2caffe" / "__init__.py")
    return ran.stdout


def rename(rules: Path) -> list[str]:
    """Give each file of the rules a name by which they come in the opposite order."""
    names = sorted(path.stem for path in rules.glob("*.py") if path.stem != "__init__")
    others = {name: f"rule{len(names) - index:02}" for index, name in enumerate(names)}
    for name, other in others.items():
        (rules / f"{name}.py").rename(rules / f"{other}.py")
    for path in rules.parent.rglob("*.py"):
        text = path.read_text("utf-8")
        for name, other in others.items():
            text = re.sub(rf"\blegalize\.rules\.{name}\b", f"legalize.rules.{other}", text)
        path.write_text(re.sub(IMPORTED, lambda found: _renamed(found, others), text), "utf-8")
    return names


def rename_others(legalize: Path) -> list[str]:
    """Do the same to the files beside the rules, and to the modules that import them."""
    names = sorted(path.stem for path in legalize.glob("*.py") if path.stem != "__init__")
    others = {name: f"part{len(names) - index:02}" for index, name in enumerate(names)}
    for name, other in others.items():
        (legalize / f"{name}.py").rename(legalize / f"{other}.py")
    for path in legalize.parent.rglob("*.py"):
        text = path.read_text("utf-8")
        for name, other in others.items():
            text = re.sub(rf"\bfx2caffe\.legalize\.{name}\b", f"fx2caffe.legalize.{other}", text)
        path.write_text(text, "utf-8")
    return names


IMPORTED = r"from fx2caffe\.legalize\.rules import \(([^)]*)\)"


def _renamed(found: re.Match[str], others: dict[str, str]) -> str:
    names = [name.strip() for name in found[1].split(",") if name.strip()]
    lines = sorted(f"    {others[name]} as {name},\n" for name in names)
    return f"from fx2caffe.legalize.rules import (\n{''.join(lines)})"


def test_renaming_the_files_of_legalize_changes_no_exported_byte(tmp_path: Path) -> None:
    folders = tmp_path / "as_it_is", tmp_path / "renamed"
    for folder in folders:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PACKAGE, folder / "fx2caffe", ignore=ignored)
    rules = folders[1] / "fx2caffe" / "legalize" / "rules"
    renamed = rename(rules)
    assert len(renamed) >= 15 and not any((rules / f"{name}.py").exists() for name in renamed)
    assert rename_others(rules.parent) == [
        "cuts",
        "fusion",
        "legalizer",
        "placeholders",
        "rule",
    ]
    before, after = map(exported, folders)
    assert before == after and len(before.split()) == 9
