"""Tables that later analyses add to a bank: joined, filtered, saved, refused."""

from __future__ import annotations

import pandas as pd
import pytest

from emotion_interp.bank import FeatureBank
from emotion_interp.bank.files import KEYS
from emotion_interp.core.errors import FileFormatError, UnknownNameError


@pytest.fixture()
def with_controls(tiny_bank):
    frame = tiny_bank.features[list(KEYS)].copy()
    frame["lexical"] = frame["feature"] % 2 == 0
    frame["valence_auroc"] = 0.5 + 0.01 * (frame["feature"] % 10)
    return tiny_bank.with_table("controls", frame)


def test_a_joined_table_shows_beside_the_scores_and_leaves_the_first_bank_alone(tiny_bank, with_controls):
    assert "lexical" not in tiny_bank.table().columns and not tiny_bank.extras
    table = with_controls.table()
    assert len(table) == len(tiny_bank.table())
    assert (table["lexical"] == (table["feature"] % 2 == 0)).all()


def test_conditions_filter_by_value_minimum_and_maximum(with_controls):
    table = with_controls.table(lexical=False, min_valence_auroc=0.53, max_valence_auroc=0.57)
    assert len(table)
    assert not table["lexical"].any() and table["valence_auroc"].between(0.53, 0.57).all()
    whole = with_controls.table()
    expected = whole[~whole["lexical"] & whole["valence_auroc"].between(0.53, 0.57)]
    assert len(table) == len(expected)


def test_an_unknown_column_in_a_condition_is_named(with_controls):
    with pytest.raises(UnknownNameError, match="lexicl"):
        with_controls.table(lexicl=False)


def test_extra_tables_survive_saving(with_controls, tmp_path):
    loaded = FeatureBank.load(with_controls.save(tmp_path / "bank"))
    pd.testing.assert_frame_equal(loaded.extras["controls"], with_controls.extras["controls"])


def test_an_unknown_table_is_refused(tiny_bank):
    with pytest.raises(UnknownNameError, match="notes"):
        tiny_bank.with_table("notes", tiny_bank.features)


def test_a_table_without_its_keys_is_refused(tiny_bank):
    with pytest.raises(FileFormatError, match="feature"):
        tiny_bank.with_table("controls", tiny_bank.features.drop(columns="feature"))


def test_two_rows_of_one_feature_are_refused_where_they_would_multiply_the_scores(tiny_bank):
    frame = tiny_bank.features[list(KEYS)]
    with pytest.raises(FileFormatError, match="several rows"):
        tiny_bank.with_table("controls", pd.concat([frame, frame.head(1)]))


def test_a_changed_extra_table_is_noticed(with_controls, tmp_path):
    path = with_controls.save(tmp_path / "bank")
    with_controls.extras["controls"].head(1).to_parquet(path / "controls.parquet", index=False)
    with pytest.raises(FileFormatError, match="controls"):
        FeatureBank.load(path)
