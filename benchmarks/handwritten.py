"""Nets as one writes them by hand for Caffe, with BatchNorm already in the convolutions."""

from __future__ import annotations

from collections.abc import Sequence


class Writer:
    """Collects the text of a prototxt; each method gives the name of its top."""

    def __init__(self, channels: int, side: int) -> None:
        self.count = 0
        self.lines = [
            'layer { name: "data" type: "Input" top: "data" '
            f"input_param {{ shape {{ dim: 1 dim: {channels} dim: {side} dim: {side} }} }} }}"
        ]

    def add(self, type_: str, bottoms: Sequence[str], parameter: str = "", top: str = "") -> str:
        """Add a layer with one top, which is a new blob unless `top` names one."""
        self.count += 1
        name = f"{type_.lower()}{self.count}"
        read = " ".join(f'bottom: "{bottom}"' for bottom in bottoms)
        self.lines.append(
            f'layer {{ name: "{name}" type: "{type_}" {read} top: "{top or name}" {parameter} }}'
        )
        return top or name

    def conv(
        self,
        x: str,
        outputs: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        pad: int | tuple[int, int] = 0,
        group: int = 1,
        relu: bool = True,
    ) -> str:
        """Add a convolution and a ReLU in place."""
        high, wide = (kernel, kernel) if isinstance(kernel, int) else kernel
        down, right = (pad, pad) if isinstance(pad, int) else pad
        filler = 'weight_filler { type: "msra" }'
        y = self.add(
            "Convolution",
            [x],
            (
                f"convolution_param {{ num_output: {outputs} kernel_h: {high} kernel_w: {wide} "
                f"stride: {stride} pad_h: {down} pad_w: {right} group: {group} {filler} }}"
            ),
        )
        return self.add("ReLU", [y], top=y) if relu else y

    def relu6(self, x: str) -> str:
        """Add min(max(x, 0), 6) for a Caffe without Clip; 6 - relu(6 - x) would round x."""
        x = self.add("ReLU", [x], top=x)
        x = self.add("Power", [x], "power_param { scale: -1 }", top=x)
        bound = self.add("Power", [x], "power_param { scale: 0 shift: -6 }")
        x = self.add("Eltwise", [x, bound], "eltwise_param { operation: MAX }")
        return self.add("Power", [x], "power_param { scale: -1 }", top=x)

    def pool(self, x: str, kind: str, kernel: int, stride: int, pad: int = 0) -> str:
        """Add a MAX or AVE pooling."""
        return self.add(
            "Pooling",
            [x],
            (f"pooling_param {{ pool: {kind} kernel_size: {kernel} stride: {stride} pad: {pad} }}"),
        )

    def classify(self, x: str, classes: int) -> str:
        """Add the mean of each map, and a fully connected layer."""
        x = self.add("Pooling", [x], "pooling_param { pool: AVE global_pooling: true }")
        filler = 'weight_filler { type: "xavier" }'
        return self.add(
            "InnerProduct", [x], f"inner_product_param {{ num_output: {classes} {filler} }}"
        )

    @property
    def text(self) -> str:
        """Return the whole prototxt."""
        return "\n".join(self.lines) + "\n"


def resnet50() -> str:
    """Write the architecture of torchvision's (stride in the 3x3)."""
    net = Writer(3, 224)
    x = net.pool(net.conv("data", 64, 7, 2, 3), "MAX", 3, 2)
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            step = stride if block == 0 else 1
            y = net.conv(net.conv(x, width, 1), width, 3, step, 1)
            y = net.conv(y, 4 * width, 1, relu=False)
            short = net.conv(x, 4 * width, 1, step, relu=False) if block == 0 else x
            x = net.add("Eltwise", [short, y])
            x = net.add("ReLU", [x], top=x)
    net.classify(x, 1000)
    return net.text


def mobilenet_v2() -> str:
    """Write the architecture of torchvision's."""
    net = Writer(3, 224)
    x, channels = net.relu6(net.conv("data", 32, 3, 2, 1, relu=False)), 32
    for expand, outputs, blocks, stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):  # fmt: skip
        for block in range(blocks):
            step, inner, y = stride if block == 0 else 1, channels * expand, x
            if expand != 1:
                y = net.relu6(net.conv(y, inner, 1, relu=False))
            y = net.relu6(net.conv(y, inner, 3, step, 1, inner, relu=False))
            y = net.conv(y, outputs, 1, relu=False)
            x = net.add("Eltwise", [x, y]) if step == 1 and channels == outputs else y
            channels = outputs
    net.classify(net.relu6(net.conv(x, 1280, 1, relu=False)), 1000)
    return net.text


def inception_v3() -> str:
    """Write the architecture of torchvision's, without the classifier for training."""
    net = Writer(3, 299)

    def concat(*parts: str) -> str:
        return net.add("Concat", parts)

    def column(x: str, *layers: tuple[int, int | tuple[int, int], int | tuple[int, int]]) -> str:
        for outputs, kernel, pad in layers:
            x = net.conv(x, outputs, kernel, 1, pad)
        return x

    x = net.conv(net.conv(net.conv("data", 32, 3, 2), 32, 3), 64, 3, 1, 1)
    x = net.conv(net.conv(net.pool(x, "MAX", 3, 2), 80, 1), 192, 3)
    x = net.pool(x, "MAX", 3, 2)
    for outputs in (32, 64, 64):
        x = concat(
            column(x, (64, 1, 0)),
            column(x, (48, 1, 0), (64, 5, 2)),
            column(x, (64, 1, 0), (96, 3, 1), (96, 3, 1)),
            column(net.pool(x, "AVE", 3, 1, 1), (outputs, 1, 0)),
        )
    narrow = column(x, (64, 1, 0), (96, 3, 1))
    x = concat(net.conv(x, 384, 3, 2), net.conv(narrow, 96, 3, 2), net.pool(x, "MAX", 3, 2))
    wide, tall = ((1, 7), (0, 3)), ((7, 1), (3, 0))
    for c in (128, 160, 160, 192):
        x = concat(
            column(x, (192, 1, 0)),
            column(x, (c, 1, 0), (c, *wide), (192, *tall)),
            column(x, (c, 1, 0), (c, *tall), (c, *wide), (c, *tall), (192, *wide)),
            column(net.pool(x, "AVE", 3, 1, 1), (192, 1, 0)),
        )
    one, two = column(x, (192, 1, 0)), column(x, (192, 1, 0), (192, *wide), (192, *tall))
    x = concat(net.conv(one, 320, 3, 2), net.conv(two, 192, 3, 2), net.pool(x, "MAX", 3, 2))
    for _ in range(2):
        one, two = column(x, (384, 1, 0)), column(x, (448, 1, 0), (384, 3, 1))
        both = (384, (1, 3), (0, 1)), (384, (3, 1), (1, 0))
        x = concat(
            column(x, (320, 1, 0)),
            *(column(one, part) for part in both),
            *(column(two, part) for part in both),
            column(net.pool(x, "AVE", 3, 1, 1), (192, 1, 0)),
        )
    net.classify(x, 1000)
    return net.text


NETS = {"resnet50": resnet50, "mobilenet_v2": mobilenet_v2, "inception_v3": inception_v3}
