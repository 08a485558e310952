"""Dumps of feature maps: the layer that loses accuracy is named, another form is no fault."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import caffe2fx
import fx2caffe
from caffe2fx.cli import main
from caffe2fx.engines.dump import DumpEngine
from caffe2fx.errors import CaffeError
from caffe2fx.files.feature_dump import FeatureMap, as_array, write_dump
from caffe2fx.module.graph_module import CaffeGraphModule
from caffe2fx.verdict.reference.calibrate import calibrate
from fx2caffe.exporter.result import Export

Array = np.ndarray[Any, Any]
LAYERS = [str(index) for index in range(12)]


def twelve_layers() -> nn.Module:
    """Return six convolutions, each with a ReLU of its own top."""
    layers: list[nn.Module] = []
    for index in range(6):
        layers += [nn.Conv2d(8 if index else 3, 8, 3, padding=1), nn.ReLU()]
    return calibrate(nn.Sequential(*layers), [torch.randn(4, 3, 10, 10)], seed=0)


@pytest.fixture(scope="module")
def exported() -> Export:
    torch.manual_seed(0)
    return fx2caffe.export(twelve_layers(), torch.randn(1, 3, 10, 10))


@pytest.fixture(scope="module")
def module(exported: Export, tmp_path_factory: pytest.TempPathFactory) -> CaffeGraphModule:
    folder = tmp_path_factory.mktemp("net")
    exported.save(folder / "a.prototxt", folder / "a.caffemodel")
    return caffe2fx.load(folder / "a.prototxt", folder / "a.caffemodel")


def rounded(value: Tensor, steps: int = 127) -> Tensor:
    """Round values to integers of one scale."""
    scale = value.abs().max() / steps
    return (value / scale).round() * scale


def run(module: CaffeGraphModule, change: Mapping[str, Callable[[Tensor], Tensor]]) -> Any:
    """Return every map by layer; each layer's result is changed before the next reads it."""
    values: dict[Any, Tensor] = {}
    x = torch.randn(1, 3, 10, 10, generator=torch.Generator().manual_seed(1))
    maps = {}
    for step in module.caffe.net.steps:
        if step.layer.type == "Input":
            values[step.tops[0]] = x
            continue
        (top,) = step.compute(values, torch.float32)
        values[step.tops[0]] = maps[step.name] = change.get(step.name, lambda v: v)(top)
    return x, maps


def dump(path: Path, x: Tensor, maps: Mapping[str, Tensor]) -> Path:
    named = [FeatureMap(name, as_array(value)) for name, value in maps.items()]
    write_dump(path, {"data": x}, named)
    return path


@pytest.mark.parametrize("layer", ["0", "1", "6", "11"])
@pytest.mark.parametrize("thresholds", [None, {"sqnr": 45}], ids=["float32", "thresholds"])
@pytest.mark.parametrize("goes_on", [True, False], ids=["goes on", "one map alone"])
def test_noise_in_one_layer_is_named(
    module: CaffeGraphModule,
    tmp_path: Path,
    layer: str,
    thresholds: Any,
    goes_on: bool,
) -> None:
    x, maps = run(module, {layer: rounded} if goes_on else {})
    maps[layer] = rounded(maps[layer]) if not goes_on else maps[layer]
    report = caffe2fx.compare(module, dump(tmp_path / "d.npz", x, maps), thresholds=thresholds)
    assert not report.ok and report.first_divergence is not None
    assert isinstance(report, caffe2fx.DumpReport)
    assert report.first_divergence.layer == report.ranked[0].layer == layer, str(report)
    assert f"most is lost in: {layer} (" in str(report)
    worst, second = report.ranked[0].loss, report.ranked[1].loss
    assert 30 < worst < 50 and second > 100


def test_the_worst_of_quantized_layers_is_ranked_first(
    module: CaffeGraphModule, tmp_path: Path
) -> None:
    """All maps are of 8 bits, as an accelerator has them, and one of 4."""
    change: dict[str, Callable[[Tensor], Tensor]] = dict.fromkeys(LAYERS, rounded)
    change["7"] = lambda value: rounded(value, 7)
    x, maps = run(module, change)
    path = dump(tmp_path / "maps", x, maps)
    report = caffe2fx.compare(module, path, thresholds={"sqnr": 30})
    assert isinstance(report, caffe2fx.DumpReport)
    assert report.ranked[0].layer == "7", str(report)
    assert report.first_divergence is not None and report.first_divergence.layer == "7"
    assert caffe2fx.compare(module, path, thresholds={"cosine": 0.9}).ok


def test_a_right_dump_is_equal(module: CaffeGraphModule, exported: Export, tmp_path: Path) -> None:
    x, maps = run(module, {})
    path = dump(tmp_path / "d.npz", x, maps)
    for report in (
        caffe2fx.compare(module, path),
        caffe2fx.compare(path, module, x),
        exported.compare(path),
        exported.verify(DumpEngine(path), inputs=x),
        caffe2fx.compare(module, path, thresholds=caffe2fx.Thresholds(sqnr=80)),
    ):
        assert report.ok and len(report.rows) == 12, str(report)


@pytest.mark.parametrize("layer", ["0", "5", "11"])
def test_engine_dump_names_the_layer(
    module: CaffeGraphModule, exported: Export, tmp_path: Path, layer: str
) -> None:
    """The layers behind it are right for their bottoms, as they are in any engine."""
    x, maps = run(module, {layer: rounded})
    report = exported.verify(DumpEngine(dump(tmp_path / "maps", x, maps)), inputs=x)
    assert report.engine == "dump"
    assert [row.layer for row in report.rows if row.diverges] == [layer], str(report)
    with pytest.raises(CaffeError, match="needs the values that the dump was made from"):
        exported.verify(DumpEngine(tmp_path / "maps"), inputs=x + 1)


def test_engine_dump_follows_other_inputs(
    module: CaffeGraphModule, exported: Export, tmp_path: Path
) -> None:
    """On a constant input the judge tries others, which no dump has."""
    zeros, files = torch.zeros(1, 3, 10, 10), (tmp_path / "a.prototxt", tmp_path / "a.caffemodel")
    exported.save(*files)
    module.caffe.dump(tmp_path / "maps", zeros)
    engine = DumpEngine(tmp_path / "maps")
    assert caffe2fx.compare(module, files, zeros, engine=engine).ok
    maps = list(caffe2fx.read_dump(tmp_path / "maps").maps)
    maps[4] = replace(maps[4], value=maps[4].value * 1.01)
    write_dump(tmp_path / "wrong", {"data": zeros}, maps)
    wrong = caffe2fx.compare(module, files, zeros, engine=DumpEngine(tmp_path / "wrong"))
    assert wrong.first_divergence is not None and wrong.first_divergence.layer == "4"


def test_weights_changed_after_loading_count(module: CaffeGraphModule, tmp_path: Path) -> None:
    """The module's present weights are held against the dump, and not the file's."""
    x, maps = run(module, {})
    path, trained = dump(tmp_path / "d.npz", x, maps), copy.deepcopy(module)
    with torch.no_grad():
        next(iter(trained.parameters())).mul_(1.5)
    report = caffe2fx.compare(trained, path)
    assert [row.layer for row in report.rows if row.diverges] == ["0"], str(report)
    trained.caffe.dump(tmp_path / "trained", x)
    whole = caffe2fx.read_dump(tmp_path / "trained")
    fused = replace(whole, maps=whole.maps[1::2])  # the rest follows by the layers
    assert caffe2fx.compare(trained, whole).ok and caffe2fx.compare(trained, fused).ok


def test_maps_that_are_not_there(module: CaffeGraphModule, tmp_path: Path) -> None:
    """A chip fuses layers: the maps that it does not dump are listed."""
    x, maps = run(module, {"6": rounded})
    some = {name: maps[name] for name in ("1", "3", "7", "11")}
    extra = {**some, "made up": torch.zeros(3)}
    report = caffe2fx.compare(module, dump(tmp_path / "d.npz", x, extra))
    assert isinstance(report, caffe2fx.DumpReport)
    assert report.first_divergence is not None and report.first_divergence.layer == "7"
    assert [row.layer for row in report.rows if row.diverges] == ["7"]
    assert report.only_net == tuple(name for name in LAYERS if name not in some)
    assert report.only_dump == ("made up",) and "only in the dump: made up" in str(report)


def as_int8(value: Tensor) -> tuple[Array, dict[str, Any]]:
    scale, zero_point = float(value.max() - value.min()) / 255, 3
    values = (value / scale).round() + zero_point
    return values.clip(-128, 255).to(torch.int16).numpy(), {
        "scale": scale,
        "zero_point": zero_point,
    }


def test_integers_with_scale_and_zero_point(module: CaffeGraphModule, tmp_path: Path) -> None:
    x, maps = run(module, {})
    arrays, names = {"data": x.numpy()}, {}
    for name, value in maps.items():
        arrays[name], names[name] = as_int8(value)
    np.savez(tmp_path / "d.npz", **arrays)
    (tmp_path / "names.json").write_text(json.dumps(names))
    with pytest.raises(CaffeError, match=r"map '0' of int16 needs a scale"):
        caffe2fx.compare(module, tmp_path / "d.npz")
    read = caffe2fx.read_dump(tmp_path / "d.npz", names=tmp_path / "names.json")
    report = caffe2fx.compare(module, read)  # by the default thresholds, not float32's limits
    assert report.ok, str(report)
    names["4"]["zero_point"] = 40
    wrong = caffe2fx.compare(module, caffe2fx.read_dump(tmp_path / "d.npz", names=names))
    assert wrong.first_divergence is not None and wrong.first_divergence.layer == "4"


OTHER_FORMS: dict[str, tuple[Callable[[Array], Array], str]] = {
    "as it is": (lambda v: v, "NCHW"),
    "the batch left out": (lambda v: v[0], "NCHW"),
    "flat": (lambda v: v.reshape(-1), "NCHW"),
    "flat samples": (lambda v: v.reshape(1, -1), "NCHW"),
    "NHWC": (lambda v: v.transpose(0, 2, 3, 1), "NHWC"),
    "HWC": (lambda v: v[0].transpose(1, 2, 0), "NHWC"),
    "flat NHWC": (lambda v: v.transpose(0, 2, 3, 1).reshape(-1), "NHWC"),
}


@pytest.mark.parametrize("name", OTHER_FORMS)
def test_layouts(module: CaffeGraphModule, tmp_path: Path, name: str) -> None:
    spell, layout = OTHER_FORMS[name]
    x, maps = run(module, {})
    for key, value in {"data": x, **maps}.items():
        np.save(tmp_path / f"{key}.npy", spell(value.numpy()))
    report = caffe2fx.compare(module, caffe2fx.read_dump(tmp_path, layout=layout))
    assert report.ok and not report.only_dump, str(report)  # type: ignore[attr-defined]


def test_a_wrong_layout_is_reported(module: CaffeGraphModule, tmp_path: Path) -> None:
    x, maps = run(module, {})
    maps["3"] = maps["3"].permute(0, 2, 3, 1)
    report = caffe2fx.compare(module, dump(tmp_path / "d.npz", x, maps))
    stated = "shape [1, 10, 10, 8] in the dump, [1, 8, 10, 10] in the net (in layout NHWC it fits)"
    assert report.first_divergence is not None and stated in report.first_divergence.verdict


def test_requirements_of_a_comparison(module: CaffeGraphModule, tmp_path: Path) -> None:
    x, maps = run(module, {})
    np.savez(tmp_path / "d.npz", **{name: value.numpy() for name, value in maps.items()})
    assert caffe2fx.compare(module, tmp_path / "d.npz", x).ok
    for match, arguments, options in (
        (r"needs inputs \['data'\], which the dump does not have", (tmp_path / "d.npz",), {}),
        (r"a net beside a dump, got two dumps", (tmp_path / "d.npz", x), {"two": True}),
        (r"thresholds needs some of cosine", (tmp_path / "d.npz", x), {"thresholds": {"psnr": 1}}),
    ):
        side = arguments[0] if options.pop("two", False) else module  # type: ignore[attr-defined]
        with pytest.raises(CaffeError, match=match):
            caffe2fx.compare(side, *arguments, **options)  # type: ignore[arg-type]
    with pytest.raises(CaffeError, match="needs inputs where neither side is a dump"):
        caffe2fx.compare(module, module)


def test_a_module_of_ones_own(exported: Export, tmp_path: Path) -> None:
    """Only its outputs have names, and those the dump of its export has in its own order."""
    exported.dump(tmp_path / "maps")
    model = exported.trace.module
    report = caffe2fx.compare(model, tmp_path / "maps")
    assert report.ok and [row.blob for row in report.rows] == ["10"]
    other = caffe2fx.compare(nn.Conv2d(3, 8, 1).eval(), tmp_path / "maps")
    assert other.first_divergence is not None and other.first_divergence.blob == "10"
    shaped = caffe2fx.compare(nn.Conv2d(3, 4, 1).eval(), tmp_path / "maps")
    assert "[1, 8, 10, 10] in the dump, [1, 4, 10, 10] in the net" in str(shaped)
    with pytest.raises(CaffeError, match="a dump that names the 1 outputs of the module"):
        caffe2fx.compare(nn.Conv2d(3, 4, 1).eval(), dump(tmp_path / "d.npz", *run_small()))


class Bessel(nn.Module):
    def forward(self, x: Tensor) -> Any:
        return torch.special.i0(x) + 1


def test_a_net_with_placeholders_is_dumped_and_not_run(tmp_path: Path) -> None:
    """The model knows the placeholder's function; the net does not."""
    net = fx2caffe.export(Bessel().eval(), torch.randn(1, 3, 4, 4), on_unsupported="custom")
    net.dump(tmp_path / "maps")
    read = caffe2fx.read_dump(tmp_path / "maps")
    wanted = torch.special.i0(net.example_inputs[0])
    np.testing.assert_allclose(read.maps[0].value, wanted.numpy(), rtol=1e-6)
    with pytest.raises(CaffeError, match="a net without placeholders, got layers"):
        net.compare(tmp_path / "maps")


def run_small() -> tuple[Tensor, dict[str, Tensor]]:
    x = torch.randn(1, 3, 4, 4)
    return x, {"a": x, "b": x}


@pytest.mark.parametrize(
    ("change", "options", "status"),
    [({}, [], 0), ({"6": rounded}, [], 1), ({"6": rounded}, ["--threshold", "sqnr=20"], 0)],
)
def test_the_command_line(
    module: CaffeGraphModule,
    exported: Export,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Any,
    options: list[str],
    status: int,
) -> None:
    x, maps = run(module, change)
    np.savez(tmp_path / "maps.npz", **{name: value.numpy() for name, value in maps.items()})
    np.save(tmp_path / "x.npy", x.numpy())
    files = [str(tmp_path / name) for name in ("a.prototxt", "a.caffemodel")]
    exported.save(*files)
    given = ["--dump", str(tmp_path / "maps.npz"), "--input", str(tmp_path / "x.npy")]
    report = ["--report", str(tmp_path / "r.json"), "--engine", "torch"]
    assert main(["compare", *files, *given, *report, *options]) == status
    printed = capsys.readouterr().out
    assert ("first divergence: layer '6'" in printed) == bool(status)
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["ranked"][0] == ("6" if change else "0") and found["only_net"] == []
    for name in ("r.csv", "r.html"):
        assert (
            main(["compare", *files, *given, *options, "--report", str(tmp_path / name)]) == status
        )
        assert "SQNR alone" in (tmp_path / name).read_text()
    assert "most is lost in: " in (tmp_path / "r.html").read_text()
    printed = capsys.readouterr().out
    shown = {line.split()[0] for line in printed.splitlines()[2:] if "..." not in line}
    assert {"6", "7"} <= shown if change else len(shown) < len(found["rows"])
    assert main(["compare", *files, *given, *options, "--verbose"]) == status
    assert capsys.readouterr().out.count("\n") > len(found["rows"])
    assert main(["compare", *files, *options, "--names", "none.tsv"]) == 1
    assert "--threshold need --dump" in capsys.readouterr().err
