"""One case for each family of releases in SAELens' directory: the subject's tiny model, the files, the formula."""

from __future__ import annotations

from emotion_interp.core import Site
from emotion_interp.subjects.sae_choice import SaeChoice
from tests.families.zoo import WIDTH
from tests.releases.layouts import D_SAE, centred, heads_of_gpt2, linear_layers, llama_scope_r1, new_saelens, qwen_scope
from tests.releases.makers import (
    GEMMA_2_2B,
    GEMMA_2_9B,
    GEMMA_2_9B_IT,
    GEMMA_2_27B,
    GEMMA_2B,
    GEMMA_2B_IT,
    GEMMA_3,
    GPT2,
    GPT_OSS,
    LLAMA_3_IT,
    LLAMA_31_IT,
    LLAMA_33_IT,
    MISTRAL,
    PYTHIA,
    QWEN_3,
    QWEN_3_MOE,
    QWEN_25,
    QWEN_35,
    R1,
    Case,
    Model,
    case_of,
    dictionary_case,
    factor_of,
    gated_llama,
    jb,
    llama_case,
    oai,
    rescaled,
    scope_1,
    scope_2,
)

_AVERAGE = {"normalize_activations": "expected_average_only_in"}
_TM, _2B = "gpt2-small-mlp-tm", "gemma-2b-res-jb"
_HOOK_Z = "blocks.1.hook_z"
_GOODFIRE = {"d_in": WIDTH, "d_sae": D_SAE}
_WIDE = SaeChoice(width="16k", l0="medium")


def goodfire_case(release: str, model: Model, layer: int) -> Case:
    """Linear layers under names of their own, one SAE to a release."""
    return case_of(
        release,
        f"layer_{layer}",
        model,
        Site(layer),
        lambda path: linear_layers(path, WIDTH, "encoder_linear", "decoder_linear"),
        sizes=_GOODFIRE,
        context_size=None,
    )


CASES = [
    case_of(
        "gpt2-small-res-jb",
        "blocks.1.hook_resid_pre",
        GPT2,
        Site(1, "resid_pre"),
        jb("gpt2-small", "blocks.1.hook_resid_pre", centred),
        context_size=128,
    ),
    case_of(
        "gpt2-small-res-jb-feature-splitting",
        "blocks.8.hook_resid_pre_1536",
        GPT2,
        Site(8, "resid_pre"),
        jb("gpt2-small", "blocks.8.hook_resid_pre", centred),
        choose=SaeChoice(width=1536),
        context_size=128,
    ),
    oai("resid-post", "resid_post"),
    oai("resid-mid", "resid_mid"),
    oai("attn-out", "attn_out"),
    oai("mlp-out", "mlp_out"),
    case_of(
        _TM,
        "blocks.1.hook_mlp_out",
        GPT2,
        Site(1, "mlp_out"),
        jb(
            "gpt2-small",
            "blocks.1.hook_mlp_out",
            lambda x: centred(x) * factor_of(_TM, "blocks.1.hook_mlp_out"),
            **_AVERAGE,
        ),
        context_size=128,
    ),
    case_of(
        "gpt2-small-res_sce-ajt",
        "blocks.2.hook_resid_pre",
        GPT2,
        Site(2, "resid_pre"),
        jb("gpt2-small", "blocks.2.hook_resid_pre", None),
        context_size=128,
    ),
    case_of(
        "gpt2-small-hook-z-kk",
        _HOOK_Z,
        GPT2,
        Site(1, "z"),
        lambda path: heads_of_gpt2(path, "blocks.1.attn.hook_z", WIDTH),
        context_size=128,
    ),
    scope_1(
        "gemma-scope-2b-pt-res-canonical",
        "layer_0/width_16k/canonical",
        GEMMA_2_2B,
        "resid_post",
        SaeChoice(width="16k"),
    ),
    scope_1(
        "gemma-scope-2b-pt-res",
        "layer_0/width_16k/average_l0_105",
        GEMMA_2_2B,
        "resid_post",
        SaeChoice(width="16k", l0=100),
    ),
    scope_1(
        "gemma-scope-2b-pt-att-canonical",
        "layer_1/width_16k/canonical",
        GEMMA_2_2B,
        "z",
        SaeChoice(width="16k"),
    ),
    scope_1(
        "gemma-scope-2b-pt-mlp-canonical",
        "layer_1/width_16k/canonical",
        GEMMA_2_2B,
        "mlp_out",
        SaeChoice(ids=["layer_1/width_16k/canonical"]),
    ),
    scope_1(
        "gemma-scope-9b-pt-res-canonical",
        "layer_0/width_16k/canonical",
        GEMMA_2_9B,
        "resid_post",
        SaeChoice(width="16k"),
    ),
    scope_1(
        "gemma-scope-9b-it-res-canonical",
        "layer_9/width_131k/canonical",
        GEMMA_2_9B_IT,
        "resid_post",
        SaeChoice(width="131k"),
    ),
    scope_1("gemma-scope-27b-pt-res-canonical", "layer_10/width_131k/canonical", GEMMA_2_27B, "resid_post"),
    scope_2(GEMMA_3["270m"], "res", "layer_5_width_16k_l0_medium", "resid_post", _WIDE),
    scope_2(GEMMA_3["270m"], "res-all", "layer_0_width_16k_l0_small", "resid_post", SaeChoice(width="16k", l0="small")),
    scope_2(GEMMA_3["270m"], "att-all", "layer_1_width_16k_l0_big", "z", SaeChoice(width="16k", l0="big")),
    scope_2(GEMMA_3["270m"], "mlp-all", "layer_1_width_16k_l0_big", "mlp_out", SaeChoice(width="16k", l0="big")),
    scope_2(GEMMA_3["1b-pt"], "res", "layer_7_width_16k_l0_medium", "resid_post", _WIDE),
    scope_2(GEMMA_3["1b-pt"], "att", "layer_7_width_16k_l0_medium", "z", _WIDE),
    scope_2(GEMMA_3["4b-it"], "res", "layer_9_width_16k_l0_medium", "resid_post", _WIDE),
    llama_case("r", "resid_post", 8),
    llama_case("r", "resid_post", 32),
    llama_case("a", "attn_out", 8),
    llama_case("a", "attn_out", 32),
    llama_case("m", "mlp_out", 8),
    llama_case("m", "mlp_out", 32),
    case_of(
        "llama_scope_r1_distill",
        "l1r_800m_openr1_math",
        R1,
        Site(1),
        lambda path: llama_scope_r1(
            path, "blocks.1.hook_resid_post", WIDTH, factor_of("llama_scope_r1_distill", "l1r_800m_openr1_math")
        ),
        choose=SaeChoice(ids=["l1r_800m_openr1_math"]),
    ),
    case_of("llama-3-8b-it-res-jh", "blocks.25.hook_resid_post", LLAMA_3_IT, Site(25), gated_llama),
    dictionary_case("llama-3.1-8b-instruct-andyrdt", "resid_post_layer_3_trainer_1", LLAMA_31_IT, 3, "BatchTopKSAE"),
    dictionary_case("qwen2.5-7b-instruct-andyrdt", "resid_post_layer_3_trainer_1", QWEN_25, 3, "BatchTopKSAE"),
    dictionary_case("gpt-oss-20b-andyrdt", "resid_post_layer_3_trainer_0", GPT_OSS, 3, "BatchTopKSAE"),
    goodfire_case("goodfire-llama-3.1-8b-instruct", LLAMA_31_IT, 19),
    goodfire_case("goodfire-llama-3.3-70b-instruct", LLAMA_33_IT, 50),
    case_of(
        "deepseek-r1-distill-llama-8b-qresearch",
        "blocks.19.hook_resid_post",
        R1,
        Site(19),
        lambda path: linear_layers(path, WIDTH, "encoder", "decoder"),
        sizes=_GOODFIRE,
    ),
    *(
        case_of(
            release, "layer1", model, Site(1), lambda path: qwen_scope(path, WIDTH, 50), sizes=_GOODFIRE | {"d_sae": 64}
        )
        for release, model in (
            ("qwen-scope-3-1.7b-base-w32k-l50", QWEN_3),
            ("qwen-scope-3-30b-a3b-base-w32k-l50", QWEN_3_MOE),
            ("qwen-scope-3.5-2b-base-w32k-l50", QWEN_35),
        )
    ),
    case_of(
        "mistral-7b-res-wg",
        "blocks.8.hook_resid_pre",
        MISTRAL,
        Site(8, "resid_pre"),
        jb("mistral-7b", "blocks.8.hook_resid_pre", rescaled, context_size=256),
        context_size=256,
    ),
    *(
        case_of(
            f"pythia-70m-deduped-{part}-sm",
            f"blocks.1.hook_{kind}",
            PYTHIA,
            Site(1, kind),
            jb("pythia-70m-deduped", f"blocks.1.hook_{kind}", None),
            context_size=128,
        )
        for part, kind in (("res", "resid_post"), ("att", "attn_out"), ("mlp", "mlp_out"))
    ),
    *(
        dictionary_case(release, id, model, layer, kind, SaeChoice(ids=[id]))
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
    case_of(
        "gemma-2-2b-res-matryoshka-dc",
        "blocks.1.hook_resid_post",
        GEMMA_2_2B,
        Site(1),
        lambda path: new_saelens(path, "gemma-2-2b", "blocks.1.hook_resid_post", WIDTH),
    ),
    case_of(
        "gemma-3-1b-res-matryoshka-dc",
        "blocks.1.hook_resid_post",
        GEMMA_3["1b-pt"],
        Site(1),
        lambda path: new_saelens(path, "google/gemma-3-1b-pt", "blocks.1.hook_resid_post", WIDTH),
    ),
    case_of(
        _2B,
        "blocks.12.hook_resid_post",
        GEMMA_2B,
        Site(12),
        jb(
            "gemma-2b",
            "blocks.12.hook_resid_post",
            lambda x: x * factor_of(_2B, "blocks.12.hook_resid_post"),
            context_size=1024,
            **_AVERAGE,
        ),
    ),
    case_of(
        "gemma-2b-it-res-jb",
        "blocks.12.hook_resid_post",
        GEMMA_2B_IT,
        Site(12),
        jb("gemma-2b-it", "blocks.12.hook_resid_post", None, context_size=1024),
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
