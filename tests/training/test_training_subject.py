"""The recipe of the bundled subject on a tiny corpus in the true folder layout."""

import gzip
import json

import numpy as np
import pytest
import torch

import emotion_interp as ei
from emotion_interp.core import EmotionInterpError, FileFormatError
from emotion_interp.training import SubjectRecipe, train_subject
from emotion_interp.training.corpus import SOURCES, is_held_out, load_documents, training_stream
from emotion_interp.training.subject import _rate, pack

RECIPE = SubjectRecipe(
    layers=1, d_model=16, heads=2, context=32, vocab_size=400, tokens=32 * 4 * 12, batch=4, bf16=False, seed=0
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Every file of the corpus, with a few made-up lines each."""
    root = tmp_path_factory.mktemp("data")
    english = [f"Number {i} felt that the {w} morning was long, and walked home." for i in range(40) for w in "ab"]
    chinese = [f"第{i}個人覺得今天很長，他走回家去了，心裡想著明天的事情。" for i in range(40)]
    files = {
        "labelled/goemotions/train.tsv": [f"{t}\t1\tx" for t in english],
        "labelled/xed/en-annotated.tsv": [f"{t}\t1" for t in english[:9]],
        "labelled/xed/cn-projections.tsv": [f"{t}\t1" for t in chinese[:9]],
        "labelled/xed/zh-projections.tsv": [f"{t}\t1" for t in chinese[9:12]],
        "labelled/xed/tw-projections.tsv": [f"{t}\t1" for t in chinese[12:15]],
        "labelled/brighter/track_a/train/eng.csv": [
            "id,text,joy",
            *[f"e{i},{t.replace(',', '')},0" for i, t in enumerate(english)],
        ],
        "labelled/brighter/track_a/train/chn.csv": ["id,text,joy", *[f"c{i},{t},0" for i, t in enumerate(chinese)]],
        "labelled/isear/isear.csv": ["ID|SIT", *[f"{i}|{t}" for i, t in enumerate(english)]],
        "corpora/tiny_chinese_stories.csv": ["names, genre, theme, story", *[f"a,b,c,{t * 3}" for t in chinese]],
    }
    for name, lines in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for domain, language, tasks in (
        ("laptop", "eng", "alltasks"),
        ("restaurant", "eng", "alltasks"),
        ("laptop", "zho", "alltasks"),
        ("restaurant", "zho", "alltasks"),
        ("finance", "zho", "task1"),
    ):
        path = root / f"labelled/dimabsa/{language}/{language}_{domain}_train_{tasks}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        texts = english if language == "eng" else chinese
        path.write_text("\n".join(json.dumps({"Text": t}) for t in texts), encoding="utf-8")
    smp = root / "labelled/smp2020/virus_train.json"
    smp.parent.mkdir(parents=True)
    smp.write_text(json.dumps([{"content": t} for t in chinese]), encoding="utf-8")
    with gzip.open(root / "corpora/emotion_stories.jsonl.gz", "wt", encoding="utf-8") as handle:
        for i, text in enumerate(english):
            handle.write(json.dumps({"emotion": "joy", "topic_idx": i, "text": f"Story {i}. {text * 4}"}) + "\n")
    for folder, name, text in (("eltec_eng", "ENG18400_A", english), ("novels_zho", "红楼梦", chinese)):
        (root / "corpora" / folder).mkdir()
        with gzip.open(root / "corpora" / folder / f"{name}.txt.gz", "wt", encoding="utf-8") as handle:
            handle.write("\n".join(text * 30))
    return root


def quiet(_line):
    """No report."""


def test_topics_kept_for_judges_and_evaluation_never_enter(data):
    documents = load_documents(data)
    stories = [d.text for d in documents if d.source == "emotion stories"]
    assert len(stories) == 64
    assert {int(t.split()[1].rstrip(".")) for t in stories} == set(range(64))
    assert {d.source for d in documents} == set(SOURCES)


def test_chinese_text_comes_out_in_simplified_script(data):
    text = "".join(d.text for d in load_documents(data) if d.language == "zh" and "stories" in d.source)
    assert "个人觉得" in text
    assert "個" not in text


def test_the_stream_is_seeded_and_holds_no_held_out_text(data):
    documents = load_documents(data)
    first, second = training_stream(documents, 1), training_stream(documents, 1)
    assert first == second
    assert first != training_stream(documents, 2)
    assert not any(is_held_out(d) for d in first)


def test_packing_loses_no_token_and_starts_every_row_and_document_with_bos():
    rows = pack([[1, 2, 3], [4], list(range(5, 20))], context=6, bos=0)
    assert (rows[:, 0] == 0).all()
    flat = [int(t) for t in rows.ravel() if t != 0]
    assert flat == list(range(1, 20))[: len(flat)]
    assert len(flat) >= 14


def test_the_rate_rises_holds_and_falls_to_zero():
    recipe = SubjectRecipe(tokens=1000 * 24 * 256)
    rates = [_rate(s, recipe) for s in range(recipe.steps)]
    assert rates[0] == pytest.approx(1 / 20)
    assert rates[300] == 1.0
    assert rates[-1] == pytest.approx(1 / 300)
    assert np.all(np.diff(rates[700:]) < 0)


def test_training_writes_a_model_that_loads_and_an_interrupted_run_ends_the_same(data, tmp_path, monkeypatch):
    whole = train_subject(data, tmp_path / "whole", RECIPE, report=quiet)
    subject = ei.load_subject(whole)
    assert (subject.n_layers, subject.d_model, subject.context) == (1, 16, 32)
    assert subject.generate("Number", max_new_tokens=3).startswith("Number")
    log = [json.loads(line) for line in (tmp_path / "whole/log.jsonl").read_text().splitlines()]
    assert log[-1]["step"] == RECIPE.steps
    assert set(log[-1]["held_out"]) <= set(SOURCES)
    assert all(np.isfinite(loss) for loss in log[-1]["held_out"].values())

    import emotion_interp.training.subject as module

    calls = []
    original = torch.nn.utils.clip_grad_norm_

    def stop_half_way(*args, **kwargs):
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", stop_half_way)
    with pytest.raises(KeyboardInterrupt):
        train_subject(data, tmp_path / "halves", RECIPE, checkpoint_minutes=0.0, report=quiet)
    monkeypatch.undo()
    resumed = module.train_subject(data, tmp_path / "halves", RECIPE, report=quiet)
    for name in ("model.safetensors", "tokenizer.json"):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes(), name


def test_a_folder_of_another_recipe_and_missing_corpora_are_refused(data, tmp_path):
    from dataclasses import replace

    train_subject(data, tmp_path / "run", replace(RECIPE, tokens=32 * 4 * 2), report=quiet)
    with pytest.raises(EmotionInterpError, match="another recipe"):
        train_subject(data, tmp_path / "run", replace(RECIPE, d_model=32), report=quiet)
    with pytest.raises(FileFormatError, match="is not under"):
        train_subject(tmp_path, tmp_path / "other", RECIPE, report=quiet)
