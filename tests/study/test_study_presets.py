"""Presets: what they set, that explicit choices win, that the choices that are ours are kept."""

from __future__ import annotations

import json

import pandas as pd
import pytest

import emotion_interp as ei
from emotion_interp.core import EmotionInterpError, UnknownNameError
from emotion_interp.features import Selection
from emotion_interp.study import PRESETS, StudySettings, preset, preset_settings, run_study
from emotion_interp.study.stages import alignment_frames


def test_the_paper_preset_has_26_of_our_emotions_in_both_languages() -> None:
    concepts = ei.concept_set("en") | ei.concept_set("zh")
    chosen = preset("paper")
    kept = concepts.subset(emotions=chosen.settings["emotions"])
    assert len(kept.emotions) == 26 and len(set(chosen.settings["emotions"])) == 26
    assert chosen.languages == ("en", "zh") and kept.languages == concepts.languages
    settings = preset_settings("paper")
    assert settings.cebra and settings.judge == "classifier" and settings.preset == "paper"
    assert set(settings.steering_emotions) <= set(settings.emotions or ())


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_makes_settings_and_names_what_differs(name: str) -> None:
    settings, plain = preset_settings(name), StudySettings()
    assert settings.notes == preset(name).notes and len(settings.notes) >= 5
    assert all(note.endswith(".") for note in settings.notes)
    for key, value in preset(name).settings.items():
        assert getattr(settings, key) == value
    assert settings.doses == plain.doses


def test_what_is_given_by_name_wins_over_the_preset() -> None:
    settings = preset_settings("paper", norms="builtin", cebra=False, n_permutations=9)
    assert (settings.norms, settings.cebra, settings.n_permutations) == ("builtin", False, 9)
    assert settings.judge == "classifier"


def test_unknown_presets_and_judges_are_named() -> None:
    with pytest.raises(UnknownNameError, match="preset 'papre'.*paper"):
        preset_settings("papre")
    with pytest.raises(UnknownNameError, match="judge 'oracle'"):
        StudySettings(judge="oracle")


def test_a_study_keeps_the_preset_its_notes_and_only_its_emotions(tiny_subject, small_concepts, tmp_path) -> None:
    chosen = list(small_concepts.emotions)[:5]
    settings = preset_settings("paper", norms="builtin", emotions=tuple(chosen), stages=("features",), cebra=False)
    study = run_study(tiny_subject, small_concepts, tmp_path / "s", settings)
    record = json.loads((tmp_path / "s" / "study.json").read_text(encoding="utf-8"))
    assert record["preset"] == "paper" and record["notes"] == list(preset("paper").notes)
    assert sorted(study.bank.emotions) == sorted(chosen)
    before = (tmp_path / "s" / "study.json").stat().st_mtime_ns
    run_study(tiny_subject, small_concepts, tmp_path / "s", settings)
    assert (tmp_path / "s" / "study.json").stat().st_mtime_ns == before


def test_cebra_spaces_stand_beside_the_features_spaces_and_change_nothing_else(tiny_subject) -> None:
    pytest.importorskip("cebra")
    emotions = ["anger", "fear", "joy", "sadness", "calm", "pride"]
    # a random model has no emotion features: any that fire will do
    anything = Selection(max_q=1.0, min_coverage=0.0, min_specificity=0.0)
    concepts = ei.concept_set("en").subset(emotions=emotions)
    bank = ei.find_features(tiny_subject, concepts, layers=[0], selection=anything)
    norms = ei.load_norms("builtin")
    settings = StudySettings(n_permutations=19)
    plain = alignment_frames(tiny_subject, bank, norms, settings)["alignment"]
    both = alignment_frames(tiny_subject, bank, norms, preset_settings("paper", n_permutations=19))["alignment"]
    places = {kind: list(rows["layer"]) for kind, rows in both.groupby("kind")}
    assert places["features"] == places["cebra"] == [0]
    rest = both[both["kind"] != "cebra"].reset_index(drop=True)
    pd.testing.assert_frame_equal(rest, plain.reset_index(drop=True), check_exact=False)


def test_emotions_of_ones_own_are_refused_with_a_shipped_bank():
    with pytest.raises(EmotionInterpError, match="shipped bank are fixed"):
        StudySettings(stimuli="shipped", emotions=("joy", "fear"))


def test_too_few_emotions_for_an_alignment_are_refused_before_any_pass(tiny_subject):
    concepts = ei.concept_set("en")
    settings = StudySettings(stimuli="words", emotions=("joy", "fear", "anger"))
    with pytest.raises(EmotionInterpError, match="at least 5 emotions, got 3"):
        settings.check_for(tiny_subject, concepts)
    StudySettings(stimuli="words", emotions=("joy", "fear"), stages=("features",)).check_for(tiny_subject, concepts)
