"""Small nets to train, of architectures that everybody knows."""

from __future__ import annotations

RATES = "param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }"
FILLERS = 'weight_filler { type: "xavier" } bias_filler { type: "constant" value: 0.1 }'


def layer(type_: str, name: str, bottom: str, top: str = "", rest: str = "") -> str:
    bottoms = " ".join(f'bottom: "{blob}"' for blob in bottom.split())
    tops = " ".join(f'top: "{blob}"' for blob in (top or name).split())
    return f'layer {{ name: "{name}" type: "{type_}" {bottoms} {tops} {rest} }}\n'


def data(*shape: int) -> str:
    dims = " ".join(f"dim: {size}" for size in shape)
    shapes = f"shape {{ {dims} }} shape {{ dim: {shape[0]} }}"
    head = 'force_backward: true layer { name: "data" type: "Input" top: "data" top: "label" '
    return f"{head} input_param {{ {shapes} }} }}\n"


def conv(name: str, bottom: str, outputs: int, kernel: int, rest: str = "", rates: str = RATES
         ) -> str:  # fmt: skip
    fields = f"num_output: {outputs} kernel_size: {kernel} {FILLERS} {rest}"
    return layer("Convolution", name, bottom, "", f"{rates} convolution_param {{ {fields} }}")


def pool(name: str, bottom: str, method: str, kernel: int) -> str:
    fields = f"pool: {method} kernel_size: {kernel} stride: 2"
    return layer("Pooling", name, bottom, "", f"pooling_param {{ {fields} }}")


def product(name: str, bottom: str, outputs: int, rates: str = RATES) -> str:
    fields = f"num_output: {outputs} {FILLERS}"
    return layer("InnerProduct", name, bottom, "", f"{rates} inner_product_param {{ {fields} }}")


def relu(name: str, blob: str) -> str:
    return layer("ReLU", name, blob, blob)


LOSS = layer("SoftmaxWithLoss", "loss", "score label", "loss")
ACCURACY = layer("Accuracy", "accuracy", "score label", "", "include { phase: TEST }")

LENET = "".join([
    data(8, 1, 28, 28),
    conv("conv1", "data", 20, 5), pool("pool1", "conv1", "MAX", 2),
    conv("conv2", "pool1", 50, 5), pool("pool2", "conv2", "MAX", 2),
    product("ip1", "pool2", 500), relu("relu1", "ip1"),
    product("score", "ip1", 10), ACCURACY, LOSS,
])  # fmt: skip

CIFAR_QUICK = "".join([
    data(8, 3, 32, 32),
    conv("conv1", "data", 32, 5, "pad: 2"), pool("pool1", "conv1", "MAX", 3),
    relu("relu1", "pool1"),
    conv("conv2", "pool1", 32, 5, "pad: 2"), relu("relu2", "conv2"),
    pool("pool2", "conv2", "AVE", 3),
    conv("conv3", "pool2", 64, 5, "pad: 2", "param { lr_mult: 0 } param { lr_mult: 0 }"),
    relu("relu3", "conv3"), pool("pool3", "conv3", "AVE", 3),
    product("ip1", "pool3", 64), product("score", "ip1", 10), ACCURACY, LOSS,
])  # fmt: skip

STATISTICS = "param { lr_mult: 0 } " * 3
NORMALIZED = "".join([
    data(8, 3, 12, 12),
    conv("conv1", "data", 8, 3, "bias_term: false", "param { lr_mult: 1 }"),
    layer("BatchNorm", "bn1", "conv1", "conv1", STATISTICS),
    layer("Scale", "scale1", "conv1", "conv1", f"{RATES} scale_param {{ bias_term: true }}"),
    relu("relu1", "conv1"), pool("pool1", "conv1", "MAX", 2),
    conv("conv2", "pool1", 8, 3, "bias_term: false", ""),
    layer("BatchNorm", "bn2", "conv2", "bn2",
          "batch_norm_param { moving_average_fraction: 0.9 eps: 0.001 }"),
    layer("Scale", "scale2", "bn2", "bn2", "scale_param { bias_term: true }"),
    relu("relu2", "bn2"), product("score", "bn2", 5), ACCURACY, LOSS,
])  # fmt: skip

NETS = {"lenet": LENET, "cifar_quick": CIFAR_QUICK, "batch_norm": NORMALIZED}
