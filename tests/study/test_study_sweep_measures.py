"""Measures over models and layers, the best site without double dipping, paired differences: counted anew."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.study.sweep_results import SweepResults

EMOTIONS = [f"e{i}" for i in range(12)]


@pytest.fixture()
def results(tmp_path):
    """Two models of 4 and 8 layers; the second is better by a little for every emotion."""
    from emotion_interp.core.files import sha256_file

    rng = np.random.default_rng(0)
    ability, rows = rng.normal(0.7, 0.1, len(EMOTIONS)), []
    for subject, layers, bonus in (("a", 4, 0.0), ("b", 8, 0.05)):
        for layer in range(layers):
            for emotion, own in zip(EMOTIONS, ability, strict=True):
                luck = rng.normal(0, 0.05)
                tags = {"subject": subject, "stimuli": "words", "position": "last", "seed": 0, "layer": layer}
                tags |= {"site": f"blocks.{layer}.hook_resid_post", "language": "en", "emotion": emotion}
                tags |= {"auroc": own + bonus + luck, "auroc_heldout": own + bonus + rng.normal(0, 0.01)}
                rows.append(tags | {"depth": (layer + 1) / layers, "reading": "plain"})
    pd.DataFrame(rows).to_parquet(tmp_path / "summary.parquet")
    alignment = pd.DataFrame(rows).drop(columns=["emotion", "auroc", "auroc_heldout"]).drop_duplicates()
    alignment = alignment.assign(kind="dense", rsa_rho=0.3, rsa_lo=0.1, rsa_hi=0.5)
    alignment.to_parquet(tmp_path / "alignment.parquet")
    names = ("summary.parquet", "alignment.parquet")
    return SweepResults(tmp_path, {name: sha256_file(tmp_path / name) for name in names}, {})


def test_a_measure_is_the_mean_over_emotions_with_an_interval_around_it(results):
    frame = results.measure("auroc_heldout", subject="a").frame
    table = results.summary
    for row in frame.to_dict("records"):
        own = table[(table["subject"] == "a") & (table["layer"] == row["layer"])]["auroc_heldout"]
        assert row["value"] == pytest.approx(own.mean()) and row["lo"] < row["value"] < row["hi"] and row["n"] == 12
    assert frame["depth"].tolist() == [0.25, 0.5, 0.75, 1.0]


def test_a_measure_of_another_table_keeps_the_interval_of_its_analysis(results):
    curve = results.measure("rsa_rho")
    assert set(curve.frame["lo"]) == {0.1} and set(curve.frame["hi"]) == {0.5} and len(curve.frame) == 12
    figure = curve.plot()
    lines = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert [(line.name, len(line.x)) for line in lines] == [("a", 4), ("b", 8)]


def test_the_best_site_is_chosen_on_discovery_and_reported_on_confirmation(results):
    best = results.best().set_index("subject")
    table = results.summary[results.summary["subject"] == "b"]
    means = table.groupby("layer")[["auroc", "auroc_heldout"]].mean()
    chosen = means["auroc"].idxmax()
    assert best.loc["b", "layer"] == chosen and best.loc["b", "n_sites"] == 8
    assert best.loc["b", "auroc_heldout"] == pytest.approx(means.loc[chosen, "auroc_heldout"])
    with pytest.raises(UnknownNameError, match="held-out measure 'q'"):
        results.best("q")


def test_a_difference_is_paired_by_emotion(results):
    row = results.difference({"subject": "b"}, {"subject": "a"}).frame.iloc[0]
    means = results.summary.groupby(["subject", "emotion"])["auroc_heldout"].mean()
    gaps = means["b"] - means["a"]
    assert row["difference"] == pytest.approx(gaps.mean()) and row["n"] == 12
    # unpaired, the spread of the emotions would drown .05
    assert 0.03 < row["lo"] < row["difference"] < row["hi"] < 0.07 and row["p"] < 0.01
    none = results.difference({"subject": "a", "layer": [0, 1]}, {"subject": "a", "layer": [2, 3]}).frame.iloc[0]
    assert none["lo"] < 0 < none["hi"] and none["p"] > 0.05


def test_names_that_are_not_there_are_refused(results):
    for call, line in (
        (lambda: results.measure("magic"), "unknown measure 'magic'"),
        (lambda: results.measure(language="fr"), "unknown language 'fr'"),
        (lambda: results.measure(colour="red"), "unknown column 'colour'"),
        (lambda: results.table("nothing"), "unknown table of the sweep 'nothing'"),
        (lambda: results.measure("ratings.r"), "unknown table of the sweep 'ratings'"),
        (lambda: results.difference({"subject": "c"}, {"subject": "a"}), "unknown subject 'c'"),
    ):
        with pytest.raises(UnknownNameError, match=line):
            call()
    with pytest.raises(EmotionInterpError, match="no row for each emotion"):
        results.difference({"subject": "a"}, {"subject": "b"}, "rsa_rho")
