"""The language of a text is detected or asked for, never silently English."""

from __future__ import annotations

import warnings

import pytest

import emotion_interp as ei
from emotion_interp.core import EmotionInterpError
from emotion_interp.core.languages import detect_language, language_of


@pytest.mark.parametrize(
    ("text", "language"),
    [
        *(("She wept.", "en"), ("He laughed out loud", "en"), ("The letter said", "en")),
        *(("她打开信，眼泪流了下来", "zh"), ("她開心地笑了", "zh"), ("开心 happy", "zh")),
        *(("泣いた。", "ja"), ("東京は大きい", "ja"), ("안녕하세요", "ko"), ("Привет", "ru")),
        *(("Se rió a carcajadas", "es"), ("Tengo miedo", "es"), ("Er lachte laut und tanzte", "de")),
        *(("Il a ri très fort", "fr"), ("Estou feliz hoje", "pt"), ("Ho paura", "it")),
        *(("No.", None), ("hotel animal", None), ("12 !?", None), ("", None), ("total", None)),
    ],
)
def test_script_and_words_tell_the_language_or_nothing(text, language):
    assert detect_language(text) == language


def test_all_prompts_and_scenes_read_as_what_they_are():
    from emotion_interp.judges import NEUTRAL_PROMPTS

    for language in ("en", "zh"):
        texts = [s.text for s in ei.scene_stimuli([language])] + list(NEUTRAL_PROMPTS[language].test)
        assert {detect_language(text) for text in texts} == {language}


def test_what_does_not_show_is_asked_for():
    with pytest.raises(EmotionInterpError, match="does not show; give language= one of 'en', 'zh'"):
        language_of("No.", ["en", "zh"])
    with pytest.raises(EmotionInterpError, match="reads as 'de'"):
        language_of("Er lachte laut und tanzte", ["en", "zh"])
    assert language_of("No.", ["en"]) == "en"


def test_a_trace_reads_a_text_with_the_features_of_its_language(tiny_subject, tiny_bank):
    assert ei.emotion_trace(tiny_subject, "He laughed out loud", tiny_bank).language == "en"
    assert ei.emotion_trace(tiny_subject, "她哭了", tiny_bank).language == "zh"
    assert ei.emotion_trace(tiny_subject, "No.", tiny_bank, language="zh").language == "zh"
    with pytest.raises(EmotionInterpError, match="language="):
        ei.emotion_trace(tiny_subject, "No.", tiny_bank)


def test_prompts_of_another_language_are_refused(tiny_subject, tiny_bank):
    with pytest.raises(EmotionInterpError, match="read as 'zh', but are taken for 'en'"):
        ei.dose_response(tiny_subject, tiny_bank, ["joy"], [0.5], ["她走进房间说"])
    with pytest.raises(EmotionInterpError, match="read as 'zh', but are taken for 'en'"):
        ei.necessity(tiny_subject, tiny_bank, "joy", ["她走进房间说"])


def test_a_judge_warns_of_texts_it_cannot_read():
    judge = ei.load_judge()
    with pytest.warns(UserWarning, match="read as 'zh', but this bundled judge reads 'en'"):
        judge.predict_proba(["他非常生气，大声地骂了起来。"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        judge.predict_proba(["He was very angry and shouted.", "x"])


def test_a_table_of_texts_or_words_has_the_language_of_its_texts(tmp_path):
    texts = tmp_path / "texts.csv"
    texts.write_text("text,emotion\n他非常生气，大声地骂了起来。,anger\n她笑了。,joy\n", encoding="utf-8")
    assert {s.language for s in ei.corpus_stimuli(texts)} == {"zh"}
    texts.write_text("text,emotion\nNo.,anger\n", encoding="utf-8")
    with pytest.raises(EmotionInterpError, match="does not show; give language="):
        ei.corpus_stimuli(texts)
    words = tmp_path / "words.csv"
    words.write_text("word,valence\nmiedo,2\nalegría,8\nfelicidad,8\ntristeza,2\n", encoding="utf-8")
    assert ei.load_norms("csv", path=words).language == "es"
    words.write_text("word,valence\nzzq,2\nxxv,8\n", encoding="utf-8")
    with pytest.warns(UserWarning, match="does not show; taken as 'en'"):
        ei.load_norms("csv", path=words)


def test_a_corpus_of_several_languages_asks_for_one():
    with pytest.raises(EmotionInterpError, match="brighter has several languages; give language="):
        ei.corpus_stimuli("brighter")
