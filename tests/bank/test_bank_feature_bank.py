"""Finding features end to end on planted truths, and the bank on disk."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

import emotion_interp as ei
from emotion_interp.activations import read_stimuli
from emotion_interp.activations.reading import SiteReadings
from emotion_interp.bank.frames import heatmap_frame, summary_by_layer
from emotion_interp.concepts import scene_stimuli
from emotion_interp.core import EmotionInterpError, FileFormatError, NotFiniteError, Site, UnknownNameError
from emotion_interp.core.files import sha256_file, write_signed_json
from emotion_interp.features.design import design_stimuli
from emotion_interp.features.search import Selection, bank_from_readings

PLANTED = {"anger": 3, "fear": 7, "joy": 11, "sadness": 19}


def synthetic(subject, concepts, seed, planted=True):
    """Readings in which one latent carries each emotion, 40 are noise, and one is lexical (fires on a single word)."""
    words = design_stimuli(concepts, "words", seed).words
    rng = np.random.default_rng(seed)
    site = Site(0)
    values = np.zeros((len(words), subject.readers[site].d_sae), dtype=np.float32)
    values[:, 40:80] = np.where(rng.random((len(words), 40)) < 0.15, rng.random((len(words), 40)), 0)
    if planted:
        for emotion, latent in PLANTED.items():
            own = (words["emotion"] == emotion).to_numpy()
            values[own, latent] = np.where(rng.random(own.sum()) < 0.8, 1 + rng.random(own.sum()), 0)
            values[~own, latent] = np.where(rng.random((~own).sum()) < 0.02, 0.5, 0)
    values[0, 90] = 5.0
    dense = rng.normal(size=(len(words), subject.d_model)).astype(np.float32)
    features = csr_matrix(values)
    fired = (features > 0).astype(np.float32)
    return words, {site: SiteReadings(site, features, fired, dense, 1.0, np.ones(len(words)))}


def find(subject, concepts, seed, planted=True):
    words, readings = synthetic(subject, concepts, seed, planted)
    return bank_from_readings(subject, concepts, words, readings, position="last", selection=Selection(), seed=seed)


@pytest.mark.parametrize("seed", range(3))
def test_planted_features_are_found_fixed_and_confirmed(tiny_subject, small_concepts, seed):
    bank = find(tiny_subject, small_concepts, seed)
    for emotion, latent in PLANTED.items():
        rows = bank.summary[bank.summary["emotion"] == emotion]
        assert (rows["feature"] == latent).all()
        assert rows["confirmed"].all()
        assert (rows["auroc_heldout"] > 0.7).all()
    chosen = bank.features[bank.features["selected"]]
    assert set(chosen["feature"]) <= set(PLANTED.values()) | set(range(40, 80))
    assert 90 not in set(chosen["feature"]), "a detector of one word is no emotion feature"


def test_noise_is_confirmed_in_at_most_a_few_runs(tiny_subject, small_concepts):
    """8 emotions x languages, 20 seeds: under the null at most the family-wise rate may be confirmed."""
    runs = [find(tiny_subject, small_concepts, seed, planted=False) for seed in range(20)]
    assert sum(bool(bank.features["selected"].any()) for bank in runs) <= 4
    assert sum(bool(bank.summary["confirmed"].any()) for bank in runs) <= 2


def test_words_of_one_group_and_templates_never_stand_on_both_sides(small_concepts):
    design = design_stimuli(small_concepts, "words", 0)
    words, stimuli, units = design.words, design.stimuli, design.units
    assert words.groupby("group")["side"].nunique().max() == 1
    sides = words["side"].to_numpy()[units]
    table = pd.DataFrame(
        {"template": [s.template for s in stimuli], "language": [s.language for s in stimuli], "side": sides}
    )
    assert table.groupby(["language", "template"])["side"].nunique().max() == 1


def test_the_whole_pass_gives_the_same_tables_for_the_same_seed(tiny_subject, small_concepts, tiny_bank):
    again = ei.find_features(tiny_subject, small_concepts)
    pd.testing.assert_frame_equal(again.features, tiny_bank.features)
    pd.testing.assert_frame_equal(again.summary, tiny_bank.summary)


def test_q_is_one_family_over_living_features_emotions_layers_languages(tiny_bank):
    from scipy.stats import false_discovery_control

    alive = sum(tiny_bank.manifest["n_alive"].values())
    assert tiny_bank.manifest["n_tested"] == alive * len(tiny_bank.emotions)
    # the smallest p of the family keeps its rank: q = min over larger ones of p * n / rank
    table = tiny_bank.features.sort_values("p")
    p = np.concatenate([table["p"].to_numpy(), np.ones(tiny_bank.manifest["n_tested"] - len(table))])
    expected = false_discovery_control(p, method="bh")[: len(table)]
    small = table["p"].to_numpy() < 0.01
    assert np.allclose(table["q"].to_numpy()[small], expected[small], rtol=0.2)


def test_the_bank_survives_its_folder(tiny_bank, tmp_path):
    loaded = ei.FeatureBank.load(tiny_bank.save(tmp_path / "bank"))
    pd.testing.assert_frame_equal(loaded.features, tiny_bank.features)
    assert loaded.scales == tiny_bank.scales
    for key, value in tiny_bank.directions.items():
        assert np.allclose(loaded.directions[key], value, atol=1e-6)
    again = loaded.save(tmp_path / "again")
    names = ("features.parquet", "summary.parquet", "words.parquet", "activations.parquet", "directions.safetensors")
    for name in names:
        assert (again / name).read_bytes() == (tmp_path / "bank" / name).read_bytes(), name


def test_asking_for_what_is_not_there_says_what_is(tiny_bank):
    for call in (
        lambda: tiny_bank.table("joi"),
        lambda: tiny_bank.table(layer=9),
        lambda: tiny_bank.table(language="fr"),
        lambda: tiny_bank.direction("joy", layer=0, method="magic"),
    ):
        with pytest.raises(UnknownNameError, match="Available"):
            call()


def test_table_filters_and_ranks(tiny_bank):
    frame = tiny_bank.table("joy", layer=1, language="en")
    assert set(frame["emotion"]) == {"joy"} and set(frame["layer"]) == {1} and set(frame["language"]) == {"en"}
    assert frame["auroc"].is_monotonic_decreasing


def test_the_sae_direction_is_the_weighted_sum_of_decoder_rows(tiny_subject, small_concepts):
    bank = find(tiny_subject, small_concepts, 0)
    chosen = bank.table("joy", layer=0, language="en", selected=True)
    direction = bank.direction("joy", layer=0, language="en", method="sae").vector.astype(np.float64)
    rows = tiny_subject.readers[Site(0)].decoder_rows(chosen["feature"].to_numpy()).double().numpy()
    weights, residual, *_ = np.linalg.lstsq(rows.T, direction, rcond=None)
    assert np.allclose(rows.T @ weights, direction, atol=1e-5)
    assert (weights >= -1e-6).all()
    assert residual.sum() < 1e-8


def test_directions_and_selection_never_see_the_confirmation_half(tiny_subject, small_concepts):
    words, readings = synthetic(tiny_subject, small_concepts, 0)
    args = {"position": "last", "selection": Selection(), "seed": 0}
    before = bank_from_readings(tiny_subject, small_concepts, words, readings, **args)
    site = Site(0)
    held = (words["side"] == "confirmation").to_numpy()
    changed = readings[site].features.tolil()
    changed[np.flatnonzero(held)] = 3.0
    dense = readings[site].dense.copy()
    dense[held] += 5
    features = csr_matrix(changed)
    other = {
        site: SiteReadings(site, features, (features > 0).astype(np.float32), dense, 1.0, readings[site].n_stimuli)
    }
    after = bank_from_readings(tiny_subject, small_concepts, words, other, **args)
    pd.testing.assert_frame_equal(before.features, after.features)
    for key in before.directions:
        if key.method == "means":
            # for geometry only, over both halves
            continue
        assert np.array_equal(before.directions[key], after.directions[key])


@pytest.mark.parametrize(
    ("damage", "error", "match"),
    [
        (lambda f: (f / "features.parquet").write_bytes(b"x"), FileFormatError, "changed after it was saved"),
        (lambda f: (f / "words.parquet").unlink(), FileFormatError, "missing"),
        (lambda f: (f / "manifest.json").write_text("{}"), FileFormatError, "no feature bank"),
        (lambda f: (f / "manifest.json").write_text("{"), FileFormatError, "not readable JSON"),
        (lambda f: _edit(f, format_version=99), FileFormatError, "bank format 99"),
        (lambda f: shutil.rmtree(f), FileFormatError, "there is no feature bank at"),
        (lambda f: _poison(f), NotFiniteError, "NaN"),
    ],
)
def test_a_corrupt_or_foreign_bank_is_refused(tiny_bank, tmp_path, damage, error, match):
    folder = tiny_bank.save(tmp_path / "bank")
    damage(folder)
    with pytest.raises(error, match=match):
        ei.FeatureBank.load(folder)


def _edit(folder, **changes):
    manifest = json.loads((folder / "manifest.json").read_text())
    write_signed_json(folder / "manifest.json", manifest | changes)


def _poison(folder):
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    path = folder / "directions.safetensors"
    arrays = load_file(str(path))
    with safe_open(str(path), framework="np") as file:
        metadata = file.metadata()
    name = next(iter(arrays))
    arrays[name] = arrays[name] * np.float32("nan")
    save_file(arrays, str(path), metadata=metadata)
    manifest = json.loads((folder / "manifest.json").read_text())
    _edit(folder, files=manifest["files"] | {"directions.safetensors": sha256_file(path)})


def test_a_bank_of_another_subject_is_refused(tiny_bank, hooked_subject):
    with pytest.raises(EmotionInterpError, match="belongs to the subject 'tiny'"):
        ei.emotion_trace(hooked_subject, "She wept.", tiny_bank)


def test_frames_for_pictures_have_their_columns(tiny_bank):
    assert list(heatmap_frame(tiny_bank, 0, "en").columns) == [
        "layer",
        "site",
        "language",
        "emotion",
        "feature",
        "value",
    ]
    assert len(summary_by_layer(tiny_bank)) == 4
    assert "<table" in tiny_bank._repr_html_()


def test_a_subject_without_saes_and_an_unread_layer_are_refused(tiny_subject, small_concepts):
    bare = ei.Subject(tiny_subject.model, tokenizer=tiny_subject.tokenizer)
    with pytest.raises(EmotionInterpError, match="has no SAE"):
        ei.find_features(bare, small_concepts)
    with pytest.raises(UnknownNameError, match="SAE layer"):
        ei.find_features(tiny_subject, small_concepts, layers=[2])


def test_emotion_space_kinds(tiny_subject, small_concepts):
    bank = find(tiny_subject, small_concepts, 0)
    space = ei.emotion_space(bank, 0, "features", "en")
    words, matrix = bank.unit_activations(0, "en")
    chosen = bank.selected_features(0, "en")
    joy = matrix[np.flatnonzero(words["emotion"] == "joy")][:, chosen].toarray().mean(0)
    assert np.allclose(space.vectors[space.emotions.index("joy")], joy)
    assert np.allclose(ei.emotion_space(bank, 0, "dense").vectors, bank.directions[0, "en", "means"])
    with pytest.raises(UnknownNameError, match="space kind"):
        ei.emotion_space(bank, 0, "magic")


def test_controls_are_spaces_of_the_same_emotions(tiny_subject, small_concepts):
    controls = ei.control_spaces(tiny_subject, small_concepts, layer=1)
    assert set(controls) - {"encoder"} == {"static embedding", "random weights", "shuffled labels", "text"}
    assert {tuple(c.emotions) for c in controls.values()} == {("anger", "fear", "joy", "sadness")}
    table = tiny_subject.model.W_E.detach().numpy()
    rows = [table[tiny_subject.tokenizer(" " + w)["input_ids"]].mean(0) for w in small_concepts.words("joy", "en")]
    assert np.allclose(controls["static embedding"].vectors[2], np.mean(rows, axis=0), atol=1e-6)


def test_scenes_and_own_texts_are_split_by_group_and_read_whole(tiny_subject, small_concepts):
    from emotion_interp.concepts import labelled_stimuli, scene_stimuli

    bank = ei.find_features(tiny_subject, small_concepts, stimuli="scenes")
    assert bank.manifest["stimuli"] == "scenes"
    assert bank.words.groupby("group")["side"].nunique().max() == 1
    counts = bank.words[bank.words["language"] == "en"].groupby(["emotion", "side"]).size()
    assert (counts.drop("neutral") == 8).all()
    # every concept word is held out: the bank saw none
    assert bank.held_out_words("joy", "en") == list(small_concepts.words("joy", "en"))
    texts = [s.text for s in scene_stimuli(["en"], small_concepts.emotions)]
    labels = [s.emotion for s in scene_stimuli(["en"], small_concepts.emotions)]
    own = ei.find_features(
        tiny_subject, small_concepts, stimuli=labelled_stimuli(texts, labels, groups=range(len(texts)))
    )
    assert own.languages == ["en"]
    with pytest.raises(UnknownNameError, match="emotion of a text"):
        ei.find_features(tiny_subject, small_concepts, stimuli=labelled_stimuli(["a b", "c d"], ["joi", "joy"]))
    with pytest.raises(UnknownNameError, match="kind of stimuli"):
        ei.find_features(tiny_subject, small_concepts, stimuli="poems")


def test_a_feature_fires_on_a_text_above_its_own_upper_quartile_whatever_the_labels(rng):
    from emotion_interp.stats.firing import above_level

    values = np.where(rng.random((40, 5)) < 0.6, rng.random((40, 5)), 0).astype(np.float32)
    units = np.arange(4, 40)
    got = above_level(csr_matrix(values), units).toarray()
    level = np.maximum(np.quantile(values[units], 0.75, axis=0), 0)
    assert np.array_equal(got, values > level)


def test_a_bank_never_replaces_a_folder_of_something_else(tiny_bank, tmp_path):
    place = tmp_path / "runs"
    place.mkdir()
    (place / "thesis.txt").write_text("years of work")
    kept = tiny_bank.save(tmp_path / "kept")
    for write in (tiny_bank.save, lambda p: ei.push_bank(tiny_bank, p), lambda p: ei.pull_bank(kept, p)):
        with pytest.raises(EmotionInterpError, match="thesis.txt"):
            write(place)
        assert [p.name for p in place.iterdir()] == ["thesis.txt"]
    # an empty folder, and a bank with its card, are replaced
    empty = tmp_path / "empty"
    empty.mkdir()
    assert ei.FeatureBank.load(tiny_bank.save(empty)).emotions == tiny_bank.emotions


def test_a_bank_that_is_saved_again_keeps_a_card_that_is_its_own(tiny_bank, tmp_path):
    folder = tiny_bank.save(tmp_path / "bank")
    assert not (folder / "CARD.md").exists()
    (folder / "CARD.md").write_text("old")
    more = tiny_bank.with_table(
        "examples",
        pd.DataFrame(
            {"layer": [1], "site": ["blocks.1.hook_resid_post"], "feature": [1], "rank": [0], "activation": [1.0]}
        ),
    )
    more.save(folder)
    card = (folder / "CARD.md").read_text(encoding="utf-8")
    assert "further tables | examples" in card and "also texts" in card
    tiny_bank.save(folder)
    assert "no text" in (folder / "CARD.md").read_text(encoding="utf-8")


def test_a_bank_of_other_saes_is_refused_and_rounding_is_not(tiny_bank, gpt2, tokenizer):
    import torch

    from emotion_interp.bank.same_subject import require_same_subject
    from tests.conftest import make_sae

    other = [make_sae(0), make_sae(1)]
    with torch.no_grad():
        other[1].W_dec.copy_(other[1].W_dec.flip(0))
    with pytest.raises(EmotionInterpError, match="blocks.1.hook_resid_post is another one"):
        require_same_subject(tiny_bank, ei.Subject(gpt2, saes=other, tokenizer=tokenizer, name="tiny"))
    halves = [make_sae(0), make_sae(1)]
    for sae in halves:
        with torch.no_grad():
            sae.W_dec.copy_(sae.W_dec.half().float() * 3)
    require_same_subject(tiny_bank, ei.Subject(gpt2, saes=halves, tokenizer=tokenizer, name="tiny"))


def test_rates_of_texts_are_shares_in_which_a_feature_is_active_at_all(tiny_subject):
    texts = list(scene_stimuli(["en"], ["joy", "fear", "anger"]))
    bank = ei.find_features(tiny_subject, ei.concept_set("en"), [1], stimuli=texts)

    design = design_stimuli(ei.concept_set("en"), texts, 0)
    reading = read_stimuli(tiny_subject, texts, design.units, sites=bank.sites, position="text", skip=8)[Site(1)]
    own = design.words[design.words["side"] == "discovery"]["unit"].to_numpy()
    by_hand = (reading.features.toarray()[own] > 0).mean(0)
    rates = bank.rates.set_index("feature")["rate"]
    assert np.allclose(rates, by_hand[rates.index], atol=1e-6) and rates.nunique() > 5
