"""The card of a feature: complete, and safe for any token and text."""

from __future__ import annotations

import pandas as pd
import pytest

import emotion_interp as ei
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError

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
    assert f"Feature {feature}" in card.html and card.html.count("<tr>") == 1 + len(card.scores)


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
    assert "<img" not in fragment and "</script" not in fragment and "<b>" not in fragment
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


def test_the_code_on_the_card_steers_with_the_features_own_row(tiny_subject, tiny_bank, capsys):
    feature = int(tiny_bank.table(layer=1)["feature"].iloc[0])
    code = ei.feature_card(tiny_bank, 1, feature).snippet
    names = {"ei": ei, "subject": tiny_subject}
    exec(code, names)
    row = tiny_subject.readers[names["site"]].decoder_rows([feature])[0]
    assert names["row"].tolist() == row.tolist() and capsys.readouterr().out
