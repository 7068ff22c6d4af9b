"""Steering verdicts: one p over judges and kinds of null, texts that are kept, and a dose chosen elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import emotion_interp as ei
from emotion_interp.core import EmotionInterpError, FileFormatError, NotFiniteError, Site, UnknownNameError
from emotion_interp.directions import NullTexts
from emotion_interp.experiments import Setting, verdicts_aim, verdicts_texts
from emotion_interp.experiments.verdicts import beyond
from emotion_interp.experiments.verdicts_nulls import shared_nulls
from emotion_interp.judges.judging import Question
from tests.conftest import make_gpt2

PROMPTS = ("The letter said that she felt", "He was", "The old man looked at the sea and", "After the walk they")
LONG = {"max_new_tokens": 8, "layer": 1, "seed": 3, "samples": 2, "top_k": None}
TOKEN, DOSE = "th", 1.5


class Judge:
    """The share of a text's characters that are one of the emotion's marks."""

    def __init__(self, **marks):
        self.marks, self.emotions = marks, list(marks)

    def predict_proba(self, texts):
        return np.asarray([[sum(t.count(c) for c in mark) / len(t) for mark in self.marks.values()] for t in texts])


def judges():
    return {
        "one": Judge(joy=[TOKEN], fear="ea", anger="o"),
        "two": Judge(sadness="t", anger="n", joy=[TOKEN, "Q"], fear="e"),
    }


@pytest.fixture(scope="module")
def planted(tiny_subject, tiny_bank, root_tokenizer):
    """The bank, but joy's direction of layer 1 is the one that promotes a token, found by its gradient."""
    model, token = make_gpt2(root_tokenizer), root_tokenizer.encode(TOKEN, add_special_tokens=False)[0]
    length = DOSE * tiny_bank.scales[Site(1)]
    vector = torch.zeros(model.config.n_embd, requires_grad=True)

    def add(module, inputs, output):
        moved = length * vector / vector.norm().clamp(min=1e-6)
        return (output[0] + moved, *output[1:]) if isinstance(output, tuple) else output + moved

    model.transformer.h[1].register_forward_hook(add)
    with torch.no_grad():
        vector += torch.randn(vector.shape, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam([vector], lr=0.1)
    for _ in range(150):
        likely = [
            model(torch.tensor([list(t.ids)])).logits[0, -1].log_softmax(-1) for t in tiny_subject.tokenize(PROMPTS)
        ]
        mean = torch.stack(likely).mean(0)[token]
        if mean.detach().exp() > 0.7:
            break
        optimizer.zero_grad()
        (-mean).backward()
        optimizer.step()
    directions = {}
    for key, values in tiny_bank.directions.items():
        values = np.array(values)
        if (key.site, key.language, key.method) == (Site(1), "en", "dense"):
            values[tiny_bank.emotions.index("joy")] = vector.detach().numpy()
        directions[key] = values
    return replace(tiny_bank, directions=directions)


def run(subject, bank, who="both", emotions=None, dose=DOSE, **more):
    asked = {**LONG, "n_null": 79, **more}
    return ei.steering_verdicts(
        subject, bank, PROMPTS, judges() if who == "both" else who, emotions, dose=dose, **asked
    )


def few(subject, bank, who="both", emotions=None, **more):
    with pytest.warns(UserWarning, match="cannot be below"):
        return run(subject, bank, who, emotions, **{"n_null": 9, "kinds": ("isotropic",), **more})


@pytest.fixture(scope="module")
def verdict(tiny_subject, planted):
    return run(tiny_subject, planted)


def test_a_direction_that_writes_what_both_judges_look_for_is_beyond_every_null(verdict):
    frame = verdict.to_frame().set_index("emotion")
    # fewer decoder rows count than there are: its own features do not
    assert frame.loc["joy", "p_one_isotropic"] == frame.loc["joy", "p_two_shuffled"] == 1 / 80
    assert frame.loc["joy", "p"] < 0.05 / 3 and frame.loc["joy", "p_max_t"] < 0.05
    assert frame.loc["joy", "p_holm"] == pytest.approx(3 * frame.loc["joy", "p"])
    assert not frame.drop("joy")["passes"].any()
    assert verdict.passed == (["joy"] if frame.loc["joy", "note"] == "" else [])
    intact = frame["perplexity_ratio"].between(0.5, 2) & (frame["distinct_2"] >= 0.8)
    assert (frame["passes"] == (intact & (frame["p_holm"] < 0.05))).all()


def test_max_t_decides_where_it_was_asked_for_and_only_there(tiny_subject, planted):
    frame = run(tiny_subject, planted, correction="max_t", n_null=39, emotions=["joy", "anger", "fear"]).to_frame()
    intact = frame["perplexity_ratio"].between(0.5, 2) & (frame["distinct_2"] >= 0.8)
    assert (frame["passes"] == (intact & (frame["p_max_t"] < 0.05))).all()
    with pytest.raises(UnknownNameError, match="correction"):
        run(tiny_subject, planted, correction="bonferroni")


def test_p_is_the_largest_over_judges_and_kinds_and_holm_over_what_all_judges_know(verdict, planted):
    frame, nulls = verdict.to_frame().set_index("emotion"), verdict.nulls
    assert set(nulls["kind"]) == {"isotropic", "decoder", "shuffled"} and len(nulls) == 2 * 3 * 79
    for emotion, row in frame.iterrows():
        p = []
        for judge in row["judges"].split(", "):
            for kind in ("isotropic", "decoder", "shuffled"):
                values = nulls[(nulls["judge"] == judge) & (nulls["kind"] == kind)][emotion].to_numpy()
                b = sum(v >= row[f"target_{judge}"] - 1e-12 for v in values)
                if kind != "decoder":
                    assert row[f"p_{judge}_{kind}"] == (b + 1) / 80
                p.append(row[f"p_{judge}_{kind}"])
        assert row["p"] == max(p)
    both = sorted(["anger", "fear", "joy"], key=lambda e: frame.loc[e, "p"])
    expected = np.minimum(1, np.maximum.accumulate([frame.loc[e, "p"] * (3 - i) for i, e in enumerate(both)]))
    assert frame.loc[both, "p_holm"].to_numpy() == pytest.approx(expected)
    assert frame.loc["sadness", "note"] == "judged by two alone" and np.isnan(frame.loc["sadness", "p_holm"])
    texts = verdict.texts
    for emotion in ("joy", "fear"):
        own = texts[texts["emotion"] == emotion]["text"].tolist()
        assert len(own) == 8
        answer = judges()["one"].predict_proba(own)[:, ["joy", "fear"].index(emotion)].mean()
        assert frame.loc[emotion, "target_one"] == pytest.approx(answer)


def test_a_null_direction_among_nulls_has_a_p_of_the_right_size(verdict):
    values = verdict.nulls.query("judge == 'two' and kind == 'isotropic'")["fear"].to_numpy()
    p = np.asarray([beyond(v, np.delete(values, i)) for i, v in enumerate(values)])
    for level in (0.05, 0.2, 0.5):
        assert (p <= level).mean() <= level + 1e-9
    assert 0.45 < p.mean() < 0.75


def test_a_text_does_not_depend_on_its_batch_and_a_killed_run_goes_on(tiny_subject, planted, tmp_path, monkeypatch):
    whole = few(tiny_subject, planted, emotions=["joy", "fear", "anger"])
    calls, real = [], verdicts_texts.continue_all

    def counted(question, rows):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(rows.n_rows)
        return real(question, rows)

    monkeypatch.setattr(verdicts_texts, "BLOCK", 2)
    monkeypatch.setattr(verdicts_texts, "continue_all", counted)
    with pytest.raises(KeyboardInterrupt):
        few(tiny_subject, planted, emotions=["joy", "fear", "anger"], folder=tmp_path)
    assert len(list(tmp_path.glob("*.parquet"))) == 3
    calls[:] = [0] * 4
    again = few(tiny_subject, planted, emotions=["joy", "fear", "anger"], folder=tmp_path, token_budget=40)
    assert sum(calls) == 1 + 3 + 9 - sum([1, 2, 1])
    assert again.frame.equals(whole.frame) and again.nulls.equals(whole.nulls) and again.texts.equals(whole.texts)
    # another judge, and a kept part that is damaged
    calls[:] = [0] * 4
    run(
        tiny_subject,
        planted,
        {"a": Judge(joy="s")},
        ["joy", "fear", "anger"],
        folder=tmp_path,
        n_null=9,
        kinds=["isotropic"],
    )
    assert calls == [0] * 4
    kept = next(tmp_path.glob("isotropic*.parquet"))
    kept.write_bytes(b"none")
    with pytest.raises(FileFormatError):
        few(tiny_subject, planted, emotions=["joy", "fear", "anger"], folder=tmp_path)


def test_a_single_judge_passes_nobody(tiny_subject, planted):
    found = run(tiny_subject, planted, {"one": judges()["one"]}, ["joy", "sadness"], n_null=9, kinds=["isotropic"])
    frame = found.to_frame().set_index("emotion")
    assert frame["note"].to_dict() == {"joy": "judged by one alone", "sadness": "no judge knows it"}
    assert not frame["passes"].any() and np.isnan(frame.loc["sadness", "p"])


def test_directions_of_another_language_meet_the_same_nulls(tiny_subject, planted):
    own = few(tiny_subject, planted)
    other = few(tiny_subject, planted, language="zh", text_language="en")
    assert set(other.frame["language"]) == {"zh"} and set(other.frame["text_language"]) == {"en"}
    assert other.nulls.equals(own.nulls)
    assert other.texts["text"].tolist() != own.texts["text"].tolist()


def test_shuffled_labels_of_a_matrix_of_the_users(tiny_subject, planted):
    site, random = Site(1), np.random.default_rng(0)
    labels = tuple(["joy", "fear", "anger"] * 8)
    units = NullTexts({site: random.normal(size=(24, tiny_subject.d_model))}, labels, labels)
    found = few(tiny_subject, planted, units=units, kinds=("shuffled",))
    drawn = ei.random_directions(tiny_subject, site, 9, ("shuffled",), 3, units)["shuffled"]
    assert set(found.nulls["kind"]) == {"shuffled"} and len(drawn) == 9
    bank = replace(planted, manifest={**planted.manifest, "stimuli": "texts"})
    with pytest.raises(EmotionInterpError, match="found on texts, so differences of shuffled labels need them"):
        few(tiny_subject, bank, kinds=("shuffled",))


@pytest.mark.parametrize(("method", "neutral"), [("dense", True), ("dense_clean", True), ("dense_clean", False)])
def test_directions_of_shuffled_labels_are_cleaned_where_the_emotions_are(tiny_subject, planted, method, neutral):
    site, random = Site(1), np.random.default_rng(1)
    labels = ("joy", "fear", "neutral" if neutral else "anger") * 10
    values = random.normal(size=(30, tiny_subject.d_model)) * np.linspace(0.2, 6, tiny_subject.d_model)
    units = NullTexts({site: values}, labels, labels)
    setting = Setting(tiny_subject, planted, list(PROMPTS), judges(), "en", "en", seed=3)
    found = shared_nulls(setting, site, 6, ["isotropic", "shuffled"], units, None, method)
    raw = ei.random_directions(tiny_subject, site, 6, ("isotropic", "shuffled"), 3, units)
    assert np.array_equal(found["isotropic"].units, raw["isotropic"].units)
    expected = raw["shuffled"].units
    if method == "dense_clean" and neutral:
        # the largest eigenvectors of the neutral texts' covariance, the fewest with half of its trace
        values, vectors = np.linalg.eigh(np.cov(values[2::3].T))
        share = values[::-1].cumsum() / values.sum()
        removed = vectors[:, ::-1][:, : int((share < 0.5).sum()) + 1]
        expected = expected - expected @ removed @ removed.T
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        assert np.abs(expected - raw["shuffled"].units).max() > 0.05
    np.testing.assert_allclose(found["shuffled"].units, expected, atol=1e-9)


def test_the_dose_is_the_one_with_the_largest_gain_on_intact_text(tiny_subject, planted):
    asked = {k: v for k, v in LONG.items() if k != "layer"}
    found = ei.verdict_doses(tiny_subject, planted, PROMPTS, [0.3, DOSE], judges(), layer=1, **asked)
    each = found.emotions[found.emotions["emotion"] != "sadness"]
    intact = each["perplexity_ratio"].between(0.5, 2) & (each["distinct_2"] >= 0.8)
    assert (each["intact"] == intact).all() and found.emotions["gain"].isna().sum() == 2
    gains = each["gain"].where(intact, 0).groupby(each["dose"]).mean()
    assert found.frame.set_index("dose")["gain"].to_dict() == pytest.approx(gains.to_dict())
    assert found.dose == gains.idxmax() and found.frame["chosen"].sum() == 1
    with pytest.raises(EmotionInterpError, match="at least one number above 0"):
        ei.verdict_doses(tiny_subject, planted, PROMPTS, [], judges(), layer=1)


def test_a_dose_compared_with_null_directions_goes_by_what_the_verdict_on_it_says(tiny_subject, planted):
    asked = {k: v for k, v in LONG.items() if k != "layer"} | {"emotions": ["joy", "fear", "anger"]}
    found = ei.verdict_doses(tiny_subject, planted, PROMPTS, [0.3, DOSE], judges(), layer=1, n_null=12, **asked)
    gains = found.emotions.set_index(["dose", "emotion"])["gain"]
    counted = []
    for dose in (0.3, DOSE):
        verdict = few(tiny_subject, planted, emotions=asked["emotions"], dose=dose, n_null=12)
        frame = verdict.frame.set_index("emotion")
        for emotion in asked["emotions"]:
            beyond = []
            for judge, own in judges().items():
                drawn = verdict.nulls.query("judge == @judge")[emotion].to_numpy()
                if emotion in own.emotions:
                    spread = max(float(drawn.std(ddof=1)), 1e-6)
                    beyond.append(min(4.0, (frame.loc[emotion, f"target_{judge}"] - drawn.mean()) / spread))
            assert gains[dose, emotion] == pytest.approx(min(beyond))
            counted.append(min(beyond))
    assert max(counted) > 1 and len(set(np.round(counted, 6))) > 3
    assert found.frame.set_index("dose")["gain_all"][0.3] == pytest.approx(np.mean(counted[:3]))


@pytest.mark.parametrize("n", [1, 9, -3, 10.5, True])
def test_too_few_null_directions_for_a_dose_are_refused(tiny_subject, planted, n):
    with pytest.raises(EmotionInterpError, match="n_null is (0 or a number of directions from 10|a whole number)"):
        ei.verdict_doses(tiny_subject, planted, PROMPTS, [0.3], judges(), layer=1, n_null=n)


def test_wrong_inputs_get_one_line(tiny_subject, planted):
    class Nan(Judge):
        def predict_proba(self, texts):
            return super().predict_proba(texts) * np.nan

    for wrong, error, match in (
        ({"who": None}, EmotionInterpError, "mapping name -> classifier"),
        ({"who": {"a": Judge(awe="a"), "b": Judge(awe="b")}}, EmotionInterpError, "the judges know none of"),
        ({"who": {"a": Nan(joy="a"), "b": Judge(joy="b")}}, NotFiniteError, "the judge 'a' answers with NaN"),
        ({"dose": 0}, EmotionInterpError, "dose"),
        ({"dose": -1}, EmotionInterpError, "dose"),
        ({"emotions": ["joyy"]}, UnknownNameError, "joyy"),
        ({"max_new_tokens": 0}, EmotionInterpError, "needs texts"),
        ({"kinds": ["gaussian"]}, UnknownNameError, "gaussian"),
        ({"n_null": 0}, EmotionInterpError, "at least 1, got 0"),
        ({"layer": 7}, EmotionInterpError, "7"),
        ({"language": "es"}, EmotionInterpError, "es"),
    ):
        asked = {"who": {"a": Judge(joy="a"), "b": Judge(joy="b")}, "n_null": 30, "kinds": ["isotropic"], **wrong}
        with pytest.raises(error, match=match) as raised:
            run(tiny_subject, planted, **asked)
        assert "\n" not in str(raised.value)


def test_what_the_user_gave_stays_as_it_was(tiny_subject, planted):
    before = {key: np.array(v) for key, v in planted.directions.items()}
    state, said = torch.get_rng_state(), tiny_subject.generate("The old man", max_new_tokens=6)
    few(tiny_subject, planted)
    assert torch.equal(state, torch.get_rng_state())
    assert tiny_subject.generate("The old man", max_new_tokens=6) == said
    assert all(np.array_equal(v, planted.directions[key]) for key, v in before.items())


def test_a_device_gets_larger_batches_than_a_processor(tiny_subject):
    class Far:
        """The subject, said to lie on a device."""

        device, model, tokenize = torch.device("cuda"), tiny_subject.model, tiny_subject.tokenize

    def budget(subject):
        question = Question(subject, PROMPTS, Judge(joy=["x"]), ("joy",), "all", 8, 0, {})
        return verdicts_texts.with_budget(question).options["token_budget"]

    assert budget(Far()) == verdicts_texts.ON_DEVICE * budget(tiny_subject)


class Asked(Judge):
    """A judge that counts what it is asked, and may be known by name."""

    def __init__(self, identity, **marks):
        super().__init__(**marks)
        self.identity, self.count = identity, 0

    def predict_proba(self, texts):
        self.count += len(texts)
        return super().predict_proba(texts)


def test_answers_of_a_judge_with_an_identity_are_kept_and_others_are_asked_again(tiny_subject, planted, tmp_path):
    def both(identity="a judge's file"):
        return {"one": Asked(identity, joy=[TOKEN], fear="ea"), "two": Asked("", joy=[TOKEN, "Q"], fear="e")}

    first, second, other = both(), both(), both("another file")
    a, b, c = (few(tiny_subject, planted, who, folder=tmp_path) for who in (first, second, other))
    assert first["one"].count == first["two"].count == second["two"].count == other["one"].count > 0
    # unsteered texts alone are judged again: they are few, and counted one by one
    unsteered = len(PROMPTS) * verdicts_aim.BASE_SAMPLES
    assert second["one"].count == unsteered < first["one"].count
    assert a.frame.equals(b.frame) and a.frame.equals(c.frame) and a.nulls.equals(b.nulls)
    alone = few(tiny_subject, planted, both())
    for column in ("p", "target_one"):
        assert np.allclose(alone.frame[column], a.frame[column], equal_nan=True)
    for damage, said in ((np.zeros((1, 1)), r"holds answers of shape \(1, 1\)"), (None, "holds no answers")):
        for path in tmp_path.glob("answers_*.npy"):
            path.write_bytes(b"no array") if damage is None else np.save(path, damage)
        with pytest.raises(FileFormatError, match=said):
            few(tiny_subject, planted, both(), folder=tmp_path)
