"""cat, flatten, reshape, and outputs of all kinds."""

import torch
from torch import nn

from tests.rows import Row, function


class Heads(nn.Module):
    """Five outputs in a dict, one of them also read inside, one an input, one a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        y = self.body(x)
        z = self.head(y)
        return {"z": z, "body": y, "a": z.relu(), "same": z}


class Unused(nn.Module):
    """Two inputs, one of which no output depends on."""

    def forward(self, x: torch.Tensor, unused: torch.Tensor) -> torch.Tensor:
        return x.relu()


class Dead(nn.Module):
    """Runs a convolution whose result nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.conv(x)
        return x.relu()


ONE = ((2, 3, 4, 5),)
ROWS = [
    Row("cat", function(lambda a, b: torch.cat([a, b], 1)), ONE * 2, ("Concat",)),
    Row("cat_last", function(lambda a, b: torch.cat((a, b), -1)), ONE * 2, ("Concat",)),
    Row("cat_one", function(lambda a: torch.cat([a], 2)), ONE, ("Power",)),
    Row("cat_same_twice", function(lambda a: torch.cat([a, a], 2)), ONE, ("Concat",)),
    Row("cat_batch", function(lambda a, b: torch.cat([a, b])), ONE * 2, ("Concat",)),
    Row("cat_constant", function(lambda a: torch.cat([a, torch.ones(2, 1, 4, 5)], 1)), ONE,
        ("DummyData", "Concat"), fixed_batch=True),
    Row("cat_constant_batch_one", function(lambda a: torch.cat([a, torch.arange(20.)[None]], 0)),
        ((2, 20),), ("Parameter", "Concat")),
    Row("atleast_list", function(lambda a, b: torch.atleast_2d([a, b[0, 0]])), ((2, 3), (2, 4)),
        layers=("DummyData", "Crop", "Reshape", "Reshape", "Power")),
    Row("atleast_several", function(lambda a, b: torch.atleast_3d(a, b)), ((2, 3), (2, 3, 4)),
        layers=("Reshape", "Power")),
    Row("flatten", nn.Flatten, ONE, ("Flatten",)),
    Row("flatten_middle", lambda: nn.Flatten(1, 2), ONE, ("Flatten",)),
    Row("flatten_all", function(lambda a: a.flatten()), ONE, ("Flatten",)),
    Row("view_batch", function(lambda a: a.view(a.size(0), -1)), ONE, ("Flatten",)),
    Row("view_minus_first", function(lambda a: a.view(-1, 60)), ONE, ("Flatten",)),
    Row("reshape_split", function(lambda a: a.reshape(a.shape[0], 3, 2, 2, 5)), ONE, ("Reshape",)),
    Row("reshape_to_a_size_that_is_a_tensor", function(lambda a: a.reshape(
        a.shape[0], torch.div(6, torch.tensor(2), rounding_mode="trunc"), -1)), ONE, ("Flatten",)),
    Row("reshape_into_batch", function(lambda a: a.reshape(-1, 4, 5)), ONE, ("Flatten",)),
    Row("reshape_batch_behind", function(lambda a: a.reshape(4, -1, 15)), ONE, ("Reshape",)),
    Row("reshape_fixed_batch", function(lambda a: a.reshape(2, 3, 20)), ONE, ("Flatten",),
        fixed_batch=True),
    Row("squeeze", function(lambda a: a.squeeze(3)), ((2, 3, 4, 1),), ("Flatten",)),
    Row("unsqueeze", function(lambda a: a.unsqueeze(2)), ((2, 3),), ("Reshape",)),
    Row("unflatten", function(lambda a: a.unflatten(1, (3, 2))), ((2, 6),), ("Reshape",)),
    Row("ravel", function(lambda a: a.ravel()), ONE, layers=("Flatten",)),
    Row("view_copy", function(lambda a: torch.view_copy(a, (-1, 3, 20))), ONE, layers=("Flatten",)),
    Row("squeeze_copy", function(lambda a: torch.squeeze_copy(a, 3)), ((2, 3, 4, 1),),
        layers=("Flatten",)),
    Row("unsqueeze_copy", function(lambda a: torch.unsqueeze_copy(a, 1)), ((2, 3),),
        layers=("Reshape",)),
    Row("atleast_1d", function(lambda a: torch.atleast_1d((a * torch.arange(5.0)).max())), ONE,
        layers=("Scale", "Flatten", "ArgMax", "Reshape", "Reshape")),
    Row("atleast_2d", function(lambda a: torch.atleast_2d(a[0])), ((2, 3),),
        layers=("DummyData", "Crop", "Flatten", "Reshape")),
    Row("atleast_3d", function(lambda a: torch.atleast_3d(a)), ((2, 3),), layers=("Reshape",)),
    Row("reshape_nothing", function(lambda a: a.reshape(2, 3, 4, 5)), ONE, ("Power",),
        fixed_batch=True),
    Row("reshape_then_relu_read_twice", function(lambda a: (b := a + 1).flatten(1).relu()
        + b.flatten(1)), ONE, ("Power", "Flatten", "ReLU", "Flatten", "Eltwise")),
    Row("several_outputs", Heads, layers=("Convolution", "Convolution", "ReLU", "Power", "Power",
        "Power")),
    Row("unused_input", Unused, ONE * 2, ("ReLU", "Silence")),
    Row("dead_code", Dead, layers=("ReLU",)),
    Row("tuple_index", function(lambda a: nn.functional.max_pool2d(a, 2, return_indices=True)[1]),
        ((2, 3, 4, 4),), ("Pooling", "Silence")),
]  # fmt: skip
