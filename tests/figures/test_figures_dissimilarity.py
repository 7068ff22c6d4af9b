"""Dissimilarities side by side, ellipses and names of the circumplex, and what changes on a phone."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, spearmanr

import emotion_interp.figures
from emotion_interp.core import EmotionInterpError
from emotion_interp.figures.labels import free_labels, telling_order
from emotion_interp.figures.theme import legend_rows, text_width

# Plotly builds its attributes at run time; a type checker cannot know them
figures: Any = emotion_interp.figures


def _pairs(n: int, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    first, second = np.triu_indices(n, 1)
    people = random.normal(0, 1, (n, 2))
    distance = np.linalg.norm(people[first] - people[second], axis=1)
    frame = pd.DataFrame({"emotion_a": [f"e{i}" for i in first], "emotion_b": [f"e{i}" for i in second]})
    return frame.assign(model=distance + random.normal(0, 0.5, len(first)), people=distance)


def _points(n: int, seed: int = 0) -> pd.DataFrame:
    values = np.random.default_rng(seed).normal(0, 1, (n, 4))
    frame = pd.DataFrame(values, columns=["human_valence", "human_arousal", "model_x", "model_y"])
    return frame.assign(emotion=[f"emotion{i}" for i in range(n)])


def test_both_sides_show_ranks_whose_correlation_is_that_of_the_distances() -> None:
    frame = _pairs(9)
    model, people = figures.dissimilarity_pair(frame).data
    assert list(model.x) == list(model.y) == list(people.x)
    upper = np.triu_indices(9, 1)
    drawn = [np.asarray(side.z, dtype=float)[upper] for side in (model, people)]
    assert np.corrcoef(drawn[0], drawn[1])[0, 1] == pytest.approx(spearmanr(frame["model"], frame["people"])[0])
    assert model.zmin == people.zmin == 0 and model.zmax == people.zmax == 100
    assert model.colorscale == people.colorscale and np.isnan(np.diag(np.asarray(model.z, dtype=float))).all()


def test_each_cell_belongs_to_its_pair() -> None:
    frame = _pairs(7)
    model, _ = figures.dissimilarity_pair(frame.sample(frac=1, random_state=1)).data
    place = {name: i for i, name in enumerate(model.x)}
    raw = np.asarray(model.customdata, dtype=float)
    for row in frame.to_dict("records"):
        assert raw[place[row["emotion_a"]], place[row["emotion_b"]]] == row["model"]
        assert raw[place[row["emotion_b"]], place[row["emotion_a"]]] == row["model"]


def test_emotions_that_people_find_alike_stand_together() -> None:
    names = ["a0", "b0", "a1", "b1", "a2", "b2"]
    rows = [(p, q, 1.0, 0.1 if p[0] == q[0] else 2.0) for i, p in enumerate(names) for q in names[i + 1 :]]
    order = (
        figures.dissimilarity_pair(pd.DataFrame(rows, columns=["emotion_a", "emotion_b", "model", "people"])).data[0].x
    )
    assert [name[0] for name in order] in (list("aaabbb"), list("bbbaaa"))


def test_a_missing_or_doubled_pair_is_refused() -> None:
    frame = _pairs(5)
    with pytest.raises(EmotionInterpError, match="10 pairs of 5 emotions, got 9 rows"):
        figures.dissimilarity_pair(frame.iloc[1:])
    doubled = pd.concat([frame, frame.iloc[:1].rename(columns={"emotion_a": "emotion_b", "emotion_b": "emotion_a"})])
    with pytest.raises(EmotionInterpError, match="11 rows with 10 different"):
        figures.dissimilarity_pair(doubled)


def test_the_ellipse_holds_95_percent_of_a_normal_cloud() -> None:
    covariance = np.array([[0.3, 0.12], [0.12, 0.1]])
    frame = _points(3).assign(model_var_x=0.3, model_var_y=0.1, model_cov=0.12)
    ring = np.column_stack([figures.circumplex(frame).data[0].x, figures.circumplex(frame).data[0].y]).astype(float)
    ring = ring[:37] - frame[["model_x", "model_y"]].to_numpy()[0]
    squared = np.einsum("ni,ij,nj->n", ring, np.linalg.inv(covariance), ring)
    assert np.allclose(squared, chi2.ppf(0.95, 2))


def test_an_emotion_without_covariance_has_no_ellipse() -> None:
    frame = _points(3).assign(model_var_x=[0.1, math.nan, 0.1], model_var_y=0.1, model_cov=0.0)
    x = np.asarray(figures.circumplex(frame).data[0].x, dtype=float)
    assert np.isnan(x).sum() == 2 and len(x) == 2 * 38
    assert "Ellipses" not in figures.circumplex(_points(3)).layout.meta["how_to_read"]


def test_28_emotions_are_all_named_and_126_only_where_there_is_room() -> None:
    assert len(figures.circumplex(_points(28)).layout.annotations) == 28
    many = figures.circumplex(_points(126))
    named = many.layout.annotations
    assert 25 <= len(named) < 126
    assert "Only some of the 126 emotions" in many.layout.meta["how_to_read"]
    assert len(many.layout.meta["narrow"]["layout"]["annotations"]) < len(named)
    hovers = many.data[-1].text
    assert len(hovers) == 126


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 126))
def test_labels_that_are_left_cover_neither_a_label_nor_a_point(seed: int, n: int) -> None:
    points = [(float(x), float(y)) for x, y in np.random.default_rng(seed).uniform(0, 600, (n, 2))]
    names = [("contentment", "joy", "embarrassment", "fear")[i % 4] for i in range(n)]
    centres = free_labels(range(n), points, names, points, (600, 600), font_size=11, point_radius=4)
    boxes = {i: (x, y, text_width(names[i], 11) / 2, 6.0) for i, (x, y) in centres.items()}
    for i, (x, y, w, h) in boxes.items():
        assert x - w >= 0 and x + w <= 600 and y - h >= 0 and y + h <= 600
        assert all(abs(x - u) >= w + s or abs(y - v) >= h + t for j, (u, v, s, t) in boxes.items() if j < i)
        assert all(abs(x - a) >= w or abs(y - b) >= h for a, b in points)


def test_the_first_names_go_to_what_moved_furthest_and_to_what_stands_apart() -> None:
    people = [(0.0, 0.0), (1.0, 0.0), (10.0, 0.0), (0.5, 0.0)]
    model = [(0.0, 5.0), (1.0, 0.1), (10.0, 0.2), (0.5, 0.3)]
    assert telling_order(model, people, 4)[:2] == [0, 2]
    assert sorted(telling_order(model, people, 4)) == [0, 1, 2, 3] and len(telling_order(model, people, 2)) == 2


@pytest.mark.parametrize(
    ("drawn", "most"),
    [
        (lambda: figures.circumplex(_points(28)), 480),
        (lambda: figures.dissimilarity_pair(_pairs(28)), 900),
        (lambda: figures.layer_curves(pd.DataFrame({"layer": [0], "series": "a", "value": [0.2]})), 400),
    ],
)
def test_on_a_phone_a_picture_needs_no_width_of_its_own(drawn: Any, most: int) -> None:
    figure = drawn()
    narrow = figure.layout.meta["narrow"]
    assert narrow["min_width"] is None and narrow["layout"]["width"] is None and narrow["layout"]["autosize"]
    assert narrow["height"] <= most
    assert all(int(number) < len(figure.data) for number in narrow["traces"])
    json.dumps(narrow)


def test_on_a_phone_panels_stand_below_one_another() -> None:
    narrow = figures.dissimilarity_pair(_pairs(6)).layout.meta["narrow"]["layout"]
    assert narrow["xaxis.domain"] == narrow["xaxis2.domain"] == [0, 1]
    assert narrow["yaxis2.domain"][1] < narrow["yaxis.domain"][0]
    rows = [(e, d, 0.1, 0.0, 0.3, 1.0) for e in "abcde" for d in (0.0, 1.0)]
    frame = pd.DataFrame(rows, columns=["emotion", "dose", "target", "random_lo", "random_hi", "perplexity_ratio"])
    doses = figures.dose_curves(frame)
    changed = doses.layout.meta["narrow"]["layout"]
    # four panels side by side on a desk: the third emotion opens the second row of a phone
    assert (
        changed["xaxis3.domain"] == changed["xaxis.domain"] and changed["yaxis3.domain"][1] < changed["yaxis.domain"][0]
    )
    named = {path.split(".")[0] for path in changed if "axis" in path}
    assert named <= set(doses.layout.to_plotly_json())


def test_a_legend_is_given_the_rows_it_takes() -> None:
    assert legend_rows((), 300) == 0 and legend_rows(("a", "b"), 300) == 1
    assert legend_rows(("a long entry of the legend",) * 3, 300) == 3
