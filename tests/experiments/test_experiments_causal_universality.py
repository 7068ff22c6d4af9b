"""Causal universality: a shared direction recovers all, one that nothing reads nothing, and chance passes no more than it may."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import emotion_interp as ei
from emotion_interp.bank import FeatureBank
from emotion_interp.core import EmotionInterpError, Site, Stimulus, UnknownNameError
from emotion_interp.experiments.causal_answers import BLOCK, ENOUGH_BEYOND, beyond_others, share_beyond, statistics
from emotion_interp.experiments.causal_moves import DirectionMoves, FeatureMoves, latents_of
from emotion_interp.experiments.causal_texts import show, word_scores
from emotion_interp.experiments.causal_universality import causal_universality, exchange_test
from emotion_interp.judges import next_words
from emotion_interp.subjects import Subject

SITE, DEAD, N, D, PLANTED = Site(0), 15, 12, 16, 3
WORDS = {"joy": ["happy", "glad"], "fear": ["afraid", "scared"], "anger": ["angry", "furious"], "pride": ["pride"]}
WORDS |= {"sadness": ["sad", "grief"], "calm": ["calm"]}
EMOTIONS = list(WORDS)
QUESTION = " the woman was"


@pytest.fixture(scope="module")
def plain():
    """A model whose last block and unembedding do not see coordinate 15."""
    import torch
    import transformers as hf

    torch.manual_seed(3)
    config = hf.LlamaConfig(
        vocab_size=400,
        max_position_embeddings=48,
        hidden_size=D,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        initializer_range=0.4,
    )
    config.bos_token_id = config.eos_token_id = config.pad_token_id = 0
    config._attn_implementation = "eager"
    model = hf.LlamaForCausalLM(config).eval()
    with torch.no_grad():
        last = model.model.layers[1]
        for norm in (last.input_layernorm, last.post_attention_layernorm, model.model.norm):
            norm.weight[DEAD] = 0
    return model


@pytest.fixture(scope="module")
def subject(plain, tokenizer):
    import copy

    import torch
    from sae_lens import StandardSAE, StandardSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    config = StandardSAEConfig(
        d_in=D, d_sae=80, dtype="float32", device="cpu", metadata=SAEMetadata(hook_name=SITE.hook_name)
    )
    sae = StandardSAE(config).eval()
    torch.manual_seed(4)
    for parameter in sae.parameters():
        parameter.data = torch.randn_like(parameter) * 0.3
    return Subject(copy.deepcopy(plain), [sae], tokenizer, name="tiny")


def bank_of(second: np.ndarray, first: np.ndarray, features: dict[str, dict[str, list[int]]] | None = None):
    """A bank of two languages with these directions [emotion, d_model] and selected features language -> emotion -> ids."""
    chosen = features or {"en": {}, "zh": {}}
    rows = [
        {
            "emotion": e,
            "layer": 0,
            "site": str(SITE),
            "language": x,
            "feature": f,
            "auroc": 0.9 - i / 100,
            "p": 0.01,
            "selected": True,
        }
        for x, by in chosen.items()
        for e, ids in by.items()
        for i, f in enumerate(ids)
    ]
    columns = ["emotion", "layer", "site", "language", "feature", "auroc", "p", "selected"]
    manifest = {"subject": "tiny", "emotions": EMOTIONS, "languages": ["en", "zh"], "stimuli": "texts"}
    manifest |= {"concept_words": {"en": WORDS, "zh": {e: [e] for e in EMOTIONS}}}
    directions = {(SITE, "en", "dense"): second, (SITE, "zh", "dense"): first}
    empty = pd.DataFrame()
    frame = pd.DataFrame(rows, columns=columns).astype({"selected": bool})
    return FeatureBank(frame, empty, empty, empty, directions, {SITE: 1.0}, manifest)


def uphill(plain, tokenizer, emotion):
    """Gradient of an emotion's log share in the stream of a few texts' last token: [d_model]."""
    import torch

    ids_of = {e: sorted({i for w in ws for i in tokenizer(" " + w)["input_ids"]}) for e, ws in WORDS.items()}
    others = sorted({i for e, ids in ids_of.items() if e != emotion for i in ids})
    total = np.zeros(D)
    for text in ("the old man felt the sea", "the letter was the door"):
        ids = torch.tensor([[0, *tokenizer(text)["input_ids"], *tokenizer(QUESTION)["input_ids"]]])
        kept = []

        def hook(module, args, output, kept=kept):
            kept.append(output[0] if isinstance(output, tuple) else output)
            kept[0].retain_grad()

        handle = plain.model.layers[0].register_forward_hook(hook)
        logits = plain(ids).logits[0, -1].log_softmax(-1)
        (logits[ids_of[emotion]].logsumexp(0) - logits[others].logsumexp(0)).backward()
        handle.remove()
        total += kept[0].grad[0, -1].double().numpy()
    plain.zero_grad()
    return total / np.linalg.norm(total)


@pytest.fixture(scope="module")
def planted(subject, plain, tokenizer):
    """Directions of "en": of three emotions what makes their words likelier. Their texts: where the component does so most."""
    random = np.random.default_rng(0)
    units = random.normal(size=(len(EMOTIONS), D))
    units[:PLANTED] = [uphill(plain, tokenizer, e) for e in EMOTIONS[:PLANTED]]
    units[:, DEAD] = 0
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    vocabulary = ["letter", "sea", "door", "man", "woman", "felt", "was", "the", "old", "tears"]
    pool = list(dict.fromkeys(" ".join(random.choice(vocabulary, size=8)) for _ in range(150)))
    judge, texts = next_words(subject, WORDS), {}
    for i, emotion in enumerate(EMOTIONS):
        order = range(len(pool))
        if i < PLANTED:
            shown = show(subject, SITE, {"neutral": pool}, QUESTION, 40)
            moves = DirectionMoves(shown, units[i], [emotion])
            moves.set_rows(np.stack([units[i], np.zeros(D)]))
            mass = word_scores(subject, SITE, shown, order, 2, moves.delta, judge)
            share = mass[:, :, i] - np.logaddexp.reduce(mass, axis=2)
            order = np.argsort(share[1] - share[0])
        texts[emotion] = [pool[j] for j in order[:N]]
        pool = [one for one in pool if one not in texts[emotion]]
    return units, texts


def first_language(units: np.ndarray, joy: np.ndarray, seed: int = 1) -> np.ndarray:
    """Directions of the other language: joy's as given, the others' at random."""
    others = np.random.default_rng(seed).normal(size=units.shape)
    others[0] = joy
    return others


def run(subject, bank, texts, **options):
    options = {"n_random": 39, "siblings": {}, "prompts": {"en": QUESTION}, "emotions": ["joy"], **options}
    return causal_universality(subject, bank, {"en": texts}, "zh", "en", **options)


def joy(result) -> dict:
    frame = result.to_frame()
    return frame[frame["emotion"] == "joy"].iloc[0].to_dict()


def test_a_direction_that_both_languages_share_recovers_all_of_it(subject, planted):
    units, texts = planted
    near = units[0] + 0.1 * np.random.default_rng(5).normal(size=D) * (np.arange(D) != DEAD) / np.sqrt(D)
    row = joy(run(subject, bank_of(units, first_language(units, near)), texts))
    assert row["effect_lo"] > 0 and 0.8 < row["recovered"] < 1.2 and row["cosine"] > 0.98
    assert row["lo"] <= row["recovered"] <= row["hi"]
    assert row["p_others"] <= 0.05 and row["p_random"] <= 0.05 and row["p"] == max(row["p_others"], row["p_random"])
    assert (row["first"], row["second"], row["n_texts"], row["n_random"], row["n_others"]) == ("zh", "en", N, 39, 5)
    assert row["p_rank"] == 1 / 6


def test_a_direction_that_nothing_reads_recovers_nothing(subject, planted):
    units, texts = planted
    row = joy(run(subject, bank_of(units, first_language(units, np.eye(D)[DEAD])), texts))
    assert row["effect_lo"] > 0 and abs(row["recovered"]) < 0.25 and abs(row["cosine"]) < 1e-6
    assert row["p"] > 0.1


def test_the_own_direction_or_set_in_its_own_place_is_exactly_one(subject, planted):
    units, texts = planted
    sets = {x: {"joy": [3, 17, 40], "fear": [5, 9], "anger": [6, 7]} for x in ("en", "zh")}
    bank = bank_of(units, units, sets)
    row = joy(run(subject, bank, texts))
    assert row["recovered"] == pytest.approx(1, abs=1e-6) and row["cosine"] == pytest.approx(1)
    for positions in ("text", "question"):
        row = joy(run(subject, bank, texts, positions=positions))
        if not row["note"]:
            assert row["recovered"] == pytest.approx(1, abs=1e-4)
    moved = joy(run(subject, bank, texts, method="features"))
    assert moved["own"] == pytest.approx(moved["swap"], abs=1e-6) or moved["note"]
    assert moved["cosine"] == pytest.approx(1) and moved["size_ratio"] == 1 and moved["n_shared"] == 3


def by_hand(plain, tokenizer, texts, change):
    """Log share of joy's words after text and question, with the plain model's first layer changed: [text]."""
    import torch

    judge = [sorted({i[0] for w in WORDS[e] if len(i := tokenizer(" " + w)["input_ids"]) == 1}) for e in EMOTIONS]
    scores = []
    for text in texts:
        ids = [0, *tokenizer(text)["input_ids"], *tokenizer(QUESTION)["input_ids"]]
        n_question = len(tokenizer(QUESTION)["input_ids"])

        def hook(module, args, output, n_question=n_question):
            stream = output[0] if isinstance(output, tuple) else output
            # not BOS
            changed = torch.cat([stream[0, :1], change(stream[0, 1:].double(), n_question).float()])[None]
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        handle = plain.model.layers[0].register_forward_hook(hook)
        with torch.no_grad():
            p = plain(torch.tensor([ids])).logits[0, -1].double().softmax(-1)
        handle.remove()
        masses = [float(p[i].sum()) for i in judge]
        scores.append(np.log(masses[0] / sum(masses)))
    return np.asarray(scores)


def streams(plain, tokenizer, texts):
    import torch

    found = []
    for text in texts:
        ids = [0, *tokenizer(text)["input_ids"], *tokenizer(QUESTION)["input_ids"]]
        with torch.no_grad():
            found.append(plain(torch.tensor([ids]), output_hidden_states=True).hidden_states[1][0, 1:].double())
    return found


def place_means(values, n_question):
    """One mean for all tokens of texts, one for each token of the question."""
    import torch

    text = torch.cat([v[:-n_question] for v in values]).mean(0, keepdim=True)
    return torch.cat([text, torch.stack([v[-n_question:] for v in values]).mean(0)])


def spread(means, length, n_question):
    import torch

    return torch.cat([means[:1].expand(length - n_question, -1), means[1:]])


def test_recovered_is_what_plain_hooks_on_the_plain_model_give(plain, subject, tokenizer, planted):
    import torch

    assert subject.prepends_bos
    units, texts = planted
    given = first_language(units, np.random.default_rng(8).normal(size=D) + 2 * units[0])
    row = joy(run(subject, bank_of(units, given), texts, n_random=0))
    u = torch.from_numpy(units[0])
    v = torch.from_numpy(given[0] / np.linalg.norm(given[0]))
    rest = [t for e, several in texts.items() if e != "joy" for t in several]
    others = streams(plain, tokenizer, rest)
    n_question = len(tokenizer(QUESTION)["input_ids"])
    means = place_means([x @ u[:, None] for x in others], n_question)

    def sizes(x, n):
        return x @ u[:, None] - spread(means, len(x), n)

    own = by_hand(plain, tokenizer, texts["joy"], lambda x, n: x)
    ablate = by_hand(plain, tokenizer, texts["joy"], lambda x, n: x - sizes(x, n) * u)
    swap = by_hand(plain, tokenizer, texts["joy"], lambda x, n: x - sizes(x, n) * u + sizes(x, n) * v)
    for name, scores in (("own", own), ("ablate", ablate), ("swap", swap)):
        assert row[name] == pytest.approx(scores.mean(), abs=2e-4), name
    expected = (swap.mean() - ablate.mean()) / (own.mean() - ablate.mean())
    assert row["recovered"] == pytest.approx(expected, abs=0.01)


def test_a_set_of_features_is_replaced_by_what_the_other_set_adds(plain, subject, tokenizer, planted):
    import torch

    units, texts = planted
    bank = bank_of(units, units, {"en": {"joy": [3, 17, 40]}, "zh": {"joy": [17, 21]}})
    row = joy(run(subject, bank, texts, method="features", n_random=0))
    sae = next(iter(subject.saes.values()))
    rest = [t for e, several in texts.items() if e != "joy" for t in several]
    n_question = len(tokenizer(QUESTION)["input_ids"])
    means = place_means([sae.encode(x.float()).double() for x in streams(plain, tokenizer, rest)], n_question)

    def part(x, n, ids):
        with torch.no_grad():
            values = sae.encode(x.float()).double() - spread(means, len(x), n)
            return values[:, ids] @ sae.W_dec[ids].double()

    ablate = by_hand(plain, tokenizer, texts["joy"], lambda x, n: x - part(x, n, [3, 17, 40]))
    swap = by_hand(plain, tokenizer, texts["joy"], lambda x, n: x - part(x, n, [3, 17, 40]) + part(x, n, [17, 21]))
    assert row["ablate"] == pytest.approx(ablate.mean(), abs=2e-4)
    assert row["swap"] == pytest.approx(swap.mean(), abs=2e-4)
    assert (row["n_features_first"], row["n_features_second"], row["n_shared"]) == (2, 3, 1)


def test_null_sets_write_as_much_as_the_swap(subject, planted):
    _, texts = planted
    shown = show(subject, SITE, texts, QUESTION, 40)
    latents = latents_of(subject.readers[SITE], shown)
    moves = FeatureMoves(shown, latents, np.array([3, 17]), ["joy"])
    own = shown.of("joy")
    size, other = moves.size([21, 30], own), moves.size([5, 9], own)
    moves.set_rows([(np.array([5, 9]), size / other), (np.array([], dtype=int), 1.0)])
    written = np.concatenate(
        [np.linalg.norm(np.subtract(*moves.delta(int(i), np.arange(2)))[shown.changed[i]], axis=-1) for i in own]
    )
    assert written.mean() == pytest.approx(size)


def test_p_is_uniform_where_the_direction_is_one_of_the_random_ones(subject, planted):
    units, texts = planted
    few = {e: t[:4] for e, t in texts.items()}
    found = []
    for seed in range(100):
        given = np.random.default_rng(1000 + seed).normal(size=units.shape)
        row = joy(run(subject, bank_of(units, given), few, n_random=19, seed=seed))
        found.append([row["p_others"], row["p_random"], row["p_rank"], row["p"]])
    others, random, rank, both = np.asarray(found).T
    for p in (others, random, rank):
        assert abs(p.mean() - 0.5) < 0.12 and (p <= 0.1).mean() <= 0.2 and (p > 0.9).mean() <= 0.25
    # beyond both is rarer than beyond one
    assert (both >= np.maximum(others, random) - 1e-12).all() and (both <= 0.05).mean() <= 0.1


def test_holm_runs_over_the_emotions_that_have_a_figure(subject, planted):
    units, texts = planted
    result = run(subject, bank_of(units, first_language(units, units[0])), texts, emotions=None)
    frame = result.to_frame()
    p = frame["p"].to_numpy(dtype=float)
    there = [i for i in np.argsort(p) if np.isfinite(p[i])]
    expected, largest = np.full(len(p), np.nan), 0.0
    for rank, i in enumerate(there):
        largest = max(largest, min(1.0, p[i] * (len(there) - rank)))
        expected[i] = largest
    assert len(frame) == len(EMOTIONS) and len(there) >= 2
    assert np.allclose(frame["p_holm"].to_numpy(dtype=float), expected, equal_nan=True)
    unreliable = frame[~(frame["effect_lo"] > 0)]
    assert len(unreliable) and unreliable["recovered"].isna().all() and (unreliable["note"] != "").all()
    assert result.plot().data[0].x == tuple(result.frame["recovered"].dropna())
    assert len(result.by_layer()) == 1 and result.by_layer()["n_reliable"][0] == len(there)
    assert result.matrix().loc["joy", "joy"] == pytest.approx(joy(result)["recovered"])
    assert (
        "2 languages" not in repr(result)
        and "'zh' in 'en' texts" in repr(result)
        and "recovered" in result._repr_html_()
    )


def test_counterparts_that_fit_are_told_from_exchanged_ones():
    names = list("abcdef")
    random = np.random.default_rng(0)

    def frame(own):
        matrix = random.normal(size=(6, 6)) + own * np.eye(6)
        return pd.DataFrame(
            [
                {"emotion": a, "put_in": b, "recovered": matrix[i, j]}
                for i, a in enumerate(names)
                for j, b in enumerate(names)
            ]
        )

    assert exchange_test(frame(6.0), names, 0)[1] < 0.01
    assert np.mean([exchange_test(frame(0.0), names, s, 199)[1] <= 0.1 for s in range(60)]) <= 0.2
    assert np.isnan(exchange_test(frame(6.0), names[:3], 0)).all()


def test_siblings_are_no_null_and_do_not_make_the_mean(subject, planted):
    units, texts = planted
    bank = bank_of(units, first_language(units, units[0]))
    row = joy(run(subject, bank, texts, siblings={"joy": ["pride", "calm"]}, n_random=19))
    fewer = joy(run(subject, bank, {e: t for e, t in texts.items() if e not in ("pride", "calm")}, n_random=19))
    assert row["n_others"] == 3 and fewer["n_others"] == 5
    assert row["ablate"] == pytest.approx(fewer["ablate"], abs=1e-5) and row["p_rank"] == 1 / 4


def test_drawing_ends_where_enough_have_gone_as_far(subject, planted):
    units, texts = planted
    few = {e: t[:4] for e, t in texts.items()}
    options = {"n_random": 3 * BLOCK}
    chance = run(subject, bank_of(units, first_language(units, np.eye(D)[DEAD])), few, **options)
    row = joy(chance)
    assert row["n_random"] == BLOCK and row["p"] > ENOUGH_BEYOND / (BLOCK + 10)
    drawn = chance.draws["joy"]["random"]
    assert (drawn >= row["recovered"]).sum() >= ENOUGH_BEYOND
    assert row["p_random"] == share_beyond(row["recovered"], drawn)
    assert row["p_others"] == beyond_others(row["recovered"], chance.draws["joy"]["others"])
    row = joy(run(subject, bank_of(units, first_language(units, units[0])), few, **options))
    assert row["n_random"] == 3 * BLOCK and row["p_random"] < 0.05


def test_what_is_measured_can_be_mass_or_auroc(subject, planted):
    units, texts = planted
    bank = bank_of(units, first_language(units, units[0]))
    rows = {m: joy(run(subject, bank, texts, measure=m, n_random=19)) for m in ("share", "mass", "auroc")}
    assert rows["mass"]["own"] < rows["share"]["own"] < 0
    assert 0 <= rows["auroc"]["own"] <= 1
    scores = np.array([[3.0, 1.0, 2.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    own = np.array([True, True, False, False])
    assert statistics(scores, own, "auroc").tolist() == [0.75, 0.5] and statistics(scores, own, "share").tolist() == [
        2,
        1,
    ]


def test_the_p_among_others_is_that_of_one_more_draw_from_a_normal_distribution():
    random = np.random.default_rng(0)
    values = random.normal(3.0, 2.0, size=(4000, 9))
    p = np.array([beyond_others(v[0], v[1:]) for v in values])
    for level in (0.01, 0.05, 0.5):
        assert abs((p <= level).mean() - level) < 4 * np.sqrt(level / len(p))
    assert np.isnan(beyond_others(1.0, values[0, :2]))


def test_a_finished_emotion_is_kept_and_taken_again(subject, planted, tmp_path, monkeypatch):
    units, texts = planted
    bank = bank_of(units, first_language(units, units[0]))
    once = run(subject, bank, texts, null_folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    room = sys.modules[causal_universality.__module__]

    def never(*_):
        raise AssertionError("it is kept")

    with monkeypatch.context() as patched:
        patched.setattr(room, "answers", never)
        again = run(subject, bank, texts, null_folder=tmp_path)
        pd.testing.assert_frame_equal(once.to_frame(), again.to_frame())
        # another direction, seed or question is another answer
        for other in ({"seed": 1}, {"prompts": {"en": " the man was"}}, {"n_random": 40}):
            with pytest.raises(AssertionError, match="kept"):
                run(subject, bank, texts, null_folder=tmp_path, **other)
        with pytest.raises(AssertionError, match="kept"):
            run(subject, bank_of(units, first_language(units, units[1])), texts, null_folder=tmp_path)
    next(tmp_path.iterdir()).write_text("{")
    with pytest.raises(EmotionInterpError, match="delete it"):
        run(subject, bank, texts, null_folder=tmp_path)


def test_stimuli_of_the_texts_language_are_taken(subject, planted):
    units, texts = planted
    bank = bank_of(units, first_language(units, units[0]))
    stimuli = [Stimulus(t, (0, len(t)), e, t, "t", "en", t) for e, several in texts.items() for t in several]
    stimuli.append(Stimulus("她哭了", (0, 3), "joy", "x", "t", "zh", "x"))
    options = {"n_random": 19, "siblings": {}, "prompts": {"en": QUESTION}, "emotions": ["joy"]}
    one = joy(causal_universality(subject, bank, stimuli, "zh", "en", **options))
    two = joy(run(subject, bank, texts, n_random=19))
    assert one["recovered"] == two["recovered"] and one["p"] == two["p"]


def test_what_cannot_be_measured_is_said_in_one_line(subject, planted, hooks_on):
    units, texts = planted
    bank = bank_of(units, units)
    count = hooks_on(subject)

    def refused(match, *, kind=EmotionInterpError, **changes):
        given = {"subject": subject, "bank": bank, "texts": {"en": texts}, "first": "zh", "second": "en", **changes}
        with pytest.raises(kind, match=match) as caught:
            ei.causal_universality(**{"siblings": {}, "n_random": 0, "prompts": {"en": QUESTION}, **given})
        assert "\n" not in str(caught.value)

    refused("'en' was given twice", first="en")
    refused("language", kind=UnknownNameError, first="fr")
    refused(
        "'joy' has 2 texts in 'en'; at least 4 are needed",
        texts={"en": {**texts, "joy": texts["joy"][:2]}},
        emotions=["joy"],
    )
    refused("no texts in 'en'", texts={"zh": texts})
    refused("no texts in 'en'", texts=[])
    refused("read as 'zh'", texts={"en": {"joy": ["他打开门，心里感到高兴。"] * 4, "fear": ["她哭了，他也哭了。"]}})
    refused("belongs to the subject 'another'", bank=replace(bank, manifest={**bank.manifest, "subject": "another"}))
    refused("method", kind=UnknownNameError, method="sae")
    refused("measure", kind=UnknownNameError, measure="typo")
    refused("positions", kind=UnknownNameError, positions="generated")
    refused("no question in 'zh'|question", prompts={"en": ""})
    refused("n_random", n_random=-1)
    none = joy(run(subject, bank, texts, method="features", n_random=0))
    assert none["note"] == "no feature is selected in 'zh'" and np.isnan(none["recovered"])
    silent = joy(run(subject, bank, texts, words={**WORDS, "joy": ["unspeakableness"]}, n_random=0))
    assert silent["note"] == "no word of 'joy' in 'en' is one token"
    nowhere = joy(run(subject, bank_of(units, first_language(units, np.zeros(D))), texts, n_random=0))
    assert nowhere["note"] == "the 'dense' direction in 'zh' points nowhere"
    with pytest.warns(UserWarning, match="give n_random of at least 20"):
        run(subject, bank_of(units, first_language(units, units[0])), texts, n_random=9)
    assert hooks_on(subject) == count


def test_the_benchmark_shows_held_out_words_once_and_judges_by_the_others():
    from benchmarks.causal_universality import carriers, judged_by

    every = {e: list(ei.concept_set("es").words(e)) for e in ("joy", "fear")}

    manifest = {"stimuli": "words", "concept_words": {"es": every}}
    bank = SimpleNamespace(emotions=list(every), manifest=manifest, held_out_words=lambda e, language: every[e][::2])
    shown = [s for s in carriers("es", bank) if s.emotion in every]
    judged = judged_by("words", "es", bank)
    for emotion, words in every.items():
        assert sorted(s.word for s in shown if s.emotion == emotion) == sorted(words[::2])
        assert judged[emotion] == words[1::2]
    assert len({s.template for s in shown}) > 1 and judged_by("posts", "es", bank) is None
