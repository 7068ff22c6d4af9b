"""A judge's file gives numbers alone: its vectoriser is the recipe's, its parts are what they should be."""

from __future__ import annotations

import copy
import json
import os

import numpy as np
import pytest

from emotion_interp.core import FileFormatError
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.judges import load_judge
from emotion_interp.judges.data import LabelledText
from emotion_interp.judges.training import fit, held_out_scores, write_judge

TEXTS = [
    LabelledText(f"{w} thing {i % 4}", (e,) if e else (), "a")
    for i in range(16)
    for w, e in (("glad", "joy"), ("dark", "fear"), ("chair", ""))
]


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    from skops.io import load

    pipeline = fit(TEXTS, {"min_df": 1})
    scores = held_out_scores(
        [str(c) for c in pipeline.classes_], pipeline.predict_proba([t.text for t in TEXTS]), TEXTS
    )
    path = tmp_path_factory.mktemp("judge") / "one.skops"
    write_judge(path, pipeline, "en", scores)
    return load(path, trusted=[])


def loaded(folder, content):
    from skops.io import dump

    dump(content, folder / "changed.skops")
    return load_judge(folder / "changed.skops")


@pytest.mark.parametrize(
    "changes",
    [
        {"input": "filename"},
        {"input": "file"},
        {"token_pattern": r"(\w+\w+)+\b"},
        {"token_pattern": r"(a|a)*$"},
        {"analyzer": "char", "ngram_range": (1, 10**6)},
        {"ngram_range": (1.0, 2)},
        {"ngram_range": (0, 2)},
        {"analyzer": "lines"},
        {"lowercase": False},
        {"decode_error": "ignore"},
        {"strip_accents": "ascii"},
        {"stop_words": ["glad"]},
        {"stop_words": "english"},
        {"norm": "l1"},
        {"binary": True},
        {"use_idf": False},
        {"sublinear_tf": False},
        {"preprocessor": len},
        {"tokenizer": len},
        {"dtype": np.float64},
        {"encoding": "latin-1"},
    ],
)
def test_a_vectoriser_that_is_not_the_recipes_is_refused(tmp_path, content, changes):
    changed = copy.deepcopy(content)
    vars(changed["pipeline"].named_steps["tfidf"]).update(changes)
    with pytest.raises(FileFormatError, match=r"changed\.skops") as caught:
        loaded(tmp_path, changed)
    assert len(str(caught.value).splitlines()) == 1


def test_nothing_of_the_file_but_its_numbers_is_used(tmp_path, content):
    changed = copy.deepcopy(content)
    texts = [t.text for t in TEXTS]
    expected = loaded(tmp_path, content).predict_proba(texts)
    # attributes that would take the place of methods
    vars(changed["pipeline"].named_steps["tfidf"]).update(max_df=0.5, transform="none", build_analyzer="none")
    vars(changed["pipeline"].named_steps["classifier"]).update(
        predict_proba="none", decision_function="none", multi_class="ovr"
    )
    judge = loaded(tmp_path, changed)
    np.testing.assert_array_equal(judge.predict_proba(texts), expected)
    # a name is text, never the file of that name
    assert judge.predict_proba([os.devnull]).shape == (1, 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"terms": 3},
        {"terms": "{}"},
        {"terms": "[1, 2]"},
        {"terms": "[" * 100_000},
        {"terms": "no json"},
        {"scores": "all fine"},
        {"scores": [3]},
        {"scores": [{"emotion": "joy"}]},
        {"scores": [{"emotion": "joy", "source": "a", "n": "many", "auroc": 1.0, "f1": 1.0}]},
        {"language": 5},
        {"pipeline": {"steps": 3}},
        {"pipeline": None},
        {"format": [1]},
    ],
)
def test_parts_of_another_type_are_refused_in_one_line(tmp_path, content, changes):
    with pytest.raises(FileFormatError, match=r"changed\.skops") as caught:
        loaded(tmp_path, {**content, **changes})
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("step", "name", "value"),
    [
        ("classifier", "coef_", [[1.0]]),
        ("classifier", "coef_", np.zeros((2, 2))),
        ("classifier", "coef_", np.zeros((3, 7), dtype=complex)),
        ("classifier", "intercept_", None),
        ("classifier", "classes_", np.arange(3)),
        ("classifier", "classes_", "joy"),
        ("tfidf", "_tfidf", None),
        ("tfidf", "_tfidf", 5),
    ],
)
def test_numbers_of_another_shape_are_refused_in_one_line(tmp_path, content, step, name, value):
    changed = copy.deepcopy(content)
    vars(changed["pipeline"].named_steps[step])[name] = value
    with pytest.raises(EmotionInterpError, match=r"changed\.skops"):
        loaded(tmp_path, changed)


def test_a_damaged_judge_is_right_or_refused_at_every_place(tmp_path, content):
    texts = [t.text for t in TEXTS]
    expected = loaded(tmp_path, content).predict_proba(texts)
    raw = (tmp_path / "changed.skops").read_bytes()
    path = tmp_path / "damaged.skops"
    for place in np.linspace(0, len(raw) - 1, 60).astype(int):
        for changed in (raw[:place], raw[:place] + bytes([raw[place] ^ 4]) + raw[place + 1 :]):
            path.write_bytes(changed)
            try:
                judge = load_judge(path)
            except EmotionInterpError as error:
                assert path.name in str(error) and len(str(error).splitlines()) == 1
            else:
                np.testing.assert_array_equal(judge.predict_proba(texts), expected)


def test_a_regression_of_another_type_is_refused(tmp_path):
    from emotion_interp.judges.valence_arousal import read_valence_arousal

    emotions = fit(TEXTS, {"min_df": 1})
    tfidf = copy.deepcopy(emotions.named_steps["tfidf"])
    terms = json.dumps(sorted(tfidf.vocabulary_, key=tfidf.vocabulary_.get))
    width = len(tfidf.vocabulary_) + 3
    whole = {
        "format": 1,
        "judge": "x",
        "vectorizers": [tfidf],
        "terms": [terms],
        "weights": np.ones((2, width)),
        "intercept": np.ones(2),
        "centre": np.zeros(3),
        "spread": np.ones(3),
        "share": 0.1,
        "scores": {"valence_r_test": 0.1},
    }
    assert read_valence_arousal(tmp_path / "a.skops", whole, emotions, "x").predict(["glad"]).shape == (1, 2)
    for name, value in (
        ("vectorizers", 3),
        ("terms", [3]),
        ("terms", []),
        ("weights", "many"),
        ("centre", np.zeros(2)),
        ("intercept", np.zeros(5)),
        ("spread", np.zeros(3)),
        ("share", None),
        ("share", np.nan),
        ("scores", [1]),
        ("scores", {"valence_r_test": "high"}),
    ):
        with pytest.raises(EmotionInterpError, match=r"a\.skops"):
            read_valence_arousal(tmp_path / "a.skops", {**whole, name: value}, emotions, "x")


def test_two_judges_of_a_language_share_no_text_and_each_says_how_far_it_reaches():
    from emotion_interp.judges import load_judge
    from emotion_interp.judges.data import CORPUS_JUDGES

    for corpus, languages in CORPUS_JUDGES.items():
        for language in languages:
            judge = load_judge(corpus, language)
            assert judge.language == language
            # the other corpora of the language are figures, and no reason to judge an emotion
            assert judge.unseen
            assert set(judge.unseen) < set(judge.to_frame()["source"])
            assert len(judge.emotions) >= 4
        with pytest.raises(UnknownNameError, match="language of the judge"):
            load_judge(corpus, "de")


@pytest.mark.real
def test_corpora_of_judges_are_apart_and_held_out_subtitles_are_those_no_sae_was_trained_on(shared_data):
    from emotion_interp.judges.data import corpus_texts
    from emotion_interp.training.balanced import is_evaluation_subtitle

    xed, xed_test = corpus_texts(shared_data, "xed", "es")
    brighter, brighter_test = corpus_texts(shared_data, "brighter", "es")
    # a cry or two stands in both
    assert len({t.text for t in xed} & {t.text for t in brighter}) <= 5
    assert len(xed_test) == len(brighter_test)
    held_out = [t for t in xed_test if t.source == "XED"]
    assert held_out and all(is_evaluation_subtitle(t.text) for t in held_out)
    assert not any(is_evaluation_subtitle(t.text) for t in xed)
    with pytest.raises(UnknownNameError, match="corpus of a judge"):
        corpus_texts(shared_data, "tweets", "es")
