"""The trace of a text: values by the read-outs, whole characters, sentences, marks, and its views."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

import emotion_interp as ei
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.sentences import sentence_ranges
from emotion_interp.core.types import Site
from emotion_interp.features.readings import emotion_readouts
from emotion_interp.features.text_states import text_states

TEXT = "He laughed out loud. She cried 👩‍👩‍👧 again!"


@pytest.fixture(scope="module")
def trace(tiny_subject, tiny_bank):
    return ei.emotion_trace(tiny_subject, TEXT, tiny_bank, marks={"generated": [(21, len(TEXT))]})


def test_each_kind_is_read_by_its_own_read_out(tiny_subject, tiny_bank, trace):
    plain = ei.emotion_trace(tiny_subject, "joy", tiny_bank, language="en")
    readouts = emotion_readouts(tiny_subject, tiny_bank, tiny_bank.sites, "en")
    for i, site in enumerate(tiny_bank.sites):
        state = text_states(tiny_subject, ["joy"], {site: tiny_bank.scales[site]})[site]
        for kind, values in (("features", plain.values), ("dense", plain.beside)):
            expected = readouts[site, kind].values(state.dense, state.latents)[0]
            np.testing.assert_allclose(values[i].mean(0), expected, atol=1e-3)
    other = ei.emotion_trace(tiny_subject, TEXT, tiny_bank, kind="dense")
    np.testing.assert_array_equal(other.values, trace.beside)


def test_emoji_with_joiners_stay_whole_and_tokens_are_the_text(trace):
    assert sum("👩‍👩‍👧" in token for token in trace.tokens) == 1
    assert "".join(trace.tokens) == TEXT
    assert [TEXT[a:b] for a, b in trace.spans] == list(trace.tokens)


def test_sentences_are_cut_after_their_marks_in_every_script():
    def cut(text):
        spans = [(i, i + 1) for i in range(len(text))]
        return [text[spans[a][0] : spans[b - 1][1]] for a, b in sentence_ranges(text, spans)]

    assert cut("No. Yes! Well") == ["No. ", "Yes! ", "Well"] or cut("No. Yes! Well") == ["No.", " Yes!", " Well"]
    assert cut("她哭了。他笑了！") == ["她哭了。", "他笑了！"]
    assert cut("3.14 is pi") == ["3.14 is pi"]


def test_every_token_is_in_one_sentence_and_marks_cover_their_stretch(trace):
    covered = [t for first, stop in trace.sentences for t in range(first, stop)]
    assert covered == list(range(len(trace.tokens))) and len(trace.sentences) == 2
    assert trace.by_sentence()["sentence"].tolist() == ["He laughed out loud.", "She cried 👩‍👩‍👧 again!"]
    for span, mark in zip(trace.spans, trace.marks, strict=True):
        assert mark == (("generated",) if span[1] > 21 else ())


def test_the_mean_over_layers_is_what_opens(trace):
    rows = trace.by_sentence()
    values = trace.values.mean(0)
    first, stop = trace.sentences[0]
    assert rows["emotion"][0] == trace.emotions[values[first:stop].mean(0).argmax()]
    assert trace.by_token()["value"].to_numpy() == pytest.approx(values.max(1))
    assert trace.by_token(1)["value"].to_numpy() == pytest.approx(trace.values[1].max(1))
    assert len(trace.by_layer()) == 2


def test_an_emotion_is_named_only_above_what_neutral_text_reaches(trace):
    high = trace.at(0)
    assert high.by_token(0)["named"].tolist() == (high.values[0].max(1) > high.levels[0, 0]).tolist()
    from dataclasses import replace

    never = replace(trace, levels=np.full_like(trace.levels, 1e9), mean_levels=None)
    assert not never.by_token()["named"].any() and not never.by_sentence()["named"].any()
    assert "no more than neutral text" in never._repr_html_()


def test_the_view_holds_every_value_and_no_markup_of_the_text(tiny_subject, tiny_bank, tmp_path):
    text = "He said </script><img src=x> & cried"
    shown = ei.emotion_trace(tiny_subject, text, tiny_bank, language="en")
    page = shown.save(tmp_path / "trace.html", layer=1).read_text(encoding="utf-8")
    assert "<img" not in page and "default-src 'none'" in page and 'value="1"' in page
    data = json.loads(re.findall(r'<script type="application/json">(.*?)</script>', page, flags=re.S)[0])
    order = [shown.emotions.index(e) for e in data["emotions"]]
    for kind, values in (("features", shown.values), ("dense", shown.beside)):
        np.testing.assert_allclose(np.asarray(data["values"][kind])[:2], np.round(values[:, :, order], 2), atol=1e-9)
    assert data["layers"] == ["layer 0", "layer 1", "all layers"]
    assert page.count('scope="col"') == len(shown.tokens) and page.count('scope="row"') == len(shown.emotions)


def test_the_figure_has_a_step_for_each_layer_and_for_their_mean(trace):
    figure = trace.plot()
    assert [s.label for s in figure.layout.sliders[0].steps] == ["layer 0", "layer 1", "all layers"]
    assert [bool(d.visible) for d in figure.data] == [False, False, True]
    np.testing.assert_allclose(np.asarray(figure.data[2].z), trace.values.mean(0).T)
    assert len(trace.plot(0).data) == 1


def test_a_printed_map_says_which_layer_it_shows(trace):
    figure = trace.plot()
    for step in figure.layout.sliders[0].steps:
        # what Plotly does when the slider is moved there
        visible, layout = step.args
        figure.update_layout(**{name.replace(".", "_"): value for name, value in layout.items()})
        for drawn, is_seen in zip(figure.data, visible["visible"], strict=True):
            drawn.visible = is_seen
        assert f"Emotions along the text: {step.label}" in figure.static()
    assert "Emotions along the text: all layers" in trace.plot().static()
    assert "Emotions along the text: layer 1" in trace.plot(1).static()
    assert "Emotions along the text: all layers" in trace.at().plot().static()
    assert figure.layout.sliders[0].currentvalue.prefix == ""
    assert "layer 1" in trace.view(1).plot().static() and "layer" not in trace.view().plot().layout.meta["title"]


def test_two_saes_of_one_layer_are_told_apart_on_the_printed_map(trace):
    twins = replace(trace, layers=(1, 1), sites=(Site(1), Site(1, "mlp_out")))
    for site in twins.sites:
        assert f"Emotions along the text: {site}" in twins.plot(site).static()


def test_marks_beyond_the_text_and_unknown_layers_are_refused(tiny_subject, tiny_bank, trace):
    with pytest.raises(EmotionInterpError, match="no \\(start, end\\)"):
        ei.emotion_trace(tiny_subject, "joy", tiny_bank, language="en", marks={"generated": [(0, 99)]})
    with pytest.raises(UnknownNameError):
        trace.by_token(7)


def test_the_note_says_whose_read_outs_read_the_text(tiny_subject, tiny_bank):
    chinese = ei.emotion_trace(tiny_subject, "她哭了", tiny_bank)
    assert chinese.language == "zh" and chinese.note == "Language: zh, read with the zh read-outs."
    forced = ei.emotion_trace(tiny_subject, "12", tiny_bank, language="zh")
    assert "not detected" in forced.note
