"""Tables of small models: for each library their names, and how each is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.library.library import Built, images, package, tokens

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
    "BasicUNetPlusPlus": lambda n: (n.BasicUNetPlusPlus(2, 1, 2, (4, 4, 8, 8, 16, 4)),
                                    images(1, 32, 32)),
    "Generator": lambda n: (n.Generator((8,), (8, 4, 4), (8, 4), (2, 2)), images(8)),
    "FullyConnectedNet": lambda n: (n.FullyConnectedNet(8, 4, (16, 8)), images(8)),
    "VarAutoEncoder": lambda n: (n.VarAutoEncoder(2, (1, 32, 32), 1, 4, (4, 8), (2, 2)),
                                 images(1, 32, 32)),
    "ViTAutoEnc": lambda n: (n.ViTAutoEnc(1, (32, 32), (4, 4), 1, 4, 32, 48, 2, 2, spatial_dims=2),
                             images(1, 32, 32)),
    "Classifier": lambda n: (n.Classifier((1, 32, 32), 3, (4, 8), (2, 2)), images(1, 32, 32)),
    "Regressor": lambda n: (n.Regressor((1, 32, 32), (3,), (4, 8), (2, 2)), images(1, 32, 32)),
    "Critic": lambda n: (n.Critic((1, 32, 32), (4, 8), (2, 2)), images(1, 32, 32)),
    "VQVAE": lambda n: (n.VQVAE(2, 1, 1, (8, 8), 1, 8, ((2, 4, 1, 1),) * 2, ((2, 4, 1, 1, 0),) * 2,
                        8, 8), images(1, 16, 16)),
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
    "swish_glu": {"ff_glu": True, "ff_swish": True}, "relu_squared": {"ff_relu_squared": True},
    "no_bias": {"ff_no_bias": True}, "softclamp": {"attn_softclamp_logits": True},
    "dynamic_pos_bias": {"dynamic_pos_bias": True}, "simple_rmsnorm": {"use_simple_rmsnorm": True},
    "value_heads": {"attn_gate_value_heads": True}, "shift_tokens": {"shift_tokens": 1},
    "sandwich_norm": {"sandwich_norm": True}, "head_scale": {"attn_head_scale": True},
    "post_act_ln": {"ff_post_act_ln": True},
}  # fmt: skip


def x_transformer(name: str) -> Built:
    """Return an encoder of texts with one of the options."""
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
    "YcbcrToRgb": lambda k: (k.color.YcbcrToRgb(), images(3, 16, 16)),
    "RgbToYuv": lambda k: (k.color.RgbToYuv(), images(3, 16, 16)),
    "YuvToRgb": lambda k: (k.color.YuvToRgb(), images(3, 16, 16)),
    "RgbToXyz": lambda k: (k.color.RgbToXyz(), images(3, 16, 16)),
    "XyzToRgb": lambda k: (k.color.XyzToRgb(), images(3, 16, 16)),
    "RgbToBgr": lambda k: (k.color.RgbToBgr(), images(3, 16, 16)),
    "Sepia": lambda k: (k.color.Sepia(), images(3, 16, 16)),
    "SpatialGradient": lambda k: (k.filters.SpatialGradient(), images(3, 16, 16)),
    "UnsharpMask": lambda k: (k.filters.UnsharpMask((3, 3), (1.0, 1.0)), images(3, 16, 16)),
    "BlurPool2D": lambda k: (k.filters.BlurPool2D(3, 2), images(3, 16, 16)),
    "MaxBlurPool2D": lambda k: (k.filters.MaxBlurPool2D(3), images(3, 16, 16)),
    "MotionBlur": lambda k: (k.filters.MotionBlur(3, 35.0, 0.5), images(3, 16, 16)),
    "CornerHarris": lambda k: (k.feature.CornerHarris(0.04), images(1, 16, 16)),
    "CornerGFTT": lambda k: (k.feature.CornerGFTT(), images(1, 16, 16)),
    "BlobHessian": lambda k: (k.feature.BlobHessian(), images(1, 16, 16)),
    "Hflip": lambda k: (k.geometry.Hflip(), images(3, 8, 8)),
    "PyrDown": lambda k: (k.geometry.PyrDown(), images(3, 16, 16)),
    "PyrUp": lambda k: (k.geometry.PyrUp(), images(3, 8, 8)),
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
        n_resgroups=1, n_resblocks=1, n_feats=64, reduction=2),
    "DRCT": lambda: package("spandrel.architectures.DRCT").DRCT(
        img_size=16, embed_dim=12, depths=(1,), num_heads=(2,), window_size=8),
    "OmniSR": lambda: package("spandrel.architectures.OmniSR").OmniSR(num_feat=16, res_num=1),
    "HAT": lambda: package("spandrel.architectures.HAT").HAT(
        img_size=16, embed_dim=12, depths=(1,), num_heads=(2,), window_size=4, squeeze_factor=4,
        num_feat=8),
    "SAFMN": lambda: package("spandrel.architectures.SAFMN").SAFMN(dim=16, n_blocks=2),
    "MoSR": lambda: package("spandrel.architectures.MoSR").MoSR(n_block=2, dim=16),
    "SwiftSRGAN": lambda: package("spandrel.architectures.SwiftSRGAN").SwiftSRGAN(
        num_channels=8, num_blocks=1),
    "Swin2SR": lambda: package("spandrel.architectures.Swin2SR").Swin2SR(
        img_size=16, embed_dim=12, depths=[1], num_heads=[2], window_size=8),
    "DnCNN": lambda: package("spandrel.architectures.DnCNN").DnCNN(
        in_nc=3, out_nc=3, nc=8, nb=3),
    "DRUNet": lambda: package("spandrel.architectures.DRUNet").DRUNet(
        in_nc=3, out_nc=3, nc=[4, 8, 12, 16], nb=1),
    "NAFNet": lambda: package("spandrel.architectures.NAFNet").NAFNet(
        width=8, enc_blk_nums=[1], dec_blk_nums=[1]),
    "RetinexFormer": lambda: package("spandrel.architectures.RetinexFormer").RetinexFormer(
        n_feat=8, stage=1),
    "CRAFT": lambda: package("spandrel.architectures.CRAFT").CRAFT(
        embed_dim=24, depths=[1], num_heads=[2], window_size=8, split_size_1=8),
    "SeemoRe": lambda: package("spandrel.architectures.SeemoRe").SeemoRe(
        num_layers=1, embedding_dim=12),
}  # fmt: skip


HEADS: Mapping[str, Callable[[Any], Built]] = {
    "SimCLRProjectionHead": lambda h: (h.SimCLRProjectionHead(16, 16, 8), images(16)),
    "MoCoProjectionHead": lambda h: (h.MoCoProjectionHead(16, 16, 8), images(16)),
    "BYOLProjectionHead": lambda h: (h.BYOLProjectionHead(16, 16, 8), images(16)),
    "SimSiamProjectionHead": lambda h: (h.SimSiamProjectionHead(16, 16, 8), images(16)),
    "SimSiamPredictionHead": lambda h: (h.SimSiamPredictionHead(16, 8, 16), images(16)),
    "BarlowTwinsProjectionHead": lambda h: (h.BarlowTwinsProjectionHead(16, 16, 8), images(16)),
    "SwaVProjectionHead": lambda h: (h.SwaVProjectionHead(16, 16, 8), images(16)),
    "DINOProjectionHead": lambda h: (h.DINOProjectionHead(16, 16, 8, 12), images(16)),
    "VICRegProjectionHead": lambda h: (h.VICRegProjectionHead(16, 16, 8), images(16)),
    "MSNProjectionHead": lambda h: (h.MSNProjectionHead(16, 16, 8), images(16)),
}
