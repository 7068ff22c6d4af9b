"""Top activating examples against a pass over everything, read token by token."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emotion_interp as ei
from emotion_interp.activations import read_tokens
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.features.examples import COLUMNS, bank_texts, token_pieces, top_examples

TEXTS = [
    "She opened the letter and wept.",
    "He felt happy all day long.",
    "The dog ran to the sea, and the sea was calm.",
    "他打开门，感到高兴。",
    "Nobody was angry with the old man today.",
    "A quiet room. A closed door. No one spoke a word.",
    "They laughed and laughed until they cried.",
]


@pytest.fixture(scope="module")
def found(tiny_subject, tiny_bank):
    return top_examples(tiny_subject, tiny_bank, TEXTS, k=3, before=4, after=2).to_frame()


@functools.cache
def _latents(subject, site):
    return [read_tokens(subject, text, [site]).latents[site].numpy() for text in TEXTS]


def brute(subject, site, feature):
    """[(maximum, text, its token)], best first, by reading one text after another; BOS is not among the tokens."""
    peaks = []
    for number, latents in enumerate(_latents(subject, site)):
        values = latents[:, feature]
        peaks.append((float(values.max()), number, int(values.argmax()), values))
    return sorted((p for p in peaks if p[0] > 0), key=lambda p: (-p[0], p[1]))


def test_the_k_texts_with_the_highest_maximum_are_found_in_order(tiny_subject, found):
    from emotion_interp.core import Site

    assert list(found.columns) == list(COLUMNS)
    pairs = found[["site", "feature"]].drop_duplicates().head(20)
    for site, feature in pairs.itertuples(index=False):
        rows = found[(found["site"] == site) & (found["feature"] == feature)]
        expected = brute(tiny_subject, Site.parse(site), feature)[:3]
        assert rows["rank"].tolist() == list(range(1, len(expected) + 1))
        assert rows["text"].tolist() == [TEXTS[n] for _, n, _, _ in expected]
        assert np.allclose(rows["activation"], [a for a, _, _, _ in expected], atol=1e-4)


def test_the_window_holds_the_maximum_and_the_tokens_around_it(tiny_subject, found):
    from emotion_interp.core import Site

    for row in found.head(40).to_dict("records"):
        _, number, place, values = next(
            p for p in brute(tiny_subject, Site.parse(row["site"]), row["feature"]) if TEXTS[p[1]] == row["text"]
        )
        first = max(0, place - 4)
        assert row["token_index"] == place - first
        assert np.allclose(row["activations"], values[first : place + 3], atol=1e-4)
        assert row["activations"][row["token_index"]] == pytest.approx(row["activation"], abs=1e-5)
        assert len(row["tokens"]) == len(row["activations"]) and "".join(row["tokens"]) in TEXTS[number]


def test_batches_and_a_repeated_text_change_nothing(tiny_subject, tiny_bank, found):
    again = top_examples(
        tiny_subject, tiny_bank, [*TEXTS, TEXTS[0], TEXTS[1]], k=3, before=4, after=2, batch_tokens=16
    ).to_frame()
    keys = ["site", "feature", "rank", "text", "token_index", "tokens"]
    assert again[keys].equals(found[keys])
    assert np.allclose(again["activation"], found["activation"], atol=1e-4)


def test_at_most_k_windows_of_each_feature_are_held_while_reading(tiny_subject, tiny_bank, monkeypatch):
    from emotion_interp.features import example_passes

    held = []
    keep = example_passes.Best._keep

    def watched(self, values, texts, has_bos):
        keep(self, values, texts, has_bos)
        held.append(max(len(heap) for heap in self.heaps))
        assert values.shape[2] == len(self.features)

    monkeypatch.setattr(example_passes.Best, "_keep", watched)
    monkeypatch.setattr(example_passes, "_LATENTS_AT_ONCE", 128 * 40)
    top_examples(tiny_subject, tiny_bank, [f"{t} {i}" for i in range(12) for t in TEXTS], k=2, batch_tokens=256)
    assert len(held) > 12 and max(held) == 2


def test_the_banks_own_words_are_read_when_no_texts_are_given(tiny_subject, tiny_bank):
    stimuli = bank_texts(tiny_bank)
    assert {(s.language, s.emotion, s.word) for s in stimuli} == set(
        tiny_bank.words[["language", "emotion", "word"]].itertuples(index=False, name=None)
    )
    assert len({s.template for s in stimuli}) > 1
    frame = top_examples(tiny_subject, tiny_bank, layers=[0], k=2).to_frame()
    assert set(frame["layer"]) == {0} and set(frame["text_language"]) <= {"en", "zh"}
    assert frame["text_emotion"].isin([*tiny_bank.emotions, "neutral"]).all()


def test_the_table_is_kept_by_the_bank_through_saving(tiny_subject, tiny_bank, tmp_path):
    bank = top_examples(tiny_subject, tiny_bank, TEXTS, k=2).add_to(tiny_bank)
    loaded = ei.FeatureBank.load(bank.save(tmp_path / "bank")).extras["examples"]
    assert loaded["text"].tolist() == bank.extras["examples"]["text"].tolist()
    assert [list(t) for t in loaded["tokens"]] == bank.extras["examples"]["tokens"].tolist()


@settings(max_examples=25, deadline=None)
@given(st.text(alphabet="ab 爱😀é", max_size=12), st.data())
def test_pieces_of_any_tokenisation_join_to_the_text(text, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    edges = [0, *cuts, len(text)]
    offsets = [pair for pair in itertools.pairwise(edges) if pair[0] < pair[1]]
    # byte-level tokens repeat the character they add to
    offsets = [o for o in offsets for _ in range(data.draw(st.integers(1, 2)))]
    pieces = token_pieces(text, offsets)
    assert len(pieces) == len(offsets) and "".join(pieces) == text


def test_what_cannot_be_read_is_refused(tiny_subject, hooked_subject, tiny_bank):
    from dataclasses import replace

    with pytest.raises(EmotionInterpError, match="list of texts is empty"):
        top_examples(tiny_subject, tiny_bank, [])
    with pytest.raises(EmotionInterpError, match="texts is a list of texts"):
        top_examples(tiny_subject, tiny_bank, "a text")
    with pytest.raises(EmotionInterpError, match="k is a number of at least 1"):
        top_examples(tiny_subject, tiny_bank, TEXTS, k=0)
    with pytest.raises(EmotionInterpError, match="belongs to the subject"):
        top_examples(hooked_subject, tiny_bank, TEXTS)
    own = replace(tiny_bank, manifest={**tiny_bank.manifest, "stimuli": "texts"})
    with pytest.raises(EmotionInterpError, match="does not hold them"):
        top_examples(tiny_subject, own)


def test_each_part_of_the_texts_shows_whole_sentences(tiny_subject, tiny_bank):
    from emotion_interp.core import Site
    from emotion_interp.stats.firing import PARTS

    texts = [f"{text} It was day {i}." for i in range(6) for text in TEXTS]
    frame = top_examples(tiny_subject, tiny_bank, texts, layers=[0], k=2, by_part=1, before=2, after=2).to_frame()
    assert not frame.duplicated(["site", "feature", "rank"]).any()
    plain = top_examples(tiny_subject, tiny_bank, texts, layers=[0], k=2, before=2, after=2).to_frame()
    top = frame[frame["part"] == "top"].reset_index(drop=True)
    assert top.drop(columns="rank").equals(plain.drop(columns="rank")), "the strongest stay what they were"
    site, names = Site.parse(frame["site"].iloc[0]), [name for *_, name in PARTS]
    latents = [read_tokens(tiny_subject, text, [site]).latents[site].numpy() for text in texts]
    feature = frame[frame["part"] != "top"]["feature"].value_counts().index[0]
    peaks = np.array([values[:, feature].max() for values in latents])
    rows = frame[(frame["feature"] == feature) & (frame["part"] != "top")]
    assert rows["part"].tolist() == [name for name in names if name in set(rows["part"])]
    for row in rows.to_dict("records"):
        share = (peaks[peaks > 0] < row["activation"] - 1e-4).mean()
        low, high = next((low, high) for low, high, name in PARTS if name == row["part"])
        assert low - 0.06 <= share <= high + 0.06
        window = "".join(row["tokens"])
        assert window.strip().endswith((".", "。")) and window in row["text"]
        assert max(row["activations"]) == row["activation"] == row["activations"][row["token_index"]]
