"""The trilingual training text: equal parts, nothing that evaluates, held-out text apart."""

from __future__ import annotations

import gzip
import json

import pytest

import emotion_interp as ei
from emotion_interp.core.errors import EmotionInterpError, FileFormatError, UnknownNameError
from emotion_interp.training.balanced import _CARRIERS, LANGUAGES, balanced_texts, carrier_texts, is_evaluation_subtitle


@pytest.mark.parametrize("language", LANGUAGES)
def test_carriers_hold_no_word_of_the_shipped_concept_sets(language):
    concepts = ei.concept_set(language)
    known = {word for emotion in (*concepts.emotions, "neutral") for word in concepts.words(emotion)}
    carriers = sorted(concepts.templates(language).values(), key=len)
    texts = carrier_texts(language)
    assert len(texts) > 10_000
    head = carriers[0].split("{word}")[0]
    words = {text.removeprefix(head) for text in texts if text.startswith(head)}
    assert len(words) > 1000
    assert not words & known


@pytest.mark.parametrize("language", LANGUAGES)
def test_carriers_to_measure_on_share_no_word_with_those_to_train_on(language):
    train, held_out = carrier_texts(language), carrier_texts(language, held_out=True)
    concepts = ei.concept_set(language)
    first = next(iter(concepts.templates(language).values()))
    head, tail = first.split("{word}")

    def words(texts):
        return {t.removeprefix(head).removesuffix(tail) for t in texts if t.startswith(head) and t.endswith(tail)}

    assert len(words(train)) > 10_000
    # Chinese has every word in two scripts, so its words are compared as they are written
    assert not words(train) & words(held_out)
    assert not set(train) & set(held_out)
    assert carrier_texts(language) == train


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_has_one_carrier_before_any_has_two(language):
    train = carrier_texts(language)
    n_carriers = len(ei.concept_set(language).templates(language)) + len(_CARRIERS[language])
    assert len(train) % n_carriers == 0
    assert len(set(train)) > 0.8 * len(train)
    # the first round holds each word once: as long as a twentieth of the words, held out, makes it
    first_round = len(train) // n_carriers
    assert 0.03 < len(carrier_texts(language, held_out=True)) / first_round < 0.08


@pytest.mark.real
def test_languages_come_in_equal_parts_and_nothing_that_evaluates_is_read(shared_data):
    texts, groups = balanced_texts(shared_data, 150_000)
    assert not set(texts.train) & set(texts.held_out or ())
    assert set(groups) == {name for language in LANGUAGES for name in (language, f"{language} words")}
    chinese = sum(sum("一" <= c <= "鿿" for c in text) > len(text) / 4 for text in texts.train)
    assert chinese > len(texts.train) / 10
    everything = {*texts.train, *(texts.held_out or ())}
    with gzip.open(shared_data / "corpora/emotion_stories.jsonl.gz", "rt", encoding="utf-8") as lines:
        later = {row["text"] for row in map(json.loads, lines) if row["topic_idx"] >= 64}
    assert not everything & later
    subtitles = (shared_data / "labelled/xed/es-projections.tsv").read_text(encoding="utf-8").splitlines()
    kept = [line.split("\t")[0] for line in subtitles if is_evaluation_subtitle(line.split("\t")[0])]
    assert len(kept) > 500
    # a subtitle as common as "No." is also somebody's post
    assert len(everything & {text for text in kept if len(text) > 25}) == 0


def test_unknown_languages_and_missing_corpora_are_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="language"):
        balanced_texts(tmp_path, 1000, ["fr"])
    with pytest.raises(EmotionInterpError, match="no language"):
        balanced_texts(tmp_path, 1000, [])
    with pytest.raises(FileFormatError, match="missing"):
        balanced_texts(tmp_path, 1000, ["en"])
