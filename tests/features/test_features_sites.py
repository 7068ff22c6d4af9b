"""Every readable site on both backends, several SAEs at one hook point, several sites in one layer."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import emotion_interp as ei
from emotion_interp.activations import read_tokens, read_units
from emotion_interp.bank import FeatureBank
from emotion_interp.bank.frames import heatmap_frame, summary_by_layer
from emotion_interp.bank.tools import diff_banks, merge_banks
from emotion_interp.core import KINDS, EmotionInterpError, Site, Stimulus, UnknownNameError
from emotion_interp.geometry import emotion_space
from emotion_interp.geometry.from_bank import control_spaces
from emotion_interp.ratings.sets import bank_sets
from emotion_interp.steering.interventions import scale_at
from emotion_interp.subjects.sae_identity import width_name
from emotion_interp.subjects.sae_reader import SaeReader
from tests.conftest import make_sae

TEXTS = [
    (emotion, f"{start} {word} {end}", word)
    for emotion, words in {
        "joy": ("joy", "smile", "party", "gift"),
        "fear": ("fear", "spider", "dark", "scream"),
    }.items()
    for i, word in enumerate(words)
    for start, end in (("The", "came to us"), ("She saw a", f"and went away {i}"))
]
NARROW, WIDE, MLP = Site(0, sae="64"), Site(0, sae="128"), Site(0, "mlp_out")


def stimuli():
    """Two texts of each word; a word is one unit, and one group."""
    found = []
    for emotion, text, word in TEXTS:
        at = text.index(word)
        found.append(Stimulus(text, (at, at + len(word)), emotion, word, "own", "en", word))
    return found


@pytest.fixture(scope="module")
def concepts():
    return ei.concept_set("en").subset(emotions=["joy", "fear"])


@pytest.fixture(scope="module")
def several(tiny_subject):
    """Two widths at one hook point, another kind of site in the same layer, and a layer with one SAE."""
    saes = [make_sae(0), make_sae(0, d_sae=64, seed=7), make_sae(0, "mlp_out", seed=3), make_sae(1)]
    return ei.Subject(tiny_subject.model, saes=saes, tokenizer=tiny_subject.tokenizer, name="several")


@pytest.fixture(scope="module")
def bank(several, small_concepts):
    return ei.find_features(several, small_concepts)


def cached(subject, text, site, position):
    """The activation of one site at one token, from the model's own cache: [d] or [head, d_head]."""
    _, cache = subject.model.run_with_cache(torch.tensor([subject.tokenize([text])[0].ids]))
    return cache[site.hook_name][0, position]


@pytest.mark.parametrize("backend", ["bridge", "hooked"])
@pytest.mark.parametrize("kind", KINDS)
def test_pooled_activations_of_every_site_equal_the_cache_and_the_saes_own_encode(
    tiny_subject, hooked_model, concepts, kind, backend
):
    site = Site(1, kind)
    sae = make_sae(1, kind, seed=5, threshold=0.2)
    sae.cfg.metadata.hook_name = site.hook_name
    model, tokenizer = (tiny_subject.model, tiny_subject.tokenizer) if backend == "bridge" else (hooked_model, None)
    subject = ei.Subject(model, saes=[sae], tokenizer=tokenizer, name=backend)
    assert (subject.backend, subject.sites) == (backend, [site])
    texts = stimuli()
    units = {word: i for i, word in enumerate(dict.fromkeys(s.word for s in texts))}
    expected = np.zeros((len(units), 128))
    for stimulus in texts:
        with torch.no_grad():
            latents = sae.encode(cached(subject, stimulus.text, site, -1).flatten())
        expected[units[stimulus.word]] += latents.numpy() / 2
    got = read_units(subject, [s.text for s in texts], [units[s.word] for s in texts], position="end")[site]
    assert (expected > 0).any()
    # in units of the site: float32 keeps no more of a stream whose norm is in the hundreds
    tolerance = 1e-5 * max(1.0, got.scale)
    assert np.allclose(got.features.toarray(), expected, rtol=0, atol=tolerance)
    bank = ei.find_features(subject, concepts, stimuli=texts, position="end")
    words, matrix = bank.unit_activations(1)
    kept = np.unique(bank.activations["feature"])
    assert len(kept)
    place = [units[word] for word in words["word"]]
    assert np.allclose(matrix[:, kept].toarray(), expected[place][:, kept], rtol=0, atol=tolerance)


@pytest.mark.parametrize("backend", ["bridge", "hooked"])
def test_trap_an_sae_that_flattens_hook_z_itself_reads_both_backends(tiny_subject, hooked_model, backend):
    site = Site(1, "z")
    sae = make_sae(1, seed=5, threshold=0.2)
    sae.cfg.metadata.hook_name, sae.cfg.reshape_activations = site.hook_name, "hook_z"
    sae.turn_on_forward_pass_hook_z_reshaping()
    model, tokenizer = (tiny_subject.model, tiny_subject.tokenizer) if backend == "bridge" else (hooked_model, None)
    subject = ei.Subject(model, saes=[sae], tokenizer=tokenizer)
    got = read_units(subject, ["fear of it"], [0], position="end")[site].features.toarray()[0]
    heads = cached(subject, "fear of it", site, -1)
    assert heads.shape == (2, 16)
    with torch.no_grad():
        assert np.allclose(got, sae.encode(heads[None])[0].numpy(), atol=1e-5)


# -- several SAEs at one hook point -----------------------------------------------------------------------------------
def test_saes_at_one_hook_point_are_named_by_their_width_whatever_their_order(several, tiny_subject):
    assert several.sites == [Site(0, "mlp_out"), WIDE, NARROW, Site(1)]
    turned = ei.Subject(tiny_subject.model, saes=list(several.saes.values())[::-1], tokenizer=tiny_subject.tokenizer)
    assert turned.sites == several.sites
    assert {s: r.sae for s, r in turned.readers.items()} == several.saes
    assert [width_name(n) for n in (900, 24576, 131072, 2**20)] == ["900", "24k", "131k", "1m"]


def test_equal_widths_are_named_by_their_weights_and_one_sae_twice_is_refused(tiny_subject):
    def sites(*saes):
        subject = ei.Subject(tiny_subject.model, saes=saes, tokenizer=tiny_subject.tokenizer)
        return {s.sae: r.sae for s, r in subject.readers.items()}

    one, two, three = make_sae(0), make_sae(0, seed=1), make_sae(0, d_sae=64)
    found = sites(one, two, three)
    assert sorted(len(name) for name in found) == [2, 10, 10]
    assert sites(three, two, one) == found
    with pytest.raises(EmotionInterpError, match="two SAEs read blocks.0.hook_resid_post#128.*give each once"):
        sites(one, make_sae(0))
    named = sites(SaeReader(one, Site(0, sae="mine")), three)
    assert named == {"mine": one, "64": three}


def test_readers_and_saes_handed_in_keep_their_site(tiny_subject):
    readers = [SaeReader(make_sae(0)), SaeReader(make_sae(0, d_sae=64))]
    ei.Subject(tiny_subject.model, saes=readers, tokenizer=tiny_subject.tokenizer)
    assert [r.site for r in readers] == [Site(0), Site(0)]


def test_one_sae_per_hook_point_needs_no_name(tiny_subject, tiny_bank):
    assert tiny_subject.sites == [Site(0), Site(1)]
    for frame in (tiny_bank.features, tiny_bank.activations, tiny_bank.rates, summary_by_layer(tiny_bank)):
        assert set(frame["site"]) == {"blocks.0.hook_resid_post", "blocks.1.hook_resid_post"}


def test_the_hook_is_read_once_and_encoded_with_each_sae(several):
    texts, runs = [t for _, t, _ in TEXTS], []
    # whether the model keeps a cache is looked at once, before anything is read
    assert several.uncached_options is several.uncached_options
    handle = several.model.blocks[1].register_forward_hook(lambda *_: runs.append(1))
    try:
        together = read_units(several, texts, range(len(texts)), position="text", batch_tokens=10**6)
    finally:
        handle.remove()
    assert len(runs) <= 1
    assert list(together) == several.sites
    assert together[WIDE].dense is together[NARROW].dense
    for site in several.sites:
        sae = several.saes[site]
        alone = ei.Subject(several.model, saes={site.point: sae}, tokenizer=several.tokenizer)
        single = read_units(alone, texts, range(len(texts)), position="text")[site.point]
        assert np.allclose(together[site].features.toarray(), single.features.toarray(), atol=1e-5)
        assert together[site].scale == pytest.approx(single.scale, rel=1e-6)
    tokens = read_tokens(several, texts[0])
    for site in several.sites:
        assert torch.allclose(tokens.latents[site], several.readers[site].encode(tokens.dense[site]), atol=1e-5)


def test_a_layer_a_hook_name_and_a_site_choose_saes(several):
    assert several.sae_sites() == several.sites
    assert several.sae_sites([0]) == several.sites[:3]
    assert several.sae_sites([Site(0), 1]) == [WIDE, NARROW, Site(1)]
    assert several.sae_sites(["blocks.0.hook_resid_post#64"]) == [NARROW]
    assert several.site(0) == WIDE
    for wrong, match in ((2, "SAE layer 2"), (Site(1, "z"), "SAE site"), (9, "layer 9")):
        with pytest.raises(UnknownNameError, match=match):
            several.sae_sites([wrong])


# -- a bank of several sites in one layer -----------------------------------------------------------------------------
def test_each_site_of_a_bank_is_what_the_subject_with_that_sae_alone_gives(several, bank, small_concepts):
    assert bank.sites == several.sites
    for site in bank.sites:
        point = site.point
        lone = ei.Subject(several.model, saes={point: several.saes[site]}, tokenizer=several.tokenizer, name="several")
        alone = ei.find_features(lone, small_concepts)
        own, other = bank.table(layer=site), alone.table()
        keys = ["language", "emotion", "feature"]
        columns = ["p", "auroc", "specificity", "coverage", "mean_activation"]
        own, other = (f.sort_values(keys).reset_index(drop=True) for f in (own, other))
        assert set(own["site"]) == {str(site)}
        pd.testing.assert_frame_equal(own[[*keys, *columns]], other[[*keys, *columns]], rtol=1e-4, atol=1e-5)
        assert set(bank.rates.query("site == @site.__str__()")["feature"]) == set(alone.rates["feature"])
        for method in ("dense", "sae"):
            mine, theirs = (b.direction("joy", s, "zh", method) for b, s in ((bank, site), (alone, point)))
            assert mine.site == point
            assert np.allclose(mine.vector, theirs.vector, atol=1e-4)
        (words, values), (words2, values2) = bank.unit_activations(site), alone.unit_activations(point)
        pd.testing.assert_frame_equal(words, words2)
        # what is kept are the selected and top features, and selection depends on the family of tests
        shared = np.intersect1d(*(np.unique(m.tocoo().col) for m in (values, values2)))
        assert len(shared)
        assert np.allclose(values[:, shared].toarray(), values2[:, shared].toarray(), atol=1e-4)


def test_a_layer_with_several_sites_means_resid_post_or_all_rows(bank):
    assert bank.site(0) == WIDE
    assert bank.site(MLP) == MLP
    assert bank.site("blocks.0.hook_mlp_out") == MLP
    assert bank.site(Site(0)) == WIDE
    assert len(bank.table(layer=0)) == sum(len(bank.table(layer=s)) for s in bank.sites[:3])
    assert len(bank.table(layer=Site(0))) == len(bank.table(layer=WIDE)) + len(bank.table(layer=NARROW))
    assert bank.unit_activations(0)[1].shape[1] == 128
    assert bank.unit_activations(NARROW)[1].shape[1] == 64
    assert np.array_equal(bank.direction("joy", 0).vector, bank.direction("joy", WIDE).vector)
    with pytest.raises(UnknownNameError, match="site 'blocks.1.hook_mlp_out'"):
        bank.table(layer=Site(1, "mlp_out"))
    with pytest.raises(UnknownNameError, match="layer 2"):
        bank.site(2)


def test_a_bank_of_several_sites_comes_back_from_disk(bank, tmp_path):
    loaded = FeatureBank.load(bank.save(tmp_path / "bank"))
    assert loaded.sites == bank.sites
    assert loaded.scales == bank.scales
    pd.testing.assert_frame_equal(loaded.table(), bank.table())
    for site in bank.sites:
        assert np.array_equal(loaded.direction("joy", site).vector, bank.direction("joy", site).vector)
        assert (loaded.unit_activations(site)[1] != bank.unit_activations(site)[1]).nnz == 0


def test_tables_and_pictures_keep_sites_apart(bank):
    summary = summary_by_layer(bank)
    assert list(summary.columns[:3]) == ["layer", "site", "language"]
    assert len(summary) == 4 * 2
    assert summary["emotions"].max() <= 4
    one, two = heatmap_frame(bank, WIDE, "en"), heatmap_frame(bank, NARROW, "en")
    assert one["feature"].max() > two["feature"].max()
    assert "#64" in bank._repr_html_()


def test_universality_compares_every_site(bank, several, small_concepts):
    result = ei.universality(bank, "en", "zh", 50, features="nominal")
    assert result.by_layer()["site"].tolist() == [str(s) for s in bank.sites]
    frame = result.to_frame()
    for site in bank.sites:
        rows = bank.table("fear", site)
        rows = rows[rows["p"] <= 0.05]
        one, two = (set(rows[rows["language"] == lang]["feature"]) for lang in ("en", "zh"))
        alive = [set(bank.rows_at(bank.rates, site).query(f"language == '{c}'")["feature"]) for c in ("en", "zh")]
        assert set(result.shared_features("fear", site)) == one & two & alive[0] & alive[1]
        own = frame[(frame["site"] == str(site)) & (frame["emotion"] == "fear")]
        assert own["n_both"].item() == len(one & two & alive[0] & alive[1])
    assert np.array_equal(result.shared_features("joy", 0), result.shared_features("joy", WIDE))
    with pytest.raises(UnknownNameError, match="site"):
        result.shared_features("joy", Site(1, "z"))


def test_spaces_and_feature_sets_belong_to_one_site(bank, several, concepts):
    spaces = {site: emotion_space(bank, site, "dense", "en") for site in bank.sites}
    assert np.array_equal(emotion_space(bank, 0, "dense", "en").vectors, spaces[WIDE].vectors)
    assert np.allclose(spaces[WIDE].vectors, spaces[NARROW].vectors)
    assert not np.allclose(spaces[WIDE].vectors, spaces[MLP].vectors)
    assert emotion_space(bank, NARROW, "decoder", "en").layer == 0
    chosen = replace(bank, features=bank.features.assign(selected=bank.features["site"].eq(str(NARROW))))
    rates = np.full(64, 0.5)
    selected = bank_sets(chosen, NARROW, "en", rates)["selected"]
    assert set(selected) == set(bank.table(layer=NARROW, language="en")["feature"])
    assert bank_sets(chosen, WIDE, "en", np.full(128, 0.5)) == {}
    assert chosen.selected_features(0).size == 0
    assert bank_sets(chosen, 2, "en", rates) == {}
    names = set(control_spaces(several, concepts, NARROW))
    assert names - {"encoder"} == {"static embedding", "random weights", "shuffled labels", "text"}


def test_ratings_tell_sites_of_one_layer_apart(several, bank):
    norms = ei.load_norms("builtin")
    options = {"folds": 3, "baselines": True, "max_words": 60}
    frame = ei.predict_ratings(several, norms, bank, layers=[0], **options).to_frame()
    assert set(frame["site"]) == {str(s) for s in bank.sites[:3]}
    assert set(frame["layer"]) == {0}
    lone = ei.Subject(several.model, saes={Site(0): several.saes[NARROW]}, tokenizer=several.tokenizer)
    alone = ei.predict_ratings(lone, norms, **options).to_frame()
    assert set(alone["site"]) == {str(Site(0))}
    for dimension in ("valence", "arousal"):
        wanted = f"feature_set == 'all' and dimension == '{dimension}'"
        both = [f.query(wanted)["r"].item() for f in (frame[frame["site"] == str(NARROW)], alone)]
        assert both[0] == pytest.approx(both[1], abs=1e-3)


def test_traces_and_steering_take_a_site(several, bank):
    for site in (WIDE, NARROW, MLP):
        trace = ei.emotion_trace(several, "The word was joy", bank, layers=[site])
        assert trace.layers == (0,)
    assert ei.emotion_trace(several, "The word was joy", bank).layers == (0, 1)
    assert scale_at(bank.scales, Site(0)) == bank.scales[WIDE]
    with ei.steer(several, bank.direction("joy", NARROW, method="dense"), dose=1.0):
        several.generate("The word", max_new_tokens=1)


def test_banks_of_two_sites_of_one_layer_merge_into_the_bank_of_both(several, small_concepts, bank, tmp_path):
    parts = [ei.find_features(several, small_concepts, layers=[site]) for site in (WIDE, NARROW, MLP)]
    merged = merge_banks(merge_banks(parts[0], parts[1]), parts[2])
    assert merged.sites == bank.sites[:3]
    whole = bank.table(layer=0)
    keys = ["site", "language", "emotion", "feature"]
    own, other = (f.sort_values(keys).reset_index(drop=True)[[*keys, "p", "auroc"]] for f in (merged.table(), whole))
    pd.testing.assert_frame_equal(own, other, atol=1e-6)
    for part, site in zip(parts, (WIDE, NARROW, MLP), strict=True):
        assert (merged.unit_activations(site)[1] != part.unit_activations(site)[1]).nnz == 0
        assert set(merged.rows_at(merged.rates, site)["feature"]) == set(part.rates["feature"])
    assert FeatureBank.load(merged.save(tmp_path / "merged")).sites == merged.sites
    difference = diff_banks(merged, bank)
    assert len(difference) == len(merged.summary)
    assert set(difference["site"]) == {str(s) for s in merged.sites}
    assert np.allclose(difference["dense_cosine"], 1)
    with pytest.raises(EmotionInterpError, match="share no layer"):
        diff_banks(parts[0], parts[2])
    with pytest.raises(EmotionInterpError, match="where this subject has no SAE.*It reads: .*#64"):
        lone = ei.find_features(
            ei.Subject(several.model, saes=[make_sae(0)], tokenizer=several.tokenizer, name="several"), small_concepts
        )
        ei.emotion_trace(several, "joy", lone)
