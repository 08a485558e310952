"""Models of transformers by their type, of a few small layers: texts, images and sounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from tests.library.library import Built, Library, images, package, tokens, words

Options = Mapping[str, Any]

SMALL_TEXT = {
    "vocab_size": 99, "hidden_size": 32, "embedding_size": 16, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 37,
    "max_position_embeddings": 64, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 37,
    "n_embd": 32, "n_layer": 2, "n_head": 4, "d_model": 32, "emb_dim": 32, "d_inner": 37,
    "num_layers": 2, "num_heads": 4, "ffn_dim": 37, "word_embed_proj_dim": 32, "rotary_dim": 4,
    "state_size": 4, "pad_token_id": 0, "d_head": 8,
}  # fmt: skip
EXPERTS = {"intermediate_size": 48, "num_local_experts": 4, "num_experts_per_tok": 2}
FINE_EXPERTS = {"moe_intermediate_size": 16, "shared_expert_intermediate_size": 16,
                "num_experts": 4, "num_experts_per_tok": 2}  # fmt: skip
OWN_TEXT: Mapping[str, Options] = {
    "deberta": {"relative_attention": True},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "squeezebert": {"embedding_size": 32, "intermediate_size": 36},
    "mixtral": EXPERTS,
    "granitemoe": EXPERTS,
    "gpt_oss": EXPERTS,
    "olmoe": {**EXPERTS, "num_experts": 4},
    "qwen2_moe": FINE_EXPERTS,
    "qwen3_moe": FINE_EXPERTS,
    "deepseek_v3": {
        "q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8,
        "v_head_dim": 8, "moe_intermediate_size": 16, "n_routed_experts": 4, "n_group": 1,
        "num_experts_per_tok": 2, "topk_group": 1, "num_key_value_heads": 4,
    },
    "longformer": {"attention_window": 4},
    "mamba2": {"num_heads": 8, "expand": 2, "n_groups": 1, "chunk_size": 4},
}  # fmt: skip
SMALL_IMAGE = {
    "image_size": 32, "patch_size": 8, "hidden_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 4, "intermediate_size": 37, "num_channels": 3,
}  # fmt: skip
STAGES = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
PYRAMID = {**STAGES, "image_size": 64, "num_attention_heads": [1, 1, 2, 2]}
WINDOWS = {
    "image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [1, 2], "num_heads": [1, 2],
    "window_size": 4,
}  # fmt: skip
OWN_IMAGE: Mapping[str, Options] = {
    "bit": {**STAGES, "embedding_size": 8, "num_groups": 4},
    "convnext": STAGES,
    "convnextv2": STAGES,
    "dinov3_convnext": STAGES,
    "dpt": {**SMALL_IMAGE, "backbone_out_indices": [0, 1, 1, 1], "neck_hidden_sizes": [8] * 4},
    "efficientnet": {"image_size": 32, "width_coefficient": 0.25, "depth_coefficient": 0.25,
                     "hidden_dim": 320},
    "focalnet": {**STAGES, "image_size": 32, "patch_size": 4, "embed_dim": 8},
    "hiera": {"image_size": [32, 32], "embed_dim": 8, "depths": [1, 1, 1, 1]},
    "levit": {"image_size": 128, "hidden_sizes": [16, 32, 48], "num_attention_heads": [1, 2, 3],
              "depths": [1, 1, 1], "key_dim": [8, 8, 8]},
    "mobilenet_v1": {"depth_multiplier": 0.25, "image_size": 32},
    "mobilenet_v2": {"depth_multiplier": 0.25, "image_size": 32},
    "mobilevit": {"image_size": 128, "hidden_sizes": [16, 24, 32], "num_attention_heads": 2,
                  "neck_hidden_sizes": [8, 8, 16, 16, 24, 24, 32]},
    "mobilevitv2": {"image_size": 128, "width_multiplier": 0.25},
    "poolformer": STAGES,
    "pvt": PYRAMID,
    "pvt_v2": PYRAMID,
    "regnet": {**STAGES, "embedding_size": 8, "groups_width": 4},
    "resnet": {**STAGES, "embedding_size": 8, "layer_type": "basic"},
    "segformer": PYRAMID,
    "swiftformer": {"depths": [1, 1, 1, 1], "embed_dims": [8, 16, 24, 32]},
    "swin": WINDOWS,
    "swin2sr": {"image_size": 16, "embed_dim": 8, "depths": [2], "num_heads": [2],
                "window_size": 4, "upscale": 2},
    "swinv2": WINDOWS,
    "yolos": {**SMALL_IMAGE, "image_size": [32, 32]},
}  # fmt: skip
SIDES = {
    "bit": 64, "levit": 128, "mobilevit": 128, "mobilevitv2": 128, "poolformer": 64, "pvt": 64,
    "pvt_v2": 64, "segformer": 64, "swiftformer": 64, "swin2sr": 16,
}  # fmt: skip
SMALL_SOUND = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20,
    "conv_dim": (8, 8), "conv_stride": (4, 4), "conv_kernel": (8, 8), "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
SPECTROGRAM = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 37,
    "max_length": 32, "num_mel_bins": 16,
}  # fmt: skip


def _model(name: str, small: Options) -> nn.Module:
    library = package("transformers")
    config = library.AutoConfig.for_model(name.replace("__", "-"), **small)
    config.use_cache = False
    try:
        model: nn.Module = library.AutoModel.from_config(config, attn_implementation="eager")
    except ValueError:  # it has no attention, or one of its own
        model = library.AutoModel.from_config(config)
    return model


def _text(name: str) -> Built:
    return _model(name, {**SMALL_TEXT, **OWN_TEXT.get(name, {})}), tokens()


def _vision(name: str) -> Built:
    side = SIDES.get(name, 32)
    return _model(name, OWN_IMAGE.get(name, SMALL_IMAGE)), images(3, side, side)


def _audio(name: str) -> Built:
    if name == "audio__spectrogram__transformer":
        return _model(name, SPECTROGRAM), images(32, 16)
    return _model(name, SMALL_SOUND), images(800)


TEXT = Library(words(
    "albert bert big_bird bloom camembert codegen convbert data2vec__text deberta deberta__v2 "
    "distilbert electra ernie esm fnet gemma gpt2 gpt_neo gpt_neox gptj ibert "
    "layoutlm llama mamba megatron__bert mistral mobilebert mpnet nystromformer olmo "
    "phi qwen2 qwen3 rembert roberta roberta__prelayernorm roc_bert roformer splinter "
    "stablelm starcoder2 xlm xlm__roberta yoso apertus arcee bitnet cohere cohere2 diffllama doge "
    "ernie4_5 eurobert exaone4 gemma2 gemma3_text glm glm4 gpt_bigcode gpt_neox_japanese granite "
    "helium jais2 nanochat nemotron olmo2 olmo3 persimmon phi3 seed_oss smollm3 vaultgemma xglm "
    "opt biogpt bert__generation xlm__roberta__xl modernbert ctrl openai__gpt mra nomic_bert "
    "squeezebert hunyuan_v1_dense ministral falcon_mamba visual_bert imagegpt internlm3 "
    "modernbert__decoder mixtral granitemoe gpt_oss olmoe qwen2_moe qwen3_moe deepseek_v3 mamba2 "
    "recurrent_gemma rwkv lfm2 jina_embeddings_v3 tapas canine ultrabert granite_swa longformer"
), _text)  # fmt: skip
VISION = Library(words(
    "beit bit clip_vision_model convnext convnextv2 data2vec__vision deit dinov2 dpt "
    "efficientnet focalnet levit mobilenet_v1 mobilenet_v2 mobilevit mobilevitv2 poolformer "
    "pvt pvt_v2 regnet resnet segformer siglip_vision_model swinv2 vit vit_msn swin swin2sr "
    "swiftformer ijepa dinov2_with_registers dinov3_vit dinov3_convnext hiera yolos vitdet "
    "mlcd_vision_model aimv2_vision_model chinese_clip_vision_model pixio pixtral"
), _vision)  # fmt: skip
AUDIO = Library(words(
    "audio__spectrogram__transformer wav2vec2 hubert wavlm unispeech unispeech__sat "
    "data2vec__audio sew wav2vec2__conformer"
), _audio)  # fmt: skip
