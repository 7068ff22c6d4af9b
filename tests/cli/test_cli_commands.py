"""Every command does what it says, on a real tiny model."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import emotion_interp as ei
from emotion_interp.cli.facts import check_choice, facts_for
from emotion_interp.cli.options import concepts_of_bank, corpus_texts
from emotion_interp.cli.values import plain_languages
from emotion_interp.core import EmotionInterpError
from tests.cli.conftest import files_below

COMMANDS = ("run", "features", "align", "ratings", "steer", "trace", "report", "models", "doctor")
EMOTIONS = {"anger", "fear", "joy", "sadness"}


def test_version_and_help(shell):
    assert shell("--version").out == f"emotion-interp {ei.__version__}\n"
    answer = shell("--help")
    assert answer.code == 0
    for command in (*COMMANDS, "norms"):
        assert re.search(rf"^  {command} ", answer.out, re.M), command


@pytest.mark.parametrize(
    "command",
    [
        *COMMANDS,
        "features directions",
        "features describe",
        "train-saes",
        "train-subject",
        "norms list",
        "norms show",
        "norms fetch",
    ],
)
def test_the_help_of_a_command_has_an_example_that_names_it(shell, command):
    answer = shell(*command.split(), "--help")
    assert answer.code == 0
    assert f"Example: emotion-interp {command}" in answer.out


def test_features_finds_saves_and_shows(shell, subject_options, tmp_path):
    answer = shell(
        "features", *subject_options, "--languages", "en", "--layers", "1", "--out", tmp_path / "b", "--json"
    )
    assert answer.code == 0
    (row,) = answer.records
    assert (row["layer"], row["language"], row["emotions"]) == (1, "en", 28)
    bank = ei.FeatureBank.load(tmp_path / "b")
    assert bank.layers == [1] and bank.languages == ["en"]
    again = shell("features", "joy", *subject_options, "--bank", tmp_path / "b", "--json")
    assert [r["feature"] for r in again.records] == bank.table("joy")["feature"].tolist()


def test_features_of_one_emotion_and_layer_from_a_saved_bank(shell, bank_options, tiny_bank):
    answer = shell("features", "joy", "--layer", "1", *bank_options, "--json")
    assert answer.code == 0
    expected = tiny_bank.table("joy", layer=1)
    assert [r["feature"] for r in answer.records] == expected["feature"].tolist()
    assert [r["auroc"] for r in answer.records] == pytest.approx(expected["auroc"].tolist())
    table = shell("features", "joy", "--layer", "1", *bank_options)
    assert "features of joy" in table.out and "specificity" in table.out


def test_features_directions_adds_methods_to_steer_with(shell, subject_options, tiny_subject, tmp_path):
    csv = tmp_path / "texts.csv"
    words = {"joy": "sun smile bright", "fear": "dark shadow cold"}
    lines = [
        f"The old man said that {w} {' '.join(w.split()[::-1])} {i},{e}" for e, w in words.items() for i in range(8)
    ]
    csv.write_text("text,emotion\n" + "\n".join(lines), encoding="utf-8")
    bank = ei.find_features(tiny_subject, ei.concept_set("en"), [1], stimuli=ei.corpus_stimuli(csv), skip=4)
    bank.save(tmp_path / "bank")
    answer = shell(
        *("features", "directions", tmp_path / "bank", "--methods", "trained,sae_ts", "--stimuli", csv),
        *(*subject_options, "--steps", "2", "--out", tmp_path / "more"),
    )
    assert answer.code == 0, answer.err
    assert "preferred" in answer.out.replace("\n", "") and str(tmp_path / "more") in answer.out
    more = ei.FeatureBank.load(tmp_path / "more")
    assert set(more.methods) - set(bank.methods) == {"trained", "sae_ts"}
    assert ei.FeatureBank.load(tmp_path / "bank").methods == bank.methods


def test_what_describe_has_done_is_kept_when_a_later_part_fails(shell, subject_options, tiny_subject, tmp_path):
    csv = tmp_path / "texts.csv"
    words = {"joy": "sun smile bright", "fear": "dark shadow cold", "anger": "shout fist hate"}
    lines = [
        f"The old man said that {w} {' '.join(w.split()[::-1])} {i},{e}" for e, w in words.items() for i in range(8)
    ]
    csv.write_text("text,emotion\n" + "\n".join(lines), encoding="utf-8")
    # of one of the subject's two SAEs
    ei.find_features(tiny_subject, ei.concept_set("en"), [1], stimuli=ei.corpus_stimuli(csv)).save(tmp_path / "bank")
    answer = shell(
        "features", "describe", tmp_path / "bank", *subject_options[:-1], "--stimuli", csv, "--out", tmp_path / "more"
    )
    # the tiny vocabulary has no emotion word as one token, so that outputs cannot be scored
    assert answer.code == 2 and "single token" in answer.err
    more = ei.FeatureBank.load(tmp_path / "more")
    assert {"controls", "probes", "tokens", "examples"} <= set(more.extras) and "probe_k4" in more.methods


def test_the_seed_of_steer_is_that_of_the_sampling_and_not_of_the_bank(shell, subject_options):
    texts = [
        shell(
            *("steer", "The letter said", *subject_options, "--method", "dense", "--layer", "1", "--dose", "2"),
            *("--tokens", "24", "--seed", seed, "--json"),
        ).records
        for seed in (0, 1)
    ]
    # nothing is sampled, so only another bank's direction could give another text
    assert texts[0] == texts[1] and texts[0][0]["steered"] != texts[0][0]["unsteered"]


def test_align_gives_one_row_per_layer_language_and_kind(shell, subject_options, tmp_path):
    answer = shell("align", *subject_options, "--languages", "en", "--permutations", "19", "--json")
    assert answer.code == 0
    rows = [r for r in answer.records if r["kind"] == "dense"]
    assert [(r["layer"], r["language"]) for r in rows] == [(0, "en"), (1, "en")]
    assert all(0 < r["rsa_p"] <= 1 and r["n_emotions"] == 28 for r in rows)


def test_ratings_gives_a_row_per_layer_set_and_dimension(shell, bank_options):
    answer = shell("ratings", *bank_options, "--words", "120", "--json")
    assert answer.code == 0
    rows = [r for r in answer.records if r["feature_set"] == "all"]
    assert {(r["layer"], r["dimension"]) for r in rows} == {(a, b) for a in (0, 1) for b in ("valence", "arousal")}
    assert all(r["n_words"] <= 120 for r in rows)


def test_steer_shows_both_texts_and_a_zero_dose_changes_nothing(shell, bank_options):
    arguments = ["steer", "The letter said", "He was", *bank_options, "--tokens", "4", "--layer", "1"]
    rows = shell(*arguments, "--dose", "3", "--method", "dense", "--json").records
    assert [r["unsteered"].startswith(p) for r, p in zip(rows, ("The letter said", "He was"), strict=True)] == [
        True
    ] * 2
    assert any(r["unsteered"] != r["steered"] for r in rows)
    same = shell(*arguments, "--dose", "0", "--json").records
    assert [r["steered"] for r in same] == [r["unsteered"] for r in rows]


def test_words_in_square_brackets_are_printed_as_they_are(shell, bank_options):
    answer = shell("steer", "a [bold]b[/bold]", *bank_options, "--tokens", "1")
    assert answer.code == 0 and "a [bold]b[/bold]" in answer.out


def test_trace_has_every_emotion_at_every_token_and_writes_the_view(shell, bank_options, tmp_path):
    answer = shell("trace", "She wept for joy.", *bank_options, "--layer", "0", "--out", tmp_path / "t.html", "--json")
    assert answer.code == 0
    rows = answer.records
    assert {r["emotion"] for r in rows} == EMOTIONS and {r["layer"] for r in rows} == {0}
    pages = (tmp_path / "t.html").read_text(encoding="utf-8")
    assert "<html" in pages
    assert "token" in shell("trace", "She wept.", *bank_options).out


def test_norms_list_and_show(shell):
    names = [r["name"] for r in shell("norms", "list", "--json").records]
    assert {"builtin", "warriner", "sev"} <= set(names)
    assert "warriner" in shell("norms", "list").out
    joy, nothing = shell("norms", "show", "builtin", "joy", "qzx", "--json").records
    assert joy["valence"] == pytest.approx(8.21) and nothing["valence"] is None
    assert len(shell("norms", "show", "builtin", "--json").records) == 20


def test_norms_fetch_without_network_says_where_to_put_the_file(shell, refused, monkeypatch, tmp_path_factory):
    pytest.importorskip("pooch")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        # nothing listens there
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    line = refused("norms", "fetch", "warriner")
    assert str(cache) in line and "Ratings_Warriner_et_al.csv" in line and "SHA-256" in line
    assert shell("norms", "fetch", "builtin").out.strip().endswith(".csv")


def test_models_begins_with_the_bundled_subject_and_lists_releases(shell):
    rows = shell("models", "--json").records
    assert rows[0]["model"] == "bundled"
    gemma = next(row for row in rows if row["model"] == "gemma-3-270m")
    assert (gemma["saes"], gemma["reads"], gemma["widths"]) == (4, "resid_post", "4k")
    assert sorted(path.name for path in Path(gemma["release"]).glob("layer_*")) == sorted(
        f"layer_{n}" for n in (5, 9, 12, 15)
    )
    jb = {"model": "gpt2", "release": "gpt2-small-res-jb", "saes": 13, "reads": "resid_post, resid_pre", "widths": ""}
    assert jb | {"weights": "hub"} in rows


def test_doctor_names_versions_and_what_is_missing(shell, monkeypatch, tmp_path):
    monkeypatch.setenv("EMOTION_INTERP_DATA", str(tmp_path / "nowhere"))
    answer = shell("doctor")
    assert answer.code == 0
    assert "transformer-lens" in answer.out and "EMOTION_INTERP_DATA: names no folder" in answer.out


def test_a_wide_table_in_a_pipe_is_not_cut(shell, bank_options):
    out = shell("ratings", *bank_options, "--words", "120").out
    assert "…" not in out and "ceiling" in out


@pytest.mark.parametrize("width", [40, 70, 200])
def test_a_wide_table_on_a_narrow_terminal_is_shown_in_parts(monkeypatch, capsys, width):
    import pandas as pd

    from emotion_interp.cli.progress import show_frame

    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    frame = pd.DataFrame({"layer": [0], "kind": ["dense"], **{f"number_{i}": [i + 0.25] for i in range(12)}})
    show_frame(frame, "title [0, 1]", False)
    out = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert "…" not in out and "title [0, 1]" in out
    assert all(f"{i}.250" in out for i in range(12))
    assert max(map(len, out.splitlines())) <= width
    assert out.count("dense") == 1 if width == 200 else out.count("dense") > 1


# -- run and report ----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def small_run(model_folder, sae_folder):
    options = ["run", "--model", model_folder, "--saes", sae_folder, "--layers", "1", "--languages", "en", "-q"]
    return [*options, "--permutations", "19", "--rated-words", "120", "--stages", "features,alignment,ratings"]


@pytest.fixture(scope="module")
def finished(small_run, tmp_path_factory):
    import sys

    from emotion_interp.cli import main

    folder = tmp_path_factory.mktemp("run") / "study"
    before, sys.argv = sys.argv, ["emotion-interp", *map(str, small_run), "--out", str(folder)]
    try:
        main()
    except SystemExit as leaving:
        assert not leaving.code
    finally:
        sys.argv = before
    return folder


def test_run_writes_a_study_and_report_says_where(shell, finished):
    assert (finished / "report.html").is_file() and (finished / "bank/manifest.json").is_file()
    answer = shell("report", finished)
    assert answer.code == 0
    assert answer.out.splitlines()[-1] == str(finished / "report.html")
    for stage in ("features", "alignment", "ratings"):
        assert re.search(rf"^{stage} +[\d.]+ s", answer.out, re.M)


def test_a_second_run_repeats_nothing(shell, small_run, finished):
    before = files_below(finished)
    answer = shell(*small_run, "--out", finished, "--json")
    assert answer.code == 0
    assert [(r["layer"], r["language"]) for r in answer.records] == [(1, "en")]
    assert files_below(finished) == before


def test_a_run_whose_later_files_are_gone_goes_on_there(shell, small_run, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "s")
    (tmp_path / "s/ratings.parquet").unlink()
    (tmp_path / "s/report.html").unlink()
    before = files_below(tmp_path / "s")
    assert shell(*small_run, "--out", tmp_path / "s").code == 0
    after = files_below(tmp_path / "s")
    assert {"ratings.parquet", "report.html"} <= set(after)
    # written by the stage whose other file was gone
    rewritten = ("predicted.parquet", "learning.parquet", "features_en.html", "features_zh.html")
    assert all(after[name] == before[name] for name in before if name not in ("study.json", *rewritten))


def test_ctrl_c_keeps_what_is_finished_and_the_next_run_goes_on(shell, small_run, tmp_path, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    folder = tmp_path / "s"
    with monkeypatch.context() as patch:
        patch.setattr("emotion_interp.study.run.rating_frames", interrupt)
        answer = shell(*small_run, "--out", folder)
    assert answer.code == 130
    assert "run the same command again" in answer.err and "Traceback" not in answer.err
    before = files_below(folder)
    assert "alignment.parquet" in before and "ratings.parquet" not in before and "report.html" not in before
    assert shell(*small_run, "--out", folder).code == 0
    after = files_below(folder)
    assert {"ratings.parquet", "report.html"} <= set(after)
    assert all(after[name] == before[name] for name in before if name != "study.json")


def test_train_saes_makes_a_folder_that_features_reads(shell, model_folder, tmp_path):
    text = tmp_path / "text.txt"
    words = [f"the {a} {b} was {c} again." for a in ("old", "new", "sad") for b in ("sea", "sun") for c in "abcdefgh"]
    text.write_text("\n\n".join(f"{i} {w} " * 4 for i, w in enumerate(words * 8)))
    options = ["--model", model_folder, "--text", text, "--tokens", "6000", "--d-sae", "64", "--k", "4"]
    answer = shell("train-saes", *options, "--layers", "1", "--out", tmp_path / "saes", "--json")
    assert answer.code == 0, answer.err
    assert [r["layer"] for r in answer.records] == [1]
    subject = ei.load_subject(model_folder, saes=str(tmp_path / "saes"))
    assert subject.layers == [1] and subject.readers[ei.Site(1)].d_sae == 64


def test_features_of_the_large_concept_sets_know_which_words_they_were_found_with(shell, subject_options, tmp_path):
    options = ["features", *subject_options, "--languages", "en:large,zh", "--layers", "1", "--out"]
    shell(*options, tmp_path / "b", "--max-features", "1")
    bank = ei.FeatureBank.load(tmp_path / "b")
    words = ei.concept_set("en", "large") | ei.concept_set("zh")
    assert bank.languages == ["en", "zh"] and bank.manifest["concepts_sha256"] == words.sha256
    assert concepts_of_bank(bank).sha256 == words.sha256


def test_corpora_and_scenes_are_named_by_language_whatever_the_size_of_its_concept_set():
    assert plain_languages("en:large, zh") == ["en", "zh"]
    check_choice(facts_for("bundled", None, "en:large"), languages="en:large")
    with pytest.raises(EmotionInterpError, match="no corpus is named for 'zh'"):
        corpus_texts("en=stories", "en:large,zh:large", 0, 2)
