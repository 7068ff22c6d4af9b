"""What stands first on the report: one picture, four sentences, and counts that agree with what stands below them."""

from __future__ import annotations

import dataclasses
import re
from html import unescape

import pandas as pd
import pytest

from emotion_interp.report import StudyData, render_report
from emotion_interp.report.headline import headline
from emotion_interp.report.plain_words import direction_words, set_words


def _texts(read_as: list[object], emotions: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "emotion": emotions,
            "prompt": "The letter said",
            "unsteered": "The letter said nothing.",
            "steered": [f"The letter said {i}." for i in range(len(emotions))],
            "read_as": read_as,
            "judged_by": "a judge",
        }
    )


def _groups(study: StudyData, texts: pd.DataFrame) -> dict[str, list[str]]:
    """Per heading of the steering section the steered texts under it."""
    page = render_report(StudyData(title="t", steering=study.steering, steered_text=texts))
    section = page[page.index('<section id="steering">') : page.index('<section id="tokens">')]
    parts = re.split(r"<h3>(.*?)</h3>", section)
    found = {}
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        shown = re.findall(r'<div class="steered"><strong>(.*?)</strong>', body)
        if shown:
            found[unescape(title)] = shown
    return found


def test_four_sentences_and_one_picture_come_before_everything_else(study: StudyData) -> None:
    page = render_report(study)
    before = page[page.index("<main>") : page.index('<section id="features">')]
    assert len(re.findall("<dd>", before)) == 4
    assert before.count('<div class="figure"') == 1
    for section in re.findall(r"<section id=.*?</section>", page, re.DOTALL)[2:6]:
        visible = re.sub(r"<details>.*</details>", "", section, flags=re.DOTALL)
        assert "p &lt;" not in visible and "Holm" not in visible, "statistics are folded"


def test_the_picture_on_top_does_not_stand_in_its_section_again(study: StudyData) -> None:
    page = render_report(study)
    titles = re.findall(r'<div class="scroll[^"]*" tabindex="0" role="region" aria-label="([^"]*)"', page)
    assert len(titles) == len(set(titles))


def test_a_text_that_contradicts_its_label_never_stands_under_passes(study: StudyData) -> None:
    emotions = ["joy", "joy", "anger", "fear"]
    groups = _groups(study, _texts(["joy", "sadness", "anger", "fear"], emotions))
    for title, shown in groups.items():
        for line in shown:
            named, read = re.match(r"steered towards (\w+) · reads as (\w+)", line).groups()
            assert title.startswith("Passes") == (named == read and named != "fear"), (title, line)
    assert [t for t in groups if t.startswith("No effect shown (1 of 4")]


def test_texts_that_nobody_read_are_not_called_passing(study: StudyData) -> None:
    texts = _texts([None, None], ["joy", "anger"]).drop(columns=["read_as", "judged_by"])
    groups = _groups(study, texts)
    assert not [t for t in groups if t.startswith("Passes")]
    said = headline(StudyData(title="t", steering=study.steering, steered_text=texts))[3]["text"]
    assert "the texts shown were not judged" in said


def test_the_headline_counts_what_stands_under_passes(study: StudyData) -> None:
    texts = _texts(["joy", "sadness", "anger", "fear"], ["joy", "joy", "anger", "fear"])
    part = dataclasses.replace(study, steered_text=texts)
    said = headline(part)[3]["text"]
    assert "raises 3 of 6 emotions" in said and "in 2 of the 3 texts shown" in said
    (title,) = [t for t in _groups(study, texts) if t.startswith("Passes")]
    assert "(2 of 4 texts)" in title


def test_confirmed_emotions_are_counted_at_the_layer_the_headline_names(study: StudyData) -> None:
    said = headline(study)[0]["text"]
    count, of, layer = map(int, re.match(r"(\d+) of (\d+) emotions .*?layer (\d)", said).groups())
    summary = study.frame("summary")
    rows = summary[(summary["language"] == "en") & (summary["layer"] == layer)]
    assert (count, of) == (int(rows["confirmed"].sum()), len(rows))


def test_what_chance_explains_is_called_that_in_the_headline(study: StudyData) -> None:
    said = headline(study)[1]["text"]
    assert said.count("no more than chance gives") == 1 and "excited with r" in said.split("(no more")[0]


def test_a_part_that_was_not_run_says_so_in_its_sentence() -> None:
    assert [s["text"].split()[0] for s in headline(StudyData(title="Empty"))] == ["No", "The", "People's", "Nothing"]


@pytest.mark.parametrize("name", ["dense", "dense_clean", "sae"])
def test_directions_are_explained_where_they_stand(name: str) -> None:
    assert direction_words(name).startswith(f"{name} (")


@pytest.mark.parametrize("name", ["outside_union", "outside", "static", "intersection", "selected_zh"])
def test_names_of_feature_sets_never_reach_the_reader_bare(name: str) -> None:
    assert name not in set_words(name) and "_" not in set_words(name)
