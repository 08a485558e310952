"""Small nets of the other kinds that users of Caffe converters bring."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.models.blocks import Residual, conv


class OpenPose(nn.Module):
    """Runs two branches, refined in stages that see the features and both results again."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2, 2),
            nn.Conv2d(16, 16, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2, 2),
        )
        self.first = nn.ModuleList([self._branch(16, c, 3) for c in (6, 4)])
        self.second = nn.ModuleList([self._branch(26, c, 7) for c in (6, 4)])

    def _branch(self, inputs: int, outputs: int, kernel: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(inputs, 16, kernel, padding=kernel // 2),
            nn.ReLU(inplace=True),
            nn.Conv2d(16, outputs, 1),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.features(x)
        fields, parts = (branch(x) for branch in self.first)
        seen = torch.cat([fields, parts, x], 1)
        return self.second[0](seen), self.second[1](seen)


class HRNet(nn.Module):
    """Runs two resolutions side by side that exchange features."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 16, 3, 2, activation=nn.ReLU)
        self.split = conv(16, 32, 3, 2, activation=nn.ReLU)
        self.high, self.low = Residual(16, 16, nn.ReLU), Residual(32, 32, nn.ReLU)
        self.to_high = conv(32, 16, activation=None)
        self.to_low = conv(16, 32, 3, 2, activation=None)
        self.last = nn.Conv2d(48, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        high = self.stem(x)
        low = self.split(high)
        high, low = self.high(high), self.low(low)
        size = high.shape[-2:]
        up = F.interpolate(self.to_high(low), size=size, mode="bilinear", align_corners=True)
        high, low = F.relu(high + up), F.relu(low + self.to_low(high))
        low = F.interpolate(low, size=size, mode="bilinear", align_corners=False)
        return self.last(torch.cat([high, low], 1))


class UNet(nn.Module):
    """Runs down and up, and concatenates the maps of the way down."""

    def __init__(self) -> None:
        super().__init__()
        self.start, self.pool = conv(3, 8, 3, activation=nn.ReLU), nn.MaxPool2d(2)
        self.deep = conv(8, 16, 3, activation=nn.ReLU)
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.end = nn.Sequential(conv(16, 8, 3, activation=nn.ReLU), nn.Conv2d(8, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        early = self.start(x)
        up = self.up(self.deep(self.pool(early)))
        down, right = early.shape[2] - up.shape[2], early.shape[3] - up.shape[3]
        up = F.pad(up, [right // 2, right - right // 2, down // 2, down - down // 2])
        return self.end(torch.cat([early, up], dim=1))


class ESPCN(nn.Module):
    """Computes super resolution by pixel shuffle."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 5, padding=2),
            nn.Tanh(),
            nn.Conv2d(16, 8, 3, padding=1),
            nn.Tanh(),
            nn.Conv2d(8, 9, 3, padding=1),
        )
        self.shuffle = nn.PixelShuffle(3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.shuffle(self.body(x)))


class FSRCNN(nn.Module):
    """Computes super resolution by a deconvolution with output padding."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 12, 5, padding=2),
            nn.PReLU(12),
            nn.Conv2d(12, 6, 1),
            nn.PReLU(6),
            nn.Conv2d(6, 6, 3, padding=1),
            nn.PReLU(6),
            nn.Conv2d(6, 12, 1),
            nn.PReLU(12),
            nn.ConvTranspose2d(12, 1, 9, stride=2, padding=4, output_padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class LPRNet(nn.Module):
    """Reads plates: the maps of each stage, scaled by their own power, joined at one size."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(
            conv(3, 16, 3, activation=nn.ReLU), nn.MaxPool3d((1, 3, 3), (1, 1, 1))
        )
        self.two = nn.Sequential(
            conv(16, 32, 3, activation=nn.ReLU), nn.MaxPool3d((1, 3, 3), (2, 1, 2))
        )
        self.pool = nn.AvgPool2d((1, 2), (1, 2))
        self.end = nn.Conv2d(32, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.one(x)
        two = self.two(one)
        one = self.pool(one)
        joined = []
        for seen in (one[..., : two.shape[-1]][..., : two.shape[2], :], two):
            joined.append(seen / seen.pow(2).mean())
        return self.end(torch.cat(joined, 1)).mean(dim=2)


class CRNN(nn.Module):
    """Reads words: columns of a convolution as the steps of a bidirectional LSTM."""

    def __init__(self, logarithms: bool = True) -> None:
        super().__init__()
        self.logarithms = logarithms
        self.features = nn.Sequential(
            conv(1, 8, 3, activation=nn.ReLU),
            nn.MaxPool2d(2, 2),
            conv(8, 16, 3, activation=nn.ReLU),
            nn.MaxPool2d((2, 1), (2, 1)),
            nn.Conv2d(16, 16, (2, 1)),
            nn.ReLU(True),
        )
        self.lstm = nn.LSTM(16, 8, bidirectional=True)
        self.read = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        steps = self.features(x).squeeze(2).permute(2, 0, 1)
        hidden, _ = self.lstm(steps)
        time, batch, width = hidden.size()
        scores = self.read(hidden.view(time * batch, width)).view(time, batch, -1)
        return scores.log_softmax(2) if self.logarithms else scores


class MobileFaceNet(nn.Module):
    """Maps faces to a sphere: PReLU, a global depthwise convolution, a unit length."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1, bias=False),
            nn.BatchNorm2d(16),
            nn.PReLU(16),
            nn.Conv2d(16, 16, 3, 1, 1, groups=16, bias=False),
            nn.BatchNorm2d(16),
            nn.PReLU(16),
            nn.Conv2d(16, 32, 1, bias=False),
            nn.BatchNorm2d(32),
            nn.Conv2d(32, 32, 8, groups=32, bias=False),
            nn.BatchNorm2d(32),
        )
        self.last = nn.Linear(32, 16, bias=False)
        self.norm = nn.BatchNorm1d(16)

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.norm(self.last(torch.flatten(self.body(x), 1))))


class Siamese(nn.Module):
    """Computes the distance of two inputs under one set of weights."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Sequential(
            conv(3, 8, 3, 2, activation=nn.ReLU),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 6),
        )

    def forward(self, one: Tensor, two: Tensor) -> Tensor:
        one, two = self.embed(one), self.embed(two)
        return (one - two).pow(2).sum(1, keepdim=True).sqrt()


class MultiTask(nn.Module):
    """Gives five outputs, of which some are also used inside."""

    def __init__(self) -> None:
        super().__init__()
        self.body = conv(3, 16, 3, 2, activation=nn.ReLU)
        self.mask = nn.Conv2d(16, 1, 1)
        self.kind, self.age, self.points = nn.Linear(16, 4), nn.Linear(20, 1), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps = self.body(x)
        mask = torch.sigmoid(self.mask(maps))
        pooled = (maps * mask).mean((2, 3))
        kind = self.kind(pooled)
        age = self.age(torch.cat([pooled, kind.softmax(1)], 1))
        return {"mask": mask, "kind": kind, "age": age, "points": self.points(pooled), "maps": maps}
