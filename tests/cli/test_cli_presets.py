"""`run --preset`: names the choices that are ours; what stands on the command line wins."""

from __future__ import annotations

import json


def test_preset_names_our_choices_and_keeps_them(shell, model_folder, sae_folder, tmp_path) -> None:
    from emotion_interp.study import preset

    out = tmp_path / "study"
    options = ["run", "--model", model_folder, "--saes", sae_folder, "--layers", "0", "--out", out]
    options += ["--preset", "paper", "--norms", "builtin", "--stages", "features", "--languages", "en", "--no-cebra"]
    answer = shell(*options, "--json")
    assert answer.code == 0, answer.err
    plain = " ".join(answer.err.split())
    for note in preset("paper").notes:
        assert f"our choice: {note}" in plain
    record = json.loads((out / "study.json").read_text(encoding="utf-8"))
    assert record["preset"] == "paper" and len(record["notes"]) == len(preset("paper").notes)
    assert {row["language"] for row in answer.records} == {"en"}
    assert {row["emotions"] for row in answer.records} == {26}


def test_emotions_on_the_command_line_win_over_the_preset(shell, model_folder, sae_folder, tmp_path) -> None:
    options = ["run", "--model", model_folder, "--saes", sae_folder, "--layers", "0", "--out", tmp_path / "s", "-q"]
    options += ["--preset", "paper", "--norms", "builtin", "--stages", "features", "--emotions", "joy,fear,anger"]
    answer = shell(*options, "--languages", "en", "--json")
    assert answer.code == 0 and {row["emotions"] for row in answer.records} == {3}, answer.err
    assert "our choice" not in answer.err


def test_an_unknown_preset_or_judge_is_refused(refused, model_folder, sae_folder, tmp_path) -> None:
    options = ["run", "--model", model_folder, "--saes", sae_folder, "--out", tmp_path / "s"]
    assert "preset 'papre'" in refused(*options, "--preset", "papre")
    assert "judge 'oracle'" in refused(*options, "--judge", "oracle")
