"""Blocks that small detectors and other models are made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv(
    inputs: int,
    outputs: int,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    activation: type[nn.Module] | None = nn.SiLU,
) -> nn.Sequential:
    """Return convolution, BatchNorm and an activation."""
    layers = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([] if activation is None else [activation()]))


class Leaky(nn.LeakyReLU):
    """Applies the activation of darknet."""

    def __init__(self) -> None:
        super().__init__(0.1)


class Residual(nn.Module):
    """Computes x + f(x) of a narrow and a wide convolution."""

    def __init__(
        self,
        channels: int,
        inner: int,
        activation: type[nn.Module] = nn.SiLU,
        kernels: tuple[int, int] = (1, 3),
        add: bool = True,
    ) -> None:
        super().__init__()
        self.narrow = conv(channels, inner, kernels[0], activation=activation)
        self.wide = conv(inner, channels, kernels[1], activation=activation)
        self.add = add

    def forward(self, x: Tensor) -> Tensor:
        y = self.wide(self.narrow(x))
        return x + y if self.add else y


class Focus(nn.Module):
    """Moves every second pixel, in four ways, to channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = conv(4 * inputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        parts = x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]
        return self.conv(torch.cat(parts, 1))


class C3(nn.Module):
    """Computes two branches side by side, one of them through residuals."""

    def __init__(self, inputs: int, outputs: int, count: int = 1, add: bool = True) -> None:
        super().__init__()
        half = outputs // 2
        self.one, self.two = conv(inputs, half), conv(inputs, half)
        self.end = conv(outputs, outputs)
        self.inner = nn.Sequential(*(Residual(half, half, add=add) for _ in range(count)))

    def forward(self, x: Tensor) -> Tensor:
        return self.end(torch.cat((self.inner(self.one(x)), self.two(x)), 1))


class SPPF(nn.Module):
    """Computes three poolings in a row and keeps all."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.start, self.end = conv(channels, channels // 2), conv(channels * 2, channels)
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.start(x)]
        for _ in range(3):
            maps.append(self.pool(maps[-1]))
        return self.end(torch.cat(maps, 1))


class C2f(nn.Module):
    """Splits, runs a chain of residuals, and keeps everything on the way."""

    def __init__(self, inputs: int, outputs: int, count: int = 1, add: bool = True) -> None:
        super().__init__()
        self.half = outputs // 2
        self.start, self.end = conv(inputs, outputs), conv((2 + count) * self.half, outputs)
        self.chain = nn.ModuleList(
            Residual(self.half, self.half, kernels=(3, 3), add=add) for _ in range(count)
        )

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.start(x).chunk(2, 1))
        parts.extend(block(parts[-1]) for block in self.chain)
        return self.end(torch.cat(parts, 1))


class Attention(nn.Module):
    """Attends over the pixels of a map, with a depthwise convolution for the positions."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads, self.width = heads, channels // heads
        self.key_width = self.width // 2
        self.qkv = conv(channels, channels + 2 * self.key_width * heads, activation=None)
        self.places = conv(channels, channels, 3, groups=channels, activation=None)
        self.end = conv(channels, channels, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        qkv = self.qkv(x).view(batch, self.heads, 2 * self.key_width + self.width, height * width)
        q, k, v = qkv.split([self.key_width, self.key_width, self.width], dim=2)
        weights = ((q.transpose(-2, -1) @ k) * self.key_width**-0.5).softmax(dim=-1)
        y = (v @ weights.transpose(-2, -1)).view(batch, channels, height, width)
        return self.end(y + self.places(v.reshape(batch, channels, height, width)))


class PSA(nn.Module):
    """Runs half of the channels through attention."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.half = channels // 2
        self.start, self.end = conv(channels, channels), conv(channels, channels)
        self.attention = Attention(self.half, 2)
        self.mix = nn.Sequential(
            conv(self.half, channels), conv(channels, self.half, activation=None)
        )

    def forward(self, x: Tensor) -> Tensor:
        one, two = self.start(x).split((self.half, self.half), dim=1)
        two = two + self.attention(two)
        two = two + self.mix(two)
        return self.end(torch.cat((one, two), 1))


class SSH(nn.Module):
    """Computes the context module of face detectors: three widths of view."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half, quarter = channels // 2, channels // 4
        self.near = conv(channels, half, 3, activation=None)
        self.far = conv(channels, quarter, 3, activation=Leaky)
        self.far_end = conv(quarter, quarter, 3, activation=None)
        self.further = nn.Sequential(
            conv(quarter, quarter, 3, activation=Leaky), conv(quarter, quarter, 3, activation=None)
        )

    def forward(self, x: Tensor) -> Tensor:
        far = self.far(x)
        return F.relu(torch.cat([self.near(x), self.far_end(far), self.further(far)], dim=1))
