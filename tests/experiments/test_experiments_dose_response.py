"""The judge, the statistics and the grid, each recomputed by brute force."""

from __future__ import annotations

import re
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_interp.core import Direction, EmotionInterpError, Site, UnknownNameError
from emotion_interp.core.seeds import generator
from emotion_interp.experiments import dose_response, steering_controls, steering_test
from emotion_interp.experiments.grid import holm
from emotion_interp.judges import (
    FURTHER_PROMPTS,
    LATER_PROMPTS,
    NEUTRAL_PROMPTS,
    STORY_PROMPTS,
    content_overlap,
    distinct_2,
    next_word_probability,
    next_words,
    perplexity,
)
from emotion_interp.steering import row_interventions, steer
from tests.experiments.random_bank import PROMPTS, WORDS, Bank

NAMES = ("gpt2", "llama", "hooked")


def mass(subject, prompt, ids, direction=None, dose=0.0, scale=1.0):
    """Brute force: one whole unpadded forward pass, softmax, sum."""
    import torch

    row = torch.tensor([subject.tokenize([prompt])[0].ids])
    with torch.no_grad():
        if direction is None:
            logits = subject.model(row, return_type="logits")
        else:
            point = subject.model.hook_dict[direction.site.hook_name]
            vector = torch.from_numpy(dose * scale * direction.unit)
            point.add_hook(lambda x, hook: torch.cat([x[:, :-1], x[:, -1:] + vector], 1))
            logits = subject.model(row, return_type="logits")
            point.remove_hooks()
    return float(logits[0, -1].double().softmax(-1)[list(ids)].sum())


@pytest.mark.parametrize("name", NAMES)
def test_next_word_probability_is_the_softmax_mass_of_a_whole_forward_pass(subjects, name):
    subject, bank = subjects[name], Bank()
    judge = next_words(subject, WORDS)
    cells = [(e, layer, d) for e in WORDS for layer in (0, 1) for d in (0.4, -1.5)]
    directions = [bank.direction(e, layer) for e, layer, _ in cells]
    rows = row_interventions(subject, directions, [d for *_, d in cells], bank.scales)
    got = next_word_probability(subject, PROMPTS, judge, rows, token_budget=15)
    plain = next_word_probability(subject, PROMPTS, judge)
    assert got.shape == (len(cells), 3, 3) and plain.shape == (1, 3, 3)
    for i, (direction, (_, _, dose)) in enumerate(zip(directions, cells, strict=True)):
        for p, prompt in enumerate(PROMPTS):
            for e, emotion in enumerate(WORDS):
                ids = judge.token_ids[emotion]
                want = mass(subject, prompt, ids, direction, dose, bank.scales[direction.site])
                assert got[i, p, e] == pytest.approx(want, rel=1e-4, abs=1e-8)
                assert plain[0, p, e] == pytest.approx(mass(subject, prompt, ids), rel=1e-4, abs=1e-8)


def test_the_shared_prefix_changes_nothing_against_whole_prompts(subjects):
    subject, bank = subjects["gpt2"], Bank()
    rows = row_interventions(subject, [bank.direction("joy", 0), bank.direction("anger", 1)], 0.8, bank.scales)
    prefixed = next_word_probability(subject, PROMPTS, WORDS, rows)
    lengths = [len(t) for t in subject.tokenize(PROMPTS)]
    for p, prompt in enumerate(PROMPTS):
        whole = next_word_probability(subject, [prompt], WORDS, rows, positions=[lengths[p] - 1])
        assert np.allclose(prefixed[:, p], whole[:, 0], rtol=1e-4)


def test_only_single_token_words_count_and_the_space_belongs_to_them(subjects):
    subject = subjects["gpt2"]
    kept = next_words(subject, {"joy": ["happy", "happy", "exhilarated"], "awe": ["sublimity"]})
    assert kept.words["joy"] == ("happy",) and kept.left_out["joy"] == ("exhilarated",)
    assert kept.token_ids["joy"] == tuple(subject.tokenizer(" happy", add_special_tokens=False)["input_ids"])
    assert kept.token_ids["awe"] == ()
    mass_of = next_word_probability(subject, ["She was"], kept)
    assert np.isfinite(mass_of[0, 0, 0]) and np.isnan(mass_of[0, 0, 1])
    character = next_words(subject, {"x": ["a"]}, language="zh").token_ids["x"]
    assert character == tuple(subject.tokenizer("a", add_special_tokens=False)["input_ids"])
    with pytest.raises(EmotionInterpError, match="single token"):
        next_words(subject, {"awe": ["sublimity"]})


def test_dose_response_numbers_are_those_of_brute_force(subjects):
    subject, bank = subjects["gpt2"], Bank()
    emotions, doses = list(WORDS), [0.5, 1.5]
    result = dose_response(subject, bank, emotions, doses, PROMPTS, layers=[1], n_random=19, seed=3)
    table = result.to_frame()
    judge = next_words(subject, WORDS)
    units = generator(3, "random directions", Site(1).hook_name).normal(size=(19, 16))
    picks = generator(3, "bootstrap over prompts", 3).integers(0, 3, size=(2000, 3))
    assert len(table) == 6 and (table["n_prompts"] == 3).all()
    for _, row in table.iterrows():
        ids = judge.token_ids[row["emotion"]]
        base = np.array([mass(subject, p, ids) for p in PROMPTS])
        direction = bank.direction(row["emotion"], 1)
        steered = np.array([mass(subject, p, ids, direction, row["dose"], 3.0) for p in PROMPTS])
        null = [np.mean([mass(subject, p, ids, Direction(u, 1), row["dose"], 3.0) for p in PROMPTS]) for u in units]
        assert row["target"] == pytest.approx(steered.mean(), rel=1e-4)
        assert row["shift"] == pytest.approx((steered - base).mean(), rel=1e-3, abs=1e-7)
        assert row["p"] == (1 + sum(n >= steered.mean() for n in null)) / 20
        assert row["random_hi"] == pytest.approx(np.quantile(null, 0.975), rel=1e-4)
        resampled = [(steered - base)[pick].mean() for pick in picks]
        assert row["shift_lo"] == pytest.approx(np.quantile(resampled, 0.025), rel=1e-3, abs=1e-7)
        assert row["shift_hi"] == pytest.approx(np.quantile(resampled, 0.975), rel=1e-3, abs=1e-7)
        family = table[table["dose"] == row["dose"]]["p"].sort_values().to_numpy()
        rank = int(np.searchsorted(family, row["p"], side="right"))
        assert row["p_holm"] == pytest.approx(max(min(1, family[i] * (3 - i)) for i in range(rank)))
    confusion = result.confusion
    assert len(confusion) == 18
    own = confusion[confusion["emotion"] == confusion["judged"]]["shift"].to_numpy()
    assert np.allclose(np.sort(own), np.sort(table["shift"].to_numpy()))
    assert result.texts.empty and result.plot(layer=1) is not None


class CountingJudge:
    """A judge of texts that answers from their letters."""

    emotions = ("sadness", "joy")

    def __init__(self):
        self.texts: list[str] = []

    def predict_proba(self, texts, /):
        self.texts += texts
        share = np.array([t.count("a") / (1 + len(t)) for t in texts])
        return np.stack([1 - share, share], 1)


def test_a_judge_of_texts_reads_the_steered_continuations(subjects):
    subject, bank, judge = subjects["llama"], Bank(), CountingJudge()
    options = {"max_new_tokens": 5, "judge": judge, "n_random": 4, "do_sample": True, "seed": 2}
    result = dose_response(subject, bank, ["joy", "anger"], [0.5], PROMPTS, layers=[0, 1], **options)
    table = result.to_frame()
    assert table.loc[table["emotion"] == "anger", "note"].str.contains("no usable").all()
    assert table.loc[table["emotion"] == "anger", "p"].isna().all()
    joy = table[(table["emotion"] == "joy") & (table["layer"] == 1)].iloc[0]
    with steer(subject, bank.direction("joy", 1), 0.5, "from_last_prompt_token", scale=3.0):
        texts = subject.generate(PROMPTS, max_new_tokens=5, do_sample=True, seed=2)
    shown = result.texts[(result.texts["emotion"] == "joy") & (result.texts["layer"] == 1)]
    assert shown["text"].tolist() == texts
    assert joy["target"] == pytest.approx(np.mean([t.count("a") / (1 + len(t)) for t in texts]))
    assert set(table["p"].dropna() * 5 % 1) <= {0.0}
    assert len(judge.texts) == 3 * (1 + 4 + 2 * 4)
    with pytest.raises(EmotionInterpError, match="max_new_tokens"):
        dose_response(subject, bank, ["joy"], [0.5], PROMPTS, judge=judge)
    with pytest.raises(EmotionInterpError, match="knows none"):
        dose_response(subject, bank, ["anger"], [0.5], PROMPTS, judge=judge, max_new_tokens=3)


def test_perplexity_is_that_of_the_unsteered_subject_over_pooled_tokens(subjects):
    import torch

    from emotion_interp.subjects.generation import decode

    subject, bank = subjects["gpt2"], Bank()
    result = dose_response(subject, bank, ["joy"], [2.0], PROMPTS, layers=[1], n_random=0, max_new_tokens=6)
    row = result.to_frame().iloc[0]
    rows = [list(t.ids) for t in subject.tokenize(PROMPTS)]

    def nll(new):
        total = []
        for prompt, more in zip(rows, new, strict=True):
            with torch.no_grad():
                logp = subject.model(torch.tensor([prompt + more]), return_type="logits")[0].double().log_softmax(-1)
            total += [-float(logp[len(prompt) + i - 1, t]) for i, t in enumerate(more)]
        return np.mean(total)

    plain = decode(subject, rows, 6).tokens
    with steer(subject, bank.direction("joy", 1), 2.0, "from_last_prompt_token", scale=3.0):
        steered = decode(subject, rows, 6).tokens
    assert row["perplexity_ratio"] == pytest.approx(np.exp(nll(steered) - nll(plain)), rel=1e-4)
    bigrams = [[tuple(t[i : i + 2]) for i in range(len(t) - 1)] for t in steered]
    assert row["distinct2"] == pytest.approx(sum(len(set(b)) for b in bigrams) / sum(map(len, bigrams)))
    assert np.isnan(row["p"]) and np.isnan(row["random_lo"])


def test_content_kept_compares_each_continuation_with_its_own_unsteered_one(subjects):
    options = {"n_random": 0, "max_new_tokens": 6, "samples": 2, "do_sample": True}
    result = dose_response(subjects["gpt2"], Bank(), ["joy"], [1e-6, 4.0], PROMPTS, layers=[1], **options)
    table, texts = result.to_frame(), result.texts
    assert table["content_overlap"].iloc[0] == table["content_similarity"].iloc[0] == 1
    bare, strong = (
        [row.text[len(row.prompt) :] for row in texts[texts["dose"] == dose].itertuples()] for dose in (0.0, 4.0)
    )
    assert len(bare) == 2 * len(PROMPTS)
    assert table["content_overlap"].iloc[1] == pytest.approx(np.nanmean(content_overlap(bare, strong)))
    assert table["content_overlap"].iloc[1] < 1 and 0 <= table["content_similarity"].iloc[1] < 1


def test_a_direction_the_bank_lacks_becomes_an_empty_row_with_the_reason(subjects):
    bank = Bank(lacking=(("joy", "sae"),))
    table = dose_response(
        subjects["gpt2"], bank, ["joy", "anger"], [0.5], PROMPTS, layers=[1], method=["dense", "sae"], n_random=4
    ).to_frame()
    empty = table[(table["emotion"] == "joy") & (table["method"] == "sae")].iloc[0]
    assert np.isnan(empty["target"]) and "unknown emotion 'joy'" in empty["note"]
    assert table["target"].notna().sum() == 3
    with pytest.raises(UnknownNameError):
        dose_response(subjects["gpt2"], bank, ["joy"], [0.5], PROMPTS, method="sae")


def test_the_same_seed_gives_the_same_table_and_nothing_is_left_on_the_model(subjects, hooks_on):
    subject, before = subjects["hooked"], hooks_on(subjects["hooked"])
    one, two = (dose_response(subject, Bank(), ["joy"], [1.0], PROMPTS, n_random=9, seed=4).table for _ in range(2))
    pd.testing.assert_frame_equal(one, two)
    assert hooks_on(subject) == before


def test_bad_grids_are_refused(subjects):
    subject = subjects["gpt2"]
    for emotions, doses, prompts in (
        ([], [0.5], PROMPTS),
        (["joy"], [], PROMPTS),
        (["joy"], [0.5], []),
        ("joy", [1], PROMPTS),
    ):
        with pytest.raises(EmotionInterpError):
            dose_response(subject, Bank(), emotions, doses, prompts, layers=[1])
    with pytest.raises(UnknownNameError, match="layer"):
        dose_response(subject, Bank(), ["joy"], [0.5], PROMPTS, layers=[9])


def test_options_and_words_that_nothing_would_use_are_noticed_without_any_text(subjects):
    args = (subjects["gpt2"], Bank(), list(WORDS), [0.2], PROMPTS)
    with pytest.raises(TypeError, match="n_radom"):
        dose_response(*args, n_random=0, n_radom=3)
    with pytest.raises(UnknownNameError, match="emotion of the words"):
        dose_response(*args, n_random=0, words={"Joyy": ["glad"]})


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(st.floats(0, 1), st.just(float("nan"))), max_size=12))
def test_holm_is_the_largest_of_the_smaller_steps(p):
    values = np.array(p, dtype=float)
    known = np.sort(values[np.isfinite(values)])
    for value, adjusted in zip(values, holm(values), strict=True):
        if np.isnan(value):
            assert np.isnan(adjusted)
        else:
            steps = [min(1.0, known[i] * (len(known) - i)) for i in range(int((known <= value).sum()))]
            assert adjusted == pytest.approx(max(steps)) or adjusted <= max(steps) + 1e-12
    assert len(holm(values)) == len(values)


def test_coherence_figures_of_empty_and_looping_texts():
    assert distinct_2([[1, 2, 1, 2, 1]]) == 0.5 and np.isnan(distinct_2([[1], []]))
    assert np.isnan(perplexity([])) and perplexity([np.log([0.5]), np.log([0.5, 0.25])]) == pytest.approx(2 ** (4 / 3))


def test_shipped_prompts_are_apart_distinct_and_carry_no_emotion_word():
    from emotion_interp.concepts import concept_set

    sizes = {"neutral en": 24, "neutral zh": 12, "neutral es": 24, "story en": 248, "further zh": 32, "further es": 32}
    sizes |= {"later en": 80, "later zh": 48, "later es": 48}
    splits = [("neutral", *pair) for pair in NEUTRAL_PROMPTS.items()]
    splits += [("story", *pair) for pair in STORY_PROMPTS.items()]
    splits += [("further", *pair) for pair in FURTHER_PROMPTS.items()]
    splits += [("later", *pair) for pair in LATER_PROMPTS.items()]
    every = [prompt for _, _, split in splits for prompt in split.tune + split.test]
    assert len(every) == len(set(every))
    used = set()
    for kind, language, split in splits:
        assert not set(split.tune) & set(split.test)
        assert len(split.tune + split.test) == len(set(split.tune + split.test)) == sizes[f"{kind} {language}"]
        words = {w.casefold() for e in concept_set(language).emotions for w in concept_set(language).words(e)}
        for prompt in split.tune + split.test:
            tokens = set(re.findall(r"\w+", prompt.casefold()))
            found = words & tokens if language in ("en", "es") else {w for w in words if w in prompt}
            if prompt in split.tune:
                used |= found
            else:
                assert not found, (prompt, found)
    # the docstring of the prompts names them
    assert used == {"dark", "alone", "lake", "photograph"}


class Lengths:
    """A judge of texts whose answers depend on the text alone."""

    emotions = ("joy", "fear")

    def predict_proba(self, texts):
        return np.asarray([[sum(map(ord, t)) % 97 / 97, sum(map(ord, t)) % 89 / 89] for t in texts])


@pytest.fixture(scope="module")
def two_sites(gpt2, tokenizer):
    """A subject that is read at two sites of layer 1, and its bank."""
    import emotion_interp as ei
    from tests.conftest import make_sae

    saes = [make_sae(0), make_sae(1), make_sae(1, "mlp_out")]
    subject = ei.Subject(gpt2, saes=saes, tokenizer=tokenizer, name="two sites")
    return subject, ei.find_features(subject, ei.concept_set("en"))


def test_sites_of_one_layer_are_told_apart_from_choice_to_controls(two_sites):
    subject, bank = two_sites
    options = {"judge": Lengths(), "max_new_tokens": 4, "n_random": 9}
    names = ["blocks.1.hook_mlp_out", "blocks.1.hook_resid_post"]
    grid = dose_response(subject, bank, ["joy", "fear"], [0.5, 0.9], ["He felt", "She said"], layers=names, **options)
    frame = grid.to_frame()
    assert sorted(set(frame["site"])) == names and set(frame["layer"]) == {1} and len(frame) == 8
    # each row is what the site alone gives
    for name in names:
        alone = dose_response(
            subject, bank, ["joy", "fear"], [0.5, 0.9], ["He felt", "She said"], layers=[Site.parse(name)], **options
        ).to_frame()
        assert alone["target"].tolist() == frame[frame["site"] == name]["target"].tolist()
    assert "hook_mlp_out" in grid.plot(names[0]).layout.title.text
    test = steering_test(
        subject, bank, ["joy"], ["He felt", "I"], ["She said", "We"], layers=names[:1], doses=[0.5], **options
    )
    chosen = test.to_frame()[test.to_frame()["chosen"]]
    assert chosen["site"].tolist() == names[:1]
    beside = steering_controls(subject, bank, chosen, ["She said", "We"], judge=Lengths(), max_new_tokens=4, n_random=9)
    steered = beside[beside["control"] == "steered"]["target"].tolist()
    assert steered == pytest.approx(chosen["target"].tolist())


def test_output_features_judged_by_the_words_that_chose_them_are_warned_of(tiny_subject, tiny_bank):
    import emotion_interp as ei
    from tests.experiments.test_experiments_feature_outputs import EMOTIONS

    pieces = sorted(
        p for p in tiny_subject.tokenizer.get_vocab() if p.startswith("\u0120") and p[1:].isascii() and len(p) > 2
    )
    words = {"en": {e: [p[1:] for p in pieces[i::4][:4]] for i, e in enumerate(EMOTIONS)}}
    scores = ei.output_scores(
        tiny_subject, tiny_bank, [1], ["en"], words=words, prompts={"en": ["He felt"]}, n_random=19
    )
    scores.frame["label"] = "output"
    bank = ei.with_output_directions(tiny_subject, scores.add_to(tiny_bank))
    options = {"layers": [1], "method": "sae_output", "n_random": 0}
    with pytest.warns(UserWarning, match="chosen by what they do to the words"), suppress(EmotionInterpError):
        # a tiny vocabulary may have no held-out word as a single token; the warning comes before
        dose_response(tiny_subject, bank, ["joy"], [0.5], ["He felt"], **options)
