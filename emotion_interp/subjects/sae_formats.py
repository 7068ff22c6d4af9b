"""SAEs in the layouts of `dictionary_learning` (Marks, Karvonen and Mueller) and of EleutherAI's `sparsify`.

What their own `encode` gives is what the SAE made of them gives.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from emotion_interp.core.errors import FileFormatError, UnsupportedError
from emotion_interp.core.files import read_json
from emotion_interp.core.types import KINDS, Site
from emotion_interp.subjects.sae_choice import SaeEntry
from emotion_interp.subjects.sae_identity import width_name
from emotion_interp.subjects.sae_raw import RawSae, part_of, safe_tensors, torch_tensors
from emotion_interp.subjects.sae_reader import REFUSED

# -- dictionary_learning ------------------------------------------------------------------------------------------------
_DL_PLACES = {"resid": "resid_post", "mlp": "mlp_out", "attn": "attn_out", "attention": "attn_out"}


def _dl_config(folder: Path) -> tuple[dict[str, Any], Site]:
    trainer = part_of(read_json(folder / "config.json"), "trainer", folder)
    layer, place = trainer.get("layer"), trainer.get("submodule_name")
    kind = "resid_post"
    if isinstance(place, str) and place:
        named = next((kind for kind in KINDS if place.startswith(kind)), None)
        short = next((kind for start, kind in _DL_PLACES.items() if place.startswith(start)), None)
        if named is None and short is None:
            raise UnsupportedError(f"{folder} was trained at {place!r}, which is no site that is known here.")
        kind = named or short or kind
    if not isinstance(layer, int):
        raise FileFormatError(f"{folder / 'config.json'} names no layer of its dictionary.")
    return trainer, Site(layer, kind)


def dictionary_entry(folder: Path, name: str) -> SaeEntry:
    """An SAE of dictionary_learning as its configuration describes it."""
    trainer, site = _dl_config(folder)
    k = trainer.get("k")
    width = width_name(int(trainer.get("dict_size") or 0))
    return SaeEntry(name, site, width, float(k) if isinstance(k, (int, float)) and k else None)


def dictionary_read(folder: Path) -> RawSae:
    """An SAE of dictionary_learning: ae.pt and config.json."""
    trainer, site = _dl_config(folder)
    kind = str(trainer.get("dict_class"))
    saved = torch_tensors(folder / "ae.pt")
    config = read_json(folder / "config.json")
    facts = {"model_name": trainer.get("lm_name"), "context_size": (config.get("buffer") or {}).get("ctx_len")}
    if "encoder.weight" in saved:
        w_enc, w_dec = saved["encoder.weight"].T, saved["decoder.weight"].T
    else:
        w_enc, w_dec = saved["W_enc"], saved["W_dec"]
    own = {"W_enc": w_enc, "W_dec": w_dec}
    if kind == "AutoEncoder":
        tensors = {**own, "b_enc": saved["encoder.bias"], "b_dec": saved["bias"]}
        return RawSae("standard", tensors, site, True, metadata=facts)
    if kind == "AutoEncoderNew":
        tensors = {**own, "b_enc": saved["encoder.bias"], "b_dec": saved["decoder.bias"]}
        return RawSae("standard", tensors, site, False, metadata=facts)
    if kind == "GatedAutoEncoder":
        tensors = {**own, "b_gate": saved["gate_bias"], "b_mag": saved["mag_bias"], "r_mag": saved["r_mag"]}
        tensors["b_dec"] = saved["decoder_bias"]
        return RawSae("gated", tensors, site, True, by_decoder_norm=True, metadata=facts)
    if kind == "JumpReluAutoEncoder":
        tensors = {**own, **{name: saved[name] for name in ("b_enc", "b_dec", "threshold")}}
        return RawSae("jumprelu", tensors, site, False, by_decoder_norm=True, metadata=facts)
    if kind in ("AutoEncoderTopK", "BatchTopKSAE", "MatryoshkaBatchTopKSAE"):
        bias = saved["encoder.bias"] if "encoder.bias" in saved else saved["b_enc"]
        tensors = {**own, "b_enc": bias, "b_dec": saved["b_dec"]}
        if kind == "AutoEncoderTopK":
            k = int(saved["k"]) if "k" in saved else int(trainer["k"])
            return RawSae("topk", tensors, site, True, k, metadata=facts)
        threshold = float(saved["threshold"])
        if threshold < 0:
            raise UnsupportedError(
                f"{folder} was saved before its threshold was set: a {kind} without one encodes a token depending on its batch."
            )
        tensors["threshold"] = bias.new_full(bias.shape, threshold)
        return RawSae("jumprelu", tensors, site, True, metadata=facts)
    raise UnsupportedError(
        f"{folder} is a {kind} of dictionary_learning, which is not read here. Read are AutoEncoder, AutoEncoderNew, "
        "GatedAutoEncoder, JumpReluAutoEncoder, AutoEncoderTopK, BatchTopKSAE and MatryoshkaBatchTopKSAE."
    )


# -- sparsify -----------------------------------------------------------------------------------------------------------
_MODULES = {"": "resid_post", "mlp": "mlp_out", "attn": "attn_out", "attention": "attn_out", "self_attn": "attn_out"}


def sparsify_entry(folder: Path, name: str) -> SaeEntry:
    """An SAE of sparsify as its configuration and its folder's name describe it."""
    config = read_json(folder / "cfg.json")
    match = re.search(r"(?:^|\.)(?:layers|h)[._](\d+)(?:\.(\w+))?$", folder.name)
    if match is None or (match[2] or "") not in _MODULES:
        raise UnsupportedError(
            f"{folder} is an SAE of sparsify at {folder.name!r}, which is no site that is known here. Read are folders such "
            "as layers.5, layers.5.mlp and layers.5.attention."
        )
    width = int(config.get("num_latents") or config["d_in"] * config["expansion_factor"])
    return SaeEntry(name, Site(int(match[1]), _MODULES[match[2] or ""]), width_name(width), float(config["k"]))


def sparsify_read(folder: Path) -> RawSae:
    """An SAE of sparsify: sae.safetensors and cfg.json."""
    config = read_json(folder / "cfg.json")
    site = sparsify_entry(folder, "").site
    assert site is not None
    if config.get("transcode"):
        raise UnsupportedError(f"{folder} cannot be read here: {REFUSED['transcoder']}")
    other = {"activation": config.get("activation", "topk") != "topk"}
    other |= {name: bool(config.get(name)) for name in ("signed", "gram_lookup", "skip_connection", "embed_skip")}
    if any(other.values()):
        name = next(name for name, given in other.items() if given)
        raise UnsupportedError(f"{folder} has {name}={config[name]!r}, which is not read here; a plain top-k SAE is.")
    saved = safe_tensors(folder / "sae.safetensors")
    tensors = {"W_enc": saved["encoder.weight"].T, "W_dec": saved["W_dec"], "b_dec": saved["b_dec"]}
    tensors["b_enc"] = saved["encoder.bias"]
    around = folder.parent / "config.json"
    run = read_json(around) if around.is_file() else {}
    facts = {"model_name": run.get("model"), "context_size": run.get("ctx_len")}
    return RawSae("topk", tensors, site, True, int(config["k"]), metadata=facts)
