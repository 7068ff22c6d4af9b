"""A local cache of the hub with tiny models and SAEs, which the true loaders read; no network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.families.zoo import FAMILIES, make_model, make_tokenizer
from tests.releases.makers import Case, Model

COMMIT = "0" * 39 + "1"


class Hub:
    """The cache: a folder per repository, in the layout of huggingface_hub."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._models: set[str] = set()

    def snapshot(self, repo: str) -> Path:
        """The folder of a repository's files."""
        folder = self.root / f"models--{repo.replace('/', '--')}"
        place = folder / "snapshots" / COMMIT
        place.mkdir(parents=True, exist_ok=True)
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / "main").write_text(COMMIT)
        return place

    def add(self, repo: str, files: dict[str, bytes]) -> None:
        """Files of a repository."""
        for name, content in files.items():
            path = self.snapshot(repo) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def add_model(self, model: Model) -> None:
        """A tiny model under its hub name; made once."""
        if model.hub in self._models:
            return
        self._models.add(model.hub)
        tokenizer = make_tokenizer(model.bos)
        place = self.snapshot(model.hub)
        make_model(model.family, tokenizer, **settings_of(model)).save_pretrained(str(place))
        tokenizer.save_pretrained(str(place))


def settings_of(model: Model) -> dict[str, Any]:
    """The zoo's settings at a model's depth."""
    options = FAMILIES[model.family][1]
    depth = "n_layer" if "n_layer" in options else "num_hidden_layers"
    # longer than the texts that any of the SAEs was trained on
    length = "n_positions" if "n_positions" in options else "max_position_embeddings"
    settings = {depth: model.depth, length: 2048, **model.settings}
    if "layer_types" in options:
        kinds = options["layer_types"]
        settings["layer_types"] = [kinds[layer % len(kinds)] for layer in range(model.depth)]
    return settings


@contextmanager
def hub_at(root: Path) -> Iterator[Hub]:
    """Inside, the local cache is `root`, and the hub is not asked."""
    from huggingface_hub import constants

    before = constants.HF_HUB_CACHE, constants.HF_HUB_OFFLINE
    constants.HF_HUB_CACHE, constants.HF_HUB_OFFLINE = str(root), True
    try:
        yield Hub(root)
    finally:
        constants.HF_HUB_CACHE, constants.HF_HUB_OFFLINE = before


@contextmanager
def tiny_sizes(case: Case) -> Iterator[None]:
    """Inside, SAELens' directory overrides the sizes that its loader has in its code."""
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    entry = get_pretrained_saes_directory()[case.release]
    before = entry.config_overrides
    entry.config_overrides = {**(before or {}), **case.sizes}  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        entry.config_overrides = before
