"""Every model of torchvision in real Caffe, and the page's table of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from fx2caffe import zoo
from fx2caffe.zoo.models import FAMILIES, make
from fx2caffe.zoo.table import BEGIN, COLUMNS, END, cells, markdown

PAGE = Path(__file__).parents[2] / "fx2caffe" / "zoo" / "README.md"
NAMES = zoo.names(["torchvision"])
LARGEST = 350  # MB of weights


def megabytes(name: str) -> float:
    """Return the memory of a model's weights, as torchvision states it."""
    builder = name.partition(":")[2].partition("/")[0]
    weights = next(iter(torchvision.models.get_model_weights(builder)))
    return float(weights.meta["num_params"]) * 4 / 1e6


@pytest.mark.pycaffe
@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in NAMES if megabytes(name) <= LARGEST])
def test_is_equal_in_real_caffe(name: str, tmp_path: Path) -> None:
    (row,) = zoo.run([name], output=tmp_path, engine="pycaffe", small=True)
    assert row.verdict == "equal", "\n".join(row.reasons)


def test_every_model_but_the_quantized_is_there() -> None:
    known = {name for name in torchvision.models.list_models() if "quantized" not in name}
    assert {name.partition(":")[2].partition("/")[0] for name in NAMES} == known
    regions = {name for name in NAMES if name.endswith("/roi_heads")}
    assert regions == {f"torchvision:{name}/roi_heads" for name in known if "rcnn" in name}


def test_every_family_has_a_model() -> None:
    own = [name.partition(":")[2] for name in NAMES]
    first = {next(family for family in FAMILIES if family.has(name)) for name in own}
    assert first == set(FAMILIES)


@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        ("ssdlite320_mobilenet_v3_large", {"bbox_regression": 4, "cls_logits": 91}),
        ("fcos_resnet50_fpn", {"bbox_regression": 4, "cls_logits": 91, "bbox_ctrness": 1}),
        ("fasterrcnn_mobilenet_v3_large_320_fpn", [15, 60] * 3),
        ("maskrcnn_resnet50_fpn/roi_heads", [91, 364, 91]),
        ("keypointrcnn_resnet50_fpn/roi_heads", [2, 8, 17]),
    ],
)
def test_detection_gives_its_heads_outputs(name: str, outputs: object) -> None:
    made = make(f"torchvision:{name}", small=True)
    with torch.no_grad():
        result = made.model(*made.inputs)
    if isinstance(result, dict):
        assert {key: value.shape[-1] for key, value in result.items()} == outputs
    else:
        assert sorted(value.shape[1] for value in tensors(result)) == sorted(outputs)  # type: ignore[call-overload]


def tensors(result: object) -> Iterator[torch.Tensor]:
    if isinstance(result, torch.Tensor):
        yield result
    else:
        for part in result:  # type: ignore[attr-defined]
            yield from tensors(part)


def test_the_page_has_a_row_for_every_model_but_the_largest() -> None:
    text = PAGE.read_text("utf-8")
    table = text.partition(BEGIN)[2].partition(END)[0].strip().splitlines()
    count = markdown([]).count("\n")  # of the lines before the rows
    assert table[1:count] == markdown([]).splitlines()[1:count]
    rows = [line.split("`")[1] for line in table[count:]]
    assert rows == [name for name in NAMES if name in rows]
    assert {name for name in NAMES if megabytes(name) <= LARGEST} <= set(rows)
    for line in table[count:]:
        assert len(line.strip("|").split("|")) == len(COLUMNS), line
        assert " | equal | " in line, line
    assert table[0] == f"{len(rows)} models: {len(rows)} equal."


def test_a_row_is_one_line_of_the_table() -> None:
    job = zoo.Job("a:b", small=True)
    reasons = ("torch.lgamma needs | a\nhandler " + "x" * 300, "more")
    row = zoo.Row(job, "refused", reasons, ((1, 3, 8, 8), (2,)))
    assert len(cells(row)) == len(COLUMNS)
    line = markdown([row]).splitlines()[-1]
    assert line.startswith("| `a:b` | 1x3x8x8, 2 | bvlc | torch | refused |  |  |  |  |  | torch.")
    assert line.endswith("... (and 1 more) |") and line.count("|") == len(COLUMNS) + 1
    passed = zoo.Row(
        job, "equal", (), ((1,),), 3, 2, 0.25, 1.5, 2.5, (2000, 3_500_000), ("a | constant",)
    )
    assert markdown([passed]).splitlines()[-1] == (
        "| `a:b` | 1 | bvlc | torch | equal | 0.25 | 3 | 1.5 s | 2 kB | 3.5 MB "
        "| fixed: a / constant |"
    )


def test_random_weights_are_the_same_every_time() -> None:
    one, two = (make("torchvision:mnasnet0_5", small=True) for _ in range(2))
    assert isinstance(one.model, nn.Module) and not one.model.training
    for mine, theirs in zip(one.model.parameters(), two.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert torch.equal(one.inputs[0], two.inputs[0])
    assert one.repeated()[0].shape == (16, 3, 64, 64)
