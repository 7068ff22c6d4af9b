"""SAEs in the raw files of Gemma Scope, and in the folders of OpenMOSS' Language-Model-SAEs (Llama Scope and later)."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from emotion_interp.core.errors import FileFormatError, UnsupportedError
from emotion_interp.core.files import read_json
from emotion_interp.core.types import Site
from emotion_interp.subjects.sae_choice import LEVELS, SaeEntry
from emotion_interp.subjects.sae_identity import width_name
from emotion_interp.subjects.sae_raw import RawSae, Tensors, array_tensors, only, safe_tensors
from emotion_interp.subjects.sae_reader import REFUSED
from emotion_interp.subjects.sae_releases import width_in

# -- Gemma Scope --------------------------------------------------------------------------------------------------------
_HF_PLACES = {
    "output": "resid_post",
    "self_attn.o_proj.input": "z",
    "post_feedforward_layernorm.output": "mlp_out",
}
_FOLDERS = {"resid_post": "resid_post", "attn_out": "z", "mlp_out": "mlp_out"}


def _scope_config(folder: Path) -> tuple[Site, str | None]:
    """Site and model: from config.json, which Gemma Scope 2 has, else from the path."""
    path = folder.resolve().as_posix()
    match = re.search(r"layer_(\d+)", path)
    if match is None:
        raise FileFormatError(
            f"{folder} names no layer; Gemma Scope's folders are such as layer_12/width_16k/average_l0_82."
        )
    if "transcoder" in path or "/clt" in path:
        raise UnsupportedError(f"{folder} cannot be read here: {REFUSED['transcoder']}")
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    if config.get("hf_hook_point_out"):
        raise UnsupportedError(f"{folder} cannot be read here: {REFUSED['transcoder']}")
    if config.get("architecture", "jump_relu") != "jump_relu":
        raise UnsupportedError(
            f"{folder} has the architecture {config['architecture']!r}; Gemma Scope's are jump_relu."
        )
    hook = re.fullmatch(r"model\.layers\.(\d+)\.(.+)", str(config.get("hf_hook_point_in", "")))
    if hook:
        if hook[2] not in _HF_PLACES:
            raise UnsupportedError(f"{folder} reads {hook[0]!r}, which is no site that is known here.")
        return Site(int(hook[1]), _HF_PLACES[hook[2]]), config.get("model_name")
    size = re.search(r"gemma-scope-(\d+b)-(pt|it)-(res|mlp|att)", path)
    part = re.search(r"/(resid_post|attn_out|mlp_out)(?:_all)?/", path)
    if size is None and part is None:
        raise FileFormatError(
            f"neither {folder} nor a folder above it says what it reads. Keep the repository's name above it, such as "
            "gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_82."
        )
    if size is None:
        return Site(int(match[1]), _FOLDERS[part[1]] if part else "resid_post"), None
    kind = {"res": "resid_post", "mlp": "mlp_out", "att": "z"}[size[3]]
    return Site(int(match[1]), kind), f"google/gemma-2-{size[1]}" + ("-it" if size[2] == "it" else "")


def gemma_scope_entry(folder: Path, name: str) -> SaeEntry:
    """An SAE of Gemma Scope as its path and config.json describe it."""
    site, _ = _scope_config(folder)
    path = folder.resolve().as_posix()
    number = re.search(r"average_l0_(\d+)", path)
    level = next((level for level in LEVELS if re.search(rf"_l0_{level}(?:_|/|$)", path)), "")
    return SaeEntry(name, site, width_in(folder.resolve().as_posix()), float(number[1]) if number else None, level)


def gemma_scope_read(folder: Path) -> RawSae:
    """An SAE of Gemma Scope (params.npz) or Gemma Scope 2 (params.safetensors)."""
    site, model = _scope_config(folder)
    if (folder / "params.npz").is_file():
        saved = array_tensors(folder / "params.npz")
    else:
        saved = safe_tensors(folder / "params.safetensors")
    tensors = {("W_" + name[2:] if name.startswith("w_") else name): tensor for name, tensor in saved.items()}
    if "affine_skip_connection" in tensors:
        raise UnsupportedError(f"{folder} cannot be read here: {REFUSED['transcoder']}")
    facts = {"model_name": model, "prepend_bos": True, "context_size": 1024}
    return RawSae(
        "jumprelu", only(tensors, folder, "W_enc", "W_dec", "b_enc", "b_dec", "threshold"), site, False, metadata=facts
    )


# -- OpenMOSS -----------------------------------------------------------------------------------------------------------
def _moss_config(folder: Path) -> tuple[dict[str, Any], Site]:
    old = folder / "hyperparams.json"
    config = read_json(old if old.is_file() else folder / "config.json")
    place = config.get("hook_point_in") if isinstance(config, dict) else None
    if not isinstance(place, str):
        raise FileFormatError(f"the configuration of {folder} names no hook_point_in; it is no SAE of OpenMOSS.")
    if config.get("hook_point_out", place) != place or config.get("sae_type", "sae") != "sae":
        raise UnsupportedError(f"{folder} cannot be read here: {REFUSED['transcoder']}")
    return config, Site.parse(place)


def openmoss_entry(folder: Path, name: str) -> SaeEntry:
    """An SAE of OpenMOSS as its configuration describes it."""
    config, site = _moss_config(folder)
    width = int(config.get("d_sae") or config["d_model"] * config["expansion_factor"])
    k = config.get("top_k") if "topk" in str(config.get("act_fn", "")).lower() else None
    return SaeEntry(name, site, width_name(width), float(k) if k else None)


def openmoss_read(folder: Path) -> RawSae:
    """An SAE of OpenMOSS: hyperparams.json and checkpoints/final.safetensors, or config.json and sae_weights.safetensors."""
    config, site = _moss_config(folder)
    old = (folder / "hyperparams.json").is_file()
    saved = safe_tensors(folder / ("checkpoints/final.safetensors" if old else "sae_weights.safetensors"))
    if config.get("use_glu_encoder"):
        raise UnsupportedError(f"{folder} has a gated linear encoder, which is not read here.")
    weights = only(saved, folder, "encoder.weight", "encoder.bias", "decoder.weight")
    w_dec = weights["decoder.weight"].T.float()
    tensors: Tensors = {"W_enc": weights["encoder.weight"].T, "b_enc": weights["encoder.bias"], "W_dec": w_dec}
    tensors["b_dec"] = saved["decoder.bias"] if "decoder.bias" in saved else w_dec.new_zeros(w_dec.shape[1])
    normalize, factor = _moss_norm(config, saved, folder, site, w_dec.shape[1])
    lengths, scored = w_dec.norm(dim=-1), bool(config.get("sparsity_include_decoder_norm", True))
    kind = str(config.get("act_fn", "relu")).lower()
    facts = {"model_name": config.get("model_name"), "context_size": config.get("context_size")}
    subtracts = bool(config.get("use_decoder_bias", True) and config.get("apply_decoder_bias_to_pre_encoder"))
    if kind == "jumprelu":
        if "jump_relu_threshold" in config:
            # Llama Scope: one threshold for all, in units of the raw stream
            threshold = float(config["jump_relu_threshold"]) * (1.0 if factor is None else factor)
            tensors["threshold"] = weights["encoder.bias"].new_full((len(w_dec),), threshold).float()
        else:
            # what is compared is the pre-activation in units of the decoder row, what is given is not
            threshold = only(saved, folder, "log_jumprelu_threshold")["log_jumprelu_threshold"].float().exp()
            tensors["threshold"] = threshold / lengths if scored else threshold
        return RawSae("jumprelu", tensors, site, subtracts, None, normalize, factor, metadata=facts)
    if kind == "relu":
        return RawSae("standard", tensors, site, subtracts, None, normalize, factor, metadata=facts)
    if kind == "topk":
        if scored and not bool(((lengths - 1).abs() < 1e-3).all()):
            raise UnsupportedError(
                f"{folder} chooses its top latents by their share in the reconstruction, and its decoder rows are not of length "
                "one. Save it after transform_to_unit_decoder_norm()."
            )
        return RawSae("topk", tensors, site, subtracts, int(config["top_k"]), normalize, factor, metadata=facts)
    raise UnsupportedError(
        f"{folder} has the activation function {kind!r}, which depends on the batch or is not known here. Read are relu, "
        "jumprelu and topk."
    )


def _moss_norm(config: dict[str, Any], saved: Tensors, folder: Path, site: Site, d_in: int) -> tuple[str, float | None]:
    """How the input is scaled: SAELens' name of a scaling by token, or the factor of the data set."""
    how = config.get("norm_activation", "inference")
    if how in ("inference", "none", None):
        return "none", None
    if how == "token-wise":
        return "constant_norm_rescale", None
    if how != "dataset-wise":
        raise UnsupportedError(
            f"{folder} scales its input by {how!r}, which depends on the batch; save it for inference."
        )
    known = config.get("dataset_average_activation_norm") or {}
    mean = known.get("in", known.get(site.hook_name)) if isinstance(known, dict) else None
    mean = saved.get(f"dataset_average_activation_norm.{config['hook_point_in']}", mean)
    if mean is None or not float(mean) > 0:
        raise FileFormatError(f"{folder} scales its input by the average norm of its data set, and does not say it.")
    return "none", math.sqrt(d_in) / float(mean)
