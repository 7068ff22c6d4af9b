"""`steer --grid` writes what `dose_response` answers, and several emotions stand side by side."""

from __future__ import annotations

import pandas as pd
import pytest


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_grid_writes_a_row_per_emotion_and_dose_and_a_picture(shell, bank_options, tmp_path, suffix):
    path = tmp_path / f"grid{suffix}"
    options = ["--emotion", "joy,fear", "--doses", "0.2,0.6", "--layer", "1", "--method", "dense", "--random", "3"]
    options += ["--judge", "text"]
    answer = shell("steer", "He was", "The sea", *bank_options, *options, "--grid", path, "--tokens", "3", "--json")
    assert answer.code == 0
    table = pd.read_csv(path) if suffix == ".csv" else pd.read_parquet(path)
    assert list(zip(table["emotion"], table["dose"], strict=True)) == [
        ("joy", 0.2),
        ("joy", 0.6),
        ("fear", 0.2),
        ("fear", 0.6),
    ]
    assert [r["target"] for r in answer.records] == pytest.approx(table["target"].tolist())
    assert {"regime", "in_window", "p"} <= set(table) and (table["n_prompts"] == 2).all()
    assert "plotly" in path.with_suffix(".html").read_text(encoding="utf-8")


def test_text_judge_and_all_emotions_with_neutral_prompts(shell, bank_options, tmp_path):
    options = ["--emotion", "all", "--doses", "0.3", "--judge", "text", "--random", "1", "--tokens", "2"]
    answer = shell("steer", *bank_options, *options, "--grid", tmp_path / "g.csv", "--json")
    assert answer.code == 0
    assert {r["emotion"] for r in answer.records} == {"anger", "fear", "joy", "sadness"}
    assert all(r["n_prompts"] == 12 and r["n_words"] == 0 and 0 <= r["target"] <= 1 for r in answer.records)


def test_the_judge_without_stories_and_random_decoder_rows(shell, bank_options, tmp_path):
    options = [
        "--emotion",
        "joy",
        "--doses",
        "0.3",
        "--layer",
        "1",
        "--judge",
        "comments",
        "--random",
        "3",
        "--tokens",
        "2",
    ]
    options += ["--kinds", "isotropic,decoder", "--grid", tmp_path / "g.csv", "--json"]
    (row,) = shell("steer", "He was", *bank_options, *options).records
    assert row["p"] == max(row["p_isotropic"], row["p_decoder"]) and 0 <= row["target"] <= 1


def test_several_emotions_without_grid_have_a_column_each(shell, bank_options):
    answer = shell("steer", "He was", *bank_options, "--emotion", "joy,fear", "--tokens", "2", "--json")
    assert [list(r) for r in answer.records] == [["unsteered", "joy", "fear"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--grid", "g.txt"], "--grid names a table, .csv or .parquet"),
        (["--grid", "g.csv", "--judge", "oracle"], "unknown judge 'oracle'"),
        (["--grid", "g.csv", "--judge", "comments", "--language", "zh"], "language of the judge 'comments' 'zh'"),
        (["--grid", "g.csv", "--kinds", "isotropic,topics"], "unknown kind of random direction 'topics'"),
        (["--grid", "g.csv", "--tokens", "3"], "no word of any emotion is a single token of tiny"),
        (["--grid", "g.csv", "--doses", "much"], "--doses are numbers with commas"),
        (["--grid", "g.csv", "--emotion", "joy,hunger"], "unknown emotion 'hunger'"),
        (["--grid", "g.csv", "--language", "es"], "unknown language 'es'. Available: en, zh."),
    ],
)
def test_what_a_grid_cannot_be_is_said(refused, bank_options, arguments, message):
    assert message in refused("steer", *bank_options, *arguments)
