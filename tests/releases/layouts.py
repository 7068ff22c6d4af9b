"""Tiny files in the true layout of each family of releases, and what their encoders compute, written by hand on the raw arrays."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np

Files = dict[str, bytes]
Formula = Callable[[np.ndarray], np.ndarray]
"""[token, d_in] -> [token, d_sae], in float64."""

D_SAE = 48


def arrays(d_in: int, d_sae: int = D_SAE, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights in SAELens' shapes; the biases are no zeros, so that a forgotten one shows."""
    rng = np.random.default_rng(seed)
    shapes = {"W_enc": (d_in, d_sae), "W_dec": (d_sae, d_in), "b_enc": (d_sae,), "b_dec": (d_in,)}
    return {name: rng.normal(size=shape).astype(np.float32) * 0.4 for name, shape in shapes.items()}


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def jumprelu(x: np.ndarray, threshold: Any) -> np.ndarray:
    return x * (x > threshold)


def topk(x: np.ndarray, k: int) -> np.ndarray:
    least = np.sort(x, axis=-1)[..., -k][..., None]
    return relu(x) * (x >= least)


def pre(w: dict[str, np.ndarray], x: np.ndarray, less_b_dec: bool = True) -> np.ndarray:
    x = x - w["b_dec"].astype(np.float64) if less_b_dec else x
    return x @ w["W_enc"].astype(np.float64) + w["b_enc"]


def centred(x: np.ndarray) -> np.ndarray:
    return x - x.mean(-1, keepdims=True)


def layer_normed(x: np.ndarray) -> np.ndarray:
    x = centred(x)
    return x / (x.std(-1, ddof=1, keepdims=True) + 1e-5)


# -- files --------------------------------------------------------------------------------------------------------------
def as_safetensors(tensors: dict[str, np.ndarray]) -> bytes:
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(array) for name, array in tensors.items()})


def as_torch(tensors: dict[str, Any]) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save({name: torch.from_numpy(np.array(array)) for name, array in tensors.items()}, buffer)
    return buffer.getvalue()


def as_npz(tensors: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **tensors)  # pyright: ignore[reportArgumentType]
    return buffer.getvalue()


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def old_saelens(
    path: str, model: str, hook: str, d_in: int, transform: Formula | None = None, k: int | None = None, **config: Any
) -> tuple[Files, Formula]:
    """SAELens before version 6: the hook is a `hook_point`, the activation function a text."""
    w = arrays(d_in)
    told: dict[str, Any] = {"model_name": model, "hook_point": hook, "d_in": d_in, "d_sae": D_SAE}
    told |= {"context_size": 128, "dtype": "torch.float32", "device": "cpu", "prepend_bos": True}
    if k is not None:
        told |= {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": k}}
    files = {f"{path}/cfg.json": as_json(told | config), f"{path}/sae_weights.safetensors": as_safetensors(w)}

    def formula(x: np.ndarray) -> np.ndarray:
        before = pre(w, x if transform is None else transform(x))
        return relu(before) if k is None else topk(before, k)

    return files, formula


def new_saelens(path: str, model: str, hook: str, d_in: int) -> tuple[Files, Formula]:
    """SAELens 6, a BatchTopK SAE saved for inference: jumprelu."""
    w = arrays(d_in)
    w["threshold"] = np.linspace(0.1, 1.5, D_SAE).astype(np.float32)
    metadata = {"model_name": model, "hook_name": hook, "context_size": 1024, "prepend_bos": True}
    metadata |= {"sae_lens_version": "6.5.1", "sae_lens_training_version": "6.5.1"}
    told = {"architecture": "jumprelu", "d_in": d_in, "d_sae": D_SAE, "dtype": "float32", "device": "cpu"}
    told |= {"apply_b_dec_to_input": True, "normalize_activations": "none", "reshape_activations": "none"}
    files = {
        f"{path}/cfg.json": as_json(told | {"metadata": metadata}),
        f"{path}/sae_weights.safetensors": as_safetensors(w),
    }
    return files, lambda x: jumprelu(pre(w, x), w["threshold"])


def heads_of_gpt2(path: str, hook: str, d_in: int) -> tuple[Files, Formula]:
    """Attention SAEs of Kissane and others: a torch file, its settings beside it."""
    w = arrays(d_in)
    told = {"act_size": d_in, "dict_size": D_SAE, "act_name": hook}
    return {path: as_torch(w), f"{path.split('.pt')[0]}_cfg.json": as_json(told)}, lambda x: relu(pre(w, x))


def gemma_scope(path: str, d_in: int, file: str = "params.npz", config: Any = None) -> tuple[Files, Formula]:
    """Gemma Scope (npz, W_enc) and Gemma Scope 2 (safetensors, w_enc)."""
    w = arrays(d_in)
    w["threshold"] = np.linspace(0.1, 1.5, D_SAE).astype(np.float32)
    if file == "params.npz":
        files = {f"{path}/{file}": as_npz(w)}
    else:
        files = {f"{path}/{file}": as_safetensors({name.replace("W_", "w_"): array for name, array in w.items()})}
    if config is not None:
        files[f"{path}/config.json"] = as_json(config)
    return files, lambda x: jumprelu(pre(w, x, less_b_dec=False), w["threshold"])


def llama_scope(path: str, hook: str, d_in: int, factor: float) -> tuple[Files, Formula]:
    """OpenMOSS' first layout; the threshold is in units of the raw stream, the weights in those of the scaled one."""
    w = arrays(d_in)
    threshold = 0.8 / factor
    told = {"d_model": d_in, "d_sae": D_SAE, "hook_point_in": hook, "hook_point_out": hook, "act_fn": "jumprelu"}
    told |= {"jump_relu_threshold": threshold, "norm_activation": "dataset-wise", "use_decoder_bias": True}
    told |= {"dataset_average_activation_norm": {"in": d_in**0.5 / factor, "out": d_in**0.5 / factor}}
    files = {
        f"{path}/hyperparams.json": as_json(told),
        f"{path}/checkpoints/final.safetensors": as_safetensors(openmoss_tensors(w)),
    }
    return files, lambda x: jumprelu(pre(w, x * factor, less_b_dec=False), threshold * factor)


def openmoss_tensors(w: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        "encoder.weight": w["W_enc"].T,
        "encoder.bias": w["b_enc"],
        "decoder.weight": w["W_dec"].T,
        "decoder.bias": w["b_dec"],
    }


def llama_scope_r1(path: str, hook: str, d_in: int, factor: float) -> tuple[Files, Formula]:
    """OpenMOSS' later layout: thresholds by latent, as logarithms; decoder rows of length one."""
    w = arrays(d_in, d_sae=d_in * 2)
    w["W_dec"] /= np.linalg.norm(w["W_dec"], axis=1, keepdims=True)
    thresholds = np.linspace(0.1, 1.5, d_in * 2).astype(np.float32)
    told = {"sae_type": "sae", "d_model": d_in, "expansion_factor": 2, "hook_point_in": hook, "hook_point_out": hook}
    told |= {"act_fn": "jumprelu", "norm_activation": "dataset-wise", "sparsity_include_decoder_norm": True}
    tensors = openmoss_tensors(w) | {"log_jumprelu_threshold": np.log(thresholds)}
    norm = np.asarray(d_in**0.5 / factor, dtype=np.float32)
    tensors |= {f"dataset_average_activation_norm.{hook}": norm}
    files = {f"{path}/config.json": as_json(told), f"{path}/sae_weights.safetensors": as_safetensors(tensors)}
    return files, lambda x: jumprelu(pre(w, x * factor, less_b_dec=False), thresholds)


def dictionary(
    path: str, model: str, layer: int, d_in: int, dict_class: str, own_norm: bool = False, place: str | None = None
) -> tuple[Files, Formula]:
    """`dictionary_learning`: config.json and ae.pt.

    `own_norm`: latents in units of their decoder rows' lengths, as that library gives those of its gated and jumprelu
    dictionaries; SAELens leaves them as they are.
    """
    w = arrays(d_in)
    trainer: dict[str, Any] = {"dict_class": dict_class, "activation_dim": d_in, "dict_size": D_SAE, "layer": layer}
    trainer |= {"lm_name": model, "submodule_name": place or f"resid_post_layer_{layer}"}
    linear = {"encoder.weight": w["W_enc"].T, "encoder.bias": w["b_enc"], "decoder.weight": w["W_dec"].T}
    lengths = np.linalg.norm(w["W_dec"].astype(np.float64), axis=1) if own_norm else 1.0
    saved: dict[str, Any]
    if dict_class == "AutoEncoder":
        saved, formula = linear | {"bias": w["b_dec"]}, lambda x: relu(pre(w, x))
    elif dict_class == "AutoEncoderNew":
        saved = linear | {"decoder.bias": w["b_dec"]}

        def formula(x: np.ndarray) -> np.ndarray:
            return relu(pre(w, x, less_b_dec=False))
    elif dict_class == "GatedAutoEncoder":
        rng = np.random.default_rng(1)
        gate, r_mag = (rng.normal(size=D_SAE).astype(np.float32) * 0.3 for _ in range(2))
        saved = {"encoder.weight": w["W_enc"].T, "decoder.weight": w["W_dec"].T, "decoder_bias": w["b_dec"]}
        saved |= {"gate_bias": gate, "mag_bias": w["b_enc"], "r_mag": r_mag}

        def formula(x: np.ndarray) -> np.ndarray:
            shared = (x - w["b_dec"]) @ w["W_enc"].astype(np.float64)
            return (shared + gate > 0) * relu(np.exp(r_mag.astype(np.float64)) * shared + w["b_enc"]) * lengths
    elif dict_class == "JumpReluAutoEncoder":
        threshold = np.linspace(0.1, 1.5, D_SAE).astype(np.float32)
        saved = w | {"threshold": threshold}

        def formula(x: np.ndarray) -> np.ndarray:
            return jumprelu(pre(w, x, less_b_dec=False), threshold) * lengths
    elif dict_class == "AutoEncoderTopK":
        trainer["k"] = 5
        saved = linear | {"b_dec": w["b_dec"], "k": np.array(5, dtype=np.int32), "threshold": np.float32(0.2)}

        def formula(x: np.ndarray) -> np.ndarray:
            return topk(pre(w, x), 5)
    else:
        trainer["k"] = 5
        shared = {"b_dec": w["b_dec"], "threshold": np.float32(0.7), "k": np.array(5, dtype=np.int32)}
        matryoshka = {name: w[name] for name in ("W_enc", "W_dec", "b_enc")} | {"group_sizes": np.array([16, 32])}
        saved = (matryoshka if dict_class.startswith("Matryoshka") else linear) | shared

        def formula(x: np.ndarray) -> np.ndarray:
            return jumprelu(pre(w, x), 0.7)

    told = {"trainer": trainer, "buffer": {"ctx_len": 1024, "d_submodule": d_in}}
    return {f"{path}/config.json": as_json(told), f"{path}/ae.pt": as_torch(saved)}, formula


def linear_layers(path: str, d_in: int, encoder: str, decoder: str) -> tuple[Files, Formula]:
    """Goodfire's and qresearch's torch files: the layers of two linear maps."""
    w = arrays(d_in)
    saved = {f"{encoder}.weight": w["W_enc"].T, f"{encoder}.bias": w["b_enc"]}
    saved |= {f"{decoder}.weight": w["W_dec"].T, f"{decoder}.bias": w["b_dec"]}
    return {path: as_torch(saved)}, lambda x: relu(pre(w, x, less_b_dec=False))


def qwen_scope(path: str, d_in: int, k: int) -> tuple[Files, Formula]:
    """Qwen Scope's torch files: top-k, the matrices the other way round."""
    w = arrays(d_in, d_sae=max(D_SAE, k + 14))
    saved = {"W_enc": w["W_enc"].T, "W_dec": w["W_dec"].T, "b_enc": w["b_enc"], "b_dec": w["b_dec"]}
    return {path: as_torch(saved)}, lambda x: topk(pre(w, x, less_b_dec=False), k)


def sparsify(path: str, d_in: int, around: str = "", model: str = "", **config: Any) -> tuple[Files, Formula]:
    """EleutherAI's sparsify: top-k; the decoder's bias is subtracted, its rows stand as they are."""
    w = arrays(d_in)
    told = {"activation": "topk", "expansion_factor": 32, "num_latents": D_SAE, "k": 5, "d_in": d_in}
    told |= {"normalize_decoder": True, "transcode": False, "skip_connection": False}
    tensors = {"encoder.weight": w["W_enc"].T, "encoder.bias": w["b_enc"], "W_dec": w["W_dec"], "b_dec": w["b_dec"]}
    files = {f"{path}/cfg.json": as_json(told | config), f"{path}/sae.safetensors": as_safetensors(tensors)}
    if model:
        files[f"{around}config.json"] = as_json({"model": model, "ctx_len": 2048, "sae": told})
    return files, lambda x: topk(pre(w, x), 5)
