"""Parts of the report: places with several sites, controls, cards, curves with chance and ceiling."""

from __future__ import annotations

import json
import re
from typing import Any

import pandas as pd
import pytest

from emotion_interp.report import StudyData, render_report
from emotion_interp.report.brief import in_brief
from emotion_interp.report.geometry_section import CIRCUMPLEX, geometry_blocks
from emotion_interp.report.places import best_places, with_places
from emotion_interp.report.sections import features_blocks, ratings_blocks


def _blocks(blocks: list[Any], kind: str) -> list[Any]:
    found = []
    for block in blocks:
        found += [block] if block["type"] == kind else []
        found += _blocks(block.get("blocks", []), kind)
        found += _blocks([b for panel in block.get("panels", []) for b in panel["blocks"]], kind)
    return found


def _two_sites(frame: pd.DataFrame) -> pd.DataFrame:
    kinds = ("resid_mid", "resid_post")
    return pd.concat([frame.assign(site=[f"blocks.{n}.hook_{k}" for n in frame["layer"]]) for k in kinds])


def test_a_layer_with_one_site_is_named_by_its_number_and_one_of_several_by_its_hook() -> None:
    one = pd.DataFrame({"layer": [-1, 2], "site": ["blocks.0.hook_resid_pre", "blocks.2.hook_resid_post"]})
    assert with_places(one)["place"].tolist() == ["embedding", "layer 2"]
    two = with_places(_two_sites(pd.DataFrame({"layer": [0, 1]})))
    assert two["place"].is_unique and set(two["stream"]) == {", resid_mid", ", resid_post"}


def test_sites_of_one_layer_are_not_drawn_on_top_of_each_other(study: StudyData) -> None:
    summary = study.frame("summary").drop(columns="site")
    alignment = study.frame("alignment").drop(columns="site")
    both = StudyData(title="t", summary=_two_sites(summary), alignment=_two_sites(alignment))
    for blocks in (features_blocks(both), geometry_blocks(both)):
        for figure in _blocks(blocks, "figure"):
            for trace in json.loads(figure["json"])["data"]:
                if trace.get("mode") == "lines+markers":
                    assert len(trace["x"]) == len(set(trace["x"])), (figure["title"], trace["name"])
    tables = _blocks(features_blocks(both), "table")
    assert len(tables) == 16 and all(len(t["rows"]) == 28 for t in tables)
    text = " ".join(in_brief(both)[0]["sentences"])
    assert "blocks.3.hook_resid_mid, the best of 8" in text and "of 28 emotions are confirmed" in text


def test_the_best_place_is_that_of_the_highest_median() -> None:
    frame = pd.DataFrame({"language": "en", "layer": [0, 0, 1, 1], "score": [0.1, 0.9, 0.6, 0.6]})
    assert best_places(with_places(frame), "score") == {"en": "layer 1"}


def test_controls_and_transfer_are_shown_only_where_they_were_made(study: StudyData) -> None:
    captions = [t["caption"] for t in _blocks(features_blocks(study), "table")]
    assert captions[-2:] == ["Controls of the confirmed features", "Transfer of the confirmed features"]
    without = StudyData(title="t", summary=study.summary)
    assert not [c for c in (t["caption"] for t in _blocks(features_blocks(without), "table")) if "confirmed" in c]
    table = _blocks(features_blocks(study), "table")[-2]
    assert len(table["rows"]) == int(study.frame("summary")["confirmed"].sum())
    assert "glad &lt;b&gt;" in render_report(StudyData(title="t", summary=study.summary, controls=study.controls))


def test_every_card_can_be_chosen(study: StudyData) -> None:
    cards = {"joy (en)": "<section>one</section>", "fear (zh)": "<section>two</section>"}
    page = render_report(StudyData(title="t", summary=study.summary, cards=cards))
    assert all(card in page for card in cards.values())
    assert re.search(r"<option selected>joy \(en\)</option>\s*<option>fear \(zh\)</option>", page)


def test_curves_show_chance_and_the_ceiling_and_say_so(study: StudyData) -> None:
    by_title = {f["title"]: f for f in _blocks(geometry_blocks(study), "figure")}
    rsa = by_title["Agreement of distances, by layer, English"]
    traces = {t.get("name"): t for t in json.loads(rsa["json"])["data"]}
    assert {min(traces["chance"]["y"]), max(traces["chance"]["y"])} == {-0.12, 0.14}
    assert set(traces["two groups of raters"]["y"]) == {0.9}
    assert "Grey:" in rsa["how_to_read"] and "Dotted:" in rsa["how_to_read"]
    valence = by_title["Best principal component for valence, by layer, English"]
    assert "grey band" in valence["how_to_read"]
    bare = StudyData(title="t", alignment=study.frame("alignment")[["layer", "valence_r", "arousal_r"]].head(4))
    drawn = _blocks(geometry_blocks(bare), "figure")[0]
    assert "see the p-values" in drawn["how_to_read"] and '"chance"' not in drawn["json"]


def test_a_language_is_held_against_its_own_chance_alone(study: StudyData) -> None:
    alignment = study.frame("alignment").copy()
    alignment.loc[alignment["language"] == "zh", ["valence_chance", "rsa_chance_hi"]] = 0.97
    figures = _blocks(geometry_blocks(StudyData(title="t", alignment=alignment)), "figure")
    bands = {
        f["title"]: max(t["y"]) for f in figures for t in json.loads(f["json"])["data"] if t.get("name") == "chance"
    }
    assert bands["Best principal component for valence, by layer, English"] == 0.5
    assert bands["Best principal component for valence, by layer, Chinese"] == 0.97
    assert bands["Agreement of distances, by layer, English"] == 0.14
    assert bands["Agreement of distances, by layer, Chinese"] == 0.97


def test_ratings_are_one_dot_plot_with_the_ceiling_that_follows_from_r_over_ceiling(study: StudyData) -> None:
    blocks = ratings_blocks(study)
    (drawn,) = [b for b in blocks if b["type"] == "figure"]
    figure = json.loads(drawn["json"])
    frame = study.frame("ratings")
    best = frame.groupby(["train_language", "test_language", "dimension", "feature_set"])["r"].max()
    for trace in figure["data"]:
        wanted = sorted(best[best.index.get_level_values("dimension") == trace["name"]])
        assert sorted(trace["x"]) == pytest.approx(wanted)
        assert len(set(trace["y"])) == len(trace["y"]), "no dot hides another"
    lines = {shape["x0"] for shape in figure["layout"]["shapes"]}
    assert any(line == pytest.approx(0.955) for line in lines) and any(line == pytest.approx(0.831) for line in lines)
    assert any(line == pytest.approx(-1.96 / 4999**0.5) for line in lines), "the grey of chance"
    names = figure["layout"]["yaxis"]["ticktext"]
    assert "English: as many other features" in names and not any("outside" in name for name in names)


def test_words_and_the_learning_curve_have_their_pictures(study: StudyData) -> None:
    titles = [f["title"] for f in _blocks(ratings_blocks(study), "figure")]
    assert "Predicted and human valence, English (all, layer 2)" in titles
    assert "Learning curve: arousal, layer 2" in titles
    only = StudyData(title="t", predicted=study.predicted)
    assert len(_blocks(ratings_blocks(only), "figure")) == 4


def test_the_circumplex_that_knows_its_errors_is_shown_first(study: StudyData) -> None:
    points = study.frame("circumplex_points")
    dense = points.assign(kind="dense", model_var_x=float("nan"), model_var_y=float("nan"), model_cov=float("nan"))
    both = StudyData(title="t", alignment=study.alignment, circumplex_points=pd.concat([dense, points]))
    choice = next(b for b in _blocks(geometry_blocks(both), "choice") if b["label"] == CIRCUMPLEX)
    assert choice["panels"][choice["chosen"]]["name"] == "layer 3, English, features"
