"""Sentences: read as they are, split by document, the same columns; and the words that are furthest off."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from emotion_interp.activations import read_units
from emotion_interp.core import EmotionInterpError, UnknownNameError
from emotion_interp.norms import Norms, load_norms
from emotion_interp.ratings import Ratings, predict_ratings
from emotion_interp.ratings.subject_ratings import read_part, read_words


@pytest.fixture(scope="module")
def sentences() -> Norms:
    words = load_norms("builtin").words[:60]
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"word": [f"I was full of {w} that day." for w in words], "group": [f"d{i // 3}" for i in range(60)]}
    )
    table["valence"], table["arousal"] = rng.uniform(1, 9, (2, 60))
    return Norms("made up", "en", table, (1, 9), unit="sentence")


@pytest.mark.parametrize("position", ["text", "end"])
def test_sentences_are_read_as_they_are(tiny_subject, sentences, position: str) -> None:
    site = tiny_subject.sites[0]
    texts = sentences.words[:5]
    found = read_words(tiny_subject, texts, "en", [site], position=position)[site]
    expected = read_units(tiny_subject, texts, range(5), sites=[site], position=position)[site]
    np.testing.assert_allclose(found.dense, expected.dense, rtol=1e-6)
    assert (found.features != expected.features).nnz == 0
    tokens = tiny_subject.tokenize(texts[:1])[0]
    _, cache = tiny_subject.model.run_with_cache(torch.tensor([list(tokens.ids)]))
    rows = cache[site.hook_name][0].detach().numpy()[int(tokens.has_bos) :]
    np.testing.assert_allclose(found.dense[0], rows.mean(0) if position == "text" else rows[-1], rtol=1e-3, atol=1e-4)


def test_sentences_give_the_columns_of_words_and_are_pooled_over_the_text_by_default(tiny_subject, sentences) -> None:
    found = predict_ratings(tiny_subject, sentences, folds=5)
    words = predict_ratings(tiny_subject, load_norms("builtin"), folds=5)
    assert list(found.table.columns) == list(words.table.columns)
    # the encoder stands beside them where one is present
    assert set(found.table["feature_set"]) - {"encoder"} == {"all", "dense", "static", "length", "frequency", "text"}
    assert (found.table["n_words"] == 60).all() and set(found.predictions["word"]) == set(sentences.words)
    named = predict_ratings(tiny_subject, sentences, folds=5, position="text")
    pd.testing.assert_frame_equal(found.table, named.table)


def test_sentences_of_a_document_stay_in_one_fold(tiny_subject, sentences) -> None:
    part, _ = read_part(tiny_subject, sentences)
    by_sentence = sentences.table.set_index("word")["group"]
    assert list(part.groups or ()) == [by_sentence[w] for w in part.words]
    one_document = Norms("one", "en", sentences.table.assign(group=["a"] * 30 + ["b"] * 30), (1, 9), unit="sentence")
    with pytest.raises(EmotionInterpError, match="groups of words, got 2"):
        predict_ratings(tiny_subject, one_document, folds=5)


def test_a_carrier_for_a_whole_text_is_refused(tiny_subject, sentences) -> None:
    for options in ({"carrier": "I say {word}."}, {"carriers": 2}):
        with pytest.raises(EmotionInterpError, match="as it is"):
            predict_ratings(tiny_subject, sentences, **options)


def test_words_furthest_off_come_first_and_are_named(tiny_subject) -> None:
    ratings = predict_ratings(tiny_subject, load_norms("builtin"), folds=5, baselines=False)
    layer = tiny_subject.sites[0].layer
    frame = ratings.predicted(layer, "dense", "arousal")
    rows = ratings.predictions
    rows = rows[(rows["layer"] == layer) & (rows["feature_set"] == "dense") & (rows["dimension"] == "arousal")]
    expected = rows.assign(off=(rows["predicted"] - rows["human"]).abs()).sort_values("off", ascending=False)
    assert frame["word"].tolist()[:5] == expected["word"].tolist()[:5] and len(frame) == len(rows)
    texts = [a.text for a in ratings.plot(layer, "dense", "arousal").layout.annotations]
    assert set(frame["word"][:12]) <= set(texts)


def test_predictions_of_several_languages_must_be_named(tiny_subject) -> None:
    ratings = predict_ratings(tiny_subject, load_norms("builtin"), folds=5, baselines=False)
    both = Ratings(ratings.table, pd.concat([ratings.predictions, ratings.predictions.assign(test_language="zh")]))
    with pytest.raises(EmotionInterpError, match="test_language= one of en, zh"):
        both.predicted(tiny_subject.sites[0].layer)
    assert len(both.predicted(tiny_subject.sites[0].layer, test_language="zh")) == len(load_norms("builtin"))
    with pytest.raises(UnknownNameError, match="feature set"):
        ratings.predicted(tiny_subject.sites[0].layer, "selected")


def test_two_saes_of_one_layer_are_kept_apart(tiny_subject, tokenizer) -> None:
    import emotion_interp as ei
    from emotion_interp.core import Site
    from tests.conftest import make_gpt2, make_sae

    saes = {Site(0, sae="a"): make_sae(0), Site(0, sae="b"): make_sae(0, seed=3), Site(1): make_sae(1)}
    subject = ei.Subject(make_gpt2(tokenizer), saes=saes, tokenizer=tokenizer, name="two")
    norms = load_norms("builtin")
    table = predict_ratings(subject, norms, folds=5, baselines=False).to_frame()
    assert set(table["site"]) == {str(s) for s in subject.sites} and set(table["layer"]) == {0, 1}
    assert not table.duplicated(["site", "feature_set", "dimension"]).any()
    one = predict_ratings(subject, norms, layers=[Site(0, sae="b")], folds=5, baselines=False).to_frame()
    rows = table[table["site"] == str(Site(0, sae="b"))].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows, one)
    part, sites = read_part(subject, norms)
    assert sites == subject.sites == list(part.activations) == list(part.dense)
