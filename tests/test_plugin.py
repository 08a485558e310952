"""The fixtures that users get, run as a user's own test session."""

from __future__ import annotations

import pytest

from caffe2fx.engines.install.installer import cache_dir

pytest_plugins = ["pytester"]
CACHE = str(cache_dir())

EXAMPLE = """
import pytest, torch
from torch import nn
import fx2caffe

def test_right(assert_exports_to_caffe):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()).eval()
    assert_exports_to_caffe(model, torch.randn(1, 3, 16, 16), batch=3)

def test_refused(assert_exports_to_caffe):
    class Bad(nn.Module):
        def forward(self, x):
            return torch.lgamma(x)
    with pytest.raises(fx2caffe.UnsupportedError):
        assert_exports_to_caffe(Bad(), torch.randn(1, 3, 4, 4))

def test_dead(assert_exports_to_caffe):
    model = nn.Conv2d(3, 4, 1)
    nn.init.zeros_(model.weight)
    with pytest.raises(AssertionError, match="no signal"):
        assert_exports_to_caffe(model, torch.randn(1, 3, 4, 4))

def test_net(caffe_net, caffe_engine, tmp_path):
    model = nn.Conv2d(3, 4, 1)
    files = tmp_path / "m.prototxt", tmp_path / "m.caffemodel"
    fx2caffe.export(model, torch.randn(1, 3, 4, 4)).save(*files)
    x = torch.randn(2, 3, 5, 5)
    blobs = caffe_net(*files)(x)
    torch.testing.assert_close(blobs["conv2d"], model(x).detach(), rtol=1e-5, atol=1e-5)
    assert caffe_engine == ENGINE
"""


@pytest.mark.parametrize("engine", ["torch", pytest.param("pycaffe", marks=pytest.mark.pycaffe)])
def test_fixtures(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    monkeypatch.setenv("CAFFE2FX_CACHE", CACHE)  # pytester moves HOME
    pytester.makepyfile(EXAMPLE.replace("ENGINE", repr(engine)))
    result = pytester.runpytest_subprocess(f"--caffe-engine={engine}")
    result.assert_outcomes(passed=4)


def test_missing_caffe_skips_or_fails(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAFFE2FX_CACHE", str(pytester.path / "empty"))
    monkeypatch.delenv("CAFFE2FX_PYCAFFE", raising=False)
    pytester.makepyfile("import pytest\n@pytest.mark.pycaffe\ndef test_real(): pass\n")
    pytester.runpytest_subprocess().assert_outcomes(skipped=1)
    result = pytester.runpytest_subprocess("--require-caffe")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*caffe2fx engine install pycaffe*"])


def test_a_session_that_uses_no_fixture_imports_no_torch(pytester: pytest.Pytester) -> None:
    heavy = ("torch", "numpy", "rich", "google.protobuf", "h5py")
    pytester.makepyfile(f"import sys\ndef test_a(): assert not {{*{heavy}}} & set(sys.modules)\n")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


FAILING = """
import torch
from torch import nn

class Wrong(nn.Module):
    def forward(self, x):
        return x

def test_wrong(assert_exports_to_caffe, monkeypatch):
    from caffe2fx.layers import Power
    meaning = Power.compute
    monkeypatch.setattr(Power, "compute", lambda self, *a: tuple(
        v + (self.scale == 2.5) for v in meaning(self, *a)))
    def model(x):
        for i in range(12):
            x = (x * (2.5 if i == 6 else 1.5)).tanh()
        return x
    module = Wrong()
    module.forward = model
    assert_exports_to_caffe(module, torch.randn(1, 3, 4, 4), engine="torch")
"""


def test_a_failure_shows_five_rows_and_none_of_our_frames(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(FAILING)
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(failed=1)
    reported = [line for line in result.outlines if line.startswith("E  ")]
    assert len([line for line in reported if " layer '" in line]) == 1 + 5, reported
    assert "first divergence: layer 'mul_6'" in reported[0], reported
    assert any("more rows" in line for line in reported)
    assert not any("pytest_plugin" in line for line in result.outlines), result.outlines
