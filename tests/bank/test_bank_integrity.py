"""A bank that was changed, by a flipped bit or by hand and signed again, is refused in one line, when it is loaded."""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import emotion_interp as ei
from emotion_interp.bank.schema import TABLES, rows_of
from emotion_interp.core import EmotionInterpError, FileFormatError
from emotion_interp.core.files import read_json, sha256_file, write_signed_json


@pytest.fixture(scope="module")
def full_bank(tiny_bank):
    """With every table that a later analysis may add, as small as can be."""
    keys = tiny_bank.features[["layer", "site", "language", "emotion", "feature"]].head(3).reset_index(drop=True)
    one = keys[["layer", "site", "feature"]].head(1)
    lists = {"features": [[1, 2]] * 3, "weights": [[0.5, 0.1]] * 3}
    bank = tiny_bank.with_table("controls", keys.assign(lexical=False, valence_auroc=0.6))
    bank = bank.with_table("outputs", keys.assign(label="both", output_p=0.01, output_effect=1.0))
    tested = {"tested_on": "scenes", "auroc": 0.6, "p": 0.1, "p_holm": 0.2, "transfers": False}
    bank = bank.with_table("transfer", keys.assign(**tested))
    bank = bank.with_table("tokens", one.assign(promoted=[[" a"]], suppressed=[[" b"]]))
    bank = bank.with_table("examples", one.assign(rank=1, activation=2.0, text="so"))
    bank = bank.with_table("probes", keys.drop(columns="feature").assign(k=[1, 2, 3], **lists, auroc_heldout=0.7))
    read = {"kind": "dense", "source": "scenes", "bias": 0.5, "top1": 0.2, "top3": 0.4, "n_texts": 9}
    arrays = {c: [[0.5, 0.1]] * 3 for c in ("weights", "levels", "mean_levels")} | {"features": [[1, 2]] * 3}
    named = keys.drop(columns=["feature", "layer"]).assign(emotion=tiny_bank.emotions[:3], **read, **arrays)
    bank = bank.with_table("readings", named)
    space = pd.DataFrame({"language": "en", "baseline": "text", "emotion": tiny_bank.emotions})
    return bank.with_table("text_space", space.assign(vector=[[0.5, float(i)] for i in range(len(space))]))


@pytest.fixture()
def folder(full_bank, tmp_path):
    return full_bank.save(tmp_path / "bank")


def sign(folder: Path) -> None:
    """Make digests and row counts fit what lies there, as someone would who knows how."""
    manifest = read_json(folder / "manifest.json")
    files = {name: sha256_file(folder / name) for name in manifest["files"]}
    write_signed_json(folder / "manifest.json", {**manifest, "files": files, "rows": rows_of(folder, files)})


def refused(folder: Path) -> str:
    with pytest.raises(EmotionInterpError) as caught:
        ei.FeatureBank.load(folder)
    line = str(caught.value)
    assert "\n" not in line and len(line) < 1500
    return line


def test_a_thousand_flipped_bits_of_the_manifest_are_all_refused(folder):
    file = folder / "manifest.json"
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    for place, bit in zip(rng.integers(0, len(whole), 1000), rng.integers(0, 8, 1000), strict=True):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << bit
        file.write_bytes(bytes(flipped))
        refused(folder)
    file.write_bytes(whole)
    ei.FeatureBank.load(folder)


def test_a_manifest_without_its_digest_is_refused_and_one_of_an_earlier_format_named(folder):
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text(encoding="utf-8"))
    del manifest["own_sha256"]
    file.write_text(json.dumps(manifest), encoding="utf-8")
    assert "lacks its own SHA-256" in refused(folder)
    file.write_text(json.dumps({**manifest, "format_version": 1}), encoding="utf-8")
    with pytest.warns(UserWarning, match="saved by an earlier version"):
        old = ei.FeatureBank.load(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ei.FeatureBank.load(old.save(folder))
    manifest["scales"] = {site: scale / 10 for site, scale in manifest["scales"].items()}
    file.write_text(json.dumps({**manifest, "format_version": 1}), encoding="utf-8")
    with pytest.warns(UserWarning, match="saved by an earlier version"):
        assert "the scales of the manifest differ" in refused(folder)


@pytest.mark.parametrize("name", list(TABLES))
def test_a_table_of_wrong_content_signed_again_is_refused(full_bank, tmp_path, name):
    """Text for numbers, missing and infinite values, numbers out of range, lacking columns, doubled rows: every column."""
    folder = full_bank.save(tmp_path / "bank")
    path = folder / f"{name}.parquet"
    good = pd.read_parquet(path)
    tried = 0

    def tell(frame: pd.DataFrame, why: str) -> None:
        nonlocal tried
        tried += 1
        frame.to_parquet(path, index=False)
        sign(folder)
        assert path.name in refused(folder), why

    tell(pd.concat([good, good.head(1)], ignore_index=True), "a doubled row")
    for column, rule in TABLES[name].columns.items():
        if column not in good:
            continue
        if rule.needed:
            tell(good.drop(columns=column), f"without {column}")
        other = 5 if rule.kind in ("text", "list", "numbers") else "five"
        tell(good.assign(**{column: other}), f"{column} of another type")
        if not rule.missing:
            tell(good.assign(**{column: [None, *good[column].iloc[1:]]}), f"{column} missing")
        if rule.kind == "number":
            tell(good.assign(**{column: [np.inf, *good[column].iloc[1:]]}), f"{column} infinite")
        if rule.low is not None:
            tell(good.assign(**{column: [rule.low - 1, *good[column].iloc[1:]]}), f"{column} too small")
        if rule.high is not None:
            tell(good.assign(**{column: [rule.high + 1, *good[column].iloc[1:]]}), f"{column} too large")
        if rule.kind == "numbers":
            for strange in (["x"], [np.inf], [[1.0]], [None, 1.0]):
                tell(good.assign(**{column: [strange for _ in range(len(good))]}), f"{column} of {strange}")
    if name == "text_space":
        tell(good.assign(vector=[[1.0], *good["vector"].iloc[1:]]), "vectors of two lengths")
    for column, stranger in (
        ("emotion", "someone"),
        ("language", "xx"),
        ("site", "blocks.9.hook_resid_post"),
        ("layer", 9),
    ):
        if column in good and name != "words":
            tell(good.assign(**{column: [stranger, *good[column].iloc[1:]]}), f"a {column} the manifest does not have")
    if "feature" in good:
        tell(good.assign(feature=[10**6, *good["feature"].iloc[1:]]), "a latent beyond the SAE")
    good.to_parquet(path, index=False)
    sign(folder)
    ei.FeatureBank.load(folder)
    assert tried > 3


WRONG = [
    ("emotions", lambda v: v[::-1]),
    ("emotions", lambda v: [*v[:-1], v[0]]),
    ("emotions", lambda v: v[:-1]),
    ("emotions", lambda v: "joy"),
    ("emotions", lambda v: {}),
    ("emotions", lambda v: [1, 2, 3, 4]),
    ("languages", lambda v: ["en", "xx"]),
    ("languages", lambda v: None),
    ("scales", lambda v: {k: s / 10 for k, s in v.items()}),
    ("scales", lambda v: {k: str(s) for k, s in v.items()}),
    ("scales", lambda v: dict.fromkeys(v, 0.0)),
    ("scales", lambda v: [1, 2]),
    ("scales", lambda v: {"layer 2": 1.0}),
    ("d_sae", lambda v: dict.fromkeys(v, "many")),
    ("d_sae", lambda v: {}),
    ("labels", lambda v: {}),
    ("labels", lambda v: {"en": "joy"}),
    ("concept_words", lambda v: {"en": {"joy": 3}}),
    ("concept_words", lambda v: []),
    ("n_tested", lambda v: -1),
    ("n_tested", lambda v: "many"),
    ("n_alive", lambda v: 3),
    ("seed", lambda v: "0"),
    ("stimuli", lambda v: 5),
    ("subject", lambda v: ["tiny"]),
    ("saes", lambda v: {"site": "blocks.0.hook_resid_post"}),
    ("saes", lambda v: [{"site": 3}]),
    ("saes", lambda v: [{**v[0], "signature": "abc"}]),
    ("selection", lambda v: 1),
    ("versions", lambda v: [1]),
    ("skip", lambda v: -1),
    ("files", lambda v: []),
    ("files", lambda v: dict.fromkeys(v, 1)),
    ("files", lambda v: {**v, "../stranger.parquet": "0" * 64}),
    ("rows", lambda v: {**v, "words.parquet": 1}),
    ("format_version", lambda v: "2"),
    ("format_version", lambda v: True),
]


@pytest.mark.parametrize(("entry", "change"), WRONG, ids=[f"{entry}{i}" for i, (entry, _) in enumerate(WRONG)])
def test_an_entry_of_wrong_type_or_content_signed_again_is_one_line_at_load(folder, entry, change):
    manifest = read_json(folder / "manifest.json")
    write_signed_json(folder / "manifest.json", {**manifest, entry: change(manifest[entry])})
    assert str(folder) in refused(folder)


NEEDED = ("emotions", "languages", "scales", "d_sae", "labels", "concept_words", "n_tested", "n_alive", "seed", "files")


@pytest.mark.parametrize("entry", [*NEEDED, "subject", "stimuli", "format", "format_version"])
def test_a_manifest_that_lacks_an_entry_is_one_line_at_load(folder, entry):
    manifest = read_json(folder / "manifest.json")
    del manifest[entry]
    write_signed_json(folder / "manifest.json", manifest)
    refused(folder)


def test_directions_of_another_place_shape_or_order_are_refused(full_bank, tmp_path):
    key = next(iter(full_bank.directions))
    for directions in (
        {"blocks.9.hook_resid_post|en|dense": full_bank.directions[key]},
        {"joy": full_bank.directions[key]},
        {key: full_bank.directions[key][:-1]},
        {key: full_bank.directions[key][0]},
    ):
        with pytest.raises(FileFormatError, match="direction|shape"):
            replace(full_bank, directions=directions).save(tmp_path / "bank")
    other = {**full_bank.manifest, "emotions": full_bank.emotions[::-1]}
    with pytest.raises(FileFormatError, match="another order"):
        replace(full_bank, manifest=other).save(tmp_path / "bank")
    assert not (tmp_path / "bank").exists()


def test_what_would_not_load_is_not_saved(full_bank, tmp_path):
    """The same checks on both ways: a bank with a wrong value is refused before the old one is replaced."""
    folder = full_bank.save(tmp_path / "bank")
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(FileFormatError, match="'auroc', row 1: a number from 0 to 1 is needed"):
        replace(full_bank, features=full_bank.features.assign(auroc=1.5)).save(folder)
    assert (folder / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("name", ["bundled", "tinystories-instruct-3m-chat"])
def test_the_shipped_banks_are_of_the_present_format(name):
    folder = Path(__file__).parents[2] / "saved_features" / name
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ei.FeatureBank.load(folder)
    assert read_json(folder / "manifest.json")["own_sha256"]


def test_a_card_whose_writing_was_killed_blocks_no_later_save(full_bank, folder):
    (folder / ".CARD.md.k2j3h4g5.tmp.md").write_text("half")
    (folder / ".README.md.new-abcdef-1-1-01234567.md").write_text("half")
    full_bank.save(folder)
    assert not [p.name for p in folder.iterdir() if p.name.startswith(".")]
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(EmotionInterpError, match=r"notes\.txt"):
        full_bank.save(folder)
    shutil.rmtree(folder)
