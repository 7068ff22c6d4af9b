"""The paper's subjects in small: a local hub cache with their names, files and layouts, read by the true loaders."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tests.chat_models import FAMILIES, make_chat_tokenizer
from tests.families.zoo import WIDTH, make_model

LATENTS = 96
GEMMA, LLAMA = "google/gemma-2-9b-it", "meta-llama/Meta-Llama-3-8B-Instruct"
SCOPE, JH = "gemma-scope-9b-it-res-canonical", "llama-3-8b-it-res-jh"
DEPTHS = {GEMMA: 32, LLAMA: 26}
"""As many layers as the SAEs need."""
_COMMIT = "0" * 39 + "1"


def snapshot(root: Path, repo: str) -> Path:
    """The folder of a repository's files in a cache of the hub."""
    folder = root / f"models--{repo.replace('/', '--')}"
    place = folder / "snapshots" / _COMMIT
    place.mkdir(parents=True, exist_ok=True)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text(_COMMIT)
    return place


def add_model(root: Path, repo: str, depth: int) -> None:
    """A tiny chat model of the family's class under the true name."""
    family = "gemma" if repo == GEMMA else "llama3"
    tokenizer = make_chat_tokenizer(family)
    settings = {"num_hidden_layers": depth, "max_position_embeddings": 2048}
    model = make_model(FAMILIES[family][0], tokenizer, **settings)
    place = snapshot(root, repo)
    model.save_pretrained(str(place))
    tokenizer.save_pretrained(str(place))


def weights(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(LATENTS, WIDTH))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    arrays = {"W_enc": rows.T, "W_dec": rows, "b_enc": np.zeros(LATENTS), "b_dec": np.zeros(WIDTH)}
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}


def add_scope(root: Path) -> None:
    """Gemma Scope: one npz for each layer and width, in the folders that the release names."""
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    entry = get_pretrained_saes_directory()[SCOPE]
    for number, path in enumerate(entry.saes_map.values()):
        file = io.BytesIO()
        np.savez(file, **weights(number), threshold=np.full(LATENTS, 0.3, dtype=np.float32))
        place = snapshot(root, entry.repo_id) / path
        place.mkdir(parents=True, exist_ok=True)
        (place / "params.npz").write_bytes(file.getvalue())


def add_jh(root: Path) -> None:
    """A gated SAE in SAELens' own layout."""
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory
    from safetensors.numpy import save_file

    entry = get_pretrained_saes_directory()[JH]
    (path,) = entry.saes_map.values()
    place = snapshot(root, entry.repo_id) / path
    place.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Any] = weights(0)
    tensors["b_mag"] = tensors.pop("b_enc")
    save_file(
        {**tensors, "b_gate": np.full(LATENTS, -0.3, np.float32), "r_mag": np.zeros(LATENTS, np.float32)},
        place / "sae_weights.safetensors",
    )
    told = {"architecture": "gated", "model_name": LLAMA, "hook_name": "blocks.25.hook_resid_post", "hook_layer": 25}
    told |= {"d_in": WIDTH, "d_sae": LATENTS, "dtype": "float32", "context_size": 1024, "prepend_bos": True}
    (place / "cfg.json").write_text(json.dumps(told))


@contextmanager
def paper_hub(root: Path, depths: Mapping[str, int] = DEPTHS) -> Iterator[Path]:
    """Inside, the local cache holds the stand-ins, the hub is not asked, and the sizes that a loader has in its code are theirs.

    `depths`: layers of each model that is made.
    """
    from huggingface_hub import constants
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    entry: Any = get_pretrained_saes_directory()[SCOPE]
    before = constants.HF_HUB_CACHE, constants.HF_HUB_OFFLINE, entry.config_overrides
    constants.HF_HUB_CACHE, constants.HF_HUB_OFFLINE = str(root), True
    entry.config_overrides = {**(before[2] or {}), "d_in": WIDTH, "d_sae": LATENTS}
    try:
        for repo, depth in depths.items():
            add_model(root, repo, depth)
        add_scope(root)
        add_jh(root)
        yield root
    finally:
        constants.HF_HUB_CACHE, constants.HF_HUB_OFFLINE, entry.config_overrides = before
