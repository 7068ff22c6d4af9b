"""One case for each family of releases in SAELens' directory: the subject's tiny model, the files, the formula."""

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
    centred,
    dictionary,
    gemma_scope,
    heads_of_gpt2,
    layer_normed,
    linear_layers,
    llama_scope,
    llama_scope_r1,
    new_saelens,
    old_saelens,
    qwen_scope,
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


def _jb(model: str, hook: str, transform: Formula | None, **config: Any) -> Callable[[str], tuple[Files, Formula]]:
    return lambda path: old_saelens(path, model, hook, WIDTH, transform, **config)


def _case(release: str, id: str, model: Model, site: Site, make: Callable[[str], Any], **rest: Any) -> Case:
    path = next(entry.path for entry in release_of(release).entries if entry.id == id)
    return Case(release, id, model, site, lambda: make(path), **rest)


def _oai(part: str, kind: str) -> Case:
    release, hook = f"gpt2-small-{part}-v5-32k", f"blocks.1.hook_{kind}"
    config = {"normalize_activations": "layer_norm", "prepend_bos": False, "context_size": 64}
    make = _jb("gpt2-small", hook, layer_normed, k=4, **config)
    return _case(release, hook, GPT2, Site(1, kind), make, context_size=64)


def _scope_2(model: Model, part: str, path: str, kind: str, choose: SaeChoice) -> Case:
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

    return _case(release, path, model, Site(layer, kind), make, choose=choose)


def _scope_1(release: str, id: str, model: Model, kind: str, choose: SaeChoice | None = None) -> Case:
    layer, width = int(id.partition("layer_")[2].partition("/")[0]), Z if kind == "z" else WIDTH
    sizes = {"d_in": width, "d_sae": D_SAE}

    def make(path: str) -> tuple[Files, Formula]:
        return gemma_scope(path, width)

    return _case(release, id, model, Site(layer, kind), make, choose=choose, sizes=sizes)


def _llama(letter: str, kind: str, size: int) -> Case:
    release, id, hook = f"llama_scope_lx{letter}_{size}x", f"l1{letter}_{size}x", f"blocks.1.hook_{kind}"
    return _case(release, id, LLAMA, Site(1, kind), lambda path: llama_scope(path, hook, WIDTH, factor_of(release, id)))


def _dictionary(release: str, id: str, model: Model, layer: int, kind: str, choose: SaeChoice | None = None) -> Case:
    def make(path: str) -> tuple[Files, Formula]:
        return dictionary(path, model.hub, layer, WIDTH, kind)

    return _case(release, id, model, Site(layer), make, choose=choose)


def factor_of(release: str, id: str) -> float:
    """The factor of the data set's norm that SAELens' directory has."""
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    return get_pretrained_saes_directory()[release].norm_scaling_factor[id]


def _gated(path: str) -> tuple[Files, Formula]:
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


def _rescaled(x: np.ndarray) -> np.ndarray:
    return x * (x.shape[-1] ** 0.5 / np.linalg.norm(x, axis=-1, keepdims=True))


_AVERAGE = {"normalize_activations": "expected_average_only_in"}
_TM, _2B = "gpt2-small-mlp-tm", "gemma-2b-res-jb"
_HOOK_Z = "blocks.1.hook_z"
_GOODFIRE = {"d_in": WIDTH, "d_sae": D_SAE}
_WIDE = SaeChoice(width="16k", l0="medium")

CASES = [
    _case(
        "gpt2-small-res-jb",
        "blocks.1.hook_resid_pre",
        GPT2,
        Site(1, "resid_pre"),
        _jb("gpt2-small", "blocks.1.hook_resid_pre", centred),
        context_size=128,
    ),
    _case(
        "gpt2-small-res-jb-feature-splitting",
        "blocks.8.hook_resid_pre_1536",
        GPT2,
        Site(8, "resid_pre"),
        _jb("gpt2-small", "blocks.8.hook_resid_pre", centred),
        choose=SaeChoice(width=1536),
        context_size=128,
    ),
    _oai("resid-post", "resid_post"),
    _oai("resid-mid", "resid_mid"),
    _oai("attn-out", "attn_out"),
    _oai("mlp-out", "mlp_out"),
    _case(
        _TM,
        "blocks.1.hook_mlp_out",
        GPT2,
        Site(1, "mlp_out"),
        _jb(
            "gpt2-small",
            "blocks.1.hook_mlp_out",
            lambda x: centred(x) * factor_of(_TM, "blocks.1.hook_mlp_out"),
            **_AVERAGE,
        ),
        context_size=128,
    ),
    _case(
        "gpt2-small-res_sce-ajt",
        "blocks.2.hook_resid_pre",
        GPT2,
        Site(2, "resid_pre"),
        _jb("gpt2-small", "blocks.2.hook_resid_pre", None),
        context_size=128,
    ),
    _case(
        "gpt2-small-hook-z-kk",
        _HOOK_Z,
        GPT2,
        Site(1, "z"),
        lambda path: heads_of_gpt2(path, "blocks.1.attn.hook_z", WIDTH),
        context_size=128,
    ),
    _scope_1(
        "gemma-scope-2b-pt-res-canonical",
        "layer_0/width_16k/canonical",
        GEMMA_2_2B,
        "resid_post",
        SaeChoice(width="16k"),
    ),
    _scope_1(
        "gemma-scope-2b-pt-res",
        "layer_0/width_16k/average_l0_105",
        GEMMA_2_2B,
        "resid_post",
        SaeChoice(width="16k", l0=100),
    ),
    _scope_1(
        "gemma-scope-2b-pt-att-canonical",
        "layer_1/width_16k/canonical",
        GEMMA_2_2B,
        "z",
        SaeChoice(width="16k"),
    ),
    _scope_1(
        "gemma-scope-2b-pt-mlp-canonical",
        "layer_1/width_16k/canonical",
        GEMMA_2_2B,
        "mlp_out",
        SaeChoice(ids=["layer_1/width_16k/canonical"]),
    ),
    _scope_1(
        "gemma-scope-9b-pt-res-canonical",
        "layer_0/width_16k/canonical",
        GEMMA_2_9B,
        "resid_post",
        SaeChoice(width="16k"),
    ),
    _scope_1(
        "gemma-scope-9b-it-res-canonical",
        "layer_9/width_131k/canonical",
        GEMMA_2_9B_IT,
        "resid_post",
        SaeChoice(width="131k"),
    ),
    _scope_1("gemma-scope-27b-pt-res-canonical", "layer_10/width_131k/canonical", GEMMA_2_27B, "resid_post"),
    _scope_2(GEMMA_3["270m"], "res", "layer_5_width_16k_l0_medium", "resid_post", _WIDE),
    _scope_2(
        GEMMA_3["270m"], "res-all", "layer_0_width_16k_l0_small", "resid_post", SaeChoice(width="16k", l0="small")
    ),
    _scope_2(GEMMA_3["270m"], "att-all", "layer_1_width_16k_l0_big", "z", SaeChoice(width="16k", l0="big")),
    _scope_2(GEMMA_3["270m"], "mlp-all", "layer_1_width_16k_l0_big", "mlp_out", SaeChoice(width="16k", l0="big")),
    _scope_2(GEMMA_3["1b-pt"], "res", "layer_7_width_16k_l0_medium", "resid_post", _WIDE),
    _scope_2(GEMMA_3["1b-pt"], "att", "layer_7_width_16k_l0_medium", "z", _WIDE),
    _scope_2(GEMMA_3["4b-it"], "res", "layer_9_width_16k_l0_medium", "resid_post", _WIDE),
    _llama("r", "resid_post", 8),
    _llama("r", "resid_post", 32),
    _llama("a", "attn_out", 8),
    _llama("a", "attn_out", 32),
    _llama("m", "mlp_out", 8),
    _llama("m", "mlp_out", 32),
    _case(
        "llama_scope_r1_distill",
        "l1r_800m_openr1_math",
        R1,
        Site(1),
        lambda path: llama_scope_r1(
            path, "blocks.1.hook_resid_post", WIDTH, factor_of("llama_scope_r1_distill", "l1r_800m_openr1_math")
        ),
        choose=SaeChoice(ids=["l1r_800m_openr1_math"]),
    ),
    _case("llama-3-8b-it-res-jh", "blocks.25.hook_resid_post", LLAMA_3_IT, Site(25), _gated),
    _dictionary("llama-3.1-8b-instruct-andyrdt", "resid_post_layer_3_trainer_1", LLAMA_31_IT, 3, "BatchTopKSAE"),
    _dictionary("qwen2.5-7b-instruct-andyrdt", "resid_post_layer_3_trainer_1", QWEN_25, 3, "BatchTopKSAE"),
    _dictionary("gpt-oss-20b-andyrdt", "resid_post_layer_3_trainer_0", GPT_OSS, 3, "BatchTopKSAE"),
    _case(
        "goodfire-llama-3.1-8b-instruct",
        "layer_19",
        LLAMA_31_IT,
        Site(19),
        lambda path: linear_layers(path, WIDTH, "encoder_linear", "decoder_linear"),
        sizes=_GOODFIRE,
        context_size=None,
    ),
    _case(
        "goodfire-llama-3.3-70b-instruct",
        "layer_50",
        LLAMA_33_IT,
        Site(50),
        lambda path: linear_layers(path, WIDTH, "encoder_linear", "decoder_linear"),
        sizes=_GOODFIRE,
        context_size=None,
    ),
    _case(
        "deepseek-r1-distill-llama-8b-qresearch",
        "blocks.19.hook_resid_post",
        R1,
        Site(19),
        lambda path: linear_layers(path, WIDTH, "encoder", "decoder"),
        sizes=_GOODFIRE,
    ),
    *(
        _case(
            release, "layer1", model, Site(1), lambda path: qwen_scope(path, WIDTH, 50), sizes=_GOODFIRE | {"d_sae": 64}
        )
        for release, model in (
            ("qwen-scope-3-1.7b-base-w32k-l50", QWEN_3),
            ("qwen-scope-3-30b-a3b-base-w32k-l50", QWEN_3_MOE),
            ("qwen-scope-3.5-2b-base-w32k-l50", QWEN_35),
        )
    ),
    _case(
        "mistral-7b-res-wg",
        "blocks.8.hook_resid_pre",
        MISTRAL,
        Site(8, "resid_pre"),
        _jb("mistral-7b", "blocks.8.hook_resid_pre", _rescaled, context_size=256),
        context_size=256,
    ),
    *(
        _case(
            f"pythia-70m-deduped-{part}-sm",
            f"blocks.1.hook_{kind}",
            PYTHIA,
            Site(1, kind),
            _jb("pythia-70m-deduped", f"blocks.1.hook_{kind}", None),
            context_size=128,
        )
        for part, kind in (("res", "resid_post"), ("att", "attn_out"), ("mlp", "mlp_out"))
    ),
    *(
        _dictionary(release, id, model, layer, kind, SaeChoice(ids=[id]))
        for release, id, model, layer, kind in (
            (
                "sae_bench_gemma-2-2b_topk_width-2pow12_date-1109",
                "blocks.5.hook_resid_post__trainer_0",
                GEMMA_2_2B,
                5,
                "AutoEncoderTopK",
            ),
            (
                "sae_bench_gemma-2-2b_vanilla_width-2pow12_date-1109",
                "blocks.5.hook_resid_post__trainer_0",
                GEMMA_2_2B,
                5,
                "AutoEncoder",
            ),
            (
                "sae_bench_pythia70m_sweep_gated_ctx128_0730",
                "blocks.3.hook_resid_post__trainer_0",
                PYTHIA,
                3,
                "GatedAutoEncoder",
            ),
            (
                "sae_bench_pythia70m_sweep_panneal_ctx128_0730",
                "blocks.3.hook_resid_post__trainer_0",
                PYTHIA,
                3,
                "AutoEncoder",
            ),
            (
                "saebench_gemma-2-2b_width-2pow12_date-0108",
                "blocks.12.hook_resid_post__trainer_0",
                GEMMA_2_2B,
                12,
                "MatryoshkaBatchTopKSAE",
            ),
        )
    ),
    _case(
        "gemma-2-2b-res-matryoshka-dc",
        "blocks.1.hook_resid_post",
        GEMMA_2_2B,
        Site(1),
        lambda path: new_saelens(path, "gemma-2-2b", "blocks.1.hook_resid_post", WIDTH),
    ),
    _case(
        "gemma-3-1b-res-matryoshka-dc",
        "blocks.1.hook_resid_post",
        GEMMA_3["1b-pt"],
        Site(1),
        lambda path: new_saelens(path, "google/gemma-3-1b-pt", "blocks.1.hook_resid_post", WIDTH),
    ),
    _case(
        _2B,
        "blocks.12.hook_resid_post",
        GEMMA_2B,
        Site(12),
        _jb(
            "gemma-2b",
            "blocks.12.hook_resid_post",
            lambda x: x * factor_of(_2B, "blocks.12.hook_resid_post"),
            context_size=1024,
            **_AVERAGE,
        ),
    ),
    _case(
        "gemma-2b-it-res-jb",
        "blocks.12.hook_resid_post",
        GEMMA_2B_IT,
        Site(12),
        _jb("gemma-2b-it", "blocks.12.hook_resid_post", None, context_size=1024),
    ),
]

REFUSED = (
    "gemma-scope-2b-pt-transcoders",
    "gemma-scope-2-270m-pt-transcoders",
    "mwhanna-qwen3-4b-transcoders",
    "mntss-gemma-2-2b-2.5m-clt-as-per-layer",
    "temporal-sae-gemma-2-2b",
)
"""One release of each loader whose SAEs cannot be read."""
