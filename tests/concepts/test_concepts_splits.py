"""Splits by word group: nothing leaks, every emotion is halved, and the seed decides alone."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from emotion_interp.concepts import Concept, ConceptSet, ConceptWord, concept_set
from emotion_interp.concepts.model import LanguageConcepts
from emotion_interp.core import EmotionInterpError


@pytest.fixture(scope="module")
def both():
    return concept_set("en") | concept_set("zh")


def sides(concepts, seed, share=0.5):
    frame = concepts.to_frame()
    return frame.assign(side=frame["group"].map(concepts.split(seed, share)))


def discovery_counts(concepts, seed, share=0.5):
    table = sides(concepts, seed, share).groupby(["language", "emotion"])["side"]
    return table.apply(lambda s: (s == "discovery").sum()), table.size()


@pytest.mark.parametrize("seed", range(5))
def test_translations_and_lemmas_stay_on_one_side(both, seed):
    frame = sides(both, seed)
    assert set(frame["side"]) == {"discovery", "confirmation"}
    assert (frame.groupby("id")["side"].nunique() == 1).all()
    assert (frame.groupby(["language", "lemma"])["side"].nunique() == 1).all()


@pytest.mark.parametrize("seed", range(5))
def test_every_emotion_is_halved_in_every_language(both, seed):
    found, total = discovery_counts(both, seed)
    assert (abs(found - total / 2) <= 1).all()


def test_share_moves_the_border(both):
    found, total = discovery_counts(both, seed=1, share=0.7)
    assert (abs(found - 0.7 * total) <= 1.5).all()
    for wrong in (0, 1, -0.5, 1.5):
        with pytest.raises(EmotionInterpError, match="between 0 and 1"):
            both.split(0, share=wrong)


def test_the_seed_alone_decides(both):
    assert both.split(3) == (concept_set("zh") | concept_set("en")).split(3)
    splits = [tuple(sorted(both.split(seed).items())) for seed in range(6)]
    assert len(set(splits)) == 6


def test_every_group_comes_to_either_side_half_the_time(both):
    few = both.subset(emotions=["joy", "anger", "loneliness"])
    runs = [few.split(seed) for seed in range(300)]
    shares = np.array([[run[g] == "discovery" for g in sorted(run)] for run in runs]).mean(axis=0)
    # 4.5 standard errors of a fair coin over some 330 groups
    assert abs(shares - 0.5).max() < 4.5 * 0.5 / np.sqrt(300)


def test_leaving_an_emotion_out_does_not_move_the_others(both):
    whole, part = both.split(5), both.subset(emotions=["joy", "fear"]).split(5)
    emotional = [g for g in part if not g.startswith("neutral.")]
    assert {g: whole[g] for g in emotional} == {g: part[g] for g in emotional}


def test_words_of_one_lemma_cannot_be_split():
    joy = Concept("joy", "joy", (ConceptWord("happy", "joy.a", "happy"), ConceptWord("happiness", "joy.b", "happy")))
    with pytest.raises(EmotionInterpError, match=r"no word on one side.*joy \(en\)"):
        ConceptSet((LanguageConcepts("en", (joy,)),)).split(0)


def test_two_words_are_one_on_each_side():
    joy = Concept("joy", "joy", (ConceptWord("smile", "joy.a"), ConceptWord("party", "joy.b")))
    concepts = ConceptSet((LanguageConcepts("en", (joy,)),))
    for seed in range(10):
        assert Counter(concepts.split(seed).values()) == {"discovery": 1, "confirmation": 1}


@st.composite
def linked_sets(draw):
    """Two languages whose ids and lemmas are linked at random."""
    parts = []
    for language in ("en", "zh"):
        size = draw(st.integers(2, 9))
        ids = draw(st.lists(st.integers(0, 11), min_size=size, max_size=size))
        lemmas = draw(st.lists(st.integers(0, 11), min_size=size, max_size=size))
        entries = [
            ConceptWord(f"{language}{n}", f"id{i}", f"lemma{k}")
            for n, (i, k) in enumerate(zip(ids, lemmas, strict=True))
        ]
        half = max(2, size // 2)
        concepts = [Concept("joy", "joy", tuple(entries[:half]))]
        if size - half >= 2:
            concepts.append(Concept("awe", "awe", tuple(entries[half:])))
        parts.append(LanguageConcepts(language, tuple(concepts)))
    return ConceptSet(tuple(parts))


@settings(max_examples=25, deadline=None)
@given(linked_sets())
def test_groups_are_the_connected_components_of_ids_and_lemmas(concepts):
    frame = concepts.to_frame()
    # words are linked if they share an id (any language) or a lemma (same language)
    same_id = frame["id"].to_numpy()[:, None] == frame["id"].to_numpy()
    key = (frame["language"] + "/" + frame["lemma"]).to_numpy()
    _, component = connected_components(coo_array(same_id | (key[:, None] == key)), directed=False)
    group = frame["group"].to_numpy()
    assert ((component[:, None] == component) == (group[:, None] == group)).all()
    assert (frame.groupby("group")["id"].min() == frame.groupby("group").first().index).all()


@settings(max_examples=25, deadline=None)
@given(linked_sets(), st.integers(0, 1000))
def test_any_split_covers_all_groups_with_both_sides_in_each_concept_or_says_why(concepts, seed):
    try:
        split = concepts.split(seed)
    except EmotionInterpError as error:
        assert "no word on one side" in str(error)
        return
    frame = concepts.to_frame()
    assert set(split) == set(frame["group"])
    frame["side"] = frame["group"].map(split)
    assert (frame.groupby(["language", "emotion"])["side"].nunique() == 2).all()
    assert split == concepts.split(seed)
