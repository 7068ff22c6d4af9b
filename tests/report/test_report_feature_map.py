"""The map of a layer: the numbers are those of the bank, the order shows a diagonal, every card is on the page."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import emotion_interp as ei
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.report.feature_map import clustered
from emotion_interp.report.map_page import MAP_STYLE
from emotion_interp.report.sortable import sortable_table

NASTY = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def chosen(tiny_bank):
    return ei.feature_map(tiny_bank, language="en")


def test_the_map_holds_every_feature_kept_in_its_language(tiny_bank, chosen):
    rows = tiny_bank.features.query("(selected or top) and language == 'en' and site == @chosen.site.__str__()")
    assert set(chosen.frame["feature"]) == set(rows["feature"])
    pairs = chosen.frame.query("kept")[["feature", "emotion"]]
    assert set(map(tuple, pairs.to_numpy())) == set(map(tuple, rows[["feature", "emotion"]].to_numpy()))


def test_without_a_layer_it_is_the_one_on_which_the_claims_stand(tiny_bank, chosen):
    fixed = tiny_bank.summary.query("language == 'en' and layer_fixed")["site"].unique()
    assert [str(chosen.site)] == list(fixed)


def test_the_aurocs_are_those_of_the_banks_heat_map(tiny_bank, chosen):
    from emotion_interp.bank.frames import heatmap_frame

    theirs = heatmap_frame(tiny_bank, chosen.site, "en").set_index(["feature", "emotion"])["value"]
    ours = chosen.frame.set_index(["feature", "emotion"])["auroc"].reindex(theirs.index)
    np.testing.assert_allclose(ours.to_numpy(), theirs.to_numpy())


def test_each_row_stands_at_an_emotion_it_was_kept_for_in_the_order_of_the_columns(chosen):
    frame = chosen.frame
    emotions = list(dict.fromkeys(frame["emotion"]))
    kept = frame.query("kept").sort_values("auroc", ascending=False).drop_duplicates("feature")
    at = kept.set_index("feature")["emotion"].map(emotions.index)
    places = [at[f] for f in dict.fromkeys(frame["feature"])]
    assert places == sorted(places)


def test_emotions_that_answer_alike_stand_side_by_side():
    rng = np.random.default_rng(0)
    first, second = rng.random(40), rng.random(40)
    near = lambda x: x + 0.01 * rng.random(40)  # noqa: E731
    table = pd.DataFrame({"a": first, "x": second, "b": near(first), "y": near(second), "c": near(first)})
    order = "".join(clustered(table))
    assert {order[:3], order[3:]} in [
        {p, q} for p in ("abc", "acb", "bac", "bca", "cab", "cba") for q in ("xy", "yx")
    ] or {
        order[:2],
        order[2:],
    } in [{p, q} for p in ("xy", "yx") for q in ("abc", "acb", "bac", "bca", "cab", "cba")]


def test_the_overview_is_the_banks_summary(tiny_bank, chosen):
    assert len(chosen.layers) == len(tiny_bank.summary)
    assert chosen.layers["confirmed"].sum() == tiny_bank.summary["confirmed"].sum()
    keys = ["site", "language", "emotion"]
    theirs = tiny_bank.summary.set_index(keys)["auroc_heldout"]
    assert chosen.layers.set_index(keys)["auroc_heldout"].sort_index().equals(theirs.sort_index())


def test_the_languages_say_what_is_shared_and_what_is_not(tiny_bank, chosen):
    rows = tiny_bank.features.query("(selected or top) and site == @chosen.site.__str__()")
    where = rows.groupby(["emotion", "feature"])["language"].agg(lambda found: ", ".join(sorted(found)))
    ours = chosen.languages.set_index(["emotion", "feature"])
    assert ours["languages"].to_dict() == where.to_dict()
    alone = ours[ours["n"] == 1]
    assert (alone["kind"] == alone["languages"] + " only").all()
    assert (ours[ours["n"] == len(tiny_bank.languages)]["kind"] == "shared by all").all()


def test_every_link_of_the_page_leads_to_something_on_it(chosen, tmp_path):
    page = chosen.save(tmp_path / "map.html").read_text(encoding="utf-8")
    ids = set(re.findall(r' id="([^"]+)"', page))
    targets = set(re.findall(r'href="#([^"]+)"', page))
    assert targets <= ids
    assert {f"feature-{f}" for f in chosen.profiles.features} <= ids & (targets | ids)
    assert {f"feature-{f}" for f in chosen.frame["feature"]} <= targets
    assert page.count('class="ei-card"') == len(chosen.profiles.features)
    assert "default-src 'none'" in page and not re.search(r'(src|href)="(https?:)?//', page)


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)


def test_no_name_can_open_a_tag_of_the_page(tiny_bank, chosen, tmp_path):
    bank = ei.FeatureBank(**{**vars(tiny_bank), "manifest": {**tiny_bank.manifest, "subject": NASTY}})
    page = ei.feature_map(bank, language="en").save(tmp_path / "map.html").read_text(encoding="utf-8")
    tags = _Tags()
    tags.feed(page)
    assert "img" not in tags.seen and tags.seen.count("script") == 1


def test_each_kind_of_picture_has_a_dot_per_confirmed_cell(chosen):
    for kind in ("features", "layers", "languages"):
        figure = chosen.plot(kind)
        assert np.isfinite(np.asarray(figure.data[0].z, dtype=float)).any()
    assert len(chosen.plot().data[1].x) == chosen.frame["confirmed"].sum()
    with pytest.raises(UnknownNameError, match="kind"):
        chosen.plot("sideways")


def test_what_the_bank_does_not_have_is_refused(tiny_bank):
    with pytest.raises(UnknownNameError, match="xx"):
        ei.feature_map(tiny_bank, language="xx")
    with pytest.raises(UnknownNameError, match="layer"):
        ei.feature_map(tiny_bank, 99)
    rows = tiny_bank.features.assign(selected=False, top=False)
    empty = ei.FeatureBank(**{**vars(tiny_bank), "features": rows})
    with pytest.raises(EmotionInterpError, match="no kept feature"):
        ei.feature_map(empty, 0, "en")


def test_a_sortable_table_escapes_its_cells_and_sorts_by_their_values():
    html = sortable_table(["a", "b"], [[NASTY, (0.25, "25")]], label=NASTY, file=NASTY, numeric=[False, True])
    assert "<img" not in html and 'data-v="0.25">25<' in html


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_every_cell_can_be_read_on_its_colour():
    pairs = re.findall(r"\.v\d \{ background: (#\w{6}); color: (#\w{3,6}); \}", str(MAP_STYLE))
    assert len(pairs) == 20
    for ground, ink in pairs:
        ink = "#ffffff" if ink == "#fff" else ink
        low, high = sorted([_luminance(ground), _luminance(ink)])
        assert (high + 0.05) / (low + 0.05) >= 4.5, (ground, ink)
