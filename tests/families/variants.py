"""One model in other forms: adapters, quantised weights, half precision, tied and untied embeddings."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from tests.families.cells import family_cells
from tests.families.zoo import make_model

ADAPTED = ("GPT-2", "GPT-NeoX", "Llama", "Qwen2", "Phi-3", "OPT", "Bloom", "Falcon")
"""Families whose attention TransformerLens delegates, and those for which it reads the weights."""


def need(package: str) -> Any:
    """An optional package; ImportError, saying so, where it is not installed."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(f"{package} is not installed") from error


def lora_config() -> Any:
    return need("peft").LoraConfig(
        r=4, lora_alpha=16, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM"
    )


def by_transformers(family: str, tokenizer: Any) -> Any:
    """LoRA through transformers' own `add_adapter`, with weights that matter."""
    import torch

    config = lora_config()
    model = make_model(family, tokenizer)
    torch.manual_seed(1)
    try:
        model.add_adapter(config)
    except ValueError as error:
        # a transformers beyond our bound may ask for a newer peft
        raise ImportError(str(error)) from error
    return model.eval()


def by_peft(family: str, tokenizer: Any) -> Any:
    """LoRA through peft, not merged."""
    import torch

    config = lora_config()
    torch.manual_seed(1)
    return need("peft").get_peft_model(make_model(family, tokenizer), config).eval()


def merged(family: str, tokenizer: Any) -> Any:
    """LoRA through peft, merged into the weights."""
    return by_peft(family, tokenizer).merge_and_unload().eval()


def in_dtype(family: str, tokenizer: Any, name: str) -> Any:
    import torch

    return make_model(family, tokenizer).to(getattr(torch, name))


def eight_bit(family: str, tokenizer: Any, bits: int = 8) -> Any:
    """Linear layers in 8 or 4 bits by bitsandbytes."""
    import torch

    bnb = need("bitsandbytes")
    # four bits come in blocks of 64
    model = make_model(family, tokenizer, **({"hidden_size": 64, "intermediate_size": 64} if bits == 4 else {}))
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and "lm_head" not in name:
            options: dict[str, Any] = {"bias": module.bias is not None}
            kind = bnb.nn.Linear8bitLt if bits == 8 else bnb.nn.Linear4bit
            if bits == 8:
                options |= {"has_fp16_weights": False, "threshold": 6.0}
            new = kind(module.in_features, module.out_features, **options)
            new.load_state_dict(module.state_dict())
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, new.to("cpu"))
    return model.eval()


def torchao_int8(family: str, tokenizer: Any) -> Any:
    """Weights in 8 bits by torchao."""
    quantization = need("torchao.quantization")
    model = make_model(family, tokenizer)
    quantization.quantize_(model, quantization.Int8WeightOnlyConfig())
    return model.eval()


VARIANTS: dict[str, Callable[[Any], Any]] = {
    **{f"{f}, LoRA by transformers": lambda t, f=f: by_transformers(f, t) for f in ADAPTED},
    **{f"{f}, LoRA by peft": lambda t, f=f: by_peft(f, t) for f in ADAPTED},
    "GPT-2, LoRA by peft, merged": lambda t: merged("GPT-2", t),
    "Llama, LoRA by peft, merged": lambda t: merged("Llama", t),
    "Llama, bfloat16": lambda t: in_dtype("Llama", t, "bfloat16"),
    "GPT-2, bfloat16": lambda t: in_dtype("GPT-2", t, "bfloat16"),
    "Llama, float16": lambda t: in_dtype("Llama", t, "float16"),
    "Llama, float64": lambda t: in_dtype("Llama", t, "float64"),
    "Llama, 8 bits by bitsandbytes": lambda t: eight_bit("Llama", t),
    "Llama, 4 bits by bitsandbytes": lambda t: eight_bit("Llama", t, 4),
    "Phi-3, 8 bits by bitsandbytes": lambda t: eight_bit("Phi-3", t),
    "Llama, 8 bits by torchao": lambda t: torchao_int8("Llama", t),
    "GPT-NeoX, 8 bits by torchao": lambda t: torchao_int8("GPT-NeoX", t),
}
"""Name -> the model, from a tokenizer. Untied embeddings and tied ones are among the families ("Llama, tied")."""


def variant_cells(name: str, tokenizer: Any) -> dict[str, str]:
    """The cells of one variant; ImportError where its package is missing."""
    model = VARIANTS[name](tokenizer)
    model.generation_config.eos_token_id = None
    return family_cells(model, tokenizer)
