"""Sweep files and folders as an enemy, or a tired user, would have them: refused before anything is loaded."""

from __future__ import annotations

import pytest

import emotion_interp as ei
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.study.sweep_check import SweepFileError, read_sweep
from emotion_interp.study.sweep_store import SweepFolder

SUBJECT = '[[subjects]]\nmodel = "bundled"\n'
STEERING = 'analyses = ["features", "steering"]\n'
WRONG = {
    # text of the file -> line, place, what is said of it
    f'positions = ["last", "text", "last"]\n{SUBJECT}': (1, "positions", "'last' stands in this list more than once"),
    f"seeds = [0, 1,\n 0]\n{SUBJECT}": (1, "seeds", "0 stands in this list more than once"),
    f'analyses = ["features", "features"]\n{SUBJECT}': (1, "analyses", "more than once"),
    f"{SUBJECT}layers = [1, 1]\n": (3, "subjects.1.layers", "1 stands in this list more than once"),
    f"emotions = []\n{SUBJECT}": (1, "emotions", "at least 1 item"),
    f"positions = []\n{SUBJECT}": (1, "positions", "at least 1 item"),
    f"{SUBJECT}layers = []\n": (3, "subjects.1.layers", "at least 1 item"),
    f"{SUBJECT}saes = []\n": (3, "subjects.1.saes", "at least 1 item"),
    f"{STEERING}[steering]\ndoses = []\n{SUBJECT}": (3, "steering.doses", "at least 1 item"),
    f"{STEERING}[steering]\ndoses = [0.5, nan]\n{SUBJECT}": (3, "steering.doses.2", "finite number, got nan"),
    f"{STEERING}[steering]\nn_random = 10000000000\n{SUBJECT}": (3, "steering.n_random", "less than or equal to"),
    f"seeds = [99999999999999999999]\n{SUBJECT}": (1, "seeds.1", "less than or equal to"),
    f"[engine]\nworkers = 100000\n{SUBJECT}": (2, "engine.workers", "less than or equal to"),
    f'languages = ["es"]\n{STEERING}{SUBJECT}': (2, "analyses", "steering needs one of the languages en, zh"),
    f'emotions = ["joy", "fear"]\n{STEERING}[steering]\nemotions = ["joy", "anger"]\n{SUBJECT}': (
        4,
        "steering.emotions",
        "'anger' is none of the sweep's emotions",
    ),
    f'{SUBJECT}name = "a\\nb"\n': (3, "subjects.1.name", r"got 'a\nb'"),
    f'{SUBJECT}name = "a\\u202eb"\n': (3, "subjects.1.name", "printable"),
    f'{SUBJECT}name = "  "\n': (3, "subjects.1.name", "printable"),
    f'{SUBJECT}device = "cuda:x"\n': (3, "subjects.1.device", "auto, cpu, cuda"),
    f'{SUBJECT}dtype = "float7"\n': (3, "subjects.1.dtype", "one of float32"),
    f'out = "sweep.toml"\n{SUBJECT}': (1, "out", "is a file"),
    '[[subjects]]\nmodel = "sweep.toml"\nsaes = "."\n': (2, "subjects.1.model", "is no GGUF file"),
    f'{SUBJECT}saes = [{{release = ".", sparsity = -3}}]\n': (3, "subjects.1.saes.1.sparsity", "greater than 0"),
}


@pytest.mark.parametrize("text", WRONG)
def test_what_cannot_be_meant_is_refused_on_its_line(tmp_path, text):
    line, place, said = WRONG[text]
    (tmp_path / "sweep.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SweepFileError) as caught:
        read_sweep(tmp_path / "sweep.toml")
    (mistake,) = caught.value.mistakes
    assert (mistake.line, mistake.place) == (line, place) and said in mistake.message
    assert "\n" not in str(caught.value)


def test_names_in_any_script_and_a_byte_order_mark_are_fine(tmp_path):
    (tmp_path / "sweep.toml").write_text(f'\ufeff{SUBJECT}name = "感情 ÿ"\n', encoding="utf-8")
    assert read_sweep(tmp_path / "sweep.toml").subjects[0].called == "感情 ÿ"


# -- folders -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["features.parquet", "summary.parquet", "study.json"])
def test_a_folder_with_tables_of_something_else_is_left_alone(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(EmotionInterpError, match=f"has a {name} that is of no sweep"), SweepFolder(tmp_path).held():
        pass
    assert (tmp_path / name).read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    # what a read-only folder is to a user is this to root, who may write everywhere else
    (tmp_path / ".lock").mkdir()
    with pytest.raises(EmotionInterpError, match="cannot write in .*Give another --out"), SweepFolder(tmp_path).held():
        pass
    with (
        pytest.raises(EmotionInterpError, match="cannot make the folder"),
        SweepFolder("/proc/self/fdinfo/sweep").held(),
    ):
        pass


def test_tables_of_another_sweep_are_replaced_with_a_word_and_its_units_stay(sweep_file, tmp_path):
    only = {"analyses": ("features",), "kilobytes": 10_000}
    first = ei.sweep(sweep_file("first", more='positions = ["last"]', **only), tmp_path / "out")
    units = {path.name for path in (tmp_path / "out" / "units").iterdir()}
    with pytest.warns(UserWarning, match="has the tables of another sweep"):
        second = ei.sweep(sweep_file("second", more='positions = ["text"]', **only), tmp_path / "out")
    assert units < {path.name for path in (tmp_path / "out" / "units").iterdir()}
    assert set(second.summary["position"]) == {"text"}
    with pytest.raises(EmotionInterpError, match="was changed or is missing"):
        first.table("summary")


# -- analyses of the file ----------------------------------------------------------------------------------------------
def test_ratings_and_steering_are_those_of_a_study_on_the_same_bank(sweep_file, subject_folder, tmp_path):
    from emotion_interp.study.settings import StudySettings
    from emotion_interp.study.stages import rating_frames
    from emotion_interp.study.steering_stage import steering_frames
    from tests.study.conftest import EMOTIONS

    path = sweep_file("every", kilobytes=10_000, analyses=("features", "ratings", "steering"))
    grid = 'emotions = ["joy", "anger"]\ndoses = [0.5]\nmethods = ["dense"]\nn_random = 3\nnew_tokens = 3\njudge = "classifier"'
    path.write_text(f"{path.read_text()}\n[ratings]\nmax_words = 80\n[steering]\n{grid}\n")
    results = ei.sweep(path, tmp_path / "out")
    assert not results.failed and set(results.steering["emotion"]) == {"joy", "anger"}
    assert {"subject", "stimuli", "position", "seed", "reading"} <= set(results.ratings) & set(results.steering)
    subject = ei.load_subject(str(subject_folder / "model"), saes=str(subject_folder / "saes"))
    settings = StudySettings(
        max_rated_words=80,
        steering_emotions=("joy", "anger"),
        doses=(0.5,),
        methods=("dense",),
        n_random=3,
        new_tokens=3,
        judge="classifier",
    )
    bank = results.bank("tiny")
    assert set(bank.emotions) == set(EMOTIONS)
    rated = rating_frames(subject, bank, ei.load_norms("builtin"), settings)["ratings"]
    steered = steering_frames(subject, bank, settings)["steering"]
    for made, plain in ((results.ratings, rated), (results.steering, steered)):
        assert made[list(plain)].to_csv(index=False) == plain.reset_index(drop=True).to_csv(index=False)
