"""Tiny random models of every family, made by code: two layers, 32 dimensions, the real transformers classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

LAYERS, WIDTH, HEADS, CONTEXT = 2, 32, 4, 64

_LLAMA = {
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
}
_NEOX = {k: v for k, v in _LLAMA.items() if k != "num_key_value_heads"} | {"rotary_pct": 0.5}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_LOCAL = {"num_local_experts": 4, "num_experts_per_tok": 2}
_GPT = {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_positions": CONTEXT}
_NEXT = _LLAMA | {
    "head_dim": 8,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_conv_kernel_dim": 4,
    "layer_types": ["linear_attention", "full_attention"],
}
_SSM = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "state_size": 8, "conv_kernel": 4, "expand": 2}
_FALCON = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "GPT-2": ("GPT2", _GPT),
    "GPT-Neo": (
        "GPTNeo",
        {
            "hidden_size": WIDTH,
            "num_layers": LAYERS,
            "num_heads": HEADS,
            "max_position_embeddings": CONTEXT,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 8,
        },
    ),
    "GPT-NeoX": ("GPTNeoX", _NEOX),
    "GPT-NeoX, sequential": ("GPTNeoX", _NEOX | {"use_parallel_residual": False}),
    "GPT-J": ("GPTJ", _GPT | {"rotary_dim": 4}),
    "GPT-BigCode": ("GPTBigCode", _GPT),
    "CodeGen": ("CodeGen", _GPT | {"rotary_dim": 4}),
    "OpenAI GPT": ("OpenAIGPT", _GPT),
    "Llama": ("Llama", _LLAMA),
    "Llama, tied": ("Llama", _LLAMA | {"tie_word_embeddings": True}),
    "Llama, scaled rotary": (
        "Llama",
        _LLAMA
        | {
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 10000.0,
                "factor": 4.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 16,
            }
        },
    ),
    "Mistral": ("Mistral", _LLAMA | {"sliding_window": 8}),
    "Ministral 3": ("Ministral3", _LLAMA | {"head_dim": 8}),
    "Mixtral": ("Mixtral", _LLAMA | _LOCAL),
    "Qwen2": ("Qwen2", _LLAMA),
    "Qwen2-MoE": ("Qwen2Moe", _LLAMA | _EXPERTS | {"shared_expert_intermediate_size": 16}),
    "Qwen3": ("Qwen3", _LLAMA | {"head_dim": 8}),
    "Qwen3-MoE": ("Qwen3Moe", _LLAMA | _EXPERTS | {"head_dim": 8}),
    "Qwen3-Next": ("Qwen3Next", _NEXT | _EXPERTS | {"shared_expert_intermediate_size": 16}),
    "Qwen3.5": ("Qwen3_5", _NEXT),
    "Qwen3.5-MoE": ("Qwen3_5Moe", _NEXT | _EXPERTS | {"shared_expert_intermediate_size": 16}),
    "Gemma": ("Gemma", _LLAMA | {"head_dim": 8}),
    "Gemma 2": ("Gemma2", _LLAMA | {"head_dim": 8, "sliding_window": 8, "query_pre_attn_scalar": 8}),
    "Gemma 3": (
        "Gemma3",
        _LLAMA
        | {
            "head_dim": 8,
            "sliding_window": 8,
            "query_pre_attn_scalar": 8,
            "layer_types": ["sliding_attention", "full_attention"],
        },
    ),
    "Gemma 4": (
        "Gemma4",
        _LLAMA
        | {
            "head_dim": 8,
            "global_head_dim": 8,
            "sliding_window": 8,
            "layer_types": ["sliding_attention", "full_attention"],
            "hidden_size_per_layer_input": 0,
            "num_kv_shared_layers": 0,
        },
    ),
    "VaultGemma": ("VaultGemma", _LLAMA | {"head_dim": 8, "sliding_window": 8, "query_pre_attn_scalar": 8}),
    "Phi": ("Phi", _LLAMA | {"partial_rotary_factor": 0.5}),
    "Phi-3": ("Phi3", _LLAMA),
    "PhiMoE": ("Phimoe", _LLAMA | _LOCAL),
    "OLMo": ("Olmo", _LLAMA),
    "OLMo-2": ("Olmo2", _LLAMA),
    "OLMo-3": (
        "Olmo3",
        _LLAMA | {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]},
    ),
    "OLMoE": ("Olmoe", _LLAMA | {"num_experts": 4, "num_experts_per_tok": 2}),
    "OPT": (
        "OPT",
        {
            "hidden_size": WIDTH,
            "word_embed_proj_dim": WIDTH,
            "ffn_dim": 48,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "max_position_embeddings": CONTEXT,
        },
    ),
    "Bloom": ("Bloom", {"hidden_size": WIDTH, "n_layer": LAYERS, "n_head": HEADS}),
    "Falcon": ("Falcon", _FALCON | {"alibi": False}),
    "Falcon, new decoder": (
        "Falcon",
        _FALCON | {"alibi": False, "new_decoder_architecture": True, "num_kv_heads": 2},
    ),
    "Falcon, ALiBi": ("Falcon", _FALCON | {"alibi": True, "parallel_attn": False}),
    "MPT": (
        "Mpt",
        {"d_model": WIDTH, "n_layers": LAYERS, "n_heads": HEADS, "max_seq_len": CONTEXT, "expansion_ratio": 2},
    ),
    "StableLM": ("StableLm", _LLAMA),
    "StableLM, parallel": ("StableLm", _LLAMA | {"use_parallel_residual": True}),
    "StarCoder2": ("Starcoder2", _LLAMA),
    "Cohere": ("Cohere", _LLAMA),
    "Cohere, query-key norm": ("Cohere", _LLAMA | {"use_qk_norm": True}),
    "Cohere2": (
        "Cohere2",
        _LLAMA | {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]},
    ),
    "HunYuan": ("HunYuanDenseV1", _LLAMA | {"head_dim": 8}),
    "gpt-oss": (
        "GptOss",
        _LLAMA | _LOCAL | {"head_dim": 8, "sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]},
    ),
    "Granite": ("Granite", _LLAMA),
    "GraniteMoE": ("GraniteMoe", _LLAMA | _LOCAL),
    "GLM": ("Glm", _LLAMA | {"head_dim": 8}),
    "GLM-4": ("Glm4", _LLAMA | {"head_dim": 8}),
    "SmolLM3": ("SmolLM3", _LLAMA),
    "Nemotron": ("Nemotron", _LLAMA),
    "Seed-OSS": ("SeedOss", _LLAMA | {"head_dim": 8}),
    "EXAONE 4": (
        "Exaone4",
        _LLAMA | {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]},
    ),
    "ERNIE 4.5": ("Ernie4_5", _LLAMA | {"head_dim": 8}),
    "Arcee": ("Arcee", _LLAMA),
    "Apertus": ("Apertus", _LLAMA),
    "Helium-like LFM2": (
        "Lfm2",
        _LLAMA | {"layer_types": ["conv", "full_attention"], "block_multiple_of": 8, "conv_L_cache": 3},
    ),
    "DeepSeek-V2": (
        "DeepseekV2",
        _LLAMA
        | {
            "num_key_value_heads": HEADS,
            "kv_lora_rank": 16,
            "q_lora_rank": None,
            "qk_nope_head_dim": 8,
            "qk_rope_head_dim": 8,
            "v_head_dim": 8,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "n_shared_experts": 1,
            "moe_intermediate_size": 16,
            "first_k_dense_replace": 1,
            "n_group": 1,
            "topk_group": 1,
        },
    ),
    "DeepSeek-V3": (
        "DeepseekV3",
        _LLAMA
        | {
            "num_key_value_heads": HEADS,
            "kv_lora_rank": 16,
            "q_lora_rank": 16,
            "qk_nope_head_dim": 8,
            "qk_rope_head_dim": 8,
            "v_head_dim": 8,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "n_shared_experts": 1,
            "moe_intermediate_size": 16,
            "first_k_dense_replace": 1,
            "n_group": 1,
            "topk_group": 1,
        },
    ),
    "XGLM": (
        "XGLM",
        {
            "d_model": WIDTH,
            "ffn_dim": 48,
            "num_layers": LAYERS,
            "attention_heads": HEADS,
            "max_position_embeddings": CONTEXT,
        },
    ),
    "Mamba": ("Mamba", _SSM | {"time_step_rank": 4}),
    "Mamba 2": ("Mamba2", _SSM | {"num_heads": 4, "head_dim": 16, "n_groups": 1, "chunk_size": 8}),
    "FalconMamba": ("FalconMamba", _SSM | {"time_step_rank": 4}),
    "RecurrentGemma": (
        "RecurrentGemma",
        _LLAMA | {"lru_width": WIDTH, "attention_window_size": 8, "block_types": ["recurrent", "attention"]},
    ),
    "RWKV": ("Rwkv", {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "context_length": CONTEXT}),
    "Bamba": (
        "Bamba",
        _LLAMA
        | {
            "attn_layer_indices": [1],
            "mamba_n_heads": 4,
            "mamba_d_head": 16,
            "mamba_d_state": 8,
            "mamba_n_groups": 1,
            "mamba_chunk_size": 8,
        },
    ),
    "Jamba": (
        "Jamba",
        _LLAMA
        | {
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "num_experts": 2,
            "num_experts_per_tok": 1,
            "mamba_d_state": 8,
            "mamba_dt_rank": 4,
            "use_mamba_kernels": False,
        },
    ),
}
"""Family -> (prefix of its classes in transformers, settings)."""


def make_tokenizer(bos: bool = True) -> Any:
    """Bytes and their most frequent pairs in a few sentences; 300 ids, BOS only where asked."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    texts = ["the letter said that she was coming home", "he read it twice and began to cry", "joy, fear and anger"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>"] if bos else ["<pad>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    names = {"pad_token": "<pad>", "eos_token": "</s>"} | ({"bos_token": "<s>"} if bos else {})
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=CONTEXT, **names)


def config_and_class(family: str, tokenizer: Any) -> tuple[Any, Callable[[Any], Any]]:
    """The configuration of a tiny model and its class; ImportError where this transformers has none."""
    import transformers

    prefix, options = FAMILIES[family]
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": 0}
    config_name = next(
        (n for n in (f"{prefix}TextConfig", f"{prefix}Config") if hasattr(transformers, n)), f"{prefix}Config"
    )
    class_name = next(
        (n for n in (f"{prefix}ForCausalLM", f"{prefix}LMHeadModel") if hasattr(transformers, n)),
        f"{prefix}ForCausalLM",
    )
    if not (hasattr(transformers, config_name) and hasattr(transformers, class_name)):
        raise ImportError(f"this transformers has no {class_name}")
    config = getattr(transformers, config_name)(vocab_size=len(tokenizer), **{**options, **ids})
    return config, getattr(transformers, class_name)


def make_model(family: str, tokenizer: Any, seed: int = 0) -> Any:
    """A random model of a family, its weights large enough that each layer matters."""
    import torch

    config, model_class = config_and_class(family, tokenizer)
    config._attn_implementation = "eager"
    torch.manual_seed(seed)
    model = model_class(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2 and "conv" not in name and "A_log" not in name:
                parameter.mul_(4.0)
            elif name.endswith("bias") and "dt" not in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
            elif parameter.ndim == 1 and "norm" in name.lower():
                parameter.add_(0.2 * torch.randn_like(parameter))
    # the same end for us and for transformers: none
    model.generation_config.eos_token_id = None
    return model
