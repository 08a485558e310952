"""The models of the sweep: for each library the names of models, and how one is built.

A name that a factory of the zoo can have: `tests.library.models:timm.resnet18`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tests.library.hugging_face import AUDIO, TEXT, VISION
from tests.library.library import Built, Library, images, package, tokens, words
from tests.library.tables import (
    DIFFUSERS,
    HEADS,
    KORNIA,
    MONAI,
    SPANDREL,
    X_TRANSFORMERS,
    x_transformer,
)

SOURCE = __name__  # where the zoo finds the factories


def _sized(sizes: Mapping[str, int], name: str, other: int) -> int:
    return sizes.get(name, other)


def _timm(name: str) -> Built:
    size = _sized({"inception_v4": 128, "nasnetalarge": 96, "vit_tiny_patch16_224": 224}, name, 64)
    model = package("timm").create_model(name, pretrained=False)
    fixed = model.default_cfg.get("fixed_input_size")
    return model, images(3, *(model.default_cfg["input_size"][1:] if fixed else (size, size)))


def _pytorchcv(name: str) -> Built:
    """Build a model whose last pooling, made for 224 pixels, takes what there is of fewer."""
    side = 32 if "cifar" in name else 128 if name == "inceptionv3" else 64
    get = package("pytorchcv.model_provider").get_model
    if "cityscapes" in name:
        return get(name, pretrained=False, in_size=(side, side)), images(3, side, side)
    model = get(name, pretrained=False)
    if isinstance(getattr(model.features, "final_pool", None), nn.AvgPool2d):
        model.features.final_pool = nn.AdaptiveAvgPool2d(1)
    return model, images(3, side, side)


def _smp(name: str) -> Built:
    architecture, _, encoder = name.partition("__")
    build = getattr(package("segmentation_models_pytorch"), architecture)
    options: dict[str, Any] = {"encoder_weights": None, "classes": 3}
    return build(encoder, **options), images(3, *(128, 128) if architecture == "PAN" else (64, 64))


def _ultralytics(name: str) -> Built:
    tasks = package("ultralytics.nn.tasks")
    build = tasks.ClassificationModel if name.endswith("_cls") else tasks.DetectionModel
    model = build(f"{name.replace('_', '-')}.yaml", ch=3, verbose=False)
    return model, images(3, 64, 64)


def _of_efficientnet(name: str) -> Built:
    model = package("efficientnet_pytorch").EfficientNet.from_name(name.replace("_", "-"))
    return model, images(3, 64, 64)


def _pretrained(name: str) -> Built:
    side = _sized({"inceptionv4": 128, "inceptionresnetv2": 128, "xception": 96}, name, 64)
    build = package("pretrainedmodels").__dict__[name]
    model = build(num_classes=1000, pretrained=None)
    return model, images(3, side, side)


def _vit_pytorch(name: str) -> Built:
    module, _, cls = name.partition("__")
    common = {"image_size": 32, "num_classes": 5, "dim": 32, "depth": 2, "heads": 2, "mlp_dim": 48}
    own: dict[str, dict[str, Any]] = {
        "cait": {"patch_size": 8, "cls_depth": 1},
        "t2t": {"mlp_dim": 48},
        "simple_vit_with_fft": {"patch_size": 8, "freq_patch_size": 8},
        "simple_vit_with_hyper_connections": {"patch_size": 8, "num_residual_streams": 2},
        "pit": {"patch_size": 8, "depth": (1, 1)},
    }
    return getattr(package(f"vit_pytorch.{module}"), cls)(
        **{**common, **own.get(module, {"patch_size": 8})}
    ), images(3, 32, 32)


def _clip(name: str) -> Built:
    config = {"embed_dim": 32, "vision_cfg": {"image_size": 32, "layers": 2, "width": 64,
              "patch_size": 8}, "text_cfg": {"context_length": 8, "vocab_size": 99, "width": 64,
              "heads": 1, "layers": 2}}  # fmt: skip
    model = package("open_clip").CLIP(**config)
    part = {"visual": model.visual, "text": _ClipText(model)}[name]
    return part, images(3, 32, 32) if name == "visual" else tokens(8)


class _ClipText(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, text: Tensor) -> Any:
        return self.model.encode_text(text)


def _torchaudio(name: str) -> Built:
    models = package("torchaudio").models
    made: Mapping[str, Callable[[], Built]] = {
        "Wav2Letter": lambda: (models.Wav2Letter(), images(1, 400)),
        "ConvTasNet": lambda: (models.ConvTasNet(
            enc_num_feats=16, msk_num_feats=8, msk_num_hidden_feats=16, msk_num_layers=2,
            msk_num_stacks=1), images(1, 320)),
        "DeepSpeech": lambda: (models.DeepSpeech(20, n_hidden=16), images(1, 5, 20)),
    }  # fmt: skip
    return made[name]()


def _easyocr(name: str) -> Built:
    model = package(f"easyocr.model.{name}").Model(1, 16, 16, 10)
    return _OfImages(model), images(1, 32, 64)


class _OfImages(nn.Module):
    """Reads images alone: the text that easyocr's models take beside them has no effect."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Any:
        return self.model(image, None)


def _facenet(name: str) -> Built:
    library = package("facenet_pytorch.models.mtcnn")
    if name == "InceptionResnetV1":
        return package("facenet_pytorch").InceptionResnetV1(), images(3, 96, 96)
    side = {"PNet": 24, "RNet": 24, "ONet": 48}[name]
    return getattr(library, name)(pretrained=False), images(3, side, side)


def _speechbrain(name: str) -> Built:
    models = "speechbrain.lobes.models"
    if name == "ECAPA_TDNN":
        build = package(f"{models}.ECAPA_TDNN").ECAPA_TDNN
        return build(16, channels=[16] * 5, lin_neurons=8), images(20, 16)
    return package(f"{models}.Xvector").Xvector(in_channels=16, lin_neurons=8), images(20, 16)


LIBRARIES: Mapping[str, Library] = {
    "timm": Library(words(
        "resnet18 resnext50_32x4d seresnet18 ecaresnet26t convnext_atto convnextv2_atto "
        "efficientnet_lite0 tf_efficientnetv2_b0 mobilenetv3_small_050 mobilenetv4_conv_small "
        "ghostnet_050 ghostnetv2_100 hardcorenas_a regnetx_002 regnety_002 repvgg_a0 mobileone_s0 "
        "fastvit_t8 efficientvit_b0 efficientformer_l1 edgenext_xx_small mobilevit_xxs "
        "mobilevitv2_050 poolformer_s12 tinynet_e spnasnet_100 mnasnet_small lcnet_035 "
        "densenet121 dla34 dpn48b hrnet_w18_small vovnet39a selecsls42 res2net50_26w_4s "
        "cspresnet50 darknet17 nf_resnet26 nfnet_f0 skresnet18 resnest14d botnet26t_256 "
        "halonet26t lambda_resnet26t gernet_s rexnet_100 visformer_tiny pit_ti_224 "
        "deit_tiny_patch16_224 vit_tiny_patch16_224 mixer_s32_224 gmixer_12_224 resmlp_12_224 "
        "convmixer_768_32 crossvit_tiny_240 coat_lite_tiny levit_128s tnt_s_patch16_224 "
        "swin_tiny_patch4_window7_224 nest_tiny twins_svt_small pvt_v2_b0 xcit_nano_12_p16_224 "
        "starnet_s1 hgnet_tiny repghostnet_050 inception_v4 xception41 ese_vovnet19b_dw"
    ), _timm),
    "pytorchcv": Library(words(
        "resnet20_cifar10 shufflenetv2_w1 mobilenet_w1 bninception resnet10 preresnet10 "
        "resnext14_32x2d seresnet10 sepreresnet10 senet16 airnet50_1x64d_r2 bam_resnet18 "
        "cbam_resnet18 pyramidnet110_a48_cifar10 diracnet18v2 densenet121 peleenet drnc26 "
        "bagnet9 dla34 hrnet_w18_small_v1 vovnet27s selecsls42 hardnet39ds "
        "condensenet74_c4_g4 sparsenet121 sqnxt23_w1 shufflenet_g1_w1 shufflenetv2b_w1 "
        "menet108_8x1_g3 fdmobilenet_w1 mobilenetv2_w1 mobilenetv3_small_w1 igcv3_w1 "
        "mnasnet_b1 proxylessnas_cpu fbnet_cb inceptionv3 efficientnet_b0 mixnet_s ghostnet "
        "regnetx002 diaresnet10 resnesta18 nin_cifar10 rir_cifar10 "
        "shakeshakeresnet20_2x16d_cifar10 ror3_56_cifar10 espnetv2_wd2 fishnet99 "
        "lednet_cityscapes fastscnn_cityscapes cgnet_cityscapes dabnet_cityscapes "
        "esnet_cityscapes"
    ), _pytorchcv),
    "transformers": TEXT,
    "transformers_vision": VISION,
    "transformers_audio": AUDIO,
    "segmentation_models_pytorch": Library(words(
        "Unet__resnet18 UnetPlusPlus__resnet18 MAnet__resnet18 Linknet__resnet18 FPN__resnet18 "
        "PSPNet__resnet18 PAN__resnet18 DeepLabV3__resnet18 DeepLabV3Plus__resnet18 "
        "UPerNet__resnet18 Unet__mobilenet_v2 Unet__densenet121 FPN__mobilenet_v2 Linknet__vgg11"
    ), _smp),
    "ultralytics": Library(words(
        "yolov8n yolov8n_cls yolov9t yolov10n yolo11n yolo11n_cls yolo12n yolov5n yolov3_tiny"
    ), _ultralytics),
    "efficientnet_pytorch": Library(
        words("efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3"),
        _of_efficientnet,
    ),
    "pretrainedmodels": Library(words(
        "resnet18 densenet121 bninception xception inceptionv4 "
        "inceptionresnetv2 dpn68 se_resnet50 nasnetamobile cafferesnet101 fbresnet152 "
        "resnext101_32x4d"
    ), _pretrained),
    "vit_pytorch": Library(words(
        "vit__ViT simple_vit__SimpleViT cait__CaiT deepvit__DeepViT pit__PiT "
        "simple_flash_attn_vit__SimpleViT vit_with_patch_dropout__ViT parallel_vit__ViT "
        "simple_vit_with_register_tokens__SimpleViT vit_for_small_dataset__ViT "
        "simple_vit_with_qk_norm__SimpleViT simple_vit_with_patch_dropout__SimpleViT "
        "simple_vit_with_value_residual__SimpleViT simple_vit_with_fft__SimpleViT "
        "normalized_vit__nViT vit_with_patch_merger__ViT learnable_memory_vit__ViT "
        "simple_vit_with_hyper_connections__SimpleViT vit_with_decorr__ViT "
        "vit_with_keel_post_ln__ViT rvt__RvT t2t__T2TViT"
    ), _vit_pytorch),
    "monai": Library(tuple(MONAI), lambda name: MONAI[name](package("monai.networks.nets"))),
    "x_transformers": Library(tuple(X_TRANSFORMERS), x_transformer),
    "kornia": Library(tuple(KORNIA), lambda name: KORNIA[name](package("kornia"))),
    "diffusers": Library(tuple(DIFFUSERS), lambda name: DIFFUSERS[name](package("diffusers"))),
    "spandrel": Library(tuple(SPANDREL), lambda name: (SPANDREL[name](), images(3, 16, 16))),
    "lightly": Library(
        tuple(HEADS), lambda name: HEADS[name](package("lightly.models.modules.heads"))),
    "easyocr": Library(("model", "vgg_model"), _easyocr),
    "geffnet": Library(words(
        "mnasnet_small mobilenetv3_small_075 efficientnet_lite0 fbnetc_100 spnasnet_100"
    ), lambda name: (package("geffnet").create_model(name), images(3, 64, 64))),
    "open_clip": Library(("visual", "text"), _clip),
    "torchaudio": Library(("Wav2Letter", "ConvTasNet", "DeepSpeech"), _torchaudio),
    "facenet_pytorch": Library(("PNet", "RNet", "ONet", "InceptionResnetV1"), _facenet),
    "linformer": Library(("Linformer",), lambda name: (
        package("linformer").Linformer(dim=32, seq_len=8, depth=1, heads=2, k=4), images(8, 32))),
    "mlp_mixer_pytorch": Library(("MLPMixer",), lambda name: (
        package("mlp_mixer_pytorch").MLPMixer(
            image_size=32, channels=3, patch_size=8, dim=32, depth=2, num_classes=5),
        images(3, 32, 32))),
    "g_mlp_pytorch": Library(("gMLPVision",), lambda name: (
        package("g_mlp_pytorch").gMLPVision(
            image_size=32, patch_size=8, num_classes=5, dim=32, depth=2), images(3, 32, 32))),
    "conformer": Library(("ConformerBlock",), lambda name: (
        package("conformer").ConformerBlock(dim=32, dim_head=8, heads=2, conv_kernel_size=5),
        images(8, 32))),
    "perceiver_pytorch": Library(("Perceiver",), lambda name: (
        package("perceiver_pytorch").Perceiver(
            num_freq_bands=2, max_freq=4.0, depth=1, input_channels=3, num_latents=4,
            latent_dim=16, latent_heads=2, latent_dim_head=8, cross_dim_head=8, num_classes=5,
            self_per_cross_attn=1), (torch.randn(1, 8, 8, 3),))),
    "speechbrain": Library(("ECAPA_TDNN", "Xvector"), _speechbrain),
}  # fmt: skip


def __getattr__(name: str) -> Library:
    """Return a library by its name, through which the zoo finds a model's factory."""
    if name not in LIBRARIES:
        raise AttributeError(name)
    return LIBRARIES[name]
