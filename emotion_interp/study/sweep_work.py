"""What a worker does: one unit of a sweep at a time, with the subject of the last one still loaded."""

from __future__ import annotations

import gc
import os
import shutil
import socket
import sys
import time
from typing import TYPE_CHECKING

import pandas as pd
from threadpoolctl import threadpool_limits

from emotion_interp.activations.several import SKIP
from emotion_interp.bank import FeatureBank
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.memory import give_back, one_heap
from emotion_interp.features import Selection
from emotion_interp.features.options import FoundOptions
from emotion_interp.features.search import bank_from_design
from emotion_interp.study.settings import StudySettings
from emotion_interp.study.stages import alignment_frames, rating_frames
from emotion_interp.study.steering_stage import steering_frames
from emotion_interp.study.store import StudyFolder
from emotion_interp.study.sweep_file import SweepFile
from emotion_interp.study.sweep_plan import FEATURES, READ, SweepPlan, Unit, sweep_plan
from emotion_interp.study.sweep_reading import FILE, how_read, joined_readings, read_shard, save_readings
from emotion_interp.study.sweep_store import SweepFolder
from emotion_interp.study.sweep_subjects import fingerprint, load_entry, sites_of

if TYPE_CHECKING:
    from emotion_interp.subjects import Subject

PARTS = "parts"
"""Folder of the parts of steering units that are not finished."""


class SweepJob:
    """Does units of a sweep; sent to a worker as text, loaded there.

    Args:
        folder: of the sweep.
        settings: a checked sweep.toml as JSON.
        threads: of torch and of linear algebra.
    """

    def __init__(self, folder: str, settings: str, threads: int) -> None:
        self.path, self.settings, self.threads = folder, settings, threads
        self._plan: SweepPlan | None = None
        self._subject: tuple[str, Subject, str] | None = None
        self._budget: dict[str, int] = {}

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_plan": None, "_subject": None, "_budget": {}}

    def using(self, plan: SweepPlan) -> SweepJob:
        """The job with a plan that is made already, for work in the same process."""
        self._plan = plan
        return self

    @property
    def plan(self) -> SweepPlan:
        if self._plan is None:
            self._plan = sweep_plan(SweepFile.model_validate_json(self.settings))
        return self._plan

    def __call__(self, unit_id: str) -> dict[str, object]:
        """Do one unit; returns its facts.

        Raises:
            EmotionInterpError: what a user can mend.
        """
        unit, folder = self.plan.by_id[unit_id], SweepFolder(self.path)
        if not folder.path.is_dir():
            raise EmotionInterpError(
                f"{folder.path} is not there on {socket.gethostname()}; a sweep over several machines needs its folder on "
                "storage that all of them see."
            )
        with threads_pinned(self.threads), one_heap():
            if folder.is_done(unit_id):
                # another worker, taken for lost, has come to an end with it
                return {**(folder.facts(unit_id) or {}), "again": True}
            try:
                return self._read(unit, folder) if unit.stage == READ else self._analyse(unit, folder)
            finally:
                give_back()

    def _loaded(self, unit: Unit) -> Subject:
        if self._subject is None or self._subject[0] != unit.subject:
            if self._subject is not None:
                # a model and its hooks are circles: without this two would be in memory
                self._subject = None
                gc.collect()
            subject = load_entry(self.plan.entry(unit.subject))
            self._subject = unit.subject, subject, fingerprint(subject)
        return self._subject[1]

    def _facts(self, unit: Unit, began: float, **more: object) -> dict[str, object]:
        told = {"stage": unit.stage, "subject": unit.subject, "kind": unit.kind, "position": unit.position}
        told |= {"seed": unit.seed, "shard": unit.shard, "seconds": round(time.monotonic() - began, 3)}
        return (
            told
            | {"host": socket.gethostname(), "pid": os.getpid(), "threads": self.threads, "peak_mb": peak_mb()}
            | more
        )

    def _read(self, unit: Unit, folder: SweepFolder) -> dict[str, object]:
        subject = self._loaded(unit)
        began = time.monotonic()
        sites = sites_of(self.plan.entry(unit.subject), subject)
        budget = self._budget.get(unit.subject, self.plan.file.reading.batch_tokens)
        shard = self.plan.shards[unit.shard]
        found, how = read_shard(subject, sites, shard, self.plan.file, budget)
        self._budget[unit.subject] = int(how["batch_tokens"])
        assert self._subject is not None
        more = {"fingerprint": self._subject[2], "device": str(subject.device), "n_layers": subject.n_layers}
        facts = self._facts(unit, began, **how, **more)
        with folder.writing(unit.id, facts) as place:
            save_readings(place, found)
        return facts

    def _analyse(self, unit: Unit, folder: SweepFolder) -> dict[str, object]:
        subject = self._loaded(unit)
        began = time.monotonic()
        if unit.stage == FEATURES:
            bank, how = self._bank(unit, folder, subject)
            with folder.writing(unit.id, self._facts(unit, began, **how)) as place:
                bank.save(place / "bank")
        else:
            bank = FeatureBank.load(folder.place(unit.needs[0]) / "bank")
            before = folder.facts(unit.needs[0]) or {}
            frames = self._frames(unit, folder, subject, bank)
            how = {"reading": before.get("reading", "plain"), "n_layers": subject.n_layers}
            with folder.writing(unit.id, self._facts(unit, began, **how)) as place:
                for name, frame in frames.items():
                    frame.to_parquet(place / f"{name}.parquet", index=False)
        return folder.facts(unit.id) or {}

    def _bank(self, unit: Unit, folder: SweepFolder, subject: Subject) -> tuple[FeatureBank, dict[str, object]]:
        plan, reads = self.plan, [self.plan.by_id[need] for need in unit.needs]
        facts = [folder.facts(read.id) or {} for read in reads]
        assert self._subject is not None
        for read, fact in zip(reads, facts, strict=True):
            if fact.get("fingerprint") != self._subject[2]:
                raise EmotionInterpError(
                    f"the weights of {unit.subject} are others than those that {read.title} was read with; give another "
                    f"--out, or delete {folder.path}."
                )
        shards = [(plan.shards[read.shard], folder.place(read.id) / FILE) for read in reads]
        sites = sites_of(plan.entry(unit.subject), subject)
        readings = joined_readings(shards, plan.cell_of_units(unit.kind, unit.seed), sites, unit.position)
        place = {"position": unit.position, "skip": SKIP, "kind": unit.kind, "seed": unit.seed}
        how = FoundOptions(selection=Selection(**plan.file.selection.model_dump()), **place)
        bank = bank_from_design(subject, plan.concepts, plan.design(unit.kind, unit.seed), readings, how)
        return bank, {"reading": how_read(facts), "n_layers": subject.n_layers}

    def _frames(self, unit: Unit, folder: SweepFolder, subject: Subject, bank: FeatureBank) -> dict[str, pd.DataFrame]:
        file = self.plan.file
        if unit.stage == "alignment":
            settings = StudySettings(stimuli=unit.kind, seed=unit.seed, n_permutations=file.alignment.permutations)
            frames = alignment_frames(subject, bank, self.plan.norms, settings, concepts=self.plan.concepts)
            own = frames["alignment"]
            # the texts alone stand beside whatever kinds are asked for
            left_out = {"features", "dense"} - set(file.alignment.kinds)
            return {"alignment": pd.DataFrame(own[~own["kind"].isin(sorted(left_out))])}
        if unit.stage == "ratings":
            settings = StudySettings(seed=unit.seed, max_rated_words=file.ratings.max_words)
            return {"ratings": rating_frames(subject, bank, self.plan.norms, settings)["ratings"]}
        grid = file.steering
        settings = StudySettings(
            seed=unit.seed,
            steering_emotions=tuple(grid.emotions),
            doses=tuple(grid.doses),
            methods=tuple(grid.methods),
            n_random=grid.n_random,
            new_tokens=grid.new_tokens,
            judge=grid.judge,
        )
        parts = StudyFolder(folder.path / PARTS / unit.id)
        frame = steering_frames(subject, bank, settings, folder=parts, key=unit.id)["steering"]
        shutil.rmtree(parts.path, ignore_errors=True)
        return {"steering": frame}


def peak_mb() -> int:
    """Most memory this process ever had, in MiB; 0 where the system does not say."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform != "darwin" else 1024**2)


class threads_pinned:
    """Inside it torch and linear algebra use so many threads; sums in another order have other last bits."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def __enter__(self) -> None:
        import torch

        self._before = torch.get_num_threads()
        self._limits = threadpool_limits(self.threads)
        torch.set_num_threads(self.threads)

    def __exit__(self, *error: object) -> None:
        import torch

        torch.set_num_threads(self._before)
        self._limits.restore_original_limits()
