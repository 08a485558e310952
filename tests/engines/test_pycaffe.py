"""Engine `pycaffe`: the child, its protocol, and the errors for Caffe's own failures."""

from __future__ import annotations

import ast
import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from caffe2fx.engines import engine, pycaffe
from caffe2fx.engines.pycaffe import WORKER, PycaffeEngine, Worker
from caffe2fx.errors import EngineError
from caffe2fx.layers import Dropout, Eltwise, Input, Power, ReLU, Silence
from caffe2fx.module import save
from caffe2fx.module.builder import graph_module
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value
from tests.net.nets import TEXT, files, images, small

real = pytest.mark.pycaffe
INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'


def written(folder: Path, text: str) -> str:
    path = folder / "net.prototxt"
    path.write_text(text)
    return str(path)


# --- the child's file ---


def newer_than_2_7(node: ast.AST) -> bool:
    """Return whether Python 2.7 has no such thing, or another."""
    if isinstance(node, (ast.FunctionDef, ast.Lambda)):
        arguments = node.args
        annotated = any(argument.annotation for argument in arguments.args)
        returns = getattr(node, "returns", None)
        return bool(arguments.kwonlyargs or arguments.posonlyargs or annotated or returns)
    if isinstance(node, ast.Raise):
        return node.cause is not None  # raise ... from
    if isinstance(node, ast.Call):  # f(*a, b), f(*a, *b), f(**a, **b)
        early = any(isinstance(argument, ast.Starred) for argument in node.args[:-1])
        return early or sum(keyword.arg is None for keyword in node.keywords) > 1
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):  # [*a], first, *rest = a
        return any(isinstance(item, ast.Starred) for item in node.elts)
    if isinstance(node, ast.Dict):
        return None in node.keys
    if isinstance(node, ast.ClassDef):  # an old-style class, a metaclass
        return not node.bases or bool(node.keywords)
    return isinstance(node, NEWER)


NEWER = (
    ast.JoinedStr, ast.AnnAssign, ast.Nonlocal, ast.AsyncFunctionDef, ast.Await, ast.NamedExpr,
    ast.YieldFrom, ast.MatMult,
)  # fmt: skip


def test_the_worker_is_python_2_7() -> None:
    """It runs in whatever Python a user's own Caffe was built for."""
    tree = ast.parse(WORKER.read_text(encoding="ascii"), feature_version=(3, 5))
    assert not [ast.dump(node) for node in ast.walk(tree) if newer_than_2_7(node)]
    imported = {
        name.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in (node.names if isinstance(node, ast.Import) else [ast.alias(node.module or "")])
    }
    assert imported == {
        "__future__", "faulthandler", "json", "os", "sys", "timeit", "numpy", "caffe"
    }  # fmt: skip


# --- protocol ---


@real
def test_hello_and_description() -> None:
    with Worker() as worker:
        assert worker.hello["version"] and "Convolution" in worker.hello["types"]
    description = PycaffeEngine().describe()
    assert worker.hello["version"] in description and "layer types" in description


@real
@pytest.mark.parametrize("shape", [(2, 3), (1,), (), (1, 2, 3, 4)])
def test_arrays_travel_whole(tmp_path: Path, shape: tuple[int, ...]) -> None:
    dims = " ".join(f"dim: {size}" for size in shape)
    text = INPUT.replace("dim: 2 dim: 3", dims)
    given = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    given.reshape(-1)[0] = np.nan
    with Worker() as worker:
        worker.ask("load", prototxt=written(tmp_path, text), weights="", phase="TEST")
        _, (got,) = worker.ask(
            "run", [np.asarray(given)], blobs=["x"], start=0, end=0, wanted=["x"]
        )
    assert got.dtype == np.float32 and got.shape == shape
    assert got.tobytes() == given.tobytes()


@real
def test_a_large_array_passes_through_the_pipes(tmp_path: Path) -> None:
    """Larger than any pipe's buffer, so that both sides have to go on reading."""
    text = INPUT.replace("dim: 2 dim: 3", "dim: 3000000")
    given = np.arange(3_000_000, dtype=np.float32)
    with Worker() as worker:
        worker.ask("load", prototxt=written(tmp_path, text), weights="", phase="TEST")
        _, (got,) = worker.ask("run", [given], blobs=["x"], start=0, end=0, wanted=["x"])
    assert np.array_equal(got, given)


@real
def test_python_errors_in_the_child_are_answers_and_it_lives_on(tmp_path: Path) -> None:
    with Worker() as worker:
        with pytest.raises(EngineError, match=r"pycaffe: AttributeError: .*nonsense"):
            worker.ask("nonsense")
        worker.ask("load", prototxt=written(tmp_path, INPUT), weights="", phase="TEST")
        with pytest.raises(EngineError, match=r"blob 'x' has shape \(2, 3\), got \(3, 2\)"):
            worker.ask(
                "run", [np.zeros((3, 2), np.float32)], blobs=["x"], start=0, end=0, wanted=[]
            )
        with pytest.raises(EngineError, match=r"KeyError: .*'y'"):
            worker.ask("run", blobs=[], start=0, end=0, wanted=["y"])
        assert worker.ask("run", blobs=[], start=0, end=0, wanted=["x"])[1][0].shape == (2, 3)


@real
def test_caffes_output_does_not_disturb_the_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, env = pycaffe.starter() or ((), None)
    loud = dict(env if env is not None else os.environ, GLOG_minloglevel="0")
    monkeypatch.setattr(pycaffe, "starter", lambda: (command, loud))
    with Worker() as worker:
        answer, _ = worker.ask("load", prototxt=written(tmp_path, INPUT), weights="", phase="TEST")
    assert [layer["name"] for layer in answer["layers"]] == ["in"]


@real
def test_the_worker_ends_with_its_input() -> None:
    command, env = pycaffe.starter() or ((), None)
    request = json.dumps({"op": "hello", "arrays": []}).encode() + b"\n"
    done = subprocess.run(
        [*command, str(WORKER)], input=request, capture_output=True, timeout=60,
        env=None if env is None else dict(env),
    )  # fmt: skip
    assert done.returncode == 0 and json.loads(done.stdout)["types"]


# --- Caffe's own failures ---


@real
def test_a_check_that_fails_at_load(tmp_path: Path) -> None:
    text, model = files(tmp_path)
    text.write_text(TEXT.replace("kernel_size: 3", "kernel_size: 3 stride: 0"))
    with pytest.raises(EngineError, match=r"died \(exit -6\): F.*Check failed: .*Stride dim"):
        PycaffeEngine().open(text, model)


@real
def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    text, _ = files(tmp_path)
    with pytest.raises(EngineError, match=r"nowhere\.caffemodel"):
        PycaffeEngine().open(text, tmp_path / "nowhere.caffemodel")


@real
def test_weights_of_another_shape(tmp_path: Path) -> None:
    text, model = files(tmp_path)
    text.write_text(TEXT.replace("num_output: 2", "num_output: 3"))
    with pytest.raises(EngineError, match=r"Cannot copy param 0 weights from layer 'fc'; shape"):
        PycaffeEngine().open(text, model)


@real
def test_a_check_that_fails_at_reshape(tmp_path: Path) -> None:
    with PycaffeEngine().open(*files(tmp_path)) as session:
        with pytest.raises(EngineError, match=r"died .*Input size incompatible with inner product"):
            session.reshape([(2, 3, 9, 9)])
        with pytest.raises(EngineError, match="died"):  # and stays dead
            session.reshape([(2, 3, 6, 5)])


@real
def test_a_check_that_fails_in_forward(tmp_path: Path) -> None:
    pool = INPUT.replace("dim: 2 dim: 3", "dim: 1 dim: 1 dim: 4 dim: 4") + (
        'layer { name: "p" type: "Pooling" bottom: "x" top: "y" '
        "pooling_param { pool: STOCHASTIC kernel_size: 2 } }"
    )
    with Worker() as worker:
        worker.ask("load", prototxt=written(tmp_path, pool), weights="", phase="TEST")
        with pytest.raises(EngineError, match=r"died \(exit -6\): F.*Not Implemented Yet"):
            worker.ask("run", blobs=[], start=0, end=1, wanted=["y"])


@real
def test_a_child_that_is_killed() -> None:
    with Worker() as worker:
        os.kill(worker._process.pid, signal.SIGKILL)
        with pytest.raises(EngineError, match=r"pycaffe died \(exit -9\)"):
            worker.ask("hello")
    assert worker._process.returncode == -signal.SIGKILL


@real
def test_no_child_is_left_behind(tmp_path: Path) -> None:
    text, model = files(tmp_path)
    with PycaffeEngine().open(text, model) as session:
        child = session._worker._process
    assert child.returncode is not None
    text.write_text(TEXT.replace("Softmax", "Softmax") + "layer { }")
    with pytest.raises(ValueError):
        PycaffeEngine().open(text, model)


# --- which Caffe ---


def test_a_named_python_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAFFE2FX_PYCAFFE", "/no/such/python")
    with pytest.raises(EngineError, match=r"cannot start /no/such/python.*CAFFE2FX_PYCAFFE"):
        PycaffeEngine().describe()


def test_a_named_python_without_caffe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAFFE2FX_PYCAFFE", sys.executable)
    with pytest.raises(EngineError, match=r"(?s)died \(exit 1\).*No module named 'caffe'"):
        PycaffeEngine().describe()


def test_a_named_program_that_is_no_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAFFE2FX_PYCAFFE", "/bin/true")
    with pytest.raises(EngineError, match=r"pycaffe died \(exit 0\)"):
        PycaffeEngine().describe()


def test_without_caffe_the_error_names_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pycaffe, "starter", lambda: None)
    with pytest.raises(EngineError, match="caffe2fx engine install pycaffe"):
        engine("pycaffe")
    with pytest.raises(EngineError, match="CAFFE2FX_PYCAFFE"):
        Worker()


# --- sessions ---


@real
def test_in_place_tops_are_seen_before_they_are_overwritten(tmp_path: Path) -> None:
    module = small()
    values = module.caffe.values(images())
    with PycaffeEngine().open(*files(tmp_path)) as session:
        for step, tops in session.run([images()]):
            for value, top in zip(step.tops, tops, strict=True):
                torch.testing.assert_close(top, values[value].detach())
        assert session.outputs == ["fc", "left"]


@real
def test_feeding_one_layer_leaves_the_others_alone(tmp_path: Path) -> None:
    with PycaffeEngine().open(*files(tmp_path)) as session:
        ran = {step.name: (step, tops) for step, tops in session.run([images()])}
        x = torch.randn(2, 4, 4, 3)
        assert torch.equal(session.feed(ran["relu"][0], [x])[0], x.relu())
        again = session.feed(ran["conv"][0], [images()])[0]
        assert torch.equal(again, ran["conv"][1][0])
        assert torch.equal(session.feed(ran["data"][0], [images()])[0], images())


@real
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_another_batch(tmp_path: Path, batch: int) -> None:
    wanted = small()(images(batch))[0]
    with PycaffeEngine().open(*files(tmp_path)) as session:
        session.reshape([(batch, 3, 6, 5)])
        for _ in range(2):  # a second run starts from the inputs again
            *_, (_, (fc,)) = session.run([images(batch)])
            torch.testing.assert_close(fc, wanted.detach())


def forked() -> Net:
    """Return a net where Caffe inserts Splits: of an input, an in-place result, an output."""
    steps = (
        Step("data", Input(shape=((2, 3),)), (), (Value("x"),)),
        Step("a", Power(scale=2), (Value("x"),), (Value("a"),)),
        Step("a_over", ReLU(), (Value("a"),), (Value("a", 1),)),
        Step("b", Power(shift=1), (Value("x"),), (Value("b"),)),
        Step("c", Dropout(), (Value("a", 1),), (Value("c"),)),
        Step("d", Eltwise(), (Value("a", 1), Value("b")), (Value("d"),)),
        Step("e", Eltwise(), (Value("d"), Value("d")), (Value("e"),)),
        Step("b_split", Power(scale=3), (Value("b"),), (Value("b_b_0_split"),)),
        Step("quiet", Silence(), (Value("c"),), ()),
    )
    return Net(steps, (Value("b_b_0_split"), Value("e")))


@real
def test_splits_that_caffe_inserts_do_not_confuse_the_matching(tmp_path: Path) -> None:
    paths = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    save.save(forked(), *paths)
    x = torch.tensor([[1.0, -2.0, 3.0], [-4.0, 5.0, -6.0]])
    values = graph_module(forked()).caffe.values(x)
    with PycaffeEngine().open(*paths) as session:
        assert any(layer["type"] == "Split" for layer in session._layers)
        ran = list(session.run([x]))
        assert [step.name for step, _ in ran] == [step.name for step in forked().steps]
        for step, tops in ran:
            assert len(tops) == len(step.tops)
            for value, top in zip(step.tops, tops, strict=True):
                assert torch.equal(top, values[value]), step
        by_name = {step.name: step for step, _ in ran}
        fed = session.feed(by_name["d"], [x, 2 * x])
        assert torch.equal(fed[0], 3 * x)
        (doubled,) = session.feed(by_name["e"], [x, x])
        assert torch.equal(doubled, 2 * x)


@real
def test_two_layers_of_one_name_are_matched_in_order(tmp_path: Path) -> None:
    steps = (
        Step("n", Input(shape=((3,),)), (), (Value("x"),)),
        Step("n", Power(scale=2), (Value("x"),), (Value("a"),)),
        Step("n", Power(scale=3), (Value("a"),), (Value("b"),)),
    )
    paths = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    save.save(Net(steps, (Value("b"),)), *paths)
    with PycaffeEngine().open(*paths) as session:
        tops = [float(tops[0][0]) for _, tops in session.run([torch.ones(3)])]
    assert tops == [1.0, 2.0, 6.0]


@real
@pytest.mark.parametrize("shape", [(), (1,)])
def test_scalars_are_inputs_too(tmp_path: Path, shape: tuple[int, ...]) -> None:
    steps = (
        Step("data", Input(shape=(shape,)), (), (Value("x"),)),
        Step("a", Power(scale=2), (Value("x"),), (Value("a"),)),
    )
    paths = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    save.save(Net(steps, (Value("a"),)), *paths)
    with PycaffeEngine().open(*paths) as session:
        *_, (_, (top,)) = session.run([torch.full(shape, 2.0)])
    assert top.shape == shape and float(top) == 4.0


@real
def test_arrays_of_any_layout_and_precision(tmp_path: Path) -> None:
    with PycaffeEngine().open(*files(tmp_path)) as session:
        for given in (images().double(), images().requires_grad_(), images().mT.contiguous().mT):
            (_, (data,)), *_ = session.run([given])
            assert struct.pack("f", float(data[0, 0, 0, 0])) == struct.pack(
                "f", float(given.detach()[0, 0, 0, 0])
            )
            assert torch.equal(data, given.detach().float())
