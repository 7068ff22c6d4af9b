"""What the page shows is what the package says, and a wrong question is answered in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest

import emotion_interp as ei
from emotion_interp.activations import read_tokens
from emotion_interp.app.asked import ReadText, Write, question
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.features.readings import emotion_readouts

TEXT = "She felt joy and fear."
HOSTILE = "<img src=x onerror=alert(1)></script> joy"


def test_a_text_reads_as_the_trace_says(live, tiny_subject, tiny_bank):
    status, value = live.ask("read", {"text": TEXT, "language": "en"})
    trace = ei.emotion_trace(tiny_subject, TEXT, tiny_bank, language="en")
    assert status == 200
    assert "".join(value["tokens"]) == TEXT and value["emotions"] == list(trace.emotions)
    assert value["sites"] == [str(site) for site in tiny_bank.sites] and value["note"] == trace.note
    np.testing.assert_allclose(value["values"]["features"], trace.values, atol=0.0051)
    np.testing.assert_allclose(value["values"]["dense"], trace.beside, atol=0.0051)
    np.testing.assert_allclose(value["sentence_values"]["dense"], trace.sentence_values(beside=True), atol=0.0051)
    np.testing.assert_allclose(value["token_levels"], trace.token_levels, atol=0.0051)
    assert value["facts"]["dense"] == [fact.line for fact in trace.facts if fact.kind == "dense"]


@pytest.mark.parametrize(("steered", "mark"), [(True, "steered"), (False, "generated")])
def test_what_the_subject_wrote_is_marked_by_characters(live, steered, mark):
    asked = {"text": "😀 joy 你好 fear", "language": "en", "generated_from": 6, "steered": steered}
    status, value = live.ask("read", asked)
    assert status == 200
    ends = np.cumsum([len(token) for token in value["tokens"]])
    assert value["marks"] == [[mark] if end > 6 else [] for end in ends]
    assert any(value["marks"]) and not all(value["marks"])


def test_the_features_of_a_token_are_those_that_fire_there(live, tiny_subject, tiny_bank):
    site = tiny_bank.sites[0]
    readings = read_tokens(tiny_subject, TEXT, tiny_bank.sites)
    latents = readings.latents[site].numpy()
    known, shown = tiny_bank.table(layer=site, language="en"), 0
    for token in range(len(readings.offsets)):
        status, value = live.ask("token", {"text": TEXT, "token": token, "site": str(site), "language": "en"})
        assert status == 200 and value["n_firing"] == int((latents[token] > 0).sum()) and value["heard"] == []
        for name in ("kept", "others"):
            strengths = [feature["activation"] for feature in value[name]]
            assert strengths == sorted(strengths, reverse=True)
            for feature in value[name]:
                own = known[known["feature"] == feature["feature"]]
                assert feature["activation"] == pytest.approx(float(latents[token, feature["feature"]]), rel=1e-5)
                assert set(feature["emotions"]) <= set(own["emotion"])
                assert bool((own["selected"] | own["top"]).any()) is (name == "kept")
        shown += len(value["kept"]) + len(value["others"])
    assert shown


def test_what_features_add_to_an_emotion_sums_to_its_value(live, tiny_subject, tiny_bank, monkeypatch):
    monkeypatch.setattr("emotion_interp.app.reading.MOST_FEATURES", 10**6)
    site = tiny_bank.sites[1]
    trace = ei.emotion_trace(tiny_subject, TEXT, tiny_bank, language="en")
    bias = emotion_readouts(tiny_subject, tiny_bank, [site], "en")[site, "features"].bias
    for token in range(len(trace.tokens)):
        asked = {"text": TEXT, "token": token, "site": str(site), "language": "en", "emotion": "joy"}
        heard = live.ask("token", asked)[1]["heard"]
        joy = trace.emotions.index("joy")
        if not trace.unread[1, token]:
            assert sum(f["adds"] for f in heard) + bias[joy] == pytest.approx(trace.values[1, token, joy], abs=1e-5)
        sizes = [abs(f["adds"]) for f in heard]
        assert sizes == sorted(sizes, reverse=True)


def test_a_card_is_that_of_the_package(live, tiny_bank):
    row = tiny_bank.table(layer=0).iloc[0]
    status, value = live.ask("card", {"site": row["site"], "feature": int(row["feature"])})
    assert status == 200
    assert value["html"] == str(ei.feature_card(tiny_bank, row["site"], int(row["feature"])).html)
    assert f"feature={int(row['feature'])}" in value["python"]


def test_the_facts_name_what_can_be_chosen(live, tiny_bank):
    status, facts = live.ask("facts")
    assert status == 200 and facts["emotions"] == tiny_bank.emotions and facts["languages"] == tiny_bank.languages
    assert [site["name"] for site in facts["sites"]] == [str(site) for site in tiny_bank.sites]
    for method in facts["methods"]:
        tiny_bank.direction("joy", layer=0, method=method)


@pytest.mark.parametrize(
    ("path", "asked", "said"),
    [
        ("read", {"text": ""}, "empty"),
        ("read", {"text": 3}, "text is a text"),
        ("read", {"txt": "x"}, "Did you mean 'text'"),
        ("read", {"text": TEXT, "language": "xx"}, "language"),
        ("read", {"text": "joy " * 200, "language": "en"}, "context"),
        ("token", {"text": TEXT, "token": 99, "site": "blocks.0.hook_resid_post", "language": "en"}, "99"),
        ("token", {"text": TEXT, "token": 0, "site": "blocks.9.hook_resid_post", "language": "en"}, "blocks.9"),
        ("card", {"site": "blocks.0.hook_resid_post", "feature": 10**9}, "1000000000"),
        ("card", {"site": "no site", "feature": 1}, "no site"),
        ("write", {"prompt": "She", "emotions": ["joyy"], "site": "blocks.0.hook_resid_post"}, "joyy"),
        ("write", {"prompt": "She", "emotions": [], "site": "blocks.0.hook_resid_post"}, "at least one emotion"),
        ("write", {"prompt": " ", "emotions": ["joy"], "site": "blocks.0.hook_resid_post"}, "prompt is empty"),
        (
            "write",
            {"prompt": "She", "emotions": ["joy"], "valence": 1.0, "site": "blocks.0.hook_resid_post"},
            "one of the two",
        ),
        ("write", {"prompt": "She", "emotions": ["joy"], "dose": 1e9, "site": "blocks.0.hook_resid_post"}, "dose"),
        (
            "write",
            {"prompt": "She", "emotions": ["joy"], "max_new_tokens": 10**6, "site": "blocks.0.hook_resid_post"},
            "from 1 to",
        ),
        (
            "write",
            {"prompt": "She", "emotions": ["joy"], "method": "magic", "site": "blocks.0.hook_resid_post"},
            "magic",
        ),
        ("write", {"prompt": "She", "valence": 0.0, "site": "blocks.0.hook_resid_post"}, "ask for another place"),
    ],
)
def test_a_wrong_question_is_answered_in_one_line(live, path, asked, said):
    status, value = live.ask(path, asked)
    assert status == 400 and set(value) == {"error"}
    assert said in value["error"] and "\n" not in value["error"]


@pytest.mark.parametrize("body", [b"", b"[1, 2]", b'{"text": NaN}', b"\xff\xfe", b"[" * 40_000, b'"text"', b"null"])
def test_what_is_no_question_is_refused_in_one_line(live, body):
    status, value = live.ask("read", body)
    assert status == 400 and "JSON object" in value["error"] and "\n" not in value["error"]


def test_hostile_text_goes_as_data_and_never_as_a_page(live):
    answer = live.open(
        "POST", f"/{live.address.split('/')[3]}/read", json.dumps({"text": HOSTILE, "language": "en"}).encode()
    )
    assert answer.getheader("content-type") == "application/json"
    assert answer.getheader("x-content-type-options") == "nosniff"
    assert "".join(json.loads(answer.read())["tokens"]) == HOSTILE


def test_the_files_of_the_page_name_no_other_machine(live):
    from emotion_interp.app.server import KINDS, page_files

    shown = page_files()
    assert {"page.html", "page.css", "page.js"} <= set(shown)
    for name, (content, kind) in shown.items():
        assert kind.startswith(KINDS[name.rpartition(".")[2]])
        text = content.decode().replace("http://www.w3.org/2000/svg", "").replace("http://www.w3.org/1999/xhtml", "")
        assert "http:" not in text and "https:" not in text and "//cdn" not in text, name
        # an inline handler or script would be stopped by the page's own policy
        assert "onclick=" not in text and "eval(" not in text


def test_a_question_knows_its_fields():
    assert question(ReadText, b'{"text": "She"}') == ReadText(text="She")
    assert question(Write, b'{"prompt": "a", "valence": 1, "dose": 1}').is_point
    with pytest.raises(EmotionInterpError, match="temperature"):
        question(Write, b'{"temperature": "hot"}')
