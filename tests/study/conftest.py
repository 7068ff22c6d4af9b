"""A tiny subject on disk, and sweeps over it."""

from __future__ import annotations

import pytest

from tests.conftest import make_gpt2, make_sae

EMOTIONS = ["anger", "fear", "joy", "love", "sadness"]


@pytest.fixture(scope="session")
def subject_folder(tmp_path_factory, root_tokenizer):
    """`model`, and `saes` at layers 0 and 1."""
    folder = tmp_path_factory.mktemp("tiny")
    make_gpt2(root_tokenizer).save_pretrained(folder / "model")
    root_tokenizer.save_pretrained(str(folder / "model"))
    for layer in (0, 1):
        make_sae(layer).save_model(folder / "saes" / f"layer_{layer}")
    return folder


@pytest.fixture(scope="session")
def sweep_file(subject_folder):
    """Writes a sweep.toml beside the tiny subject: sweep_file(name, kilobytes=, prefixes=, more=, subjects=)."""

    def write(name, kilobytes=16, prefixes="never", more="", subjects=("tiny",), analyses=("features", "alignment")):
        lines = [
            f"emotions = {EMOTIONS}",
            f"analyses = {list(analyses)}",
            more,
            f'[reading]\nshard_kilobytes = {kilobytes}\nprefixes = "{prefixes}"',
            "[alignment]\npermutations = 20",
            *(f'[[subjects]]\nname = "{subject}"\nmodel = "model"\nsaes = "saes"' for subject in subjects),
        ]
        path = subject_folder / f"{name}.toml"
        path.write_text("\n".join(lines))
        return path

    return write
