"""One whole study of a tiny subject: what it writes, what it keeps, what it runs again."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import replace

import pandas as pd
import pytest

import emotion_interp as ei
from emotion_interp.core import EmotionInterpError, FileFormatError, UnknownNameError
from emotion_interp.core.files import write_json
from emotion_interp.study import StudySettings, run_study
from emotion_interp.study.settings import fingerprint
from emotion_interp.study.stages import Counter, alignment_frames, read_stories
from emotion_interp.study.store import StudyFolder
from tests.conftest import make_gpt2, make_sae, make_tokenizer

SMALL = StudySettings(
    n_permutations=19, max_rated_words=120, n_random=9, doses=(0.5, 1.0), new_tokens=3, layers=(0, 1), seed=1
)


@pytest.fixture(scope="module")
def concepts():
    """Six emotions: an alignment needs five with a rating."""
    both = ei.concept_set("en") | ei.concept_set("zh")
    return both.subset(emotions=["anger", "calm", "fear", "joy", "pride", "sadness"])


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    """A vocabulary large enough that emotion words are single tokens, which the next-word judge needs."""
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tokenizer")
    make_tokenizer(vocab=4000).save_pretrained(str(folder))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(folder))
    return ei.Subject(make_gpt2(tokenizer), saes=[make_sae(0), make_sae(1)], tokenizer=tokenizer, name="tiny")


@pytest.fixture(scope="module")
def study(subject, concepts, tmp_path_factory):
    seen = []
    out = tmp_path_factory.mktemp("study") / "s"
    made = run_study(subject, concepts, out, SMALL, progress=lambda *tick: seen.append(tick))
    return made, seen


def again(study, subject, concepts, **changes):
    return run_study(subject, concepts, study.path, SMALL, **changes)


def test_a_study_writes_bank_tables_record_and_report(study):
    made, seen = study
    assert made.ran == ("features", "alignment", "ratings", "steering", "report")
    names = {p.name for p in made.path.iterdir()}
    assert {"bank", "study.json", "report.html", "alignment.parquet", "ratings.parquet", "steering.parquet"} <= names
    maps = sorted(n for n in names if n.startswith("features_"))
    page = made.report.read_text(encoding="utf-8")
    assert maps and all(f'href="{name}"' in page for name in maps), "each map is linked to"
    assert not [n for n in names if n.startswith(".")]
    assert {s for s, _, _ in seen} >= {"reading words", "stages"}
    assert all(0 <= done <= total for _, done, total in seen)
    pd.testing.assert_frame_equal(made.bank.summary, ei.FeatureBank.load(made.path / "bank").summary)


def test_the_report_has_every_section_and_names_what_was_run(study):
    page = study[0].report.read_text(encoding="utf-8")
    for anchor in ("brief", "features", "geometry", "ratings", "steering", "tokens", "made"):
        assert re.search(rf'id="{anchor}"', page), anchor
    assert "Not run:" not in page
    assert "Emotion in tiny" in page
    assert "http-equiv" in page and "Traceback" not in page


def test_the_closing_table_agrees_with_the_tables_it_is_made_from(study):
    made = study[0]
    frame = made.to_frame()
    assert list(zip(frame["layer"], frame["language"], strict=True)) == [(0, "en"), (0, "zh"), (1, "en"), (1, "zh")]
    assert (frame["emotions"] == 6).all()
    for _, row in frame.iterrows():
        mine = made.bank.summary
        mine = mine[(mine["layer"] == row["layer"]) & (mine["language"] == row["language"])]
        assert row["median_auroc_heldout"] == pytest.approx(mine["auroc_heldout"].median())
        assert row["confirmed"] == mine["confirmed"].sum()
        rated = made.ratings
        rated = rated[(rated["layer"] == row["layer"]) & (rated["feature_set"] == "all")]
        rated = rated[(rated["test_language"] == row["language"]) & (rated["dimension"] == "valence")]
        if row["language"] == "en":
            assert row["rated_valence_r"] == pytest.approx(rated["r"].item())
        else:
            # the norms are English
            assert pd.isna(row["rated_valence_r"])
    assert "<table" in made._repr_html_() and "Study(" in repr(made)


def test_a_learning_curve_is_drawn_where_it_is_asked_for(study, subject, concepts, tmp_path):
    made = study[0]
    assert "Learning curve" not in made.report.read_text(encoding="utf-8")
    assert pd.read_parquet(made.path / "learning.parquet").empty
    settings = replace(SMALL, learning_curve=True, stages=("features", "ratings"))
    curve = run_study(subject, concepts, tmp_path / "s", settings)
    table = pd.read_parquet(curve.path / "learning.parquet")
    rated = curve.ratings
    own = rated[(rated["feature_set"] == "all") & (rated["dimension"] == "valence") & (rated["test_language"] == "en")]
    own = own[own["train_language"] == "en"]
    assert set(table["layer"]) == {own.loc[own["r"].idxmax(), "layer"]}
    assert {"all", "dense"} <= set(table["feature_set"]) and {"valence", "arousal"} <= set(table["dimension"])
    assert "Learning curve" in curve.report.read_text(encoding="utf-8")


def test_steered_text_stands_beside_unsteered_text(study):
    texts = study[0].steered_text
    if len(texts):
        assert {"emotion", "layer", "dose", "prompt", "unsteered", "steered"} <= set(texts.columns)
        assert all(row["steered"].startswith(row["prompt"]) for _, row in texts.iterrows())
    assert set(study[0].steering["emotion"]) <= {"anger", "calm", "fear", "joy", "pride", "sadness"}


def test_a_second_study_repeats_nothing(study, subject, concepts):
    made = study[0]
    before = {p: p.stat().st_mtime_ns for p in made.path.rglob("*") if p.is_file()}
    second = again(made, subject, concepts)
    assert second.ran == ()
    assert {p: p.stat().st_mtime_ns for p in made.path.rglob("*") if p.is_file()} == before
    pd.testing.assert_frame_equal(second.alignment, made.alignment)


@pytest.mark.parametrize(
    ("changes", "ran"),
    [
        ({"n_permutations": 29}, ("alignment", "report")),
        ({"max_rated_words": 110}, ("ratings", "report")),
        ({"doses": (0.5,)}, ("steering", "report")),
    ],
)
def test_a_changed_setting_reruns_only_what_depends_on_it(study, subject, concepts, changes, ran):
    assert again(study[0], subject, concepts, **changes).ran == ran
    assert again(study[0], subject, concepts).ran == ran


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("alignment.parquet", "alignment"),
        ("steered_text.parquet", "steering"),
        ("report.html", "report"),
        ("bank/words.parquet", "features"),
    ],
)
def test_a_lost_or_damaged_file_reruns_its_stage_alone(study, subject, concepts, name, stage):
    path = study[0].path / name
    before = path.read_bytes()
    path.unlink()
    assert again(study[0], subject, concepts).ran == (stage,)
    assert path.read_bytes() == before
    path.write_bytes(before[:-9])
    assert again(study[0], subject, concepts).ran == (stage,)
    assert path.read_bytes() == before


def test_other_norms_rerun_alignment_and_ratings(study, subject, concepts, tmp_path):
    made = study[0]
    table = ei.load_norms("builtin").table[["word", "valence", "arousal"]].iloc[5:]
    table.to_csv(tmp_path / "mine.csv", index=False)
    norms = ei.load_norms("csv", path=tmp_path / "mine.csv")
    assert again(made, subject, concepts, norms=norms).ran == ("alignment", "ratings", "report")
    assert again(made, subject, concepts).ran == ("alignment", "ratings", "report")


def test_an_error_in_a_later_stage_keeps_the_earlier_ones(subject, concepts, tmp_path, monkeypatch):
    settings = StudySettings(
        n_permutations=9, max_rated_words=120, layers=(0,), stages=("features", "alignment", "ratings")
    )

    def broken(*arguments, **options):
        raise EmotionInterpError("no more")

    with monkeypatch.context() as patch:
        patch.setattr("emotion_interp.study.run.rating_frames", broken)
        with pytest.raises(EmotionInterpError, match="no more"):
            run_study(subject, concepts, tmp_path, settings)
    assert not (tmp_path / "report.html").exists()
    assert run_study(subject, concepts, tmp_path, settings).ran == ("ratings", "report")


def test_a_part_that_was_not_asked_for_is_none_and_the_report_says_so(subject, concepts, tmp_path):
    made = run_study(subject, concepts, tmp_path, layers=(0,), stages=("features",))
    assert (made.alignment, made.ratings, made.steering, made.steered_text) == (None, None, None, None)
    assert made.report.read_text(encoding="utf-8").count("Not run:") >= 3
    assert "valence_r" not in made.to_frame()


def test_a_subject_without_saes_is_refused(gpt2, tokenizer, concepts, tmp_path):
    with pytest.raises(EmotionInterpError, match="no SAE"):
        run_study(ei.Subject(gpt2, tokenizer=tokenizer, name="bare"), concepts, tmp_path)


def test_the_fingerprint_follows_weights_and_saes(gpt2, tokenizer, tiny_subject):
    same = ei.Subject(gpt2, saes=[make_sae(0), make_sae(1)], tokenizer=tokenizer, name="tiny")
    other = ei.Subject(gpt2, saes=[make_sae(0), make_sae(1, seed=5)], tokenizer=tokenizer, name="tiny")
    assert fingerprint(same) == fingerprint(tiny_subject) != fingerprint(other)


def test_a_stage_that_cannot_run_is_named_with_the_way_round_it(tiny_subject, concepts, tmp_path):
    """No emotion word is a single token of `tiny_subject`."""
    settings = StudySettings(n_permutations=9, layers=(0,), doses=(0.5,), n_random=3, new_tokens=2)
    with pytest.raises(EmotionInterpError, match="stage steering: .*leave steering out of the stages"):
        run_study(tiny_subject, concepts, tmp_path, settings, stages=("features", "steering"))


@pytest.mark.parametrize(("name", "value"), [("stimuli", "dreams"), ("stages", ("features", "dreams"))])
def test_settings_refuse_unknown_names(name, value):
    with pytest.raises(UnknownNameError, match="dreams"):
        StudySettings(**{name: value})


# -- the folder --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "record",
    [{"format": "cookbook"}, [], {"format": "emotion_interp.study"}, {"format": "emotion_interp.study", "stages": 3}],
)
def test_a_foreign_folder_is_refused_and_left_alone(tmp_path, record):
    write_json(tmp_path / "study.json", record)
    before = (tmp_path / "study.json").read_bytes()
    with pytest.raises(FileFormatError, match="not a study of this project"):
        StudyFolder(tmp_path)
    assert (tmp_path / "study.json").read_bytes() == before


def test_a_broken_record_or_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(FileFormatError, match="not readable JSON"):
        StudyFolder(tmp_path)
    with pytest.raises(EmotionInterpError, match="is a file"):
        StudyFolder(tmp_path / "study.json")
    with pytest.raises(EmotionInterpError, match="cannot make the folder"):
        StudyFolder(tmp_path / "study.json/below")


def test_a_stage_runs_once_per_key_and_again_when_its_file_changed(tmp_path):
    folder, made = StudyFolder(tmp_path), []

    def make():
        made.append(1)
        return [folder.write_frame("a.parquet", pd.DataFrame({"x": [1]}))]

    assert folder.run("a", {"k": 1}, make) and not folder.run("a", {"k": 1}, make)
    assert not StudyFolder(tmp_path).run("a", {"k": 1}, make)
    assert folder.run("a", {"k": 2}, make)
    (tmp_path / "a.parquet").write_bytes(b"x")
    assert folder.run("a", {"k": 2}, make)
    assert len(made) == 3
    assert folder.read_frame("a.parquet")["x"].tolist() == [1]
    assert folder.read_frame("b.parquet") is None
    (tmp_path / "a.parquet").write_bytes(b"x")
    with pytest.raises(FileFormatError, match="cannot be read"):
        folder.read_frame("a.parquet")


def test_progress_never_passes_the_total():
    seen = []
    counter = Counter(lambda *tick: seen.append(tick), "reading", 5)
    counter(3)
    counter(4)
    assert seen == [("reading", 3, 5), ("reading", 5, 5)]
    Counter(None, "reading", 5)(3)


# -- stories -----------------------------------------------------------------------------------------------------------
ROWS = [
    {"text": "a day", "emotion": "joy", "topic_idx": 72},
    {"text": "a night", "emotion": "fear", "topic_idx": 80},
    {"text": "a week", "emotion": "joy"},
]


def written(path, rows):
    text = "\n".join(json.dumps(r) if not isinstance(r, str) else r for r in rows) + "\n\n"
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["s.jsonl", "s.jsonl.gz"])
def test_stories_are_read_and_chosen_by_topic(tmp_path, name):
    path = written(tmp_path / name, ROWS)
    assert read_stories(path) == (["a day", "a night", "a week"], ["joy", "fear", "joy"])
    assert read_stories(path, (72, 79)) == (["a day", "a week"], ["joy", "joy"])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*ROWS, "no json"], r"line 4: a JSON object with text and emotion"),
        ([{"text": "x"}], r"line 1.*emotion"),
        (["[1]"], r"line 1"),
        ([{"text": "x", "emotion": "joy", "topic_idx": "seven"}], r"line 1"),
        ([ROWS[1]], r"no text in the topics \(72, 79\)"),
    ],
)
def test_a_bad_story_file_is_refused_with_its_line(tmp_path, rows, message):
    with pytest.raises(FileFormatError, match=message):
        read_stories(written(tmp_path / "s.jsonl", rows), (72, 79))


def test_a_story_file_that_is_missing_or_no_gzip_or_no_text_is_refused(tmp_path):
    with pytest.raises(FileFormatError, match="does not exist"):
        read_stories(tmp_path / "nothing.jsonl")
    (tmp_path / "s.jsonl.gz").write_bytes(b"plain")
    with pytest.raises(FileFormatError, match="not readable"):
        read_stories(tmp_path / "s.jsonl.gz")
    whole = gzip.compress(b'{"text": "a", "emotion": "b"}\n' * 500)
    (tmp_path / "s.jsonl.gz").write_bytes(whole[:-20])
    with pytest.raises(FileFormatError, match="not readable"):
        read_stories(tmp_path / "s.jsonl.gz")
    (tmp_path / "s.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileFormatError, match="not readable"):
        read_stories(tmp_path / "s.jsonl")


def test_stories_give_dense_and_feature_spaces_from_the_embedding_up(subject, tmp_path):
    words = ("joy", "fear", "anger", "sadness", "pride", "calm", "qzx")
    rows = [
        {"text": f"{w} and the sea were {w} again and then {i} " * 4, "emotion": w} for w in words for i in range(3)
    ]
    path = written(tmp_path / "s.jsonl", rows)
    settings = StudySettings(stimuli="stories", corpus=str(path), n_permutations=9)
    frames = alignment_frames(subject, None, ei.load_norms("builtin"), settings)
    frame = frames["alignment"]
    assert set(frame["layer"]) == {-1, 0, 1} and (frame["n_emotions"] == 6).all()
    assert set(frame["kind"]) - {"encoder"} == {"dense", "features", "text"}
    # the texts alone stand beside every layer, and what each space adds to them in its row
    alone = frame[frame["kind"] == "text"]
    assert sorted(alone["layer"]) == [-1, 0, 1] and alone["rsa_rho"].nunique() == 1
    assert frame[~frame["kind"].isin(["text", "encoder"])]["rsa_given_text"].notna().all()
    assert "features" not in set(frame[frame["layer"] == -1]["kind"])
    assert set(frames["pcs"]["layer"]) == {-1, 0, 1}
    with pytest.raises(EmotionInterpError, match="--corpus"):
        alignment_frames(subject, None, ei.load_norms("builtin"), StudySettings(stimuli="stories"))
    few = written(tmp_path / "few.jsonl", rows[:12])
    with pytest.raises(EmotionInterpError, match="fewer than 5 emotions"):
        alignment_frames(subject, None, ei.load_norms("builtin"), StudySettings(stimuli="stories", corpus=str(few)))
