"""Norms, judges and kinds of direction of other distributions, found by their entry points."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import emotion_interp as ei
from emotion_interp.bank.shipped import shipped_folder
from emotion_interp.core.plugins import plugins

SOURCE = """
import numpy as np
import pandas as pd
import emotion_interp as ei

def norms():
    return ei.Norms("tiny", "en", pd.DataFrame({"word": ["joy", "grief"], "valence": [8.0, 2.0]}), (1, 9))

def frame():
    return norms().table

class Judge:
    emotions = ("joy", "fear")
    def __init__(self, language):
        self.language = language
    def predict_proba(self, texts):
        return np.full((len(texts), 2), 0.5)

def flipped(bank, emotion, site, language):
    return -bank.direction(emotion, site, language, "dense").vector

def short(bank, emotion, site, language):
    return np.ones(3)
"""
POINTS = """
[emotion_interp.norms]
tiny = tiny_plugin:norms
bare = tiny_plugin:frame
gone = tiny_plugin:gone

[emotion_interp.judges]
fair = tiny_plugin:Judge

[emotion_interp.directions]
flipped = tiny_plugin:flipped
short = tiny_plugin:short
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A tiny distribution on the path."""
    (tmp_path / "tiny_plugin.py").write_text(SOURCE)
    info = tmp_path / "tiny_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(tmp_path)


def test_norms_of_a_plugin_are_loaded_and_listed(plugin):
    assert ei.load_norms("tiny").lookup(["joy"])["valence"].item() == 8.0
    with pytest.warns(UserWarning) as told:
        table = ei.norms_table().set_index("name")
    assert table.loc["tiny", "found_in"] == "a plug-in" and table.loc["tiny", "n_words"] == 2
    assert "gone" not in table.index and "builtin" in table.index
    # one line for each that fails
    assert sorted(str(w.message).split(" ")[2] for w in told) == ["'bare'", "'gone'"]
    assert all("\n" not in str(w.message) for w in told)


def test_norms_of_a_plugin_take_no_file(plugin):
    with pytest.raises(ei.EmotionInterpError, match="plug-in's"):
        ei.load_norms("tiny", "here.csv")


def test_an_unknown_name_lists_the_plugins(plugin):
    with pytest.raises(ei.EmotionInterpError, match="tiny"):
        ei.load_norms("tinny")
    with (
        pytest.warns(UserWarning, match="'gone' of tiny-plugin"),
        pytest.raises(ei.EmotionInterpError, match="unknown"),
    ):
        ei.load_norms("gone")


def test_a_judge_of_a_plugin_is_made_for_the_language(plugin):
    judge = ei.load_judge("fair", "zh")
    assert judge.language == "zh" and judge.predict_proba(["a", "b"]).shape == (2, 2)


def test_a_kind_of_direction_of_a_plugin(plugin):
    bank = ei.FeatureBank.load(shipped_folder("bundled"))
    emotion, site = bank.emotions[0], bank.sites[0]
    made = bank.direction(emotion, site=site, method="flipped")
    assert made.method == "flipped" and made.layer == site.layer
    np.testing.assert_array_equal(made.vector, -bank.direction(emotion, site=site, method="dense").vector)
    with pytest.raises(ei.EmotionInterpError, match=r"shape \(3,\)"):
        bank.direction(emotion, site=site, method="short")
    with pytest.raises(ei.EmotionInterpError, match="flipped"):
        bank.direction(emotion, site=site, method="fliped")


def test_the_shell_takes_the_norms_of_a_plugin(plugin):
    from emotion_interp.cli.checks import norms_known

    assert norms_known("tiny") == "tiny"
    with pytest.raises(ei.EmotionInterpError, match="tiny"):
        norms_known("tinny")


def test_naming_plugins_loads_none(plugin):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert set(plugins("norms")) == {"tiny", "bare", "gone"}
