"""Measures of signal, of error, and of failure."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from math import inf, nan
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from caffe2fx.engines.embedded import EmbeddedSession
from caffe2fx.layers import (
    AbsVal,
    Concat,
    Exp,
    Parameter,
    ReLU,
    Slice,
    Threshold,
)
from caffe2fx.module.builder import graph_module
from caffe2fx.net import evaluate
from caffe2fx.net.evaluate import Reference
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value
from caffe2fx.verdict.judge import judge
from caffe2fx.verdict.maps import measures
from caffe2fx.verdict.maps.measures import difference, largest, moved, positions_moved
from caffe2fx.verdict.reference.sample_by_sample import SampleBySample
from caffe2fx.verdict.reference.second_inputs import second_input
from caffe2fx.verdict.result.report import Report, Status
from tests.verdict.nets import (
    IMAGES,
    X,
    at,
    canceling,
    chain,
    power,
    reference,
    right_net,
    with_step,
)

Patch = pytest.MonkeyPatch


class Tampered(EmbeddedSession):
    """Is a session whose results are wrong: where it is run, or where a layer is fed."""

    def __init__(self, net: Net, layer: str, *, run: float = 0.0, feed: float = 0.0) -> None:
        super().__init__(graph_module(net))
        self.layer, self.off_run, self.off_feed = layer, run, feed

    def run(self, inputs: Sequence[Tensor]) -> Iterator[tuple[Step, tuple[Tensor, ...]]]:
        for step, tops in super().run(inputs):
            off = self.off_run if step.name == self.layer else 0
            yield step, tuple(top + off * top.abs().max() for top in tops)

    def feed(self, step: Step, bottoms: Sequence[Tensor]) -> tuple[Tensor, ...]:
        off = self.off_feed if step.name == self.layer else 0
        return tuple(top + off * top.abs().max() for top in super().feed(step, bottoms))


@pytest.mark.parametrize("layer", ["conv", "relu", "sum", "prob"])
def test_an_error_in_the_run_alone_fails_and_one_alone_decides(layer: str) -> None:
    net = right_net()
    report = judge(net, Tampered(net, layer, run=1e-3), reference(net), [IMAGES], engine="tampered")
    (row,) = (row for row in report.rows if row.fault)
    assert row.layer == layer and not row.diverges and "end to end" in row.fault
    assert report.first_divergence is row
    report = judge(
        net, Tampered(net, layer, feed=1e-3), reference(net), [IMAGES], engine="tampered"
    )
    first = report.first_divergence
    assert first is not None and first.layer == layer and first.diverges
    assert "fed with the reference's inputs" in first.fault
    assert not report.ok


@pytest.mark.parametrize(("places", "is_equal"), [(0.9, True), (1.9, True), (3, False)])
def test_a_map_of_little_signal_may_err_by_four_roundings(places: float, is_equal: bool) -> None:
    """The mean of 384 values errs by 1.3 last places in Caffe and by 1.4 in torch."""
    net = chain(power("y", Value("x"), scale=2.0**-13, shift=1.5))  # exact in float32
    session = Tampered(net, "y", feed=places * measures.ULP)
    assert judge(net, session, reference(net), [X], engine="tampered").ok is is_equal


def test_a_sum_of_equal_terms_may_err_as_one_after_the_other() -> None:
    terms = 10 * (1 + torch.randn(200, 160, generator=torch.Generator().manual_seed(0)) / 100)
    sums, exact = torch.zeros(200), terms.double().sum(1)
    for term in terms.unbind(1):
        sums = sums + term
    size = float(exact.max())
    worst = difference(sums, exact)
    assert measures.alone_limit(0, 1, size) < worst < measures.alone_limit(0, 160, size)


def test_float64_is_computed_once_where_its_values_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    net, dtypes = canceling(), []

    def run(inputs: Sequence[Tensor]) -> Iterable[tuple[Value, Tensor]]:
        dtypes.append(inputs[0].dtype)
        return reference(net).run(inputs)

    session = EmbeddedSession(graph_module(net))
    known = Reference(reference(net).known, run)
    assert judge(net, session, known, [X], engine="torch").ok
    assert dtypes.count(torch.float64) == 1
    monkeypatch.setattr(evaluate, "MOST_KEPT", 5)
    assert judge(net, session, known, [X], engine="torch").ok
    assert dtypes.count(torch.float64) == 1 + 2


def test_few_maps_are_kept_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "MOST_KEPT", 9 * X.numel())
    count = 60
    names = ["x", *(f"y{index}" for index in range(count))]
    steps = [power(new, Value(old), scale=1.01) for old, new in pairwise(names)]
    net, alive, most = chain(*steps), 0, 0

    def freed() -> None:
        nonlocal alive
        alive -= 1

    def run(inputs: Sequence[Tensor]) -> Iterator[tuple[Value, Tensor]]:
        nonlocal alive, most
        for value, tensor in reference(net).run(inputs):
            weakref.finalize(tensor, freed)
            alive += 1
            most = max(most, alive)
            yield value, tensor

    session = EmbeddedSession(graph_module(net))
    known = Reference(reference(net).known, run)
    assert judge(net, session, known, [X], engine="torch").ok
    assert most < count / 2  # of four runs side by side


@pytest.mark.parametrize(("dtype", "wanted"), [(torch.float64, [1, 1]), (torch.float32, [2])])
def test_convolutions_in_float64_unfold_one_sample_at_a_time(
    dtype: torch.dtype, wanted: list[int]
) -> None:
    batches = []

    class Counts(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any, kwargs: Any = None) -> Any:
            if func is torch.conv2d:
                batches.append(len(args[0]))
            return func(*args, **kwargs or {})

    images = IMAGES.to(dtype)
    conv = nn.Conv2d(3, 4, 3, stride=2, padding=1).to(dtype)
    with Counts(), SampleBySample(), torch.no_grad():
        top = conv(images)
        alone = conv(images[0])
    torch.testing.assert_close(top, conv(images), rtol=0, atol=0)
    torch.testing.assert_close(alone, top[0], rtol=1e-6, atol=1e-6)
    assert batches == [*wanted, 3]


def report_of(net: Net, judged: Net, inputs: Tensor) -> Report:
    session = EmbeddedSession(graph_module(judged))
    return judge(net, session, reference(net), [inputs], engine="torch")


def test_a_map_that_does_not_move_fails() -> None:
    dead = chain(
        power("low", Value("x"), shift=-100), Step("relu", ReLU(), (Value("low"),), (Value("y"),))
    )
    report = report_of(dead, dead, X)
    assert [row.dead for row in report.rows] == [False, True]
    assert "no signal" in report.rows[1].fault and not report.ok
    assert report.rows[1].alone == 0.0


def test_a_part_that_no_input_reaches_is_a_constant() -> None:
    """As the query of a class token before it has seen an image: cut out again, then computed."""
    token = Step("w", Parameter(shape=(1, 4)), (), (Value("w"),), (torch.arange(4.0).view(1, 4),))
    both = Step("both", Concat(axis=0), (Value("w"), Value("x")), (Value("both"),))
    parts = Step("parts", Slice(axis=0, slice_point=(1,)), both.tops, (Value("p"), Value("q")))
    net = chain(token, both, parts, power("y", Value("p"), scale=2, shift=1))
    net = replace(net, outputs=(Value("y"), Value("q")))
    assert report_of(net, net, X / 3).ok
    off = with_step(net, power("y", Value("p"), scale=2, shift=1.001))
    first = report_of(net, off, X / 3).first_divergence
    assert first is not None and first.layer == "y" and not first.dead
    last = Step("last", ReLU(), (Value("low"),), (Value("y"),))
    step = Step("last", Threshold(threshold=100.0), (Value("q"),), last.tops)
    size = Step("size", AbsVal(), (Value("q"),), (Value("size"),))
    vanished = Step("last", Exp(scale=-1e4), (Value("size"),), last.tops)  # 0 for inf, too
    for dead in (
        chain(token, both, parts, power("low", Value("q"), shift=-100), last),
        chain(token, both, parts, size, vanished),
        chain(token, both, parts, size, power("low", Value("size"), scale=-1), last),
        chain(token, both, parts, step),
    ):
        beside = replace(dead, outputs=(*dead.outputs, Value("q")))  # an output that moves
        assert [row.layer for row in report_of(beside, beside, X / 3).rows if row.dead] == ["last"]
    assert report_of(net, net, X).ok  # values that may be indices


def test_a_net_of_constant_outputs_fails() -> None:
    constant = Step("w", Parameter(shape=(2,)), (), (Value("w"),), (torch.tensor([1.0, -2.0]),))
    net = chain(power("y", Value("x"), scale=2), constant, power("z", Value("w"), scale=3))
    alive = replace(net, outputs=(Value("y"), Value("z")))
    assert report_of(alive, alive, X).ok
    report = report_of(net, net, X)
    assert [row.layer for row in report.rows if row.dead] == ["z"]
    assert report.status is Status.NOT_PROVEN and "no signal" in report.summary()


class Publishing(EmbeddedSession):
    """Is a session that gives other outputs to its users than its layers made."""

    def __init__(self, net: Net, outputs: Callable[[Tensor], dict[str, Tensor]]) -> None:
        super().__init__(graph_module(net))
        self.outputs = outputs

    def published(self) -> dict[str, Tensor]:
        return self.outputs(super().published()["y"])


@pytest.mark.parametrize(
    ("outputs", "fault"),
    [
        (lambda y: {"y": y}, ""),
        (lambda y: {"y": y, "z": y}, ""),
        (lambda y: {}, "it needs to be an output in the engine, got none"),
        (lambda y: {"x": y, "z": y}, "it needs to be an output in the engine, got x, z"),
        (lambda y: {"y": y + 1e-3}, "end to end it errs by"),
        (lambda y: {"y": y[:1]}, "end to end it errs by inf"),
    ],
)
def test_outputs_are_read_by_their_names(
    outputs: Callable[[Tensor], dict[str, Tensor]], fault: str
) -> None:
    net = chain(power("y", Value("x"), scale=2))
    (row,) = judge(net, Publishing(net, outputs), reference(net), [X], engine="e").rows
    assert row.fault.startswith(fault) and bool(row.fault) == bool(fault)
    assert row.status is (Status.DIFFERS if fault else Status.EQUAL)


def test_dead_weights_fail() -> None:
    net = right_net()
    conv = at(net, "conv")
    dead = with_step(net, replace(conv, blobs=(conv.blobs[0] * 0, conv.blobs[1])))
    report = judge(
        dead, EmbeddedSession(graph_module(dead)), reference(dead), [IMAGES], engine="torch"
    )
    assert report.rows[0].dead and not report.ok


def test_a_constant_needs_no_signal_but_has_to_be_right() -> None:
    constant = Step("w", Parameter(shape=(2,)), (), (Value("w"),), (torch.tensor([1.0, -2.0]),))
    net = chain(power("y", Value("x"), scale=2), constant)
    net = replace(net, outputs=(Value("y"), Value("w")))
    assert report_of(net, net, X).ok
    off = with_step(net, replace(constant, blobs=(torch.tensor([1.0, -2.001]),)))
    first = report_of(net, off, X).first_divergence
    assert first is not None and first.layer == "w"


def test_a_map_that_is_mostly_bias_is_held_against_its_change() -> None:
    """An error of 1e-4 in a map of 1000 + x is 1e-7 of its size, and 1e-5 of its change."""
    net = chain(power("y", Value("x"), scale=1e-3, shift=1000.0))
    off = chain(power("y", Value("x"), scale=1e-3, shift=1000.001))
    (row,) = report_of(net, off, X).rows
    assert row.signal < 0.01 and row.diverges


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_a_nan_fails_where_the_reference_is_finite(value: float) -> None:
    net = chain(power("y", Value("x"), scale=2))
    session = Tampered(net, "y", feed=value, run=value)
    (row,) = judge(net, session, reference(net), [X], engine="torch").rows
    assert row.diverges and row.alone == inf and row.end_to_end == inf


def test_a_nan_does_not_hide_errors_beside_it() -> None:
    net = chain(power("y", Value("x"), power=0.5, shift=-3))  # NaN below 3, on both sides
    off = chain(power("y", Value("x"), power=0.501, shift=-3))
    elsewhere = chain(power("y", Value("x"), power=0.5, shift=-4.5))
    assert report_of(net, net, X).ok
    assert not report_of(net, off, X).ok and not report_of(net, elsewhere, X).ok


def test_a_map_of_nan_alone_proves_nothing() -> None:
    net = chain(power("y", Value("x"), power=0.5, shift=-30))
    assert report_of(net, net, X).status is Status.NOT_PROVEN


def test_an_infinity_does_not_hide_errors_beside_it() -> None:
    net = chain(power("y", Value("x"), power=-1, shift=-1))  # infinite at 1, on both sides
    off = chain(power("y", Value("x"), power=-1.01, shift=-1))
    assert not report_of(net, off, X).ok


@pytest.mark.parametrize(
    ("mine", "reference", "wanted"),
    [
        ([1.0, 2.0], [1.0, 2.5], 0.5),
        ([nan, 2.0], [nan, 2.0], 0.0),
        ([nan, 2.0], [1.0, 2.0], inf),
        ([1.0, 2.0], [nan, 2.0], inf),
        ([inf, 2.0], [inf, 2.0], 0.0),
        ([inf, 2.0], [-inf, 2.0], inf),
        ([1.0, 2.0], [inf, 2.0], inf),
        ([1.0], [1.0, 1.0], inf),
        ([], [], 0.0),
    ],
)
@pytest.mark.parametrize("piece", [1, 100])
def test_difference(
    mine: list[float], reference: list[float], wanted: float, piece: int, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(measures, "PIECE", piece)
    assert difference(torch.tensor(mine), torch.tensor(reference).double()) == wanted


@pytest.mark.parametrize("piece", [1, 100])
def test_moved(piece: int, monkeypatch: Patch) -> None:
    monkeypatch.setattr(measures, "PIECE", piece)
    one = torch.tensor([1.0, inf, -2.0, inf])
    assert moved(one, torch.tensor([1.5, inf, -2.0, 0.0])) == 0.5
    assert moved(one, torch.tensor([nan, inf, -1.0, 0.0])) == 1.0
    assert not positions_moved(one, one + 1) and not positions_moved(one[::2], one[::2] + 1)
    assert positions_moved(one, one.flip(0)) and positions_moved(one[::2], one[::2] * nan)


def test_largest_and_another() -> None:
    assert largest(torch.tensor([1.0, -3.0])) == 3.0
    assert largest(torch.empty(0)) == 0.0
    given = X / 10
    mixed = second_input(given)
    assert torch.equal(mixed, second_input(given)) and not torch.isclose(mixed.sum(), given.sum())
    assert mixed.min() > 0 and mixed.max() <= given.max()


class Coarse(EmbeddedSession):
    """Is a session whose program by default rounds more, or merges layers wrongly."""

    published_coarsely = True

    def __init__(self, net: Net, off: float) -> None:
        super().__init__(graph_module(net))
        self.off = off

    def published(self) -> dict[str, Tensor]:
        return {name: top * (1 + self.off) for name, top in super().published().items()}


@pytest.mark.parametrize(("off", "ok"), [(0.0, True), (1e-5, True), (1e-3, False), (inf, False)])
def test_outputs_by_the_programs_defaults_are_judged_too(off: float, ok: bool) -> None:
    net = right_net()
    report = judge(net, Coarse(net, off), reference(net), [IMAGES], engine="coarse")
    assert report.ok is ok, str(report)
    if not ok:
        (row,) = (row for row in report.rows if row.fault)
        assert row.blob == net.outputs[0].blob and "by the program's own defaults" in row.fault
