"""A prototxt runs with weights of its own net: also with those trained further, with no others."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from torch import nn

import caffe2fx
import fx2caffe
from caffe2fx import cli
from caffe2fx.errors import CaffeError
from caffe2fx.weights.pairing import stated_in_text, stated_in_weights

X = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(3))
ENDINGS = ("caffemodel", "caffemodel.h5")
Pair = tuple[Path, Path]


def model(seed: int = 0, act: type[nn.Module] = nn.ReLU, **options: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3, **options), act(), nn.Conv2d(4, 4, 3)).eval()


def saved(folder: Path, made: nn.Module, ending: str = ENDINGS[0], batch: int = 1) -> Pair:
    folder.mkdir(exist_ok=True)
    paths = folder / "net.prototxt", folder / f"net.{ending}"
    fx2caffe.export(made, X.expand(batch, -1, -1, -1)).save(*paths)
    return paths


OTHERS = {
    "activation": lambda: model(1, nn.Sigmoid),
    "padding": lambda: model(1, padding=1),
    "stride": lambda: model(1, stride=2),
    "both": lambda: model(1, nn.Sigmoid, padding=1),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_weights_of_another_net_are_refused(
    tmp_path: Path, other: Callable[[], nn.Module], ending: str
) -> None:
    text, _ = saved(tmp_path / "old", model())
    newer, weights = saved(tmp_path / "new", other(), ending)
    ids = stated_in_text(text), stated_in_weights(weights)
    assert stated_in_text(newer) == ids[1] != ids[0]
    with pytest.raises(CaffeError, match=f"net.prototxt needs .*{ids[0]}.* got .*{ids[1]}.* in "):
        caffe2fx.load(text, weights)
    unmarked = re.sub("# caffe2fx id: .*\n", "", text.read_text())
    text.write_text(unmarked)  # as the message states
    caffe2fx.load(text, weights)


@pytest.mark.parametrize("engine", ["torch", "pycaffe", "opencv"])
def test_so_they_are_wherever_a_pair_is_read(
    tmp_path: Path, engine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    right = saved(tmp_path / "old", model())
    _, weights = saved(tmp_path / "new", model(1, nn.Sigmoid))
    module, exported = caffe2fx.load(*right), fx2caffe.export(model(), X)
    mixed = right[0], weights
    for read in (
        lambda: caffe2fx.compare(module, mixed, X, engine=engine),
        lambda: caffe2fx.compare(mixed, module, X, engine=engine),
        lambda: exported.verify(engine, files=mixed),
    ):
        with pytest.raises(CaffeError, match="needs the weights of its own net"):
            read()
    for command in (["inspect"], ["load"], ["compare", "--engine", engine]):
        assert cli.main([*command, *map(str, mixed)]) == 1
        assert "needs the weights of its own net" in capsys.readouterr().err


def edited(pair: Pair, old: str, new: str) -> Pair:
    text = pair[0].read_text()
    assert old in text
    pair[0].write_text(text.replace(old, new))
    return pair


def retrained(pair: Pair) -> Pair:
    module = caffe2fx.load(*pair)
    nn.init.normal_(module.get_parameter("_0.weight"))
    caffe2fx.save_weights(module, tuned := pair[1].with_name(f"tuned_{pair[1].name}"))
    return pair[0], tuned


def reexported(pair: Pair) -> Pair:
    """Return the old prototxt with weights of the same net, trained further, saved elsewhere."""
    _, weights = saved(pair[0].parent / "again", model(7), ENDINGS[pair[1].suffix == ".h5"])
    return pair[0], weights


def weights_alone(pair: Pair) -> Pair:
    fx2caffe.export(model(5), X).save_weights(pair[0], pair[1])
    return pair


def respelled(pair: Pair, change: Callable[[str], str]) -> Pair:
    pair[0].write_bytes(change(pair[0].read_text()).encode())
    return pair


SPELLINGS: dict[str, Callable[[str], str]] = {
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "CR": lambda text: text.replace("\n", "\r"),
    "behind a long comment": lambda text: "# my net\n" * 1000 + text,
    "at the end": lambda text: "\n".join(reversed(text.split("\n", 1))),
    "indented": lambda text: f"  \t{text}",
    "without a space": lambda text: text.replace("# caffe2fx", "#caffe2fx"),
    "with a tab": lambda text: text.replace("# caffe2fx id: ", "#\tcaffe2fx id:\t"),
    "commented twice": lambda text: f"# {text}",
    "in capitals": lambda text: re.sub("^.*", lambda found: found[0].upper(), text, count=1),
    "behind code": lambda text: re.sub("^(.*)\n(name: .*)", r"\2 \1", text),
    "behind the like in a name": lambda text: (
        'name: "# caffe2fx id: 0123456789abcdef"\n' + re.sub("\nname: .*", "", text)
    ),
}


@pytest.mark.parametrize("change", SPELLINGS.values(), ids=SPELLINGS)
def test_an_edited_comment_keeps_the_identifier(
    tmp_path: Path, change: Callable[[str], str]
) -> None:
    pair = respelled(saved(tmp_path, model()), change)
    assert change(text := fx2caffe.export(model(), X).prototxt) != text
    assert stated_in_text(pair[0]) == stated_in_weights(pair[1]) != ""
    caffe2fx.load(*pair)
    _, others = saved(tmp_path / "other", model(1, nn.Sigmoid))
    with pytest.raises(CaffeError, match="needs the weights of its own net"):
        caffe2fx.load(pair[0], others)


USES: dict[str, Callable[[Pair], Pair]] = {
    "the pair itself": lambda pair: pair,
    "an edited layer": lambda pair: edited(pair, 'type: "ReLU"', 'type: "Sigmoid"'),
    "an edited batch": lambda pair: edited(pair, "dim: 1\n", "dim: 5\n"),
    "an edited name": lambda pair: edited(pair, 'name: "Sequential"', 'name: "Other"'),
    "edited, then trained": lambda pair: retrained(edited(pair, 'type: "ReLU"', 'type: "TanH"')),
    "trained": retrained,
    "trained twice": lambda pair: retrained(retrained(pair)),
    "exported again": reexported,
    "weights alone": weights_alone,
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_weights_that_belong_to_the_text_are_taken(
    tmp_path: Path, use: Callable[[Pair], Pair], ending: str
) -> None:
    pair = use(saved(tmp_path, model(), ending))
    assert stated_in_text(pair[0]) == stated_in_weights(pair[1]) != ""
    caffe2fx.load(*pair)


def test_the_batch_of_the_example_does_not_matter(tmp_path: Path) -> None:
    text, _ = saved(tmp_path / "one", model())
    _, weights = saved(tmp_path / "many", model(1), batch=4)
    caffe2fx.load(text, weights)


def test_equal_nets_make_equal_files(tmp_path: Path) -> None:
    first, second = saved(tmp_path / "a", model()), saved(tmp_path / "b", model())
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert fx2caffe.export(model(), X).prototxt == first[0].read_text()


@pytest.mark.pycaffe
@pytest.mark.parametrize("ending", ENDINGS)
def test_real_caffe_reads_files_with_an_identifier(tmp_path: Path, ending: str) -> None:
    pair = saved(tmp_path, made := model(), ending)
    assert stated_in_weights(pair[1])
    assert fx2caffe.export(made, X).verify("pycaffe", files=pair).ok


def test_a_file_without_an_identifier_is_not_checked(tmp_path: Path) -> None:
    text, weights = saved(tmp_path, model())
    module = caffe2fx.load(edited((text, weights), stated_in_text(text), "none")[0], weights)
    caffe2fx.save_weights(module, other := tmp_path / "other.caffemodel")
    assert stated_in_weights(other) == ""
    saved(tmp_path / "more", model(1, nn.Sigmoid))
    caffe2fx.load(tmp_path / "more/net.prototxt", other)


def killing(function: Callable[..., Any], calls: list[int], step: int) -> Callable[..., Any]:
    """Return the function, which kills its process once `step` calls were made."""

    def called(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) > step:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **options)

    return called


def killed(save: Callable[[], None], step: int) -> bool:
    """Return whether a process that saves was killed before its system call number `step`."""
    if (child := os.fork()) == 0:
        calls: list[int] = []
        for name in ("fsync", "replace", "unlink"):
            setattr(os, name, killing(getattr(os, name), calls, step))
        Path.unlink = killing(Path.unlink, calls, step)  # type: ignore[method-assign] # 3.10's own
        save()
        os._exit(0)
    return os.waitpid(child, 0)[1] != 0


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_save_that_is_killed_leaves_the_old_the_new_or_a_refusal(
    tmp_path: Path, ending: str
) -> None:
    old, new = model(0, nn.Sigmoid), fx2caffe.export(model(1, padding=1), X)
    wholes = {contents(saved(tmp_path / "1", old, ending))}
    wholes.add(contents(saved(tmp_path / "2", model(1, padding=1), ending)))
    states = []
    for step in count():
        pair = saved(tmp_path / "net", old, ending)
        if not killed(lambda pair=pair: new.save(*pair), step):
            break
        states.append(state(pair, wholes))
    assert len(states) >= 6 and set(states) == {"whole", "refused"}


def contents(pair: Pair) -> tuple[bytes, bytes]:
    return pair[0].read_bytes(), pair[1].read_bytes()


def state(pair: Pair, wholes: set[tuple[bytes, bytes]]) -> str:
    """Return the state that a killed save left; the next one removes its temporary files."""
    is_whole = contents(pair) in wholes
    if is_whole:
        caffe2fx.load(*pair)
    else:
        with pytest.raises(CaffeError, match="needs the weights of its own net"):
            caffe2fx.load(*pair)
    fx2caffe.export(model(), X).save(*pair)
    assert len(list(pair[0].parent.iterdir())) == 2
    return "whole" if is_whole else "refused"


def test_two_who_save_at_once_do_not_mix(tmp_path: Path) -> None:
    made = [fx2caffe.export(model(0), X), fx2caffe.export(model(1, nn.Sigmoid), X)]
    files = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    threads = [Thread(target=lambda e=e: [e.save(*files) for _ in range(20)]) for e in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stated_in_text(files[0]) == stated_in_weights(files[1])
    assert len(list(tmp_path.iterdir())) == 2
