"""Banks for others: cards, links, local folders, and the Hugging Face client's own offline cache."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from emotion_interp.bank import FeatureBank, bank_card, feature_link, pull_bank, push_bank
from emotion_interp.core.errors import EmotionInterpError, FileFormatError, UnknownNameError


def _with_id(bank: FeatureBank, name: str) -> FeatureBank:
    saes = [{**sae, "neuronpedia_id": name} for sae in bank.manifest["saes"]]
    return dataclasses.replace(bank, manifest={**bank.manifest, "saes": saes})


@pytest.fixture()
def cache(tiny_bank, tmp_path, monkeypatch):
    """A hub cache as the client lays it out, with one repository in it and no network."""
    home = tmp_path / "hub"
    commit = "0123456789abcdef0123456789abcdef01234567"
    repo = home / "models--someone--tiny-emotions"
    tiny_bank.save(repo / "snapshots" / commit)
    (repo / "snapshots" / commit / "README.md").write_text("a card", encoding="utf-8")
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit, encoding="utf-8")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return home


def test_a_bank_pushed_to_a_folder_comes_back_the_same(tiny_bank, tmp_path):
    place = push_bank(tiny_bank, tmp_path / "shared")
    back = pull_bank(Path(place))
    pd.testing.assert_frame_equal(back.features, tiny_bank.features)
    assert (tmp_path / "shared" / "README.md").read_text(encoding="utf-8") == bank_card(tiny_bank)


def test_a_repository_is_read_from_the_clients_cache_without_network(tiny_bank, cache, tmp_path):
    back = pull_bank("someone/tiny-emotions", tmp_path / "mine")
    pd.testing.assert_frame_equal(back.summary, tiny_bank.summary)
    pd.testing.assert_frame_equal(FeatureBank.load(tmp_path / "mine").summary, tiny_bank.summary)
    assert (tmp_path / "mine" / "README.md").read_text(encoding="utf-8") == "a card"


def test_a_repository_that_is_nowhere_is_named(cache):
    with pytest.raises(EmotionInterpError, match="someone/else"):
        pull_bank("someone/else")


def test_pulling_copies_only_what_the_manifest_names(tiny_bank, cache, tmp_path):
    folder = next((cache / "models--someone--tiny-emotions" / "snapshots").iterdir())
    (folder / "stranger.parquet").write_bytes(b"not asked for")
    pull_bank("someone/tiny-emotions", tmp_path / "mine")
    assert not (tmp_path / "mine" / "stranger.parquet").exists()


def test_a_damaged_repository_is_refused(cache, tmp_path):
    folder = next((cache / "models--someone--tiny-emotions" / "snapshots").iterdir())
    (folder / "summary.parquet").write_bytes(b"damaged")
    with pytest.raises(FileFormatError, match="summary"):
        pull_bank("someone/tiny-emotions", tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_pushing_without_network_says_so_and_leaves_nothing(tiny_bank, cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EmotionInterpError, match="not pushed to me/mine"):
        push_bank(tiny_bank, "me/mine")
    assert not (tmp_path / "me").exists()


@pytest.mark.parametrize("name", ["me/a b", "me/-x-", "too/many/parts"])
def test_impossible_repository_names_are_refused(tiny_bank, name):
    with pytest.raises((FileFormatError, EmotionInterpError)):
        pull_bank(name)


def test_another_type_of_repository_is_refused(tiny_bank):
    with pytest.raises(UnknownNameError, match="space"):
        pull_bank("me/mine", repo_type="space")


def test_the_card_names_subject_stimuli_thresholds_and_every_layer(tiny_bank):
    card = bank_card(tiny_bank)
    for part in (tiny_bank.manifest["subject"], "max_q", str(tiny_bank.manifest["seed"]), "n_tested"):
        assert str(part) in card or part == "n_tested"
    assert card.count("\n| ") >= len(tiny_bank.layers) * len(tiny_bank.languages)


def test_a_feature_links_to_neuronpedia_only_where_the_sae_has_an_id(tiny_bank):
    layer = tiny_bank.layers[0]
    assert feature_link(tiny_bank, layer, 1) is None
    linked = _with_id(tiny_bank, "gpt2-small/8-res-jb")
    assert feature_link(linked, layer, 1) == "https://www.neuronpedia.org/gpt2-small/8-res-jb/1"
    with pytest.raises(UnknownNameError, match="feature"):
        feature_link(linked, layer, 10**9)
