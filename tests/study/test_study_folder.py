"""Two runs in one folder, banks replaced or added to, kills in the middle of a stage."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import emotion_interp as ei
from emotion_interp.bank.added import with_added_directions
from emotion_interp.core import EmotionInterpError, FileFormatError
from emotion_interp.core.files import read_json, write_signed_json
from emotion_interp.study.bank_stage import identity, known_bank, placed_bank
from emotion_interp.study.lock import LOCK, held
from emotion_interp.study.store import UNITS, StudyFolder

HOLDER = """
import sys, time
from pathlib import Path
from emotion_interp.study.lock import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def bank_stage(folder, key, make):
    """The bank of a folder, and whether it was made."""
    known = known_bank(folder, key)
    return (placed_bank(folder, key, make(), 0.0), True) if known is None else (known, False)


@pytest.fixture()
def holder(tmp_path):
    """Another process that holds the folder."""
    root = str(Path(ei.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None and process.stdout.readline().strip() == "held"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_run_in_a_folder_is_refused_with_the_name_of_the_holder(tmp_path, holder):
    with pytest.raises(EmotionInterpError) as caught, StudyFolder(tmp_path).held():
        pass
    line = str(caught.value)
    assert f"process {holder.pid} on " in line and "since 20" in line and "another --out" in line and "\n" not in line


def test_the_lock_of_a_killed_run_is_taken(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / LOCK).exists()
    with StudyFolder(tmp_path).held():
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert not (tmp_path / LOCK).exists()


def test_two_in_one_process_and_a_lock_whose_file_was_taken_away(tmp_path):
    with held(tmp_path):
        with pytest.raises(EmotionInterpError, match=f"process {os.getpid()} "), held(tmp_path):
            pass
        (tmp_path / LOCK).unlink()
    with held(tmp_path):
        (tmp_path / LOCK).write_text("no JSON")
        with pytest.raises(EmotionInterpError, match="being written by another run. Wait"), held(tmp_path):
            pass


def test_what_killed_runs_left_in_a_study_folder_is_swept(tmp_path):
    (tmp_path / ".a.parquet.new-000000-99999999-1-01234567.parquet").write_text("half")
    os.utime(tmp_path / ".a.parquet.new-000000-99999999-1-01234567.parquet")
    with StudyFolder(tmp_path).held():
        mine = tmp_path / ".study.json.x"
        mine.touch()
    assert mine.exists(), "a file of the user's is nobody's temporary"


def test_a_record_that_was_changed_is_refused(tmp_path):
    folder = StudyFolder(tmp_path)
    folder.run("a", 1, lambda: [folder.write_frame("a.parquet", pd.DataFrame({"x": [1]}))])
    text = (tmp_path / "study.json").read_text()
    (tmp_path / "study.json").write_text(text.replace('"seconds": 0', '"seconds": 1'))
    with pytest.raises(FileFormatError, match="changed after it was saved"):
        StudyFolder(tmp_path)


# -- the bank ----------------------------------------------------------------------------------------------------------
@pytest.fixture()
def made(tiny_bank, tmp_path):
    """A folder with the bank of a run."""
    folder = StudyFolder(tmp_path / "study")
    bank, ran = bank_stage(folder, "one", lambda: tiny_bank)
    assert ran
    return folder, bank


def never():
    raise AssertionError("the bank was found again")


def added(bank, place):
    """What `features describe` and `features directions` do to a bank."""
    keys = bank.features[["layer", "site", "language", "emotion", "feature"]].head(3)
    more = bank.with_table("controls", keys.assign(lexical=False))
    extra = {k._replace(method="trained"): v + 1 for k, v in bank.directions.items() if k.method == "dense"}
    more = with_added_directions(more, "trained", extra, {"steps": 3})
    more.save(place)
    return more


def other(bank):
    """The bank of other settings."""
    return ei.FeatureBank(**{**vars(bank), "manifest": {**bank.manifest, "seed": 99}})


def test_what_was_added_to_a_bank_stays_in_it(made):
    folder, bank = made
    added(bank, folder.path / "bank")
    again, ran = bank_stage(StudyFolder(folder.path), "one", never)
    assert not ran and "controls" in again.extras and "trained" in again.methods
    assert identity(again)["core"] == identity(bank)["core"]
    assert set(identity(again)["added"]) == {"table controls", "directions trained"}


def test_a_bank_with_additions_is_not_replaced_by_one_of_other_settings(made):
    folder, bank = made
    added(bank, folder.path / "bank")
    before = (folder.path / "bank" / "manifest.json").read_bytes()
    with pytest.raises(EmotionInterpError, match=r"added \(directions trained, table controls\).*another --out"):
        bank_stage(folder, "two", lambda: other(bank))
    assert (folder.path / "bank" / "manifest.json").read_bytes() == before
    assert not bank_stage(StudyFolder(folder.path), "one", never)[1]


def test_a_bank_without_additions_is_replaced_and_known_by_its_content(made):
    folder, bank = made
    second, ran = bank_stage(folder, "two", lambda: other(bank))
    assert ran and second.manifest["seed"] == 99
    assert bank_stage(folder, "one", lambda: bank)[0].manifest["seed"] == bank.manifest["seed"]


def test_a_bank_that_was_replaced_by_another_is_noticed(made, tiny_bank):
    folder, bank = made
    other(bank).save(folder.path / "bank")
    again, ran = bank_stage(StudyFolder(folder.path), "one", lambda: tiny_bank)
    assert ran and identity(again) == identity(bank)


def test_a_bank_that_no_run_made_is_not_replaced(tiny_bank, tmp_path):
    other(tiny_bank).save(tmp_path / "bank")
    with pytest.raises(EmotionInterpError, match="no run in this folder made"):
        bank_stage(StudyFolder(tmp_path), "one", lambda: tiny_bank)
    added(tiny_bank, tmp_path / "bank")
    kept, _ = bank_stage(StudyFolder(tmp_path), "one", lambda: tiny_bank)
    assert "trained" in kept.methods, "the same features: the bank that is there is as good"


def test_a_damaged_bank_with_additions_is_set_aside(made, tiny_bank):
    folder, bank = made
    added(bank, folder.path / "bank")
    (folder.path / "bank" / "words.parquet").write_bytes(b"x")
    with pytest.warns(UserWarning, match=r"controls.*is kept in .*bank\.damaged1"):
        again, ran = bank_stage(StudyFolder(folder.path), "one", lambda: tiny_bank)
    assert ran and identity(again) == identity(bank)
    assert (folder.path / "bank.damaged1" / "controls.parquet").is_file()


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_kill_while_a_bank_is_put_into_place_loses_nothing(made, at, monkeypatch):
    """Other settings, killed at each write of the record around it: the next run neither refuses nor mixes."""
    folder, bank = made

    class Killed(BaseException):
        pass

    count, save = 0, StudyFolder.save

    def counted(self):
        nonlocal count
        count += 1
        if count == at:
            raise Killed
        save(self)

    with monkeypatch.context() as patch:
        patch.setattr(StudyFolder, "save", counted)
        try:
            bank_stage(folder, "two", lambda: other(bank))
        except Killed:
            assert at < 3
    fresh = StudyFolder(folder.path)
    assert bank_stage(fresh, "two", lambda: other(bank))[0].manifest["seed"] == 99
    assert not bank_stage(StudyFolder(folder.path), "two", never)[1]


# -- parts of a stage --------------------------------------------------------------------------------------------------
def test_a_part_is_made_once_and_a_damaged_or_changed_one_again(tmp_path):
    folder, count = StudyFolder(tmp_path), []
    frame = pd.DataFrame({"x": [0.1, np.nan], "in_window": np.asarray([True, None], dtype=object), "note": ["", "no"]})

    def make():
        count.append(1)
        return frame

    first = folder.unit(["a"], make)
    again = StudyFolder(tmp_path).unit(["a"], make)
    assert len(count) == 1
    pd.testing.assert_frame_equal(first, again)
    assert first["in_window"].tolist() == [True, None]
    file = next((tmp_path / UNITS).rglob("unit.parquet"))
    whole = bytearray(file.read_bytes())
    whole[len(whole) // 2] ^= 1
    file.write_bytes(bytes(whole))
    folder.unit(["a"], make)
    record = file.with_name("unit.json")
    write_signed_json(record, {**read_json(record), "key": "other"})
    folder.unit(["a"], make)
    record.write_text("{")
    folder.unit(["a"], make)
    assert len(count) == 4
    folder.clear_units()
    assert not (tmp_path / UNITS).exists()


def test_a_killed_steering_stage_goes_on_and_ends_with_the_same_tables(tiny_bank_for_steering, tmp_path, monkeypatch):
    """Killed after each part in turn: every part is made once, and the tables are those of a run in one go."""
    from emotion_interp.study import StudySettings
    from emotion_interp.study import steering_stage as stage

    subject, bank = tiny_bank_for_steering
    settings = StudySettings(
        n_random=5, doses=(0.5,), new_tokens=2, steering_emotions=("joy", "anger"), methods=("dense",)
    )
    whole = stage.steering_frames(subject, bank, settings)

    class Killed(BaseException):
        pass

    unit, made = StudyFolder.unit, []
    folder = StudyFolder(tmp_path)

    def killed(self, key, make):
        def counted():
            made.append(json.dumps(key))
            return make()

        before = len(made)
        frame = unit(self, key, counted)
        if len(made) > before:
            raise Killed
        return frame

    monkeypatch.setattr(StudyFolder, "unit", killed)
    for _ in range(20):
        try:
            parts = stage.steering_frames(subject, bank, settings, None, folder, "key")
            break
        except Killed:
            continue
    assert len(made) == len(set(made)) >= len(bank.layers)
    for name, frame in whole.items():
        pd.testing.assert_frame_equal(parts[name], frame, check_dtype=False)


FEW = {"n_random": 5, "new_tokens": 2, "steering_emotions": ("joy", "anger"), "methods": ("dense",)}


def test_steering_tries_the_layers_that_are_asked_for_and_no_others(tiny_bank_for_steering):
    from emotion_interp.study import StudySettings
    from emotion_interp.study import steering_stage as stage

    subject, bank = tiny_bank_for_steering
    assert len(bank.layers) == 2
    with pytest.warns(UserWarning, match="with 5 random directions"):
        frame = stage.steering_frames(subject, bank, StudySettings(**FEW, doses=(0.5,), steered_layers=(1,)))[
            "steering"
        ]
    assert set(frame["layer"].dropna()) == {1}
    with pytest.raises(EmotionInterpError, match=r"layer to steer '0'.*1"):
        StudySettings(layers=(1,), steered_layers=(0,)).check_for(subject, ei.concept_set("en"))


def test_kept_answers_of_random_directions_are_taken_and_those_of_other_settings_are_not(
    tiny_bank_for_steering, tmp_path, monkeypatch
):
    """Kept beside a shipped bank: a study makes the same tables without asking; another seed asks anew."""
    from emotion_interp.experiments import nulls
    from emotion_interp.study import StudySettings
    from emotion_interp.study import steering_stage as stage

    subject, bank = tiny_bank_for_steering
    shipped, asked, judged = tmp_path / "shipped", [], nulls.judged
    monkeypatch.setattr(stage, "shipped_folder", lambda name: shipped)
    monkeypatch.setattr(nulls, "judged", lambda *given: asked.append(1) or judged(*given))

    def steered(name, seed=0):
        del asked[:]
        settings = StudySettings(**FEW, doses=(0.5,), stimuli="shipped", seed=seed)
        with pytest.warns(UserWarning, match="with 5 random directions"):
            return stage.steering_frames(subject, bank, settings, folder=StudyFolder(tmp_path / name), key="key")

    first = steered("first")
    assert asked
    (tmp_path / "first" / UNITS / "random").rename(tmp_path / "random")
    shipped.mkdir()
    (tmp_path / "random").rename(shipped / stage.NULLS)
    second = steered("second")
    assert not asked
    for name, frame in first.items():
        pd.testing.assert_frame_equal(second[name], frame, check_dtype=False)
    steered("third", seed=1)
    assert asked


@pytest.fixture(scope="module")
def tiny_bank_for_steering(tmp_path_factory):
    """A vocabulary large enough that emotion words are single tokens, which the next-word judge needs."""
    from transformers import PreTrainedTokenizerFast

    from tests.conftest import make_gpt2, make_sae, make_tokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    make_tokenizer(vocab=4000).save_pretrained(str(folder))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(folder))
    subject = ei.Subject(make_gpt2(tokenizer), saes=[make_sae(0), make_sae(1)], tokenizer=tokenizer, name="tiny")
    bank = ei.find_features(subject, ei.concept_set("en").subset(emotions=["anger", "fear", "joy"]))
    subject.scales.update(bank.scales)
    return subject, bank


def test_the_clock_of_a_lock_is_that_of_its_holder(tmp_path):
    with held(tmp_path):
        since = json.loads((tmp_path / LOCK).read_text())["since"]
        assert since.endswith("+00:00") and abs(time.time() - pd.Timestamp(since).timestamp()) < 60
