"""The judge of the dial: what it says, how it is trained, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from emotion_interp.core import EmotionInterpError
from emotion_interp.core.errors import FileFormatError, NotFiniteError, UnknownNameError
from emotion_interp.core.files import sha256_file
from emotion_interp.judges import load_judge
from emotion_interp.judges import text_judges as judges_module
from emotion_interp.judges.data import LabelledText
from emotion_interp.judges.training import fit, held_out_scores, write_judge
from emotion_interp.judges.valence_arousal import design_matrix, write_valence_arousal
from emotion_interp.judges.valence_arousal_training import (
    correlations,
    emobank_texts,
    fit_valence_arousal,
    train_valence_arousal_judge,
)

FOLDER = Path(judges_module.__file__).parent / "shipped"


def test_pleasant_texts_are_more_pleasant_and_wild_ones_more_aroused():
    judge = load_judge("emobank")
    pleasant = judge.predict(["What a wonderful day, we were so happy!", "I love this beautiful garden."])
    bad = judge.predict(["Her child was killed.", "He felt sick, sad and ashamed."])
    quiet = judge.predict(["The form lies on the table."])
    wild = judge.predict(["Bombs exploded everywhere! They screamed and ran!"])
    assert pleasant[:, 0].min() > 3 > bad[:, 0].max()
    assert wild[0, 1] > quiet[0, 1]
    assert judge.predict([]).shape == (0, 2) and ((pleasant > 1) & (pleasant < 5)).all()


@pytest.mark.parametrize(("name", "reads"), [("emobank", "en"), ("emobank_comments", "comments")])
def test_the_bundled_file_is_below_one_megabyte_and_its_card_has_both_figures(name, reads):
    assert (FOLDER / f"{name}.skops").stat().st_size < 1_000_000
    judge = load_judge(name)
    scores = judge.scores
    # the emotion judge whose probabilities it reads
    other = load_judge(None if reads == "en" else reads)
    assert judge.reads == reads and list(judge.emotions.classes_) == list(other.pipeline.classes_)
    assert scores["valence_r_test"] > 0.45 and scores["arousal_r_test"] > 0.3
    assert f"| valence | {scores['valence_r_dev']:.3f} | {scores['valence_r_test']:.3f} |" in (
        FOLDER / "CARD.md"
    ).read_text(encoding="utf-8")


def test_a_bare_string_is_refused():
    with pytest.raises(EmotionInterpError, match="list of strings"):
        load_judge("emobank").predict("one text")


@pytest.mark.parametrize("name", ["emobank", "emobank_comments"])
def test_the_figures_of_the_card_come_out_again_on_the_test_split(name):
    data = os.environ.get("EMOTION_INTERP_DATA")
    if not data or not (Path(data) / "labelled" / "emobank" / "reader.csv").is_file():
        pytest.skip("EMOTION_INTERP_DATA names no folder with labelled/emobank")
    judge, frame = load_judge(name), emobank_texts(data)
    test = frame[frame["split"] == "test"]
    predicted = judge.predict(test["text"].tolist())
    for k, name in enumerate(("valence", "arousal")):
        r = np.corrcoef(predicted[:, k], test[name])[0, 1]
        assert abs(r - judge.scores[f"{name}_r_test"]) < 0.002


# -- recipe -----------------------------------------------------------------------------------------------------------
def an_emotion_judge(folder: Path) -> Path:
    texts = [LabelledText(f"{w} thing {i % 4}", (e,) if e else (), "a") for i in range(16) for w, e in WORDS.items()]
    pipeline = fit(texts, {"min_df": 1})
    classes = [str(c) for c in pipeline.classes_]
    scores = held_out_scores(classes, pipeline.predict_proba([t.text for t in texts]), texts)
    write_judge(folder / "en.skops", pipeline, "en", scores)
    return folder / "en.skops"


WORDS = {"glad": "joy", "dark": "fear", "chair": ""}
NGRAMS = ({"analyzer": "word", "min_df": 1}, {"analyzer": "char_wb", "ngram_range": (2, 3), "min_df": 1})


def a_data_folder(root: Path) -> Path:
    folder = root / "labelled" / "emobank"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    texts, ratings = ["id,split,V,A,D,text"], ['"id","V","A","D","stdV","stdA","stdD","N"']
    for i in range(90):
        word = list(WORDS)[i % 3]
        split = ("train", "train", "dev", "test")[random.integers(4)]
        # the writers' ratings in emobank.csv must not be what is learned
        texts.append(f"{i},{split},1.0,1.0,1.0,{word} {random.integers(9)} null")
        value = {"glad": (4.5, 3.5), "dark": (1.5, 4.5), "chair": (3.0, 2.0)}[word]
        ratings.append(f'"{i}","{value[0]}","{value[1]}","3","0","0","0","5"')
    (folder / "emobank.csv").write_text("\n".join(texts))
    (folder / "reader.csv").write_text("\n".join(ratings))
    return root


def test_it_learns_readers_ratings_from_a_data_folder_and_its_file_answers_alike(tmp_path):
    out = tmp_path / "judges"
    out.mkdir()
    an_emotion_judge(out)
    scores = train_valence_arousal_judge(a_data_folder(tmp_path / "data"), out)
    assert (scores["r"] > 0.95).all() and list(scores["split"]) == ["dev", "dev", "test", "test"]
    judge = load_judge(out / "emobank.skops")
    glad, dark, chair = judge.predict(["glad 3", "dark 2", "chair 1"])
    assert glad[0] > chair[0] > dark[0] and dark[1] > glad[1] > chair[1]
    with pytest.raises(FileFormatError, match=r"reader\.csv|emobank\.csv"):
        emobank_texts(tmp_path)


def test_it_reads_the_judge_it_is_told_of_and_no_other(tmp_path):
    from skops.io import dump, load

    an_emotion_judge(tmp_path)
    data = a_data_folder(tmp_path / "data")
    with pytest.raises(FileFormatError, match=r"comments\.skops does not exist"):
        train_valence_arousal_judge(data, tmp_path, reads="comments")
    shutil.move(tmp_path / "en.skops", tmp_path / "comments.skops")
    train_valence_arousal_judge(data, tmp_path, reads="comments")
    path = tmp_path / "emobank_comments.skops"
    assert load_judge(path).reads == "comments" and path.is_file()
    dump({**load(path, trusted=[]), "reads": "others"}, path)
    with pytest.raises(FileFormatError, match="reads the emotion judge 'others'"):
        load_judge(path)
    with pytest.raises(UnknownNameError, match="others"):
        train_valence_arousal_judge(data, tmp_path, reads="others")


def test_the_weights_are_those_of_ridge_regression_solved_by_hand(tmp_path):
    emotions = load_judge(an_emotion_judge(tmp_path)).pipeline
    random = np.random.default_rng(1)
    texts = [f"{list(WORDS)[i % 3]} {random.integers(5)}" for i in range(40)]
    ratings = random.normal(3, 1, size=(40, 2))
    judge = fit_valence_arousal((texts, ratings), (texts, ratings), emotions, NGRAMS)
    x = design_matrix(judge.vectorizers, emotions, texts, judge.centre, judge.spread, judge.share).toarray()
    centred = x - x.mean(0)
    # half precision of the weights is the only difference; the loosest penalty fits its own texts best
    gram = centred.T @ centred + 3.0 * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, centred.T @ (ratings - ratings.mean(0)))
    expected = centred @ weights + ratings.mean(0)
    assert np.allclose(judge.predict(texts), expected, atol=5e-3)
    r = correlations(judge, texts, ratings)
    assert np.allclose(r, [np.corrcoef(expected[:, k], ratings[:, k])[0, 1] for k in range(2)], atol=5e-3)


def test_a_file_of_another_judge_or_with_damage_is_refused(tmp_path):
    from dataclasses import replace

    from skops.io import dump, load

    english = an_emotion_judge(tmp_path)
    emotions = load_judge(english).pipeline
    texts = [f"{w} {i}" for i in range(8) for w in WORDS]
    ratings = np.random.default_rng(2).normal(size=(len(texts), 2))
    judge = replace(
        fit_valence_arousal((texts, ratings), (texts, ratings), emotions, NGRAMS), scores={"valence_r_test": 0.1}
    )
    path = tmp_path / "emobank.skops"
    write_valence_arousal(path, judge, sha256_file(english), limit=10**6)
    assert np.allclose(load_judge(path).predict(texts), judge.predict(texts), atol=1e-2)
    with pytest.raises(EmotionInterpError, match="more than 10"):
        write_valence_arousal(path, judge, "x", limit=10)
    content = load(path, trusted=[])
    dump({**content, "judge": "0" * 64}, path)
    with pytest.raises(FileFormatError, match="another English judge"):
        load_judge(path)
    dump({**content, "terms": [json.dumps(["a"]), content["terms"][1]]}, path)
    with pytest.raises(FileFormatError, match="differ in number"):
        load_judge(path)
    dump({**content, "weights": content["weights"] * np.nan}, path)
    with pytest.raises(NotFiniteError, match="damaged"):
        load_judge(path)
    dump({**content, "format": 9}, path)
    with pytest.raises(FileFormatError, match="format 1"):
        load_judge(path)
    dump({**content, "vectorizers": [emotions, emotions]}, path)
    with pytest.raises(FileFormatError, match="something else than TF-IDF"):
        load_judge(path)
    shutil.move(english, tmp_path / "away.skops")
    dump(content, path)
    with pytest.raises(FileFormatError, match=r"en\.skops does not exist"):
        load_judge(path)
