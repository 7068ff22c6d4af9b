"""The text-only row of features, probes and spaces: the same stimuli, the same split, no model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import emotion_interp as ei
from emotion_interp.bank.frames import summary_by_layer
from emotion_interp.concepts import labelled_stimuli, scene_stimuli
from emotion_interp.concepts.text_baseline import TextVectors
from emotion_interp.core import EmotionInterpError, UnknownNameError
from emotion_interp.features.text_scores import add_text_scores, text_scores


@pytest.fixture(scope="module")
def bank(tiny_subject, small_concepts):
    return ei.find_features(tiny_subject, small_concepts, stimuli="scenes")


def english(bank, small_concepts):
    """Units of the English scenes with their texts, in the bank's order."""
    text = {(s.emotion, s.word): s.text for s in scene_stimuli(["en"])}
    here = bank.words[bank.words["language"] == "en"]
    return here.assign(text=[text[e, w] for e, w in zip(here["emotion"], here["word"], strict=True)])


def test_text_auroc_is_the_held_out_difference_of_means_of_tfidf(bank, small_concepts):
    units = english(bank, small_concepts)
    first, second = (units[units["side"] == side] for side in ("discovery", "confirmation"))
    vectors = TextVectors(first["text"].tolist())
    x, y = (vectors(part["text"].tolist()).toarray() for part in (first, second))
    means = {e: x[(first["emotion"] == e).to_numpy()].mean(axis=0) for e in units["emotion"].unique()}
    for emotion in bank.emotions:
        others = [e for e in bank.emotions if e != emotion]
        contrast = 0.5 * np.mean([means[e] for e in others], axis=0) + 0.5 * means["neutral"]
        score = y @ (means[emotion] - contrast)
        labels = second["emotion"].to_numpy()

        def auroc(other, score=score, labels=labels, emotion=emotion):
            two = np.isin(labels, [emotion, other])
            return roc_auc_score(labels[two] == emotion, score[two])

        expected = 0.5 * auroc("neutral") + 0.5 * np.mean([auroc(e) for e in others])
        rows = bank.summary[(bank.summary["emotion"] == emotion) & (bank.summary["language"] == "en")]
        np.testing.assert_allclose(rows["text_auroc"], expected)
    shown = summary_by_layer(bank)
    english_rows = shown[shown["language"] == "en"]
    assert english_rows["median_text_auroc"].nunique() == 1
    # scenes say their emotion in their words
    assert english_rows["median_text_auroc"].iloc[0] > 0.6


def test_every_kind_of_stimuli_has_a_text_row(tiny_subject, small_concepts, bank):
    words = ei.find_features(tiny_subject, small_concepts)
    assert words.summary["text_auroc"].between(0, 1).all() and "text_space" not in words.extras
    assert bank.summary["text_auroc"].between(0, 1).all() and set(bank.extras["text_space"]["language"]) == {"en", "zh"}
    with pytest.warns(UserWarning, match="no text-only row"):
        own = labelled_stimuli([f"{w} {w}" for w in ("ab", "cd", "ef", "gh")], ["joy", "joy", "fear", "fear"])
        alone = ei.find_features(tiny_subject, small_concepts, stimuli=own, skip=0)
    assert "text_auroc" not in alone.summary


def test_a_bank_of_an_older_version_gets_its_text_row(bank, small_concepts, tmp_path):
    from dataclasses import replace

    old = replace(bank, summary=bank.summary.drop(columns="text_auroc"), extras={})
    assert "median_text_auroc" not in summary_by_layer(old)
    again = add_text_scores(old, small_concepts)
    pd.testing.assert_frame_equal(again.summary, bank.summary)
    again.save(tmp_path / "bank")
    loaded = ei.FeatureBank.load(tmp_path / "bank")
    pd.testing.assert_frame_equal(loaded.summary, bank.summary)
    assert ei.emotion_space(loaded, 0, "dense").baselines["text"].emotions == tuple(bank.emotions)


def test_the_space_of_a_bank_of_texts_carries_the_texts_own(bank, small_concepts):
    units = english(bank, small_concepts)
    own = units[units["emotion"] != "neutral"]
    plain = ei.text_baselines(own["text"].tolist(), own["emotion"].tolist())["text"]
    space = ei.emotion_space(bank, 0, "dense", "en")
    assert space.stimuli == "scenes"
    kept = space.baselines["text"].subset(plain.emotions)
    np.testing.assert_allclose(kept.centred @ kept.centred.T, plain.centred @ plain.centred.T, atol=1e-12)


def test_probes_have_the_text_row_on_their_split(tiny_subject, small_concepts, bank):
    probes = ei.sparse_probes(tiny_subject, small_concepts, (1,), layers=[1], stimuli="scenes")
    table = probes.baselines().set_index(["language", "emotion"])
    assert table["text_probe_auroc"].between(0, 1).all()
    assert {"text_means_auroc", "text_probe_auroc"} <= set(probes.by_layer())
    # the weighted difference of means ranks as the composite's own
    expected = bank.summary[bank.summary["layer"] == 1].set_index(["language", "emotion"])["text_auroc"]
    np.testing.assert_allclose(table["text_means_auroc"], expected.reindex(table.index))


def test_a_probe_on_the_texts_learns_what_is_in_them_and_nothing_from_shuffled_labels(rng):
    emotions = ["joy", "fear"]
    rows = [(i, "en", emotions[i % 2], f"w{i}", f"g{i}", ("discovery", "confirmation")[i // 2 % 2]) for i in range(80)]
    words = pd.DataFrame(rows, columns=["unit", "language", "emotion", "word", "group", "side"])
    filler = [" ".join(rng.choice([f"filler{k}" for k in range(30)], 6)) for _ in range(80)]
    filler = [text.translate(str.maketrans("0123456789", "abcdefghij")) for text in filler]
    said = [f"{text} {('sunshine', 'darkness')[i % 2]}" for i, text in enumerate(filler)]
    known = text_scores(words, said, emotions, "texts", probes=True)
    assert (known[["text_means_auroc", "text_probe_auroc"]] > 0.95).all().all()
    blind = text_scores(words, filler, emotions, "texts", probes=True)
    assert blind[["text_means_auroc", "text_probe_auroc"]].to_numpy().mean() == pytest.approx(0.5, abs=0.2)


def test_control_spaces_are_made_of_the_stimuli_of_the_space(tiny_subject, small_concepts, bank, tmp_path):
    scenes = scene_stimuli(["en"], small_concepts.emotions)
    emotional = [s for s in scenes if s.emotion != "neutral"]
    by_name = ei.control_spaces(tiny_subject, small_concepts, 1, stimuli="scenes", language="en")
    given = ei.control_spaces(tiny_subject, None, 1, stimuli=emotional)
    of_bank = ei.control_spaces(tiny_subject, small_concepts, 1, bank=bank)
    csv = tmp_path / "own.csv"
    pd.DataFrame({"text": [s.text for s in emotional], "emotion": [s.emotion for s in emotional]}).to_csv(
        csv, index=False
    )
    own = ei.control_spaces(tiny_subject, small_concepts, 1, stimuli=csv)
    table = tiny_subject.model.W_E.detach().numpy()
    joy = [s.text for s in emotional if s.emotion == "joy"]
    tokens = [tiny_subject.tokenizer(" " + t, add_special_tokens=False)["input_ids"] for t in joy]
    expected = np.mean([table[t[8:] or t].mean(0) for t in tokens], axis=0)
    texts = ei.text_baselines([s.text for s in emotional], [s.emotion for s in emotional])["text"]
    for controls in (by_name, given, of_bank, own):
        # all scenes of the language by name; only those of the bank's emotions with the bank
        assert {"joy", "fear"} <= set(controls["text"].emotions)
        at = controls["static embedding"].emotions.index("joy")
        np.testing.assert_allclose(controls["static embedding"].vectors[at], expected, atol=1e-5)
    for controls in (given, of_bank, own):
        kept = controls["text"].subset(texts.emotions)
        np.testing.assert_allclose(kept.centred @ kept.centred.T, texts.centred @ texts.centred.T, atol=1e-12)
    np.testing.assert_allclose(
        given["random weights"].vectors, own["random weights"].subset(given["text"].emotions).vectors
    )
    # labels that no concept set knows
    strange = labelled_stimuli([s.text for s in emotional], [f"my {s.emotion}" for s in emotional])
    assert "my joy" in ei.control_spaces(tiny_subject, None, 1, stimuli=strange)["random weights"].emotions
    with pytest.raises(EmotionInterpError, match="needs the concept sets"):
        ei.control_spaces(tiny_subject, None, 1, stimuli="words", language="en")
    with pytest.raises(UnknownNameError, match="corpus"):
        ei.control_spaces(tiny_subject, small_concepts, 1, stimuli="poems")
    with pytest.raises(EmotionInterpError, match="fewer than two emotions in 'zh'"):
        ei.control_spaces(tiny_subject, small_concepts, 1, "zh", stimuli=emotional)


def test_controls_of_other_stimuli_than_the_space_are_called_out(tiny_subject, small_concepts, bank):
    rng = np.random.default_rng(0)
    names = [*bank.emotions, "calm"]
    space = ei.EmotionSpace(rng.normal(size=(5, 4)), names, stimuli="scenes")
    other = ei.EmotionSpace(rng.normal(size=(5, 4)), names, stimuli="words")
    norms = ei.load_norms("builtin")
    with pytest.warns(UserWarning, match="made of scenes, its controls of words"):
        ei.align(space, norms, controls={"static embedding": other}, n_permutations=9, n_bootstrap=0)


def test_text_spaces_carry_the_texts_and_align_layers_shows_their_row(tiny_subject):
    scenes = [
        s for s in scene_stimuli(["en"], ["joy", "fear", "anger", "calm", "pride", "shame"]) if s.emotion != "neutral"
    ]
    texts, labels = [s.text for s in scenes], [s.emotion for s in scenes]
    spaces = ei.text_spaces(tiny_subject, texts, labels, skip=4)
    fits = ei.align_layers(list(spaces.values()), ei.load_norms("builtin"), n_permutations=19, n_bootstrap=0)
    frame = fits.to_frame()
    alone = ei.align(
        ei.text_baselines(texts, labels)["text"], ei.load_norms("builtin"), n_permutations=19, n_bootstrap=0
    )
    rows = frame[frame["kind"] == "text"]
    assert sorted(rows["layer"]) == sorted({site.layer for site, _ in spaces})
    assert set(rows["rsa_rho"]) == {alone.rsa.rho} and set(rows["readout_valence_r"]) == {alone.readout.valence_r}
    assert frame[~frame["kind"].isin(["text", "encoder"])]["rsa_given_text"].notna().all()


def test_texts_without_a_known_term_are_tied():
    """Half of the held-out words share no letters with any learnt one: against each other they count a half."""
    learnt, new = ["aaa", "aab", "bbb", "bba"], ["aaab", "xyz", "bbba", "uvw"]
    words = pd.DataFrame({"unit": range(8), "language": "en", "emotion": ["joy", "joy", "fear", "fear"] * 2})
    words = words.assign(group=range(8), side=["discovery"] * 4 + ["confirmation"] * 4)
    scores = text_scores(words, learnt + new, ["joy", "fear"], "words").set_index("emotion")["text_auroc"]
    # joy: aaab beats xyz, bbba and uvw beats none of them: (1 + 1 + 1 + .5) / 4
    np.testing.assert_allclose(scores.to_numpy(), 0.875)


def test_texts_that_score_alike_are_tied_whatever_the_last_bits_of_their_sums():
    """a and b, c and d changed about turn each emotion's learnt words, and one held-out word, into the same again."""
    change = str.maketrans("abcd", "badc")
    joy, fear = ["bfea", "fbcddc", "fea", "ebddaf"], ["baaea", "ffbac", "dadcbc", "fadebb"]
    learnt = [w for words in (joy, fear) for word in words for w in (word, word.translate(change))]
    held = ["bbfbb", "bbfbb".translate(change)]
    rows = pd.DataFrame({"unit": range(18), "language": "en", "emotion": ["joy"] * 8 + ["fear"] * 8 + ["joy", "fear"]})
    rows = rows.assign(group=range(18), side=["discovery"] * 16 + ["confirmation"] * 2)
    scores = text_scores(rows, learnt + held, ["joy", "fear"], "words")["text_auroc"]
    np.testing.assert_array_equal(scores.to_numpy(), 0.5)
