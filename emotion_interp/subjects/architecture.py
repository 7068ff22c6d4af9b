"""Sizes of a model from its configuration alone: no weights, no network."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.subjects.gguf import known
from emotion_interp.subjects.loading import BUNDLED, bundled_folder
from emotion_interp.subjects.lookup import cache_only, checked_model_name, config_of
from emotion_interp.subjects.named import MODELS

if TYPE_CHECKING:
    from torch import nn

_TIED = ("Gemma", "GPT2", "Bloom", "OPT")
"""Beginnings of architectures that unembed with their embedding, where TransformerLens' table does not say."""
# layers, width, heads, heads of keys, width of a head, of the MLP, rows of the embedding, gated, tied, learned positions
_KNOWN: dict[str, tuple[int, int, int, int, int, int, int, bool, bool, int]] = {
    "gpt2": (12, 768, 12, 12, 64, 3072, 50257, False, True, 1024),
    "gpt2-medium": (24, 1024, 16, 16, 64, 4096, 50257, False, True, 1024),
    "gpt2-large": (36, 1280, 20, 20, 64, 5120, 50257, False, True, 1024),
    "gpt2-xl": (48, 1600, 25, 25, 64, 6400, 50257, False, True, 1024),
    "pythia-70m": (6, 512, 8, 8, 64, 2048, 50304, False, False, 0),
    "pythia-160m": (12, 768, 12, 12, 64, 3072, 50304, False, False, 0),
    "pythia-410m": (24, 1024, 16, 16, 64, 4096, 50304, False, False, 0),
    "pythia-1b": (16, 2048, 8, 8, 256, 8192, 50304, False, False, 0),
    "pythia-1.4b": (24, 2048, 16, 16, 128, 8192, 50304, False, False, 0),
    "pythia-2.8b": (32, 2560, 32, 32, 80, 10240, 50304, False, False, 0),
    "pythia-6.9b": (32, 4096, 32, 32, 128, 16384, 50432, False, False, 0),
    "mistral-7b": (32, 4096, 32, 8, 128, 14336, 32000, True, False, 0),
    "qwen2.5-0.5b": (24, 896, 14, 2, 64, 4864, 151936, True, True, 0),
    "qwen2.5-1.5b": (28, 1536, 12, 2, 128, 8960, 151936, True, True, 0),
    "qwen2.5-3b": (36, 2048, 16, 2, 128, 11008, 151936, True, True, 0),
    "qwen2.5-7b": (28, 3584, 28, 4, 128, 18944, 152064, True, False, 0),
}
"""Sizes of models that TransformerLens asks the hub for."""
_JOINED = {
    "gpt_neox": "query_key_value",
    "bloom": "query_key_value",
    "falcon": "query_key_value",
    "codegen": "qkv_proj",
    "mpt": "Wqkv",
}
"""Types of model whose one matrix of queries, keys and values interleaves their heads, and what it is called.

TransformerLens keeps three matrices sorted by head beside it. Of GPT-2, whose matrix has them one after the other, its
three are views, and cost nothing."""
_INTERLEAVED = ("GPTNeoX", "Bloom", "Falcon", "CodeGen", "MPT")
"""Beginnings of architectures of these types."""


@dataclass(frozen=True)
class Architecture:
    """What memory and time depend on.

    Attributes:
        name: of the model.
        origin: where the sizes were read: "configuration", "TransformerLens" or "table".
        n_layers: blocks.
        d_model: width of the residual stream.
        n_heads: heads of attention.
        d_head: width of a head.
        d_mlp: width of the MLP (of one expert).
        d_vocab: rows of the embedding.
        parameters: all of them, shared ones once.
        layer_parameters: those of all blocks.
        active_parameters: those of all blocks that one token passes through; fewer in a mixture of experts.
        copied_parameters: what TransformerLens keeps beside them: copies of queries, keys and values where the model has
            them interleaved in one matrix, and a bias of the unembedding.
    """

    name: str
    origin: str
    n_layers: int
    d_model: int
    n_heads: int
    d_head: int
    d_mlp: int
    d_vocab: int
    parameters: int
    layer_parameters: int
    active_parameters: int
    copied_parameters: int = 0

    @property
    def held_parameters(self) -> int:
        """All that are in memory once the model is wrapped."""
        return self.parameters + self.copied_parameters

    def width(self, kind: str) -> int:
        """Dimensions of a kind of site."""
        return self.n_heads * self.d_head if kind == "z" else self.d_model

    def reading_flops(self, last_layer: int, length: int) -> float:
        """Operations of reading one token in texts of some length, up to the end of a layer (counted from 0)."""
        layers = last_layer + 1
        weights = 2.0 * self.active_parameters * layers / self.n_layers
        return weights + 4.0 * self.n_heads * self.d_head * length * layers


def architecture_of(name: str | Path | None = None) -> Architecture:
    """Sizes of a model: from its configuration where that is in a folder or the local cache, else as TransformerLens has them.

    Args:
        name: as of `load_subject`; None is the bundled subject.

    Raises:
        EmotionInterpError: nothing here knows the model.

    Example:
        >>> architecture_of().n_layers
        4
    """
    place, shown = _place(name)
    told = config_of(place)
    if told:
        try:
            return _from_configuration(place, shown)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise EmotionInterpError(f"the configuration of {shown} cannot be read ({first[:160]}).") from error
    try:
        return _from_transformer_lens(place, shown)
    except Exception as error:
        # whatever its table of names and the readers behind it raise for a name that only the network knows
        raise EmotionInterpError(
            f"the sizes of {shown!r} are not known here: its configuration is neither a folder nor in the local cache, and "
            "TransformerLens has no table of it. Give a folder with config.json, or download the configuration once."
        ) from error


def place_of(name: str | Path | None) -> str:
    """Where the configuration of a model may lie: a folder, or a name on the hub."""
    return _place(name)[0]


def _place(name: str | Path | None) -> tuple[str, str]:
    """Where a configuration may lie, and what the model is called."""
    if name is None or str(name) == BUNDLED:
        return str(bundled_folder() / "model"), BUNDLED
    text = checked_model_name(str(name))
    model = MODELS.get(text.lower())
    if model is not None and not Path(text).exists():
        folder = known(model.sha256)
        return (model.hub if folder is None or config_of(model.hub) else str(folder)), model.name
    return text, Path(text).name if Path(text).is_dir() else text


def _from_configuration(place: str, shown: str) -> Architecture:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(place, local_files_only=True).get_text_config()
    n_layers, d_model = int(config.num_hidden_layers), int(config.hidden_size)
    # a recurrent model has none
    n_heads = int(_get(config, "num_attention_heads") or 0)
    # on the meta device a model has shapes and no memory
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    blocks = [
        m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == n_layers and _holds_blocks(m)
    ]
    layers = sum(p.numel() for p in blocks[0].parameters()) if blocks else sum(p.numel() for p in model.parameters())
    experts = sum(p.numel() for n, p in model.named_parameters() if ".experts." in n)
    n_experts = next((int(n) for n in (_get(config, k) for k in ("num_local_experts", "num_experts")) if n), 1)
    chosen = int(_get(config, "num_experts_per_tok") or n_experts)
    joined = _JOINED.get(str(_get(config, "model_type")), "")
    copied = sum(p.numel() for n, p in model.named_parameters() if joined and f".{joined}." in n)
    head = model.get_output_embeddings()
    if head is not None and getattr(head, "bias", None) is None:
        copied += int(config.vocab_size)
    inner = next((n for n in (_get(config, k) for k in ("intermediate_size", "n_inner", "ffn_dim")) if n), 4 * d_model)
    return Architecture(
        name=shown,
        origin="configuration",
        n_layers=n_layers,
        d_model=d_model,
        n_heads=n_heads,
        d_head=int(_get(config, "head_dim") or d_model // n_heads) if n_heads else 0,
        d_mlp=int(inner[0] if isinstance(inner, (list, tuple)) else inner),
        d_vocab=int(config.vocab_size),
        # tied weights are one parameter
        parameters=sum(p.numel() for p in model.parameters()),
        layer_parameters=layers,
        active_parameters=layers - experts + experts * chosen // n_experts,
        copied_parameters=copied,
    )


def _get(config: object, name: str) -> Any:
    # some configurations raise for what they have per layer
    try:
        return getattr(config, name, None)
    except Exception:
        return None


def _holds_blocks(modules: Iterable[nn.Module]) -> bool:
    return all(any(True for _ in module.parameters()) for module in modules)


def _from_transformer_lens(name: str, shown: str) -> Architecture:
    short = name.lower().rpartition("/")[2]
    known_name = next(
        (k for k in sorted(_KNOWN, key=len, reverse=True) if re.fullmatch(rf"{re.escape(k)}(-.*)?", short)), None
    )
    if known_name is not None:
        return _of_table(shown, "table", *_KNOWN[known_name], interleaved=known_name.startswith("pythia"))
    # TransformerLens 4 has no such tables
    from transformer_lens.loading_from_pretrained import convert_hf_model_config

    with cache_only():
        table = convert_hf_model_config(name)
    architecture = str(table.get("original_architecture", ""))
    learned = table.get("positional_embedding_type", "standard") == "standard"
    found = _of_table(
        shown,
        "TransformerLens",
        int(table["n_layers"]),
        int(table["d_model"]),
        int(table["n_heads"]),
        int(table.get("n_key_value_heads") or table["n_heads"]),
        int(table["d_head"]),
        int(table["d_mlp"]),
        int(table["d_vocab"]),
        bool(table.get("gated_mlp")),
        architecture.startswith(_TIED),
        int(table["n_ctx"]) if learned else 0,
        interleaved=architecture.startswith(_INTERLEAVED),
    )
    n_experts = int(table.get("num_experts") or 1)
    if n_experts == 1:
        return found
    expert = found.n_layers * found.d_model * found.d_mlp * (3 if table.get("gated_mlp") else 2)
    chosen = int(table.get("experts_per_token") or n_experts)
    return replace(
        found,
        parameters=found.parameters + (n_experts - 1) * expert,
        layer_parameters=found.layer_parameters + (n_experts - 1) * expert,
        active_parameters=found.layer_parameters + (chosen - 1) * expert,
    )


def _of_table(
    name: str,
    origin: str,
    n_layers: int,
    d_model: int,
    n_heads: int,
    n_keys: int,
    d_head: int,
    d_mlp: int,
    d_vocab: int,
    gated: bool,
    tied: bool,
    positions: int,
    interleaved: bool = False,
) -> Architecture:
    """Parameters by what a block is made of: attention, MLP, norms (and biases, which weigh as little)."""
    attention = d_model * d_head * (2 * n_heads + 2 * n_keys)
    mlp = d_model * d_mlp * (3 if gated else 2)
    layers = n_layers * (attention + mlp + 4 * d_model)
    embeddings = d_vocab * d_model * (1 if tied else 2) + positions * d_model
    copied = d_vocab + (n_layers * d_model * d_head * (n_heads + 2 * n_keys) if interleaved else 0)
    every = layers + embeddings
    return Architecture(name, origin, n_layers, d_model, n_heads, d_head, d_mlp, d_vocab, every, layers, layers, copied)
