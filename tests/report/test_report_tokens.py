"""Token view and display units."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_interp.core import EmotionInterpError, NotFiniteError, UnknownNameError
from emotion_interp.core.markup import named
from emotion_interp.figures.static import svg
from emotion_interp.report import display_units, merge_bytes, token_view, tokens
from emotion_interp.report.assets import circuitsvis_bundle, script_json


def _data(fragment: str) -> dict:
    found = re.search(r'<script type="application/json">(.*?)</script>', fragment, re.DOTALL)
    assert found
    return json.loads(found[1])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=8), min_size=1, max_size=6))
def test_any_token_text_comes_back_from_the_page_unharmed(given_tokens: list[str]) -> None:
    fragment = token_view(given_tokens, np.ones((len(given_tokens), 1)), ["joy"]).html
    # what CircuitsVis is given, less the signs that make it harmless and visible
    back = [t.replace("\u2060", "") for t in _data(fragment)["tokens"]]
    clean = [named(t.replace("\r", "").replace("\n", "↵\n").replace("\t", "⇥")) for t in given_tokens]
    assert back == clean


def test_no_token_can_close_the_script_or_open_a_tag() -> None:
    nasty = "</script><img src=x onerror=alert(1)><!-- &amp; \u2028 \"'"
    fragment = token_view([nasty], [[1.0]], ["</option><b>"], title="<i>").html
    assert fragment.count("</script") == 1 and "<img" not in fragment and "<!--" not in fragment
    assert "<b>" not in fragment and "<i>" not in fragment and "\u2028" not in _data_text(fragment)
    # CircuitsVis writes tokens as HTML: no `<` may be followed by what starts a tag
    assert not re.search(r"<[a-zA-Z/!?]", _data(fragment)["tokens"][0])


def _data_text(fragment: str) -> str:
    return fragment.split('<script type="application/json">')[1].split("</script>")[0]


def test_half_a_surrogate_pair_does_not_break_the_file(tmp_path: Path) -> None:
    path = token_view(["\ud83d", "ok"], [[1.0], [2.0]], ["joy"]).save(tmp_path / "view.html")
    assert "ok" in path.read_text(encoding="utf-8")


def test_a_saved_page_holds_the_bundle_once_and_points_nowhere(tmp_path: Path) -> None:
    text = token_view(["a"], [[1.0]], ["joy"]).save(tmp_path / "view.html").read_text(encoding="utf-8")
    assert text.count("var CircuitsVis=") == 1
    assert not re.search(r'(?:src|href)\s*=\s*"?https?:', text.replace(circuitsvis_bundle(), ""))
    assert "default-src 'none'" in text and "unpkg" not in text


def test_a_notebook_gets_the_bundle_with_the_first_view_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_bundle_shown", False)
    view = token_view(["a"], [[1.0]], ["joy"])
    first, second = view._repr_html_(), view._repr_html_()
    assert len(first) > 1_000_000 and len(second) < 10_000
    assert 'class="ei-token-view"' in second


def test_showing_a_view_opens_no_connection(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import socket

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    view = token_view(["a"], [[1.0]], ["joy"])
    view._repr_html_()
    view.save(tmp_path / "view.html")


def test_the_bundle_cannot_end_its_own_script_or_ask_for_its_map() -> None:
    assert "</script" not in circuitsvis_bundle() and "sourceMappingURL" not in circuitsvis_bundle()
    assert json.loads(script_json({"a": "</script>&\u2028"})) == {"a": "</script>&\u2028"}


def test_static_colours_follow_sign_and_size() -> None:
    fragment = token_view(["none", "half", "full", "minus"], [[0.0], [1.0], [2.0], [-2.0]], ["joy"]).html
    colours = re.findall(r'background:(rgb\([^)]*\))" title', fragment)
    assert colours == ["rgb(255, 255, 255)", "rgb(181, 214, 234)", "rgb(107, 174, 214)", "rgb(253, 174, 97)"]


def test_the_strongest_emotion_is_chosen_at_first() -> None:
    view = token_view(["a", "b"], [[0.0, 1.0, 0.5], [0.0, 1.0, 0.9]], ["joy", "fear", "awe"])
    assert "<option selected>fear</option>" in view.html


def test_wrong_shapes_and_values_are_refused() -> None:
    with pytest.raises(EmotionInterpError, match=r"\(2, 1\), got shape \(1, 1\)"):
        token_view(["a", "b"], [[1.0]], ["joy"])
    with pytest.raises(EmotionInterpError, match="needs tokens and emotions"):
        token_view([], np.zeros((0, 1)), ["joy"])
    with pytest.raises(NotFiniteError, match="'b' has NaN"):
        token_view(["a", "b"], [[1.0], [np.nan]], ["joy"])


def test_half_precision_tensors_are_taken() -> None:
    torch = pytest.importorskip("torch")
    values = torch.ones(2, 1, dtype=torch.bfloat16, requires_grad=True)
    assert token_view(["a", "b"], values, ["joy"]).values.dtype == np.float64


def test_the_callers_array_stays_his_own() -> None:
    values = np.ones((1, 1))
    view = token_view(["a"], values, ["joy"])
    values[0, 0] = 5.0
    assert view.values[0, 0] == 1.0


def test_a_view_as_frame_and_figure() -> None:
    view = token_view(["a", "b"], [[1.0, 2.0], [3.0, 4.0]], ["joy", "fear"])
    assert view.to_frame().query("token == 'b' and emotion == 'fear'")["value"].item() == 4.0
    figure: Any = view.plot()
    assert np.allclose(np.asarray(figure.data[0].z), [[1.0, 3.0], [2.0, 4.0]])
    assert figure.layout.meta["title"] == "Emotions along the text"
    titled = token_view(["a"], [[1.0]], ["joy"], layer=3, title="A letter").plot()
    assert titled.layout.meta["title"] == "A letter: layer 3" and "A letter: layer 3" in svg(titled)


@settings(max_examples=25, deadline=None)
@given(st.text("ab 爱哭🙂é", min_size=1, max_size=12), st.data())
def test_units_cover_every_token_once_and_share_no_character(text: str, data: st.DataObject) -> None:
    # byte-level tokens: cut the UTF-8 bytes anywhere; a token's span is every character it touches
    owner = [i for i, character in enumerate(text) for _ in character.encode()]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(owner) - 1), max_size=8))) if len(owner) > 1 else []
    edges = [0, *cuts, len(owner)]
    offsets = [(owner[a], owner[b - 1] + 1) for a, b in itertools.pairwise(edges)]
    units = display_units(text, offsets)
    assert [i for _, _, members in units for i in members] == list(range(len(offsets)))
    assert "".join(text[start:end] for start, end, _ in units) == text
    for start, end, members in units:
        assert start == min(offsets[i][0] for i in members) and end == max(offsets[i][1] for i in members)
    # brute force: two tokens share a unit exactly if a chain of shared bytes' characters joins them
    for i in range(len(offsets) - 1):
        together = any(i in members and i + 1 in members for _, _, members in units)
        assert together == (owner[edges[i + 1] - 1] == owner[edges[i + 1]])


def test_special_tokens_are_in_no_unit_and_empty_spans_join_the_unit_before() -> None:
    assert display_units("爱你", [(0, 0), (0, 1), (1, 1), (1, 2), (0, 0)]) == [(0, 1, [1, 2]), (1, 2, [3])]


def test_spans_outside_the_text_or_running_backwards_are_refused() -> None:
    with pytest.raises(EmotionInterpError, match=r"\(0, 9\) of token 0"):
        display_units("abc", [(0, 9)])
    with pytest.raises(EmotionInterpError, match="starts before"):
        display_units("abc", [(1, 2), (0, 1)])


def test_merging_averages_or_takes_the_maximum_and_keeps_dropped_spaces() -> None:
    offsets, values = [(0, 1), (2, 3), (2, 3)], [[1.0, 0.0], [2.0, 5.0], [4.0, 1.0]]
    texts, mean = merge_bytes("I 爱", offsets, values)
    assert texts == ["I", " 爱"] and mean.tolist() == [[1.0, 0.0], [3.0, 3.0]]
    assert merge_bytes("I 爱", offsets, values, "max")[1].tolist() == [[1.0, 0.0], [4.0, 5.0]]
    with pytest.raises(UnknownNameError, match="reduction 'sum'"):
        merge_bytes("I 爱", offsets, values, "sum")
    with pytest.raises(EmotionInterpError, match="for 3 tokens"):
        merge_bytes("I 爱", offsets, [[1.0]])
