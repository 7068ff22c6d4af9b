"""The typed table of a bank's directions, and the names it has in a file."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open

from emotion_interp import EmotionInterpError, FeatureBank, Site
from emotion_interp.bank.directions import DirectionKey, Directions
from emotion_interp.core.errors import FileFormatError, UnknownNameError

EMOTIONS = ("joy", "fear")


@pytest.fixture
def table() -> Directions:
    matrix = np.arange(8.0).reshape(2, 4)
    keys = [(Site(2), "en", "dense"), (Site(2, sae="16k"), "en", "sae"), (Site(3, "mlp_out"), "zh", "sae")]
    return Directions({key: matrix + n for n, key in enumerate(keys)}, EMOTIONS)


def test_directions_are_found_by_key_layer_hook_name_and_emotion(table):
    key = DirectionKey(Site(3, "mlp_out"), "zh", "sae")
    assert key in table and list(table)[2] == key
    for place in (Site(3, "mlp_out"), 3, "blocks.3.hook_mlp_out"):
        assert np.array_equal(table[place, "zh", "sae"], table[key])
        assert np.array_equal(table[place, "zh", "sae", "fear"], table[key][1])
    assert (Site(3), "zh", "sae") not in table
    with pytest.raises(KeyError):
        table[3, "en", "sae"]
    with pytest.raises(UnknownNameError, match="unknown emotion"):
        table[3, "zh", "sae", "pride"]
    with pytest.raises(UnknownNameError, match="unknown layer"):
        table[9, "zh", "sae"]
    assert table.methods == ["dense", "sae"] and table.sites == [Site(2), Site(2, sae="16k"), Site(3, "mlp_out")]


def test_the_table_as_a_frame_has_a_row_for_each_emotion(table):
    frame = table.to_frame()
    assert list(frame.columns) == ["layer", "site", "language", "method", "emotion", "norm"]
    assert frame["site"].unique().tolist() == [str(site) for site in table.sites]
    row = frame[(frame["method"] == "dense") & (frame["emotion"] == "fear")].iloc[0]
    assert row["norm"] == pytest.approx(np.linalg.norm([4, 5, 6, 7])) and row["layer"] == 2


@pytest.mark.parametrize("odd", ["a|b", "50%", "%7C", "%257C|%", "<b>", "new\nline", "喜", " "])
def test_odd_names_come_back_from_a_file_as_they_were(odd):
    key = DirectionKey(Site(1, sae="16k"), odd, odd)
    assert key.file_name.count("|") == 2
    assert DirectionKey.parse(key.file_name) == key


def test_plain_names_are_in_a_file_what_they_always_were(tiny_bank, tmp_path):
    assert DirectionKey(Site(2), "en", "probe_k8").file_name == "blocks.2.hook_resid_post|en|probe_k8"
    with safe_open(tiny_bank.save(tmp_path / "bank") / "directions.safetensors", framework="np") as file:
        names = set(file.keys())
    assert names == {f"{key.site}|{key.language}|{key.method}" for key in tiny_bank.directions}


@pytest.mark.parametrize("wrong", ["", "\ud800", 3, None])
def test_names_that_no_file_can_hold_are_refused(wrong):
    for key in (DirectionKey(Site(1), wrong, "sae"), DirectionKey(Site(1), "en", wrong)):
        with pytest.raises(FileFormatError, match="cannot be kept"):
            _ = key.file_name


@pytest.mark.parametrize(
    "name", ["joy", "blocks.1.hook_resid_post|en", "blocks.1.hook_resid_post|en|", "a|en|sae", "x|y|z|w"]
)
def test_names_that_are_no_direction_are_refused(name):
    with pytest.raises(FileFormatError, match="no site, language and method"):
        DirectionKey.parse(name)
    with pytest.raises(FileFormatError, match="here: the direction"):
        Directions.read("here", {name: np.ones((2, 4))}, EMOTIONS)
    with pytest.raises(FileFormatError, match="named by"):
        Directions({("here", "en", "sae"): np.ones((2, 4))}, EMOTIONS)


def test_the_older_spelling_works_and_says_what_replaces_it(table, tiny_bank):
    with pytest.warns(UserWarning, match="write DirectionKey") as caught:
        assert np.array_equal(table["blocks.2.hook_resid_post|en|dense"], table[2, "en", "dense"])
    assert len(caught) == 1
    named = {key.file_name: matrix for key, matrix in tiny_bank.directions.items()}
    with pytest.warns(UserWarning, match="write DirectionKey") as caught:
        again = replace(tiny_bank, directions=named)
    assert len(caught) == 1 and list(again.directions) == list(tiny_bank.directions)


def test_a_language_with_the_sign_between_names_is_kept_by_a_bank(tiny_bank, tmp_path):
    spoken = {"en": "en|gb"}

    def turned(frame):
        return frame.assign(language=frame["language"].replace(spoken)) if "language" in frame else frame

    manifest = json.loads(json.dumps(tiny_bank.manifest))
    manifest["languages"] = [spoken.get(name, name) for name in manifest["languages"]]
    for entry in ("labels", "concept_words"):
        manifest[entry] = {spoken.get(name, name): words for name, words in manifest[entry].items()}
    frames = {name: turned(getattr(tiny_bank, name)) for name in ("features", "summary", "words", "rates")}
    directions = {k._replace(language=spoken.get(k.language, k.language)): v for k, v in tiny_bank.directions.items()}
    extras = {name: turned(frame) for name, frame in tiny_bank.extras.items()}
    bank = replace(tiny_bank, **frames, manifest=manifest, directions=directions, extras=extras)
    loaded = FeatureBank.load(bank.save(tmp_path / "bank"))
    own = tiny_bank.direction("joy", 1, "en", "dense").vector
    assert np.array_equal(loaded.direction("joy", 1, "en|gb", "dense").vector, own)


def test_a_direction_is_asked_for_by_layer_or_site(tiny_bank):
    own = tiny_bank.direction("joy", layer=1, language="en", method="dense")
    for site in (Site(1), "blocks.1.hook_resid_post"):
        assert np.array_equal(tiny_bank.direction("joy", site=site, language="en", method="dense").vector, own.vector)
    for wrong in ({}, {"layer": 1, "site": Site(1)}):
        with pytest.raises(EmotionInterpError, match="layer= or site="):
            tiny_bank.direction("joy", **wrong)


def test_tables_without_sites_get_them_where_a_bank_is_read(tiny_bank, tmp_path, monkeypatch):
    """As banks of earlier versions lie on disk."""
    from emotion_interp.bank import files

    old = replace(
        tiny_bank, activations=tiny_bank.activations.drop(columns="site"), rates=tiny_bank.rates.drop(columns="site")
    )
    monkeypatch.setattr(files, "check_bank", lambda *_: None)
    folder = old.save(tmp_path / "bank")
    monkeypatch.undo()
    loaded = FeatureBank.load(folder)
    for name in ("activations", "rates"):
        kept, read = getattr(tiny_bank, name), getattr(loaded, name)
        assert list(read) == list(kept) and read["site"].tolist() == kept["site"].tolist()
