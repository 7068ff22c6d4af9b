"""Texts that name the emotion they are labelled with: found, counted, said, and left out when asked."""

import gzip
import json
import warnings

import pytest

from emotion_interp.concepts import corpus_stimuli, labelled_stimuli, scene_stimuli
from emotion_interp.concepts.naming import english_forms, named_shares, names_emotion, naming_entry
from emotion_interp.core import UnknownNameError


@pytest.mark.parametrize(
    ("text", "emotion"),
    [
        ("She smiled calmly.", "calm"),
        ("A peaceful lake", "calm"),  # a name of the merged class
        ("He was at ease again.", "calm"),
        ("the happiest day", "joy"),
        ("“Happiness,” she said", "joy"),
        ("They grew ENRAGED.", "anger"),
        ("a boring afternoon", "boredom"),
        ("He envied them", "envy"),
        ("her sadness", "sadness"),
        ("我很快乐", "joy"),
    ],
)
def test_a_name_is_found_in_its_inflections_and_for_every_merged_label(text, emotion):
    assert names_emotion(text, emotion, "zh" if emotion == "joy" and not text.isascii() and "“" not in text else "en")


@pytest.mark.parametrize(
    ("text", "emotion"),
    [
        ("She made tea on the edge of the field.", "anger"),  # mad
        ("He bore the bag.", "boredom"),
        ("A saddle", "sadness"),
        ("She was calm.", "joy"),  # another emotion's name
        ("hopscotch", "hope"),
        ("anything at all", "neutral"),
    ],
)
def test_other_words_are_no_names(text, emotion):
    assert not names_emotion(text, emotion)


def test_forms_by_rule():
    assert {"envies", "envied", "envying"} <= english_forms("envy")
    assert {"grieved", "grieving"} <= english_forms("grieve")
    assert "at eases" in english_forms("at ease") and "eases" not in english_forms("at ease")
    assert "madder" in english_forms("mad") and "made" not in english_forms("mad")


def test_an_emotion_or_language_of_ones_own_is_its_own_name():
    assert names_emotion("Uma saudade antiga", "saudade", "pt") and not names_emotion("nada", "saudade", "pt")


def test_the_shipped_scenes_never_name_their_emotion():
    assert named_shares(scene_stimuli())["naming"].sum() == 0


@pytest.fixture
def stories(tmp_path):
    (tmp_path / "corpora").mkdir()
    texts = {
        "calm": ["The lake was calm.", "She breathed slowly."],
        "happy": ["A happily sung song.", "He danced."] * 2,
    }
    with gzip.open(tmp_path / "corpora" / "emotion_stories.jsonl.gz", "wt") as file:
        for emotion, own in texts.items():
            for topic, text in enumerate(own):
                file.write(json.dumps({"emotion": emotion, "topic_idx": topic, "text": f"{text} {topic}"}) + "\n")
    return tmp_path


def test_stories_say_how_many_name_their_emotion_and_keep_them(stories):
    with pytest.warns(UserWarning, match=r"3 of 6 stories \(50.0%\) name their emotion and are among them"):
        kept = corpus_stimuli("stories", split="subject", data=stories)
    assert len(kept) == 6
    assert naming_entry(kept) == {"en": {"texts": 6, "naming": 3, "shares": {"calm": 0.5, "joy": 0.5}}}


def test_dropped_texts_are_counted_before_the_draw(stories):
    with pytest.warns(UserWarning, match=r"3 of 6 stories \(50.0%\) name their emotion and were left out") as told:
        kept = corpus_stimuli("stories", split="subject", data=stories, names="drop", limit=1)
    assert len(told) == 1 and told[0].filename == __file__
    assert sorted((s.emotion, s.text) for s in kept)[0][1].startswith("She breathed") and len(kept) == 2
    assert named_shares(kept)["naming"].sum() == 0


def test_the_draw_is_the_same_but_for_those_that_are_left_out(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("text,emotion\n" + "".join(f"{'sad' if i % 4 == 0 else 'blue'} {i},sadness\n" for i in range(40)))
    kept = {s.text for s in corpus_stimuli(path, limit=12)}
    with pytest.warns(UserWarning, match="10 of 40 texts"):
        dropped = {s.text for s in corpus_stimuli(path, limit=12, names="drop")}
    assert len(dropped) == 12 and {t for t in kept if t.startswith("blue")} <= dropped


def test_a_table_of_ones_own_drops_them_too(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("text,emotion\nso sad,sadness\nshe wept,sadness\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(corpus_stimuli(path)) == 2
    with pytest.warns(UserWarning, match="1 of 2 texts"):
        assert [s.text for s in corpus_stimuli(path, names="drop")] == ["she wept"]
    with pytest.raises(UnknownNameError, match="choice of names"):
        corpus_stimuli(path, names="no")


def test_a_bank_of_texts_says_how_many_name_their_emotion(tiny_subject, small_concepts):
    import emotion_interp as ei

    concepts = small_concepts.subset(languages=["en"])
    texts = [f"{w} number {i} of them all, and then it was over" for i in range(6) for w in ("furious", "rock", "sand")]
    labels = ["anger", "joy", "fear"] * 6
    bank = ei.find_features(tiny_subject, concepts, stimuli=labelled_stimuli(texts, labels))
    assert bank.manifest["naming"] == {"en": {"texts": 18, "naming": 6, "shares": {"anger": 1.0}}}
    from dataclasses import replace

    from emotion_interp.features.retest import with_naming

    old = replace(bank, manifest={k: v for k, v in bank.manifest.items() if k != "naming"})
    assert with_naming(old, concepts, labelled_stimuli(texts, labels)).manifest == bank.manifest
    assert "texts that name their emotion | 6 of 18 (en, of anger 100%)" in ei.bank.bank_card(bank)
