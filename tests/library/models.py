"""The models of the sweep: for each library the names of models, and how one is built.

A name that a factory of the zoo can have: `tests.library.models:timm.resnet18`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from caffe2fx.verdict.reference.calibrate import calibrate

SOURCE = __name__  # where the zoo finds the factories
Built = tuple[nn.Module, tuple[Tensor, ...]]


@dataclass(frozen=True)
class Library:
    """Holds names of a library's models; `build` gives the model of a name, with its inputs."""

    names: tuple[str, ...]
    build: Callable[[str], Built]

    def __getattr__(self, name: str) -> Callable[[], Built]:
        """Return the factory of a model, with weights that keep its signal alive."""
        if name not in self.names:
            raise AttributeError(name)

        def factory() -> Built:
            torch.manual_seed(0)
            model, inputs = self.build(name)
            return calibrate(model.eval(), inputs), inputs

        return factory


def package(name: str) -> Any:
    """Import a library, which only the environment of the sweep has."""
    return importlib.import_module(name)


def images(*shape: int) -> tuple[Tensor, ...]:
    """Return one normal random tensor of that shape behind a batch of one."""
    return (torch.randn(1, *shape),)


def tokens(count: int = 7, below: int = 99) -> tuple[Tensor, ...]:
    """Return the identifiers of one text, none of them one of the first, which are special."""
    return (torch.randint(5, below, (1, count)),)


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


SMALL_TEXT = {
    "vocab_size": 99, "hidden_size": 32, "embedding_size": 16, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 37,
    "max_position_embeddings": 64, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 37,
    "n_embd": 32, "n_layer": 2, "n_head": 4, "d_model": 32, "emb_dim": 32, "d_inner": 37,
    "num_layers": 2, "num_heads": 4, "ffn_dim": 37, "word_embed_proj_dim": 32, "rotary_dim": 4,
    "state_size": 4, "pad_token_id": 0, "d_head": 8,
}  # fmt: skip
SMALL_IMAGE = {
    "image_size": 32, "patch_size": 8, "hidden_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 4, "intermediate_size": 37, "num_channels": 3,
}  # fmt: skip


def _transformer(small: Mapping[str, Any], name: str) -> nn.Module:
    library = package("transformers")
    config = library.AutoConfig.for_model(name, **small)
    config.use_cache = False
    model: nn.Module = library.AutoModel.from_config(config, attn_implementation="eager")
    return model


def _text(name: str) -> Built:
    special = {"deberta": {"relative_attention": True}, "gpt_neo": {
        "attention_types": [[["global", "local"], 1]]}}  # fmt: skip
    kind = name.replace("__", "-")
    return _transformer({**SMALL_TEXT, **special.get(name, {})}, kind), tokens()


def _vision(name: str) -> Built:
    staged = ("bit", "convnext", "convnextv2", "cvt", "focalnet", "levit", "mobile", "poolformer",
              "pvt", "regnet", "resnet", "segformer", "swin", "van", "efficientnet")  # fmt: skip
    side = 64 if name.startswith(staged) else 32
    small = {"image_size": 64} if name.startswith(staged) else SMALL_IMAGE
    return _transformer(small, name.replace("__", "-")), images(3, side, side)


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
        "pit": {"patch_size": 8, "depth": (1, 1)},
    }
    return getattr(package(f"vit_pytorch.{module}"), cls)(
        **{**common, **own.get(module, {"patch_size": 8})}
    ), images(3, 32, 32)


MONAI: Mapping[str, Callable[[Any], Built]] = {
    "UNet": lambda n: (n.UNet(2, 1, 2, (4, 8, 16), (2, 2)), images(1, 32, 32)),
    "UNet3d": lambda n: (n.UNet(3, 1, 2, (4, 8), (2,)), images(1, 16, 16, 16)),
    "AttentionUnet": lambda n: (n.AttentionUnet(2, 1, 2, (4, 8, 16), (2, 2)), images(1, 32, 32)),
    "BasicUNet": lambda n: (n.BasicUNet(2, 1, 2, (4, 4, 8, 8, 16, 4)), images(1, 32, 32)),
    "SegResNet": lambda n: (n.SegResNet(2, 8, 1, 2), images(1, 32, 32)),
    "DynUNet": lambda n: (n.DynUNet(2, 1, 2, [3, 3, 3], [1, 2, 2], [2, 2]), images(1, 32, 32)),
    "DenseNet121": lambda n: (n.DenseNet121(2, 1, 2), images(1, 64, 64)),
    "EfficientNetBN": lambda n: (n.EfficientNetBN("efficientnet-b0", False, spatial_dims=2),
                                 images(3, 64, 64)),
    "SEResNet50": lambda n: (n.SEResNet50(spatial_dims=2, in_channels=1), images(1, 64, 64)),
    "HighResNet": lambda n: (n.HighResNet(2, 1, 2), images(1, 32, 32)),
    "VNet": lambda n: (n.VNet(2, 1, 2), images(1, 32, 32)),
    "ViT": lambda n: (n.ViT(1, 32, 8, 32, 48, 2, 2, spatial_dims=2), images(1, 32, 32)),
    "UNETR": lambda n: (n.UNETR(1, 2, 32, 4, 32, 48, 2, spatial_dims=2), images(1, 32, 32)),
    "SwinUNETR": lambda n: (n.SwinUNETR(1, 2, feature_size=12, depths=(1, 1, 1, 1),
                            num_heads=(1, 2, 2, 2), spatial_dims=2), images(1, 64, 64)),
    "AutoEncoder": lambda n: (n.AutoEncoder(2, 1, 1, (4, 8), (2, 2)), images(1, 32, 32)),
    "ResNet18": lambda n: (n.resnet18(spatial_dims=2, n_input_channels=1), images(1, 64, 64)),
    "FlexibleUNet": lambda n: (n.FlexibleUNet(3, 2, "efficientnet-b0"), images(3, 64, 64)),
    "Discriminator": lambda n: (n.Discriminator((1, 32, 32), (4, 8), (2, 2)), images(1, 32, 32)),
}  # fmt: skip
X_TRANSFORMERS: Mapping[str, dict[str, Any]] = {
    "plain": {}, "rotary": {"rotary_pos_emb": True}, "rel_pos_bias": {"rel_pos_bias": True},
    "alibi": {"alibi_pos_bias": True}, "rmsnorm": {"use_rmsnorm": True},
    "glu": {"ff_glu": True}, "talking_heads": {"attn_pre_talking_heads": True},
    "sandwich": {"sandwich_coef": 1}, "scalenorm": {"use_scalenorm": True},
    "macaron": {"macaron": True}, "qk_norm": {"attn_qk_norm": True},
    "memory": {"attn_num_mem_kv": 2}, "gate_values": {"attn_gate_values": True},
    "residual_gate": {"gate_residual": True}, "one_kv_head": {"attn_one_kv_head": True},
}  # fmt: skip


def _x_transformer(name: str) -> Built:
    library = package("x_transformers")
    layers = library.Encoder(dim=32, depth=2, heads=2, **X_TRANSFORMERS[name])
    return library.TransformerWrapper(num_tokens=99, max_seq_len=16, attn_layers=layers), tokens()


KORNIA: Mapping[str, Callable[[Any], Built]] = {
    "HardNet": lambda k: (k.feature.HardNet(False), images(1, 32, 32)),
    "SOSNet": lambda k: (k.feature.SOSNet(False), images(1, 32, 32)),
    "TFeat": lambda k: (k.feature.TFeat(False), images(1, 32, 32)),
    "HyNet": lambda k: (k.feature.HyNet(False), images(1, 32, 32)),
    "KeyNet": lambda k: (k.feature.KeyNet(False), images(1, 32, 32)),
    "GaussianBlur": lambda k: (k.filters.GaussianBlur2d((3, 3), (1.0, 1.0)), images(3, 16, 16)),
    "Sobel": lambda k: (k.filters.Sobel(), images(3, 16, 16)),
    "Laplacian": lambda k: (k.filters.Laplacian(3), images(3, 16, 16)),
    "BoxBlur": lambda k: (k.filters.BoxBlur((3, 3)), images(3, 16, 16)),
    "MedianBlur": lambda k: (k.filters.MedianBlur((3, 3)), images(3, 8, 8)),
    "RgbToGrayscale": lambda k: (k.color.RgbToGrayscale(), images(3, 16, 16)),
    "RgbToYcbcr": lambda k: (k.color.RgbToYcbcr(), images(3, 16, 16)),
}
DIFFUSERS: Mapping[str, Callable[[Any], Built]] = {
    "AutoencoderKL": lambda d: (d.AutoencoderKL(
        block_out_channels=(8, 16), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=4).encoder, images(3, 16, 16)),
    "AutoencoderTiny": lambda d: (d.AutoencoderTiny().encoder, images(3, 32, 32)),
    "VQModel": lambda d: (d.VQModel(block_out_channels=(8,), norm_num_groups=4).encoder,
                          images(3, 16, 16)),
}  # fmt: skip
SPANDREL: Mapping[str, Callable[[], Any]] = {
    "ESRGAN": lambda: package("spandrel.architectures.ESRGAN").ESRGAN(
        num_filters=8, num_blocks=1),
    "Compact": lambda: package("spandrel.architectures.Compact").Compact(
        num_feat=8, num_conv=2),
    "SwinIR": lambda: package("spandrel.architectures.SwinIR").SwinIR(
        img_size=16, embed_dim=12, depths=(1,), num_heads=(2,), window_size=8),
    "SPAN": lambda: package("spandrel.architectures.SPAN").SPAN(
        num_in_ch=3, num_out_ch=3, feature_channels=8),
    "PLKSR": lambda: package("spandrel.architectures.PLKSR").PLKSR(dim=16, n_blocks=2),
    "RCAN": lambda: package("spandrel.architectures.RCAN").RCAN(
        n_resgroups=1, n_resblocks=1, n_feats=64),
    "DRCT": lambda: package("spandrel.architectures.DRCT").DRCT(
        img_size=16, embed_dim=12, depths=(1,), num_heads=(2,), window_size=8),
    "OmniSR": lambda: package("spandrel.architectures.OmniSR").OmniSR(num_feat=16, res_num=1),
}  # fmt: skip


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


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


LIBRARIES: Mapping[str, Library] = {
    "timm": Library(_words(
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
    "pytorchcv": Library(_words(
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
    "transformers": Library(_words(
        "albert bert big_bird bloom camembert codegen convbert data2vec__text deberta deberta__v2 "
        "distilbert electra ernie esm fnet gemma gpt2 gpt_neo gpt_neox gptj ibert "
        "layoutlm llama mamba megatron__bert mistral mobilebert mpnet nystromformer olmo "
        "phi qwen2 qwen3 rembert roberta roberta__prelayernorm roc_bert roformer splinter "
        "stablelm starcoder2 xlm xlm__roberta yoso"
    ), _text),
    "transformers_vision": Library(_words(
        "beit bit clip_vision_model convnext convnextv2 cvt data2vec__vision deit dinov2 dpt "
        "efficientnet focalnet levit mobilenet_v1 mobilenet_v2 mobilevit mobilevitv2 poolformer "
        "pvt pvt_v2 regnet resnet segformer siglip_vision_model swinv2 vit vit_msn"
    ), _vision),
    "segmentation_models_pytorch": Library(_words(
        "Unet__resnet18 UnetPlusPlus__resnet18 MAnet__resnet18 Linknet__resnet18 FPN__resnet18 "
        "PSPNet__resnet18 PAN__resnet18 DeepLabV3__resnet18 DeepLabV3Plus__resnet18 "
        "UPerNet__resnet18 Unet__mobilenet_v2 Unet__densenet121 FPN__mobilenet_v2 Linknet__vgg11"
    ), _smp),
    "ultralytics": Library(_words(
        "yolov8n yolov8n_cls yolov9t yolov10n yolo11n yolo11n_cls yolo12n yolov5n yolov3_tiny"
    ), _ultralytics),
    "efficientnet_pytorch": Library(
        _words("efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3"),
        _of_efficientnet,
    ),
    "pretrainedmodels": Library(_words(
        "resnet18 densenet121 bninception xception inceptionv4 "
        "inceptionresnetv2 dpn68 se_resnet50 nasnetamobile cafferesnet101 fbresnet152 "
        "resnext101_32x4d"
    ), _pretrained),
    "vit_pytorch": Library(_words(
        "vit__ViT simple_vit__SimpleViT cait__CaiT deepvit__DeepViT pit__PiT "
        "simple_flash_attn_vit__SimpleViT vit_with_patch_dropout__ViT parallel_vit__ViT "
        "simple_vit_with_register_tokens__SimpleViT vit_for_small_dataset__ViT"
    ), _vit_pytorch),
    "monai": Library(tuple(MONAI), lambda name: MONAI[name](package("monai.networks.nets"))),
    "x_transformers": Library(tuple(X_TRANSFORMERS), _x_transformer),
    "kornia": Library(tuple(KORNIA), lambda name: KORNIA[name](package("kornia"))),
    "diffusers": Library(tuple(DIFFUSERS), lambda name: DIFFUSERS[name](package("diffusers"))),
    "spandrel": Library(tuple(SPANDREL), lambda name: (SPANDREL[name](), images(3, 16, 16))),
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
