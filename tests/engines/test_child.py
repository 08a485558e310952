"""A child that prints, hangs, answers nonsense, or leaves children: an error, in time."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from caffe2fx.engines import child
from caffe2fx.engines.pycaffe import PycaffeEngine, Worker
from caffe2fx.errors import EngineError

HEAD = """#!{python}
import os, sys, time
word, limit = sys.argv[2:]
out = sys.stdout.buffer
sys.stderr.write("my last words\\n"); sys.stderr.flush()
def answer(head, rest=b""):
    out.write(b"\\n%s %d\\n%s" % (word.encode(), len(head), head) + rest)
    out.flush()
hello = b'{{"arrays": [], "version": "1", "types": []}}'
def ask():
    return sys.stdin.buffer.readline()
"""
WriteProgram = Callable[[str], None]


@pytest.fixture
def caffe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WriteProgram:
    """Makes a program, which replaces a Python that runs the worker."""

    def program(body: str) -> None:
        path = tmp_path / "python"
        path.write_text(HEAD.format(python=sys.executable) + body)
        path.chmod(0o755)
        monkeypatch.setenv("CAFFE2FX_PYCAFFE", str(path))
        monkeypatch.setenv("CAFFE2FX_TIMEOUT", "1")
        monkeypatch.setattr(child, "_LAST_SECONDS", 0.2)

    return program


LOUD = {
    "before": "print('starting', flush=True); answer(hello)",
    "a line without an end": "out.write(b'starting'); answer(hello)",
    "the word alone": "out.write(b'\\n' + word.encode()); answer(hello)",
    "much": "out.write(b'x' * 5_000_000); answer(hello)",
    "bytes of no text": "out.write(bytes(range(256))); answer(hello)",
    "what looks like an answer": "out.write(b'{\"arrays\": []}\\n'); answer(hello)",
    "slowly": "[(time.sleep(0.2), out.write(b'.'), out.flush()) for _ in range(8)]; answer(hello)",
}


@pytest.mark.parametrize("body", LOUD.values(), ids=LOUD)
def test_its_output_is_not_taken_for_an_answer(caffe: WriteProgram, body: str) -> None:
    caffe(f"{body}\nask()\nprint('more', flush=True)\nanswer(hello)\nask()")
    with Worker() as worker:
        assert worker.hello["version"] == worker.ask("hello")[0]["version"] == "1"


HANGS = {
    "it sleeps": ("time.sleep(1000)", "gives no sign of life for 1 s"),
    "it stops itself": ("os.kill(os.getpid(), 19)", "gives no sign of life for 1 s"),
    "it prints for ever": ("while True: out.write(b'x' * 1000)", "gives no answer in 2 s"),
    "it computes for ever": ("while True: pass", "gives no answer in 2 s"),
    "it closes its output": ("os.close(1); time.sleep(1000)", r"died \(exit None\)"),
    "half an answer": (
        "out.write(word.encode()[:9]); out.flush(); time.sleep(99)",
        "gives no sign",
    ),
    "half a head": (
        "out.write(b'\\n' + word.encode() + b' 99\\n{'); out.flush(); time.sleep(99)",
        "gives no sign",
    ),
}


@pytest.mark.parametrize(("body", "reason"), HANGS.values(), ids=HANGS)
def test_a_child_that_hangs_is_ended_with_its_last_words(
    caffe: WriteProgram, monkeypatch: pytest.MonkeyPatch, body: str, reason: str
) -> None:
    caffe(body)
    monkeypatch.setattr(child, "_BUSY_FACTOR", 2)
    with pytest.raises(EngineError, match=f"(?s)pycaffe {reason}.*my last words"):
        PycaffeEngine().describe()


NONSENSE = {
    "no JSON": "answer(b'nonsense')",
    "no text": "answer(bytes(range(256)))",
    "a list": "answer(b'[1]')",
    "no arrays": "answer(b'{}')",
    "arrays of no list": "answer(b'{\"arrays\": 5}')",
    "deep": "answer(b'[' * 100_000)",
    "objects": 'answer(b\'{"arrays": [["O", [1]]]}\')',
    "no type": 'answer(b\'{"arrays": [["nonsense", [1]]]}\')',
    "no pair": "answer(b'{\"arrays\": [1]}')",
    "negative": 'answer(b\'{"arrays": [["<f4", [-1]]]}\')',
    "a huge array": 'answer(b\'{"arrays": [["<f4", [1000000, 1000000]]]}\')',
    "a shape of text": 'answer(b\'{"arrays": [["<f4", ["x"]]]}\')',
    "an array cut": "answer(b'{\"arrays\": [[\"<f4\", [10]]]}', b'abc')",
    "no length": "out.write(b'\\n' + word.encode() + b' many\\n')",
    "a huge length": "out.write(b'\\n' + word.encode() + b' 99999999999\\n')",
    "an endless length": "out.write(b'\\n' + word.encode() + b' ' + b'9' * 1000)",
    "no version": 'answer(b\'{"arrays": [], "types": []}\')',
    "types of no list": 'answer(b\'{"arrays": [], "version": "1", "types": 5}\')',
    "nothing": "",
}


@pytest.mark.parametrize("body", NONSENSE.values(), ids=NONSENSE)
def test_an_answer_that_is_none_is_an_error(caffe: WriteProgram, body: str) -> None:
    caffe(f"ask()\n{body}")
    with pytest.raises(EngineError, match="pycaffe "):
        PycaffeEngine().describe()


def test_a_request_that_is_not_taken(caffe: WriteProgram) -> None:
    caffe("ask(); answer(hello); time.sleep(1000)")
    with Worker() as worker:
        for _ in range(2):  # and it stays so
            with pytest.raises(EngineError, match=r"no sign of life .*run.*CAFFE2FX_TIMEOUT"):
                worker.ask("run", [np.zeros(10_000_000, np.float32)])


def test_a_child_that_is_slow_and_works_is_waited_for(caffe: WriteProgram) -> None:
    caffe("end = time.time() + 3\nwhile time.time() < end: pass\nask(); answer(hello); ask()")
    with Worker() as worker:
        assert worker.hello["version"] == "1"


@pytest.mark.parametrize("end", ["ask()", "time.sleep(1000)", "sys.exit(3)"])
def test_nothing_that_it_started_is_left(caffe: WriteProgram, tmp_path: Path, end: str) -> None:
    started = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(p.pid))"
    caffe(f"import subprocess\nask()\np = subprocess.Popen(['sleep', '1000'])\n{started}\n"
          f"answer(hello)\nask()\n{end}")  # fmt: skip
    with Worker() as worker:
        if end != "ask()":
            with pytest.raises(EngineError):
                worker.ask("hello")
    number = int((tmp_path / "pid").read_text())
    for _ in range(50):
        if not is_running(number):
            return
        time.sleep(0.05)
    os.kill(number, 9)
    pytest.fail("the child of the child is still there")


def is_running(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("stated", ["soon", "0", "-1", "nan"])
def test_a_time_limit_that_is_none(
    caffe: WriteProgram, monkeypatch: pytest.MonkeyPatch, stated: str
) -> None:
    caffe("")
    monkeypatch.setenv("CAFFE2FX_TIMEOUT", stated)
    with pytest.raises(EngineError, match=f"CAFFE2FX_TIMEOUT needs .* seconds, got '{stated}'"):
        PycaffeEngine().describe()
