"""The card of a feature: complete, and safe for any token and text."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import emotion_interp as ei
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.report.card_parts import _percent, completed

NASTY = "</script><img src=x onerror=alert(1)>&amp;\u2028"


@pytest.fixture(scope="module")
def full(tiny_subject, tiny_bank):
    bank = ei.token_lens(tiny_subject, tiny_bank, n_tokens=3).add_to(tiny_bank)
    return ei.top_examples(
        tiny_subject, bank, ["She felt happy & free.", "他感到高兴。", "The door was shut."], k=2
    ).add_to(bank)


def test_the_card_shows_scores_tokens_and_texts(full):
    feature = int(full.extras["examples"]["feature"].iloc[0])
    card = ei.feature_card(full, 0, feature)
    table = full.table(layer=0)
    assert card.to_frame()["emotion"].tolist() == table[table["feature"] == feature]["emotion"].tolist()
    assert card.html.count("<li>") == len(card.examples) and card.html.count("<code>") == 6
    assert f"Feature {feature}" in card.html
    scores = card.html.split(f'aria-label="Scores of feature {feature}"')[1].split("</table>")[0]
    assert scores.count("<tr>") == 1 + len(card.scores)


def test_the_strongest_token_has_the_strongest_colour(full):
    feature = int(full.extras["examples"]["feature"].iloc[0])
    card = ei.feature_card(full, 0, feature)
    first = card.examples.iloc[0]
    assert f'background:rgb(107, 174, 214)" title="{first["activation"]:.4g}"' in card.html


def test_no_token_text_or_name_can_open_a_tag(full):
    examples = full.extras["examples"].head(1).assign(tokens=[[NASTY]], activations=[[2.0]], text_emotion="<b>joy")
    tokens = full.extras["tokens"].copy()
    tokens["promoted"] = [[NASTY]] * len(tokens)
    bank = full.with_table("examples", examples).with_table("tokens", tokens)
    fragment = ei.feature_card(bank, 0, int(examples["feature"].iloc[0])).html
    assert "<img" not in fragment and "</script" not in fragment and "<b>joy" not in fragment
    assert "&lt;img" in fragment


def test_a_bank_without_the_extra_tables_still_has_cards(tiny_bank, tmp_path):
    feature = int(tiny_bank.table(layer=0)["feature"].iloc[0])
    card = ei.feature_card(tiny_bank, 0, feature)
    assert "no examples" in card.html and "<code>" not in card.html
    page = card.save(tmp_path / "card.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page and card.html in page
    assert card._repr_html_().endswith(card.html)


def test_a_loaded_bank_makes_the_same_card(full, tmp_path):
    loaded = ei.FeatureBank.load(full.save(tmp_path / "bank"))
    feature = int(full.extras["examples"]["feature"].iloc[0])
    assert ei.feature_card(loaded, 0, feature).html == ei.feature_card(full, 0, feature).html


def test_an_unscored_feature_or_layer_is_refused(tiny_bank):
    with pytest.raises(EmotionInterpError, match="no score of feature"):
        ei.feature_card(tiny_bank, 0, 10_000)
    with pytest.raises(UnknownNameError, match="layer"):
        ei.feature_card(tiny_bank, 9, 1)
    assert isinstance(tiny_bank.table(), pd.DataFrame)


@pytest.mark.parametrize(
    ("text", "window", "around"),
    [
        ("She was overjoyed to see it", "joyed to s", ("…over", "ee…")),
        ("She was glad", "She was glad", ("", "")),
        ("她很高兴。", "高", ("…", "…")),
        ("an e\u0301tude", "e", ("…", "\u0301tude")),
        ("nothing of it", "else", ("", "")),
    ],
)
def test_a_window_is_completed_to_whole_words(text, window, around):
    assert completed(text, window) == around


def test_the_histogram_and_the_parts_count_every_stimulus_on_which_it_fires(tiny_bank):
    row = tiny_bank.features.query("selected or top").iloc[0]
    profile = ei.feature_card(tiny_bank, row["site"], int(row["feature"])).profile
    words, matrix = tiny_bank.unit_activations(row["site"], profile.language)
    values = matrix[:, [int(row["feature"])]].toarray()[:, 0]
    of = (words["emotion"] == profile.emotion).to_numpy()
    assert profile.histogram["own"].sum() == (values[of] > 0).sum()
    assert profile.histogram["other"].sum() == (values[~of] > 0).sum()
    assert profile.quantiles["n"].sum() == (values > 0).sum()
    assert profile.quantiles["high"].iloc[0] == values.max()
    assert (profile.quantiles["low"].to_numpy()[:-1] >= profile.quantiles["high"].to_numpy()[1:]).all()


def test_the_bars_are_the_auroc_of_all_pairs(tiny_bank):
    row = tiny_bank.features.query("selected or top").iloc[0]
    profile = ei.feature_card(tiny_bank, row["site"], int(row["feature"])).profile
    bar = profile.emotions.query("language == @profile.language").iloc[0]
    words, matrix = tiny_bank.unit_activations(row["site"], profile.language)
    values = matrix[:, [int(row["feature"])]].toarray()[:, 0]
    own = values[(words["emotion"] == bar["emotion"]).to_numpy()]
    scores = {}
    for other in set(words["emotion"]) - {bar["emotion"]}:
        theirs = values[(words["emotion"] == other).to_numpy()]
        scores[other] = np.mean([(a > b) + 0.5 * (a == b) for a in own for b in theirs])
    neutral = scores.pop("neutral", None)
    expected = np.mean(list(scores.values()))
    assert bar["auroc"] == pytest.approx(expected if neutral is None else (expected + neutral) / 2)


def test_neighbours_are_by_decoder_rows_where_the_model_is_given(tiny_subject, tiny_bank):
    row = tiny_bank.features.query("selected or top").iloc[0]
    site, feature = ei.Site.parse(row["site"]), int(row["feature"])
    card = ei.feature_card(tiny_bank, site, feature, subject=tiny_subject)
    first = card.profile.nearest.iloc[0]
    rows = tiny_subject.readers[site].decoder_rows([feature, int(first["feature"])]).double().numpy()
    cosine = rows[0] @ rows[1] / np.prod(np.linalg.norm(rows, axis=1))
    assert first["cosine"] == pytest.approx(cosine, abs=1e-6) and "decoder rows" in card.html
    assert "activations over all" in ei.feature_card(tiny_bank, site, feature).html


def test_an_example_without_a_label_takes_that_of_its_scene(full):
    scene = ei.scene_stimuli(["en"])[0]
    examples = (
        full.extras["examples"]
        .head(1)
        .assign(text=scene.text, tokens=[[scene.text]], activations=[[2.0]], text_emotion=None)
    )
    bank = full.with_table("examples", examples)
    html = ei.feature_card(bank, 0, int(examples["feature"].iloc[0])).html
    assert f'<b class="ei-of">{scene.emotion}</b>' in html


def test_the_code_on_the_card_steers_with_the_features_own_row(tiny_subject, tiny_bank, capsys):
    feature = int(tiny_bank.table(layer=1)["feature"].iloc[0])
    code = ei.feature_card(tiny_bank, 1, feature).snippet
    names = {"ei": ei, "subject": tiny_subject}
    exec(code, names)
    row = tiny_subject.readers[names["site"]].decoder_rows([feature])[0]
    assert names["row"].tolist() == row.tolist() and capsys.readouterr().out


def test_sentences_of_every_part_stand_under_the_strongest_texts(tiny_subject, tiny_bank):
    texts = [s.text for s in ei.scene_stimuli(["en"])[:30]]
    bank = ei.top_examples(tiny_subject, tiny_bank, texts, layers=[0], k=2, by_part=1).add_to(tiny_bank)
    examples = bank.extras["examples"]
    assert examples.groupby("feature")["part"].nunique().min() > 1
    for feature in examples["feature"].unique():
        card = ei.feature_card(bank, 0, int(feature))
        strongest, later = card.html.split("<h4>Sentences from the strongest part")
        of = examples[examples["feature"] == feature]
        assert strongest.count("<li>") == (of["part"] == "top").sum()
        assert later.count("<li>") == (of["part"] != "top").sum() == later.count('class="ei-of"')


def test_a_share_is_a_percentage_that_is_read():
    assert [_percent(s) for s in (1.0, 0.976, 0.1, 0.0123, 0.0)] == ["100 %", "98 %", "10 %", "1.2 %", "0 %"]
