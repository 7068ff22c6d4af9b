"""The live page in a real browser: nothing leaves the machine, every control does what it says, axe finds nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import emotion_interp as ei
from tests.browser.looking import flat_pictures
from tests.live_page import Live, running

pytestmark = pytest.mark.browser
SHOWN = "[...document.querySelectorAll('.token')].map(t => t.firstChild.textContent).join('')"
"""The text that the tokens spell."""
WIDTHS = (1280, 768, 390)
TEXT = "She opened the letter and began to weep. He had been gone for two years."


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    subject = ei.load_subject()
    with running(subject, ei.shipped_bank(subject)) as page:
        yield page


def opened(page: Any, live: Live, width: int = 1280, dark: bool = False) -> None:
    """The page with its first text read."""
    page.open(live.address, width, dark=dark)
    page.wait_for("document.body.dataset.ready && document.querySelector('.token')", 120)


def press(page: Any, key: str) -> None:
    for kind in ("keyDown", "keyUp"):
        text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
        page.call(
            "Input.dispatchKeyEvent",
            type=kind,
            key=key,
            code=key,
            windowsVirtualKeyCode={"Enter": 13}.get(key, 0),
            **text,
        )


def show_all(page: Any) -> None:
    """A token's features, a card, a written pair and every fold open."""
    page.evaluate("document.querySelector('[data-token=\"7\"]').click()")
    page.wait_for("document.querySelector('.feature:enabled')", 120)
    page.evaluate("document.querySelector('.feature:enabled').click()")
    page.wait_for("document.querySelector('.ei-card')", 120)
    page.evaluate("document.getElementById('steer-form').requestSubmit()")
    page.wait_for("/ s$/.test(document.getElementById('took').textContent)", 120)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    page.wait_for("document.querySelector('#map td span')")


def axe(page: Any) -> list[str]:
    """What axe-core finds wrong."""
    place = find_spec("axe_core_python")
    if place is None or place.origin is None:
        pytest.skip("axe-core-python is not installed")
    page.evaluate((Path(place.origin).parent / "axe.min.js").read_text(encoding="utf-8"))
    return page.evaluate("axe.run().then(r => r.violations.map(v => v.id + ': ' + v.nodes[0].html.slice(0, 200)))")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_leaves_the_machine_nothing_sticks_out_and_axe_is_content(page, live, width, dark):
    opened(page, live, width, dark)
    show_all(page)
    if dark:
        page.evaluate("document.querySelector('input[value=point]').click()")
    assert page.problems == []
    assert [url for url in page.requests if not url.startswith((live.address, "data:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert axe(page) == []
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(ground) < 60) is dark


def test_touch_targets_are_large_enough_on_a_phone(page, live):
    opened(page, live, 390)
    show_all(page)
    small = page.evaluate(
        """[...document.querySelectorAll('button, select, summary, .pills label')].filter(e => e.offsetParent)
        .filter(e => e.getBoundingClientRect().height < 24).map(e => e.outerHTML.slice(0, 120))"""
    )
    assert small == []


def test_the_layer_slider_changes_the_colours_and_the_words(page, live):
    opened(page, live)
    colours = "[...document.querySelectorAll('.token')].map(t => getComputedStyle(t).backgroundColor).join()"
    said = "document.getElementById('tokens').textContent"
    seen = []
    for layer in range(4):
        page.evaluate(
            f"(() => {{ const s = document.getElementById('layer'); s.value = {layer}; s.dispatchEvent(new Event('input')); }})()"
        )
        assert page.evaluate("document.getElementById('layer-name').textContent") == str(layer)
        seen.append((page.evaluate(colours), page.evaluate(said)))
    assert len(set(seen)) == 4
    assert page.problems == []


def test_choosing_an_emotion_or_the_stream_changes_the_colours(page, live):
    opened(page, live)
    strengths = "[...document.querySelectorAll('.token')].map(t => t.style.getPropertyValue('--v')).join()"
    before = page.evaluate(strengths)
    change = (
        "(() => {{ const s = document.getElementById('{}'); s.value = '{}'; s.dispatchEvent(new Event('change')); }})()"
    )
    page.evaluate(change.format("kind", "dense"))
    stream = page.evaluate(strengths)
    page.evaluate(change.format("emotion", "sadness"))
    assert len({before, stream, page.evaluate(strengths)}) == 3
    assert page.evaluate("document.getElementById('legend').textContent").endswith("Coloured by sadness.")


def test_a_token_shows_its_features_and_a_feature_its_card(page, live):
    opened(page, live)
    page.evaluate("document.querySelector('[data-token=\"3\"]').click()")
    page.wait_for("document.querySelector('.feature:enabled')", 120)
    assert "letter" in page.evaluate("document.getElementById('token-features').textContent")
    number = page.evaluate("document.querySelector('.feature:enabled b').textContent")
    page.evaluate("document.querySelector('.feature:enabled').click()")
    page.wait_for("document.querySelector('.ei-card h3')", 120)
    assert f"Feature {number}" in page.evaluate("document.querySelector('.ei-card h3').textContent")
    assert page.problems == []


def test_tokens_are_reached_by_keys(page, live):
    opened(page, live)
    page.evaluate("document.querySelector('.token[tabindex=\"0\"]').focus()")
    for _ in range(3):
        press(page, "ArrowRight")
    assert page.evaluate("document.activeElement.dataset.token") == "3"
    assert page.evaluate('document.querySelectorAll(\'.token[tabindex="0"], .chip[tabindex="0"]\').length') == 1
    press(page, "Enter")
    page.wait_for("document.querySelector('.feature')", 120)
    assert page.evaluate("document.activeElement.dataset.token") == "3"
    press(page, "Home")
    assert page.evaluate("document.activeElement.closest('.chip') !== null")


def test_both_texts_stream_and_what_was_steered_is_read_with_its_mark(page, live):
    opened(page, live)
    page.evaluate("document.getElementById('steer-form').requestSubmit()")
    page.wait_for("document.getElementById('unsteered').textContent.length > 20", 120)
    page.wait_for("/ s$/.test(document.getElementById('took').textContent)", 120)
    plain, steered = (
        page.evaluate(f"document.getElementById('{name}').textContent") for name in ("unsteered", "steered")
    )
    assert plain.startswith("The letter said") and steered.startswith("The letter said") and plain != steered
    page.evaluate("document.querySelector('.again[data-row=\"1\"]').click()")
    page.wait_for("document.querySelector('.token.steered')", 120)
    assert page.evaluate(SHOWN).replace("↵", "\n") == steered
    assert page.evaluate("document.querySelectorAll('.token:not(.generated)').length") == 3
    assert page.problems == []


def test_stop_ends_a_writing(page, live):
    opened(page, live)
    page.evaluate(
        "(() => { document.getElementById('new-tokens').value = 240; document.getElementById('steer-form').requestSubmit(); })()"
    )
    page.wait_for("!document.getElementById('stop').disabled", 120)
    page.evaluate("document.getElementById('stop').click()")
    page.wait_for("document.getElementById('stop').disabled", 120)
    assert "s" in page.evaluate("document.getElementById('took').textContent")


def test_the_plane_moves_by_pointer_and_by_slider(page, live):
    opened(page, live)
    page.evaluate("document.querySelector('input[value=point]').click()")
    box = page.evaluate(
        "(() => { const b = document.getElementById('plane').getBoundingClientRect(); scrollTo(0, b.top - 50); const c = document.getElementById('plane').getBoundingClientRect(); return [c.left, c.top, c.width]; })()"
    )
    place = {"x": box[0] + box[2] * 0.2, "y": box[1] + box[2] * 0.2}
    for kind in ("mousePressed", "mouseReleased"):
        page.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)
    valence, arousal = (float(page.evaluate(f"document.getElementById('{n}').value")) for n in ("valence", "arousal"))
    assert valence < -1 and arousal > 1
    before = page.evaluate("document.querySelector('#plane .point').getAttribute('cx')")
    page.evaluate(
        "(() => { const s = document.getElementById('valence'); s.value = 2; s.dispatchEvent(new Event('input')); })()"
    )
    assert page.evaluate("document.querySelector('#plane .point').getAttribute('cx')") != before
    page.evaluate("document.getElementById('steer-form').requestSubmit()")
    page.wait_for("/ s$/.test(document.getElementById('took').textContent)", 120)
    assert "valence 2.0" in page.evaluate("document.getElementById('towards').textContent")
    assert page.problems == []


def test_what_is_wrong_is_said_in_one_line(page, live):
    opened(page, live)
    page.evaluate(
        "(() => { document.getElementById('text').value = ' '; document.getElementById('read-form').requestSubmit(); })()"
    )
    page.wait_for("!document.getElementById('failure').hidden", 120)
    assert (
        page.evaluate("document.getElementById('failure').textContent") == "the text is empty; give at least one word."
    )
    page.evaluate(
        f"(() => {{ document.getElementById('text').value = {json.dumps(TEXT)}; document.getElementById('read-form').requestSubmit(); }})()"
    )
    page.wait_for("document.getElementById('failure').hidden", 120)


def typed(page: Any, field: str, text: str) -> None:
    """Put a text into a field as a keyboard or the clipboard does."""
    page.evaluate(f"(() => {{ const f = document.getElementById('{field}'); f.focus(); f.select(); }})()")
    page.call("Input.insertText", text=text)
    assert page.evaluate(f"document.getElementById('{field}').value") == text


HOSTILE = {
    "tags": "</textarea><script>alert(1)</script><img src=x onerror=alert(2)><a href='javascript:alert(3)'>joy</a>",
    "handlers": "\"><svg onload=alert(1)><iframe srcdoc='<script>alert(2)</script>'></iframe>{{7*7}}${alert(3)}",
    "another address": "<link rel=stylesheet href=http://192.0.2.1/a.css><img src=http://192.0.2.1/b.png> fear",
    "right to left": "\u0627\u0644\u0641\u0631\u062d \u05e9\u05de\u05d7\u05d4 joy (anger) 123",
    "joined emoji": "\U0001f469\u200d\U0001f469\u200d\U0001f467 cried, \U0001f3f3\ufe0f\u200d\U0001f308 \U0001f44d\U0001f3fd e\u0301",
    "a long word": "unbeschreiblich" * 12,
}
"""What would run, be fetched, turn the line or burst the page."""
ELEMENTS = "document.querySelectorAll('img, iframe, textarea textarea, main svg:not(#plane, .ei-card svg), main script, link[href^=http], main a').length"


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_read_and_written_as_text(page, live, name, width):
    text = HOSTILE[name]
    opened(page, live, width)
    before = page.evaluate(ELEMENTS)
    typed(page, "text", text)
    page.evaluate(
        "(() => { document.getElementById('read-language').value = 'en'; document.getElementById('read-form').requestSubmit(); })()"
    )
    page.wait_for(f"{SHOWN} === {json.dumps(text)}", 120)
    typed(page, "prompt", text)
    page.evaluate(
        "(() => { document.getElementById('new-tokens').value = 3; document.getElementById('steer-form').requestSubmit(); })()"
    )
    page.wait_for("/ s$/.test(document.getElementById('took').textContent)", 120)
    for row in ("unsteered", "steered"):
        assert page.evaluate(f"document.getElementById('{row}').textContent").startswith(text)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert page.evaluate(ELEMENTS) == before
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.title") == "bundled · emotion-interp"
    assert page.problems == []
    assert [url for url in page.requests if not url.startswith((live.address, "data:"))] == []


def test_a_dialog_or_a_blank_picture_would_be_noticed(page, live):
    opened(page, live)
    page.evaluate("alert('opened')")
    assert page.problems == ["dialog: opened"]
    page.evaluate("document.getElementById('tokens').style.visibility = 'hidden'")
    assert len(flat_pictures(page, "#tokens")) == 1


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_picture_is_blank(page, live, width, dark):
    opened(page, live, width, dark)
    show_all(page)
    page.evaluate("document.querySelector('input[value=point]').click()")
    for picture in ("#tokens", "#map table", "#plane", "#token-features", "#details", ".pair"):
        box = page.evaluate(
            f"(() => {{ const b = document.querySelector('{picture}').getBoundingClientRect(); return [b.width, b.height]; }})()"
        )
        assert min(box) > 40, picture
        assert flat_pictures(page, picture) == []


def test_hostile_text_makes_no_element(page, live):
    opened(page, live)
    text = "<img src=x onerror=\"document.title='broken'\"> joy </script><b>fear</b>"
    page.evaluate(
        f"(() => {{ document.getElementById('text').value = {json.dumps(text)}; document.getElementById('read-language').value = 'en'; document.getElementById('read-form').requestSubmit(); }})()"
    )
    page.wait_for(f"{SHOWN}.includes('<img')", 120)
    assert page.evaluate(SHOWN) == text
    assert page.evaluate("document.querySelectorAll('main img, main b:not(.feature b)').length") == 0
    assert page.evaluate("document.title") == "bundled · emotion-interp"
    assert page.problems == []


@pytest.mark.parametrize("dark", [False, True])
def test_blue_is_for_an_emotion_as_on_every_other_page(page, live, dark):
    opened(page, live, dark=dark)
    strongest = page.evaluate(
        """(() => { const tokens = [...document.querySelectorAll('.token')];
        const top = tokens.reduce((a, b) => Number(b.style.getPropertyValue('--v')) > Number(a.style.getPropertyValue('--v')) ? b : a);
        const canvas = document.createElement('canvas').getContext('2d');
        canvas.fillStyle = getComputedStyle(top).backgroundColor; canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data]; })()"""
    )
    red, _, blue, _ = strongest
    assert blue > red + 40
