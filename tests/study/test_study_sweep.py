"""Sweeps: the same tables as `find_features`, whatever the shards; killed, damaged, interrupted, out of memory or disk."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import time
from collections import Counter

import numpy as np
import pandas as pd
import pytest

import emotion_interp as ei
from emotion_interp.core.errors import EmotionInterpError, FileFormatError
from emotion_interp.core.files import sha256_file
from emotion_interp.study import sweep_work
from emotion_interp.study.sweep_check import read_sweep
from emotion_interp.study.sweep_plan import READ, sweep_plan
from tests.study.conftest import EMOTIONS

TABLES = ("features", "summary", "alignment")


def tables(folder):
    """The bytes of every table, by digest."""
    return {name: sha256_file(folder / f"{name}.parquet") for name in TABLES}


def done_twice(folder):
    """Units that the journal has as done more than once."""
    rows = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    return [unit for unit, n in Counter(row["unit"] for row in rows if row["event"] == "done").items() if n > 1]


@pytest.fixture(scope="module")
def whole(sweep_file, tmp_path_factory):
    """A sweep of several shards, two positions and two seeds that nothing disturbed."""
    path = sweep_file("whole", more='positions = ["last", "text"]\nseeds = [0, 1]')
    return path, ei.sweep(path, tmp_path_factory.mktemp("sweep") / "whole")


@pytest.fixture()
def forked():
    """Runs a function in a forked process of the warm interpreter; gives its pid."""
    children = []

    def start(function):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                function()
                code = 0
            except KeyboardInterrupt:
                code = 130
            except EmotionInterpError:
                code = 2
            finally:
                os._exit(code)
        children.append(pid)
        return pid

    yield start
    for pid in children:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


# -- the numbers -------------------------------------------------------------------------------------------------------
def test_one_shard_is_find_features_to_the_last_bit(sweep_file, subject_folder, tmp_path):
    path = sweep_file("one", kilobytes=10_000, more="seeds = [1]")
    bank = ei.sweep(path, tmp_path / "one").bank("tiny")
    with sweep_work.threads_pinned(1):
        subject = ei.load_subject(subject_folder / "model", saes=subject_folder / "saes")
        plain = ei.find_features(subject, ei.concept_set("en").subset(emotions=EMOTIONS), seed=1)
    plain.save(tmp_path / "plain")
    plain = ei.FeatureBank.load(tmp_path / "plain")
    for name in ("features", "summary", "activations", "rates", "words"):
        pd.testing.assert_frame_equal(getattr(bank, name), getattr(plain, name), check_exact=True)
    assert bank.scales == plain.scales and all((bank.directions[k] == v).all() for k, v in plain.directions.items())


def test_many_shards_two_seeds_and_two_positions_of_one_pass_are_find_features(whole, subject_folder):
    path, results = whole
    plan = sweep_plan(read_sweep(path))
    assert sum(unit.stage == READ for unit in plan.units) > 2
    subject = ei.load_subject(subject_folder / "model", saes=subject_folder / "saes")
    concepts = ei.concept_set("en").subset(emotions=EMOTIONS)
    for position in ("last", "text"):
        for seed in (0, 1):
            bank = results.bank("tiny", position=position, seed=seed)
            plain = ei.find_features(subject, concepts, position=position, seed=seed)
            for site, scale in plain.scales.items():
                assert bank.scales[site] == pytest.approx(scale, rel=1e-5)
            for key, vectors in plain.directions.items():
                np.testing.assert_allclose(bank.directions[key], vectors, atol=2e-5)
            keys = ["site", "emotion"]
            a, b = (x.summary.sort_values(keys).set_index(keys)["auroc_heldout"] for x in (bank, plain))
            np.testing.assert_allclose(a, b, atol=0.02)


def test_shared_beginnings_are_said_and_change_nothing_beyond_rounding(whole, sweep_file, tmp_path):
    path = sweep_file("shared", prefixes="auto", more='positions = ["last", "text"]\nseeds = [0, 1]')
    results = ei.sweep(path, tmp_path / "shared")
    units = results.table("units")
    reads = units[units["stage"] == READ]
    assert (reads["n_computed"] < 0.8 * reads["n_tokens"]).all() and set(results.summary["reading"]) == {"shared"}
    assert set(whole[1].summary["reading"]) == {"plain"}
    chosen = {"position": "last", "seed": 0}
    one, two = (r.bank("tiny", **chosen).directions for r in (results, whole[1]))
    assert all(np.allclose(one[key], value, atol=2e-5) for key, value in two.items())


def test_several_worker_processes_give_the_same_bits(whole, tmp_path):
    path, results = whole
    ei.sweep(path, tmp_path / "two", workers=2)
    assert tables(tmp_path / "two") == tables(results.path)
    assert not done_twice(tmp_path / "two")


# -- what goes wrong ---------------------------------------------------------------------------------------------------
def test_killed_at_random_moments_it_ends_with_the_same_tables_and_does_nothing_twice(whole, tmp_path, forked):
    path, results = whole
    out, rng = tmp_path / "killed", random.Random(0)
    kills = 0
    for _ in range(200):
        pid = forked(lambda: ei.sweep(path, out))
        deadline = time.monotonic() + rng.uniform(0.02, 1.2)
        ended = 0
        while not ended and time.monotonic() < deadline:
            ended, _ = os.waitpid(pid, os.WNOHANG)
            time.sleep(0.005)
        if ended:
            break
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        kills += 1
        if kills == 20:
            break
    assert kills >= 3, "too fast to be killed"
    ei.sweep(path, out)
    assert tables(out) == tables(results.path) and not done_twice(out)
    assert not [p for p in (out / "units").iterdir() if p.name.startswith(".")], "half a unit is left"


def test_a_damaged_unit_is_said_and_done_again_and_only_it(whole, tmp_path):
    path, results = whole
    out = tmp_path / "damaged"
    shutil.copytree(results.path, out)
    unit = next(u for u in sweep_plan(read_sweep(path)).units if u.stage == READ)
    file = out / "units" / unit.id / "readings.safetensors"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    before = {p.name: (p / "unit.json").stat().st_mtime_ns for p in (out / "units").iterdir()}
    with pytest.warns(UserWarning, match=r"shard 1: its files were changed or damaged"):
        ei.sweep(path, out)
    after = {p.name: (p / "unit.json").stat().st_mtime_ns for p in (out / "units").iterdir()}
    assert {name for name in before if before[name] != after[name]} == {unit.id}
    assert tables(out) == tables(results.path)


def test_a_finished_sweep_started_again_loads_nothing(whole, monkeypatch):
    path, results = whole
    monkeypatch.setattr(sweep_work, "load_entry", lambda entry: pytest.fail("a subject was loaded"))
    again = ei.sweep(path, results.path)
    assert tables(again.path) == tables(results.path)


def test_a_full_disk_stops_with_one_line_and_keeps_what_is_done(whole, tmp_path, forked):
    path, results = whole
    out = tmp_path / "full"

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        # readings do not fit, records do
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        with pytest.raises(EmotionInterpError, match="space left"):
            ei.sweep(path, out)

    _, status = os.waitpid(forked(limited), 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert ei.sweep_status(out).state == "stopped"
    ei.sweep(path, out)
    assert tables(out) == tables(results.path)


@pytest.fixture(autouse=True)
def interrupts():
    """A suite that a shell runs in the background inherits ignored interrupts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_ends_cleanly_and_says_how_to_go_on(whole, tmp_path):
    path, results = whole
    out = tmp_path / "interrupted"

    def press(what, done, total):
        if done == 2:
            signal.raise_signal(signal.SIGINT)

    with (
        pytest.warns(UserWarning, match=r"interrupted; 2 of \d+ units are done and kept .* goes on"),
        pytest.raises(KeyboardInterrupt),
    ):
        ei.sweep(path, out, progress=press)
    status = ei.sweep_status(out)
    assert status.state == "stopped" and int(status.frame["done"].sum()) == 2
    assert "run the same command again" in status.line
    ei.sweep(path, out)
    assert tables(out) == tables(results.path) and not done_twice(out)


def test_where_memory_runs_out_batches_are_halved_once_for_all_and_the_tables_say_so(whole, tmp_path, monkeypatch):
    path, results = whole
    load, passes = sweep_work.load_entry, []

    def small(entry):
        subject = load(entry)

        def refuse(module, args, kwargs):
            ids = args[0] if args else kwargs["input_ids"]
            passes.append(ids.numel())
            if ids.numel() > 1024:
                raise RuntimeError(
                    "DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes. not enough memory"
                )

        subject.model.original_model.register_forward_pre_hook(refuse, with_kwargs=True)
        return subject

    monkeypatch.setattr(sweep_work, "load_entry", small)
    with pytest.warns(UserWarning, match="out of memory: .* batches of 1024 tokens .* not 2048") as told:
        halved = ei.sweep(path, tmp_path / "halved")
    assert sum("out of memory" in str(w.message) for w in told) == 1
    assert sum(size > 1024 for size in passes) == 1, "later shards begin with the smaller batch"
    assert set(halved.summary["reading"]) == {"halved"}
    one, two = (r.bank("tiny", position="text", seed=0).directions for r in (halved, results))
    assert all(np.allclose(one[key], value, atol=2e-5) for key, value in two.items())


def test_a_second_sweep_in_the_folder_is_refused_and_status_names_the_first(whole, tmp_path):
    path, _ = whole
    out, seen = tmp_path / "held", []

    def look(what, done, total):
        if not seen:
            seen.append(ei.sweep_status(out))
            with pytest.raises(EmotionInterpError, match=f"process {os.getpid()} on .*another --out"):
                ei.sweep(path, out)

    ei.sweep(path, out, progress=look)
    status = seen[0]
    assert status.state == "running" and status.holder["pid"] == os.getpid() and not status.failed
    assert ei.sweep_status(out).state == "finished"


def test_a_clock_that_goes_back_changes_nothing(whole, tmp_path, monkeypatch):
    path, results = whole
    ticks = iter(range(10**9, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(ticks)))
    out = tmp_path / "back"
    with pytest.warns(UserWarning, match="interrupted"), pytest.raises(KeyboardInterrupt):
        ei.sweep(path, out, progress=lambda what, done, total: signal.raise_signal(signal.SIGINT))
    assert ei.sweep_status(out).state == "stopped"
    ei.sweep(path, out)
    assert tables(out) == tables(results.path) and not done_twice(out)


def test_a_subject_that_fails_leaves_the_others_their_tables(sweep_file, subject_folder, tmp_path):
    shutil.copytree(subject_folder / "saes", subject_folder / "broken", dirs_exist_ok=True)
    (subject_folder / "broken" / "layer_1" / "sae_weights.safetensors").write_bytes(b"nothing")
    path = sweep_file("broken", subjects=("tiny", "other"))
    path.write_text(path.read_text()[::-1].replace('"saes"'[::-1], '"broken"'[::-1], 1)[::-1])
    with pytest.warns(UserWarning, match=r"\d+ of \d+ units failed; the tables are without them"):
        results = ei.sweep(path, tmp_path / "broken")
    assert set(results.summary["subject"]) == {"tiny"} and all(title.startswith("other") for title in results.failed)
    assert any("no readable SAELens SAE" in said for said in results.failed.values())
    status = ei.sweep_status(tmp_path / "broken")
    assert status.state == "finished" or status.failed


def test_weights_that_changed_between_shards_are_refused(whole, tmp_path, monkeypatch):
    path, results = whole
    out = tmp_path / "changed"
    shutil.copytree(results.path, out)
    plan = sweep_plan(read_sweep(path))
    for unit in plan.units:
        if unit.stage != READ:
            shutil.rmtree(out / "units" / unit.id)
    monkeypatch.setattr(sweep_work, "fingerprint", lambda subject: "another")
    with pytest.warns(UserWarning, match="the weights of tiny are others"):
        ei.sweep(path, out)


# -- what there is -----------------------------------------------------------------------------------------------------
def test_the_estimate_counts_tokens_and_what_is_done(whole, tmp_path):
    path, results = whole
    frame = ei.sweep_estimate(path, tmp_path / "nothing").to_frame().set_index("stage")
    units = results.table("units")
    reads = units[units["stage"] == READ]
    assert frame.loc["read", "tokens"] == reads["n_tokens"].sum() and frame.loc["read", "done"] == 0
    assert frame.loc["read", "seconds_left"] > 0 and not (tmp_path / "nothing").exists()
    done = ei.sweep_estimate(path, results.path).to_frame()
    assert (done["done"] == done["units"]).all() and (done["seconds_left"] == 0).all()


def test_tables_are_checked_and_folders_that_are_none_are_refused(whole, tmp_path):
    _, results = whole
    shutil.copytree(results.path, tmp_path / "copy")
    (tmp_path / "copy" / "summary.parquet").write_bytes(b"x")
    with pytest.raises(FileFormatError, match="was changed"):
        _ = ei.load_sweep(tmp_path / "copy").summary
    with pytest.raises(FileFormatError, match="no folder of a sweep"):
        ei.load_sweep(tmp_path)
    with pytest.raises(FileFormatError, match="no folder of a sweep"):
        ei.sweep_status(tmp_path)


def test_depth_is_relative_and_every_table_names_its_unit(whole):
    _, results = whole
    for name in TABLES:
        table = results.table(name)
        assert {"subject", "stimuli", "position", "seed", "depth", "reading"} <= set(table)
        kept = table[table["layer"] >= 0]
        np.testing.assert_allclose(kept["depth"], (kept["layer"] + 1) / 3)
    assert set(map(tuple, results.summary[["position", "seed"]].drop_duplicates().to_numpy())) == {
        ("last", 0),
        ("last", 1),
        ("text", 0),
        ("text", 1),
    }
