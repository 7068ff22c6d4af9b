"""A study as a declared list of stages: what each reads, which choices decide it, what makes it, and what it writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion_interp.core.files import sha256_file, sha256_of
from emotion_interp.study.settings import StudySettings, fingerprint
from emotion_interp.study.stages import Tick

if TYPE_CHECKING:
    import pandas as pd

    from emotion_interp.bank import FeatureBank
    from emotion_interp.concepts import ConceptSet
    from emotion_interp.norms import Norms
    from emotion_interp.study.store import StudyFolder
    from emotion_interp.subjects import Subject


@dataclass(frozen=True, eq=False)
class Run:
    """What the stages of one study share.

    Attributes:
        subject: of the study.
        concepts: of the study.
        settings: of the study.
        norms: of the study.
        folder: where it is kept.
        progress: receives (stage, done, total).
        bank: its features; None until they are found.
        content: what the bank is made of, see `bank_stage.identity`.
        base: what decides the bank, and the digest of what came of it.
    """

    subject: Subject
    concepts: ConceptSet
    folder: StudyFolder
    settings: StudySettings
    norms: Norms
    progress: Tick | None = None
    bank: FeatureBank | None = None
    content: Mapping[str, Any] = field(default_factory=dict)
    base: object = None

    @property
    def found(self) -> FeatureBank:
        """The bank, which is there once stages run."""
        assert self.bank is not None
        return self.bank

    def digest(self, name: str) -> object:
        """What one input of a stage is, as it enters the stage's key.

        Args:
            name: "bank", "norms", "corpus" (None without one) or "directions" (those added to the bank that are steered).
        """
        if name == "bank":
            return self.base
        if name == "norms":
            return sha256_of(self.norms.table.to_csv(index=False))
        if name == "corpus":
            corpus = self.settings.corpus
            return sha256_file(corpus) if corpus is not None and Path(corpus).is_file() else None
        if name == "directions":
            return {m: self.content["added"].get(f"directions {m}") for m in self.settings.methods}
        raise KeyError(name)


@dataclass(frozen=True)
class Stage:
    """One stage of a study.

    Attributes:
        name: as in `StudySettings.stages`.
        inputs: what it reads, by the names of `Run.digest`.
        settings: the choices that decide it.
        function: makes its tables from a run and the stage's key.
        files: names of the tables.
        version: of what it writes; another one makes finished stages run again.
        in_parts: it keeps parts in the folder, which are deleted when it is done.
    """

    name: str
    inputs: tuple[str, ...]
    settings: tuple[str, ...]
    function: Callable[[Run, object], Mapping[str, pd.DataFrame]]
    files: tuple[str, ...]
    version: str = ""
    in_parts: bool = False

    def key(self, run: Run) -> list[object]:
        """All that decides it."""
        version = [self.version] if self.version else []
        return [*map(run.digest, self.inputs), run.settings.key(*self.settings), *version]

    def run(self, run: Run) -> bool:
        """Make and record the tables, unless they are there; whether it did."""
        key, folder = self.key(run), run.folder
        if folder.is_done(self.name, key):
            return False
        began, frames = time.monotonic(), self.function(run, key)
        folder.finish(self.name, key, [folder.write_frame(f"{f}.parquet", frames[f]) for f in self.files], began)
        if self.in_parts:
            folder.clear_units()
        return True


def bank_key(run: Run, shipped: FeatureBank | None) -> dict[str, object]:
    """All that decides the bank of a run."""
    key: dict[str, object] = {
        "stimuli": run.settings.bank_stimuli,
        "subject": fingerprint(run.subject),
        "concepts": run.concepts.sha256,
        **run.settings.key("seed", "layers", "position", "selection"),
    }
    return key if shipped is None else key | {"bank": shipped.manifest["files"]}
