"""Tiny models under hub names, and how a case of a release is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emotion_interp.core import Site
from emotion_interp.subjects.sae_choice import SaeChoice
from emotion_interp.subjects.sae_releases import release_of
from tests.families.zoo import WIDTH
from tests.releases.layouts import (
    D_SAE,
    Files,
    Formula,
    arrays,
    as_json,
    as_safetensors,
    dictionary,
    gemma_scope,
    layer_normed,
    llama_scope,
    old_saelens,
    relu,
)

Z = 64
"""Width of the heads together in the tiny Gemmas, which is another than that of the stream, as in most real ones."""


@dataclass(frozen=True)
class Model:
    """A tiny model under a hub name."""

    hub: str
    family: str
    """Of `tests.families.zoo`."""
    depth: int = 2
    bos: bool = True
    settings: dict[str, Any] = field(default_factory=dict)


GPT2 = Model("gpt2", "GPT-2", 9)
PYTHIA = Model("EleutherAI/pythia-70m-deduped", "GPT-NeoX", 4)
MISTRAL = Model("mistralai/Mistral-7B-v0.1", "Mistral", 9)
_HEADS = {"head_dim": 16}
GEMMA_2B, GEMMA_2B_IT = Model("google/gemma-2b", "Gemma", 13), Model("google/gemma-2b-it", "Gemma", 13)
GEMMA_2_2B = Model("google/gemma-2-2b", "Gemma 2", 13, settings=_HEADS)
GEMMA_2_9B = Model("google/gemma-2-9b", "Gemma 2", settings=_HEADS)
GEMMA_2_9B_IT = Model("google/gemma-2-9b-it", "Gemma 2", 10, settings=_HEADS)
GEMMA_2_27B = Model("google/gemma-2-27b", "Gemma 2", 11, settings=_HEADS)
GEMMA_3 = {
    name: Model(f"google/gemma-3-{name}", "Gemma 3", depth, settings=_HEADS)
    for name, depth in (("270m", 6), ("1b-pt", 8), ("4b-it", 10))
}
LLAMA = Model("meta-llama/Llama-3.1-8B", "Llama")
LLAMA_3_IT = Model("meta-llama/Meta-Llama-3-8B-Instruct", "Llama", 26)
LLAMA_31_IT = Model("meta-llama/Llama-3.1-8B-Instruct", "Llama", 20)
LLAMA_33_IT = Model("meta-llama/Llama-3.3-70B-Instruct", "Llama", 51)
R1 = Model("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "Llama", 20)
GPT_OSS = Model("openai/gpt-oss-20b", "gpt-oss", 4)
QWEN_25 = Model("Qwen/Qwen2.5-7B-Instruct", "Qwen2", 4, bos=False)
QWEN_3 = Model("Qwen/Qwen3-1.7B-Base", "Qwen3", bos=False)
QWEN_3_MOE = Model("Qwen/Qwen3-30B-A3B-Base", "Qwen3-MoE", bos=False)
QWEN_35 = Model("Qwen/Qwen3.5-2B-Base", "Qwen3.5", bos=False)


@dataclass(frozen=True)
class Case:
    """One release, of which one SAE is on the disk."""

    release: str
    id: str
    model: Model
    site: Site
    make: Callable[[], tuple[Files, Formula]]
    choose: SaeChoice | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    """Sizes that SAELens' loader has in its code, as overrides of its directory."""
    context_size: int | None = 1024

    @property
    def path(self) -> str:
        return next(entry.path for entry in release_of(self.release).entries if entry.id == self.id)


def jb(model: str, hook: str, transform: Formula | None, **config: Any) -> Callable[[str], tuple[Files, Formula]]:
    return lambda path: old_saelens(path, model, hook, WIDTH, transform, **config)


def case_of(release: str, id: str, model: Model, site: Site, make: Callable[[str], Any], **rest: Any) -> Case:
    path = next(entry.path for entry in release_of(release).entries if entry.id == id)
    return Case(release, id, model, site, lambda: make(path), **rest)


def oai(part: str, kind: str) -> Case:
    release, hook = f"gpt2-small-{part}-v5-32k", f"blocks.1.hook_{kind}"
    config = {"normalize_activations": "layer_norm", "prepend_bos": False, "context_size": 64}
    make = jb("gpt2-small", hook, layer_normed, k=4, **config)
    return case_of(release, hook, GPT2, Site(1, kind), make, context_size=64)


def scope_2(model: Model, part: str, path: str, kind: str, choose: SaeChoice) -> Case:
    size = model.hub.removeprefix("google/gemma-3-")
    release = f"gemma-scope-2-{size if '-' in size else size + '-pt'}-{part}"
    layer = int(path.partition("layer_")[2].partition("_")[0])
    places = {"resid_post": "output", "z": "self_attn.o_proj.input", "mlp_out": "post_feedforward_layernorm.output"}
    told = {"architecture": "jump_relu", "model_name": f"gemma-v3-{size}", "width": D_SAE, "l0": 60}
    told |= {"hf_hook_point_in": f"model.layers.{layer}.{places[kind]}"}
    # the smallest model's repository is also read without its config.json
    config = None if size == "270m" and part == "res" else told
    width = Z if kind == "z" else WIDTH

    def make(path: str) -> tuple[Files, Formula]:
        return gemma_scope(path, width, "params.safetensors", config)

    return case_of(release, path, model, Site(layer, kind), make, choose=choose)


def scope_1(release: str, id: str, model: Model, kind: str, choose: SaeChoice | None = None) -> Case:
    layer, width = int(id.partition("layer_")[2].partition("/")[0]), Z if kind == "z" else WIDTH
    sizes = {"d_in": width, "d_sae": D_SAE}

    def make(path: str) -> tuple[Files, Formula]:
        return gemma_scope(path, width)

    return case_of(release, id, model, Site(layer, kind), make, choose=choose, sizes=sizes)


def llama_case(letter: str, kind: str, size: int) -> Case:
    release, id, hook = f"llama_scope_lx{letter}_{size}x", f"l1{letter}_{size}x", f"blocks.1.hook_{kind}"
    return case_of(
        release, id, LLAMA, Site(1, kind), lambda path: llama_scope(path, hook, WIDTH, factor_of(release, id))
    )


def dictionary_case(
    release: str, id: str, model: Model, layer: int, kind: str, choose: SaeChoice | None = None
) -> Case:
    def make(path: str) -> tuple[Files, Formula]:
        return dictionary(path, model.hub, layer, WIDTH, kind)

    return case_of(release, id, model, Site(layer), make, choose=choose)


def factor_of(release: str, id: str) -> float:
    """The factor of the data set's norm that SAELens' directory has."""
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    return get_pretrained_saes_directory()[release].norm_scaling_factor[id]


def gated_llama(path: str) -> tuple[Files, Formula]:
    w = arrays(WIDTH)
    b_enc = w.pop("b_enc")
    rng = np.random.default_rng(1)
    w |= {"b_mag": b_enc} | {n: rng.normal(size=D_SAE).astype(np.float32) * 0.3 for n in ("b_gate", "r_mag")}
    told = {"architecture": "gated", "model_name": "meta-llama/Meta-Llama-3-8B-Instruct", "d_in": WIDTH, "d_sae": D_SAE}
    told |= {"hook_name": "blocks.25.hook_resid_post", "context_size": 1024, "prepend_bos": True, "dtype": "float32"}

    def formula(x: np.ndarray) -> np.ndarray:
        shared = (x - w["b_dec"]) @ w["W_enc"].astype(np.float64)
        return (shared + w["b_gate"] > 0) * relu(np.exp(w["r_mag"].astype(np.float64)) * shared + w["b_mag"])

    return {f"{path}/cfg.json": as_json(told), f"{path}/sae_weights.safetensors": as_safetensors(w)}, formula


def rescaled(x: np.ndarray) -> np.ndarray:
    return x * (x.shape[-1] ** 0.5 / np.linalg.norm(x, axis=-1, keepdims=True))
