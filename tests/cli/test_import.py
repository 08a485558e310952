"""An import, or a question that needs no net, brings along few modules."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

HEAVY = ("torch", "torchvision", "numpy", "h5py", "cv2", "rich", "matplotlib", "google.protobuf")
SHOW = "import sys, json; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"


def modules_after(code: str) -> set[str]:
    """Return the modules of an interpreter that ran this code."""
    run = f"import atexit\natexit.register(lambda: exec({SHOW!r}))\n{code}"
    found = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=True)
    return set(json.loads(found.stderr.splitlines()[-1]))


def command(package: str, *arguments: str) -> str:
    return f"import sys; from {package}.cli import main; sys.exit(main({list(arguments)}))"


@pytest.mark.parametrize(
    "code",
    [
        "import fx2caffe, caffe2fx, fx2caffe.zoo",
        "import caffe2fx; caffe2fx.CaffeError, caffe2fx.EngineError",
        command("fx2caffe", "--help"),
        command("fx2caffe", "--version"),
        command("fx2caffe", "export", "--help"),
        command("fx2caffe", "zoo", "--help"),
        command("caffe2fx", "--version"),
        command("caffe2fx", "compare", "--help"),
        command("caffe2fx", "engine", "install", "--help"),
    ],
)
def test_light(code: str) -> None:
    assert not modules_after(code) & set(HEAVY)


def test_a_net_imports_only_its_own_needs() -> None:
    """A model is exported and saved without torchvision, HDF5, OpenCV and rich."""
    code = """if True:
        import torch, fx2caffe
        net = fx2caffe.export(torch.nn.Conv2d(3, 4, 3).eval(), torch.randn(1, 3, 8, 8))
        assert net.verify().ok and net.prototxt"""
    optional = {"torchvision", "h5py", "cv2", "rich", "matplotlib", "torch._dynamo"}
    assert not modules_after(code) & optional


@pytest.mark.parametrize("package", ["fx2caffe", "caffe2fx", "fx2caffe.zoo", "caffe2fx.engines"])
def test_names_at_their_first_use_are_those_that_a_type_checker_sees(package: str) -> None:
    module = import_module(package)
    tree = ast.parse(Path(str(module.__file__)).read_text("utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    typed = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(typed) <= set(module.__all__) <= set(dir(module))
    for name, origin in typed.items():
        assert getattr(module, name) is getattr(import_module(str(origin)), name)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        module.nothing  # noqa: B018
    assert getattr(module, "__path__")  # noqa: B009


@pytest.mark.sweep
def test_each_public_name_can_be_the_first() -> None:
    """No name needs another to have been imported before; a fork for each saves torch's import."""
    code = """if True:
        import os, sys, torch, caffe2fx, fx2caffe
        for package in (caffe2fx, fx2caffe):
            for name in package.__all__:
                child = os.fork()
                if not child:
                    getattr(package, name)
                    os._exit(0)
                assert os.waitpid(child, 0)[1] == 0, (package, name)"""
    modules_after(code)


def test_a_handler_of_a_users_own_comes_after_ours() -> None:
    """A function that has a handler already is refused at once, whatever is imported first."""
    code = """if True:
        import torch, fx2caffe
        try:
            fx2caffe.register(torch.sigmoid)(lambda net, input: input)
        except fx2caffe.errors.CaffeError as error:
            assert "two handlers" in str(error)
        else:
            raise SystemExit(1)"""
    modules_after(code)
