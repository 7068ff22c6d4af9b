"""Every entry that reads texts counts those beyond the context, in one line of warning for each call."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import emotion_interp as ei
from emotion_interp.activations import read_tokens
from emotion_interp.core import EmotionInterpError
from emotion_interp.geometry import text_spaces

LONG = "She opened the letter and wept. " * 12


class Letters:
    """A judge of texts that answers from their letters."""

    emotions = ("joy", "sadness")

    def predict_proba(self, texts, /):
        return np.asarray([[t.count("o") + 1.0, t.count("a") + 1.0] for t in texts])


def told(call):
    """What a call warns of texts beyond the context."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    return [str(w.message) for w in found if "longer than the context" in str(w.message)]


def labelled(tmp_path):
    rows = [
        (f"{LONG if i % 6 == 0 else 'She wept.'} {i} {e}", e) for i in range(12) for e in ("joy", "fear", "neutral")
    ]
    path = tmp_path / "own.csv"
    pd.DataFrame(rows, columns=["text", "emotion"]).to_csv(path, index=False)
    return ei.corpus_stimuli(path)


def test_find_features_counts_once(tiny_subject, small_concepts, tmp_path):
    stimuli = labelled(tmp_path)
    concepts = small_concepts.subset(emotions=["joy", "fear"])
    assert told(lambda: ei.find_features(tiny_subject, concepts, stimuli=stimuli)) == [
        "6 of 36 texts are longer than the context of 64 tokens; what lies beyond is not read."
    ]


def test_text_spaces_examples_and_single_texts_count_once(tiny_subject, tiny_bank):
    texts = [LONG, "She wept.", LONG, "He laughed."]
    assert len(told(lambda: text_spaces(tiny_subject, texts, ["joy", "joy", "fear", "fear"], skip=1))) == 1
    assert len(told(lambda: ei.top_examples(tiny_subject, tiny_bank, texts[:2]))) == 1
    assert len(told(lambda: read_tokens(tiny_subject, LONG))) == 1


def test_sentence_ratings_count_once(tiny_subject):
    rows = [(f"{LONG if i % 10 == 0 else 'She wept.'} {i}", i % 7 + 1.0, (i * 3) % 7 + 1.0, i) for i in range(60)]
    table = pd.DataFrame(rows, columns=["word", "valence", "arousal", "group"])
    norms = ei.Norms("own", "en", table, (1.0, 9.0), unit="sentence")
    assert told(lambda: ei.predict_ratings(tiny_subject, norms)) == [
        "6 of 60 texts are longer than the context of 64 tokens; what lies beyond is not read."
    ]


def test_a_trace_of_a_long_text_is_refused_with_one_line(tiny_subject, tiny_bank):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(EmotionInterpError, match="trace it in parts"):
            ei.emotion_trace(tiny_subject, LONG, tiny_bank)


def test_prompts_and_new_tokens_beyond_the_context_are_refused_in_every_grid(tiny_subject, tiny_bank):
    joy = tiny_bank.direction("joy", layer=1)
    judge = Letters()
    for prompts, new in (([LONG], 4), (["She"], 2000)):
        with pytest.raises(EmotionInterpError, match="context of 64"):
            ei.dose_response(
                tiny_subject, tiny_bank, ["joy"], [0.5], prompts, [1], judge=judge, n_random=9, max_new_tokens=new
            )
    with ei.steer(tiny_subject, joy), pytest.raises(EmotionInterpError, match="context of 64"):
        tiny_subject.generate(LONG)
