"""Small detectors in the styles that users of Caffe converters bring."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.models.blocks import C3, PSA, SPPF, SSH, C2f, Focus, Leaky, Residual, conv


def cell_corners(width: int, height: int) -> Tensor:
    """Return the column and the row of each cell, (1, 1, height, width, 2)."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack((columns, rows), -1).reshape(1, 1, height, width, 2).float()


class AnchorHead(nn.Module):
    """Computes boxes of YOLO v3 and v5: objectness, box and class scores for each anchor."""

    def __init__(
        self,
        inputs: int,
        anchors: tuple[tuple[float, float], ...],
        classes: int,
        stride: int,
        style: str,
        decode: bool,
    ) -> None:
        super().__init__()
        self.predict = nn.Conv2d(inputs, len(anchors) * (5 + classes), 1)
        self.register_buffer("anchors", torch.tensor(anchors).reshape(1, len(anchors), 1, 1, 2))
        self.count, self.stride, self.style, self.decode = len(anchors), stride, style, decode

    def forward(self, x: Tensor) -> Tensor:
        x = self.predict(x)
        if not self.decode:
            return x
        batch, _, height, width = x.shape
        x = x.view(batch, self.count, -1, height, width).permute(0, 1, 3, 4, 2)
        grid = cell_corners(width, height)
        if self.style == "v3":
            centre = (x[..., :2].sigmoid() + grid) * self.stride
            size = x[..., 2:4].exp() * self.anchors
            rest = x[..., 4:].sigmoid()
        else:
            y = x.sigmoid()
            centre = (y[..., 0:2] * 2 - 0.5 + grid) * self.stride
            size = (y[..., 2:4] * 2) ** 2 * self.anchors
            rest = y[..., 4:]
        return torch.cat((centre, size, rest), -1).reshape(batch, -1, rest.shape[-1] + 4)


ANCHORS = ((10.0, 13.0), (16.0, 30.0))


class YoloV3(nn.Module):
    """Runs darknet residuals, an upsampled route, and a head at two strides."""

    def __init__(self, decode: bool = False) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv(3, 8, 3, 1, activation=Leaky),
            conv(8, 16, 3, 2, activation=Leaky),
            Residual(16, 8, Leaky),
        )
        self.middle = nn.Sequential(conv(16, 32, 3, 2, activation=Leaky), Residual(32, 16, Leaky))
        self.deep = nn.Sequential(conv(32, 64, 3, 2, activation=Leaky), Residual(64, 32, Leaky))
        self.route = conv(64, 16, activation=Leaky)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.merge = conv(48, 32, 3, activation=Leaky)
        self.heads = nn.ModuleList(
            [
                AnchorHead(64, ANCHORS, 3, 8, "v3", decode),
                AnchorHead(32, ANCHORS, 3, 4, "v3", decode),
            ]
        )
        self.decode = decode

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        middle = self.middle(self.stem(x))
        deep = self.deep(middle)
        fine = self.merge(torch.cat((self.up(self.route(deep)), middle), 1))
        found = self.heads[0](deep), self.heads[1](fine)
        return torch.cat(found, 1) if self.decode else found


class YoloV5(nn.Module):
    """Runs Focus, C3, SPPF, and paths up and down between the strides."""

    def __init__(self, decode: bool = False) -> None:
        super().__init__()
        self.stem = nn.Sequential(Focus(3, 16), conv(16, 32, 3, 2), C3(32, 32))
        self.deep = nn.Sequential(conv(32, 64, 3, 2), C3(64, 64), SPPF(64))
        self.lateral = conv(64, 32)
        self.up = nn.Upsample(None, 2, "nearest")
        self.fine = C3(64, 32, add=False)
        self.down = conv(32, 32, 3, 2)
        self.coarse = C3(64, 64, add=False)
        self.heads = nn.ModuleList(
            [
                AnchorHead(32, ANCHORS, 3, 4, "v5", decode),
                AnchorHead(64, ANCHORS, 3, 8, "v5", decode),
            ]
        )
        self.decode = decode

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        early = self.stem(x)
        lateral = self.lateral(self.deep(early))
        fine = self.fine(torch.cat([self.up(lateral), early], 1))
        coarse = self.coarse(torch.cat([self.down(fine), lateral], 1))
        found = [head(maps) for head, maps in zip(self.heads, (fine, coarse), strict=True)]
        return torch.cat(found, 1) if self.decode else found


class FreeHead(nn.Module):
    """Computes the decoupled head without anchors of v8 and v11: distances as distributions."""

    def __init__(
        self,
        inputs: tuple[int, ...],
        classes: int,
        strides: tuple[int, ...],
        decode: bool,
        bins: int = 4,
    ) -> None:
        super().__init__()
        self.boxes = nn.ModuleList(
            nn.Sequential(conv(c, 16, 3), nn.Conv2d(16, 4 * bins, 1)) for c in inputs
        )
        self.scores = nn.ModuleList(
            nn.Sequential(conv(c, 16, 3), nn.Conv2d(16, classes, 1)) for c in inputs
        )
        self.bins, self.classes, self.strides, self.decode = bins, classes, strides, decode

    def forward(self, maps: list[Tensor]) -> Tensor | list[Tensor]:
        found = [
            torch.cat((box(x), score(x)), 1)
            for box, score, x in zip(self.boxes, self.scores, maps, strict=True)
        ]
        return self.decoded(found) if self.decode else found

    def decoded(self, found: list[Tensor]) -> Tensor:
        batch = found[0].shape[0]
        flat = torch.cat([x.view(batch, x.shape[1], -1) for x in found], 2)
        box, score = flat.split((4 * self.bins, self.classes), 1)
        anchors, strides = self._anchors([x.shape[-2:] for x in found])
        shares = box.view(batch, 4, self.bins, -1).transpose(2, 1).softmax(1)
        bins = torch.arange(self.bins, dtype=torch.float32).view(1, self.bins, 1, 1)
        left, right = F.conv2d(shares, bins)[:, 0].chunk(2, 1)
        low, high = anchors - left, anchors + right
        return torch.cat(((low + high) / 2 * strides, (high - low) * strides, score.sigmoid()), 1)

    def _anchors(self, sizes: list[torch.Size]) -> tuple[Tensor, Tensor]:
        centres = [cell_corners(w, h).reshape(-1, 2).t() + 0.5 for h, w in sizes]
        strides = [
            torch.full((1, h * w), float(stride))
            for (h, w), stride in zip(sizes, self.strides, strict=True)
        ]
        return torch.cat(centres, 1)[None], torch.cat(strides, 1)


class YoloV8(nn.Module):
    """Runs C2f, SPPF and a decoupled head; with `attention` in the style of v11."""

    def __init__(self, decode: bool = False, attention: bool = False) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, 16, 3, 2), conv(16, 32, 3, 2), C2f(32, 32))
        tail = [PSA(64)] if attention else []
        self.deep = nn.Sequential(conv(32, 64, 3, 2), C2f(64, 64), SPPF(64), *tail)
        self.up = nn.Upsample(scale_factor=2)
        self.fine = C2f(96, 32, add=False)
        self.down = conv(32, 32, 3, 2)
        self.coarse = C2f(96, 64, add=False)
        self.head = FreeHead((32, 64), 3, (4, 8), decode)

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        early = self.stem(x)
        deep = self.deep(early)
        fine = self.fine(torch.cat([self.up(deep), early], 1))
        coarse = self.coarse(torch.cat([self.down(fine), deep], 1))
        return self.head([fine, coarse])


class RetinaFace(nn.Module):
    """Runs a pyramid, context modules, and boxes, scores and landmarks for each anchor."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(
            conv(3, 8, 3, 2, activation=Leaky), conv(8, 16, 3, 2, activation=Leaky)
        )
        self.two = conv(16, 32, 3, 2, activation=Leaky)
        self.lateral = nn.ModuleList(conv(c, 16, activation=Leaky) for c in (16, 32))
        self.merge = conv(16, 16, 3, activation=Leaky)
        self.context = nn.ModuleList([SSH(16), SSH(16)])
        self.heads = nn.ModuleDict(
            {
                name: nn.ModuleList(nn.Conv2d(16, 2 * size, 1) for _ in range(2))
                for name, size in (("box", 4), ("score", 2), ("landmark", 10))
            }
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        one = self.one(x)
        coarse = self.lateral[1](self.two(one))
        fine = self.lateral[0](one)
        up = F.interpolate(coarse, size=[fine.size(2), fine.size(3)], mode="nearest")
        maps = [self.context[0](self.merge(fine + up)), self.context[1](coarse)]
        found = {
            name: torch.cat([self._flat(h(m), name) for h, m in zip(heads, maps, strict=True)], 1)
            for name, heads in self.heads.items()
        }
        return found["box"], F.softmax(found["score"], dim=-1), found["landmark"]

    def _flat(self, x: Tensor, name: str) -> Tensor:
        size = {"box": 4, "score": 2, "landmark": 10}[name]
        return x.permute(0, 2, 3, 1).contiguous().view(x.shape[0], -1, size)


class CenterNet(nn.Module):
    """Runs deconvolutions up to a heat map, whose peaks are the centres of boxes."""

    def __init__(self, peaks: bool = False) -> None:
        super().__init__()
        self.down = nn.Sequential(
            conv(3, 16, 3, 2, activation=nn.ReLU),
            conv(16, 32, 3, 2, activation=nn.ReLU),
            conv(32, 32, 3, 2, activation=nn.ReLU),
        )
        self.up = nn.Sequential(
            nn.ConvTranspose2d(32, 16, 4, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(True)
        )
        self.heads = nn.ModuleDict(
            {
                name: nn.Sequential(
                    nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(True), nn.Conv2d(16, c, 1)
                )
                for name, c in (("heat", 3), ("size", 2), ("offset", 2))
            }
        )
        self.peaks = peaks

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.up(self.down(x))
        found = {name: head(x) for name, head in self.heads.items()}
        found["heat"] = found["heat"].sigmoid()
        if self.peaks:
            heat = found["heat"]
            found["heat"] = heat * (F.max_pool2d(heat, 3, 1, 1) == heat).float()
        return found
