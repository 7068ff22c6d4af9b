"""Trained directions: the likelihood is that of a steered pass, the gradient is right, planted texts are told apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import emotion_interp as ei
from emotion_interp.concepts.scenes import labelled_stimuli
from emotion_interp.core import Direction, EmotionInterpError, Site, UnknownNameError
from emotion_interp.core.errors import NotFiniteError
from emotion_interp.directions import train_directions
from emotion_interp.directions.trained import _Training
from emotion_interp.steering import steer
from emotion_interp.subjects.generation import token_log_probabilities

EMOTIONS = ("joy", "fear", "anger")
SKIP = 4
OPTIONS = {"skip": SKIP, "n_tokens": 24, "steps": 12, "texts_per_step": 4, "dose": 1.0}


def texts_of(emotion: str, n: int) -> list[str]:
    """Sentences with a vocabulary of their own after a common beginning."""
    words = {"joy": "sun smile bright", "fear": "dark shadow cold", "anger": "shout fist hate"}[emotion].split()
    random = np.random.default_rng(len(emotion))
    return ["The old man said that " + " ".join(random.choice(words, size=12)) for _ in range(n)]


@pytest.fixture(scope="module")
def shown():
    pairs = [(text, e) for e in EMOTIONS for text in texts_of(e, 24)]
    return labelled_stimuli(
        [t for t, _ in pairs], [e for _, e in pairs], "en", [f"group {i}" for i in range(len(pairs))]
    )


@pytest.fixture(scope="module")
def bank(tiny_subject, shown):
    return ei.find_features(tiny_subject, ei.concept_set("en"), [1], stimuli=shown, skip=SKIP)


@pytest.fixture(scope="module")
def trained(tiny_subject, shown, bank):
    return train_directions(tiny_subject, ei.concept_set("en"), bank, stimuli=shown, **OPTIONS)


def training(subject, texts, length=1.5, site=Site(1)):
    return _Training(subject, site, length, SKIP, texts, np.random.default_rng(0))


def rows_of(subject, n=3):
    return [
        tuple(t.ids)
        for t in subject.tokenize(
            [
                "The letter said that she felt happy.",
                "He was afraid of the sea.",
                "The man was calm and sad, she was angry.",
            ][:n]
        )
    ]


def test_log_probabilities_are_those_of_steered_text_on_every_backend(subject):
    rows = rows_of(subject)
    vectors = np.random.default_rng(1).normal(size=(3, subject.d_model)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    got, n = training(subject, [])._log_probabilities(rows, torch.from_numpy(vectors))
    for i, row in enumerate(rows):
        with steer(subject, Direction(vectors[i], layer=1), dose=1.5, scale=1.0, positions=SKIP):
            by_hand = token_log_probabilities(subject, [row], [SKIP + 1])[0]
        assert len(by_hand) == n[i] > 0
        assert got[i].item() == pytest.approx(by_hand.sum(), abs=1e-3)


def test_without_vectors_the_subject_is_unsteered(subject):
    rows = rows_of(subject)
    got, _ = training(subject, [])._log_probabilities(rows, None)
    bare = [values.sum() for values in token_log_probabilities(subject, rows, [SKIP + 1] * 3)]
    assert np.allclose(got.detach().numpy(), bare, atol=1e-3)


def test_the_gradient_is_that_of_finite_differences(tiny_subject):
    rows = rows_of(tiny_subject, 2)
    run = training(tiny_subject, [])
    vectors = torch.randn(2, tiny_subject.d_model, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (slope,) = torch.autograd.grad(run._log_probabilities(rows, vectors)[0].sum(), vectors)
    random = np.random.default_rng(3)
    for _ in range(3):
        step = torch.from_numpy(random.normal(size=vectors.shape).astype(np.float32)) * 1e-2
        with torch.no_grad():
            up, down = (run._log_probabilities(rows, vectors + s * step)[0].sum() for s in (1, -1))
        assert float(up - down) / 2 == pytest.approx(float((slope * step).sum()), rel=0.05, abs=2e-3)


def test_planted_texts_are_preferred_under_their_own_direction(trained):
    frame = trained.to_frame()
    assert list(frame["emotion"]) == list(trained.settings["emotions"]) and len(frame) == 3
    # every emotion has a vocabulary of its own: chance is .5
    assert (frame["preferred"] > 0.9).all()
    assert frame["gain"].mean() > frame["gain_dense"].mean()


def test_labels_without_meaning_give_no_preference(tiny_subject, shown):
    mixed = np.random.default_rng(0).permutation([s.emotion for s in shown]).tolist()
    shuffled = [replace(s, emotion=e) for s, e in zip(shown, mixed, strict=True)]
    bank = ei.find_features(tiny_subject, ei.concept_set("en"), [1], stimuli=shuffled, skip=SKIP)
    null = train_directions(tiny_subject, ei.concept_set("en"), bank, stimuli=shuffled, **OPTIONS)
    assert abs(null.to_frame()["preferred"].mean() - 0.5) < 0.25


def test_directions_are_unit_vectors_that_sum_to_nothing_common(trained, tiny_subject):
    vectors = trained.vectors[Site(1), "en"]
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors.shape == (3, tiny_subject.d_model)


def test_the_same_seed_gives_the_same_directions_and_another_others(tiny_subject, bank, shown, trained):
    args = (tiny_subject, ei.concept_set("en"), bank)
    again = train_directions(*args, stimuli=shown, **OPTIONS)
    other = train_directions(*args, stimuli=shown, seed=1, **OPTIONS)
    key = (Site(1), "en")
    assert np.array_equal(again.vectors[key], trained.vectors[key])
    assert not np.allclose(other.vectors[key], trained.vectors[key], atol=1e-3)


def test_the_subject_comes_back_as_it_was(tiny_subject, bank, shown, hooks_on):
    model = tiny_subject.model
    before = {n: (p.detach().clone(), p.requires_grad) for n, p in model.named_parameters()}
    hooks = hooks_on(tiny_subject)
    train_directions(tiny_subject, ei.concept_set("en"), bank, stimuli=shown, **{**OPTIONS, "steps": 1})
    assert hooks_on(tiny_subject) == hooks
    for name, parameter in model.named_parameters():
        values, wanted = before[name]
        assert torch.equal(parameter, values) and parameter.requires_grad == wanted and parameter.grad is None


def test_a_bank_gives_them_as_a_method_and_keeps_them_on_disk(trained, bank, tmp_path):
    more = trained.add_to(bank)
    assert "trained" not in bank.methods and "trained" in more.methods
    loaded = ei.FeatureBank.load(more.save(tmp_path / "bank"))
    found = loaded.direction("joy", layer=1, method="trained")
    assert np.allclose(found.unit, trained.vectors[Site(1), "en"][bank.emotions.index("joy")], atol=1e-6)


def test_texts_that_stand_on_another_side_than_the_banks_are_refused(tiny_subject, bank, shown):
    # fewer groups are split elsewhere: confirmation texts of the bank would be trained on
    english = ei.concept_set("en")
    with pytest.raises(EmotionInterpError, match="other side of the split"):
        train_directions(tiny_subject, english, bank, stimuli=shown[:60], **OPTIONS)
    with pytest.raises(EmotionInterpError, match="texts of your own"):
        train_directions(tiny_subject, english, bank, **OPTIONS)


def test_it_trains_where_gradients_were_switched_off(tiny_subject, bank, shown, trained):
    torch.set_grad_enabled(False)
    try:
        again = train_directions(tiny_subject, ei.concept_set("en"), bank, stimuli=shown, **OPTIONS)
        assert not torch.is_grad_enabled()
    finally:
        torch.set_grad_enabled(True)
    assert np.array_equal(again.vectors[Site(1), "en"], trained.vectors[Site(1), "en"])


def test_the_manifest_says_how_they_were_trained(trained, bank):
    added = trained.add_to(bank).manifest["added"]["trained"]
    assert added["steps"] == OPTIONS["steps"] and added["dose"] == OPTIONS["dose"] and "added" not in bank.manifest


def test_progress_counts_texts(tiny_subject, bank, shown):
    seen = []
    train_directions(
        tiny_subject, ei.concept_set("en"), bank, stimuli=shown, **{**OPTIONS, "steps": 2}, progress=seen.append
    )
    assert seen == [12, 12]


@pytest.mark.parametrize(
    "options,match",
    [
        ({"steps": 0}, "steps is a number of at least 1, got 0"),
        ({"texts_per_step": True}, "texts_per_step"),
        ({"n_tokens": 8, "skip": 4}, "at least skip"),
        ({"skip": 0}, "skip at least 1"),
        ({"n_tokens": 200, "skip": 150}, "fewer than two emotions"),
        ({"dose": float("nan")}, "finite"),
    ],
    ids=str,
)
def test_impossible_options_are_refused_with_what_would_be_right(tiny_subject, bank, shown, options, match):
    with pytest.raises(EmotionInterpError, match=match):
        train_directions(tiny_subject, ei.concept_set("en"), bank, stimuli=shown, **{**OPTIONS, **options})


def test_wrong_banks_languages_and_sites_are_refused(tiny_subject, tiny_bank, bank, shown):
    english = ei.concept_set("en")
    with pytest.raises(EmotionInterpError, match="trained on texts"):
        train_directions(tiny_subject, english, tiny_bank, **OPTIONS)
    with pytest.raises(UnknownNameError, match="language"):
        train_directions(tiny_subject, english, bank, languages=["fr"], stimuli=shown, **OPTIONS)
    with pytest.raises(UnknownNameError):
        train_directions(tiny_subject, english, bank, [7], stimuli=shown, **OPTIONS)


def test_a_model_that_answers_nan_is_reported(gpt2, tokenizer, bank, shown):
    import copy

    from tests.conftest import make_sae

    broken = copy.deepcopy(gpt2)
    with torch.no_grad():
        broken.transformer.h[2].mlp.c_proj.weight.fill_(float("nan"))
    subject = ei.Subject(broken, saes=[make_sae(1)], tokenizer=tokenizer, name="tiny")
    with pytest.raises(NotFiniteError, match="smaller dose"):
        train_directions(subject, ei.concept_set("en"), bank, stimuli=shown, **OPTIONS)


def test_directions_of_other_emotions_are_not_put_into_a_bank(trained, tiny_bank):
    with pytest.raises(EmotionInterpError, match="the bank's emotions"):
        trained.add_to(tiny_bank)
