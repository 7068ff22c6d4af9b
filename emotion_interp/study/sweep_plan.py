"""A sweep as units of work: (subject, shard of stimuli) to read, then one unit for each table; each under the hash of all that decides it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion_interp.core.files import sha256_of
from emotion_interp.core.versions import versions_of
from emotion_interp.features.design import Design, design_stimuli
from emotion_interp.norms import load_norms
from emotion_interp.study.sweep_check import concepts_of
from emotion_interp.study.sweep_file import SubjectEntry, SweepFile
from emotion_interp.subjects.loading import BUNDLED, bundled_folder

if TYPE_CHECKING:
    from emotion_interp.concepts import ConceptSet
    from emotion_interp.norms import Norms

READ, FEATURES = "read", "features"
FORMAT = 1
"""Of what units write; another one makes every unit run again."""
_SAMPLES, _SAMPLE = 32, 1 << 16
"""Pieces of a weights file that are hashed, and the bytes of each."""

Stimuli = tuple[tuple[str, int, int], ...]
"""(text, start, end of the target) of the stimuli of one cell."""


@dataclass(frozen=True)
class Cell:
    """Stimuli of one word that are read together, averaged into one row: a word in one half of its carriers."""

    kind: str
    stimuli: Stimuli

    @cached_property
    def n_bytes(self) -> int:
        return sum(len(text.encode()) for text, _, _ in self.stimuli)


@dataclass(frozen=True)
class Shard:
    """Cells that are read in one unit; the same for every subject."""

    number: int
    kind: str
    cells: tuple[Cell, ...]
    digest: str

    @property
    def n_bytes(self) -> int:
        return sum(cell.n_bytes for cell in self.cells)

    @property
    def n_stimuli(self) -> int:
        return sum(len(cell.stimuli) for cell in self.cells)


@dataclass(frozen=True)
class Unit:
    """One piece of work.

    Attributes:
        id: hash of all that decides it.
        stage: "read", or the analysis that it makes.
        subject: name of the subject.
        kind: of stimuli.
        shard: its number, of a unit that reads.
        position: where stimuli are read, of an analysis.
        seed: of an analysis.
        needs: units that come before it.
    """

    id: str
    stage: str
    subject: str
    kind: str
    shard: int = -1
    position: str = ""
    seed: int = -1
    needs: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What a person calls it."""
        if self.stage == READ:
            return f"{self.subject}: reading {self.kind}, shard {self.shard + 1}"
        return f"{self.subject}: {self.stage} of {self.kind}, {self.position}, seed {self.seed}"


@dataclass(frozen=True, eq=False)
class SweepPlan:
    """All units of a sweep.toml, in an order in which they can be done."""

    file: SweepFile
    concepts: ConceptSet
    norms: Norms
    shards: tuple[Shard, ...]
    units: tuple[Unit, ...]
    _designs: dict[tuple[str, int], Design] = field(default_factory=dict)

    @cached_property
    def by_id(self) -> dict[str, Unit]:
        return {unit.id: unit for unit in self.units}

    @property
    def key(self) -> str:
        """Hash of the whole sweep."""
        return sha256_of([unit.id for unit in self.units])

    def entry(self, subject: str) -> SubjectEntry:
        """A subject of the file by its name."""
        return next(entry for entry in self.file.subjects if entry.called == subject)

    def design(self, kind: str, seed: int) -> Design:
        """Which stimuli a seed reads, and how they are split."""
        if (kind, seed) not in self._designs:
            self._designs[kind, seed] = design_stimuli(self.concepts, kind, seed)
        return self._designs[kind, seed]

    def cell_of_units(self, kind: str, seed: int) -> list[Stimuli]:
        """The stimuli of each unit (word, scene) of a design, in its order."""
        return _unit_stimuli(self.design(kind, seed))


def sweep_plan(file: SweepFile) -> SweepPlan:
    """The plan of a checked file; nothing is loaded."""
    concepts = concepts_of(file)
    norms = load_norms("csv", file.norms) if file.norms.endswith(".csv") else load_norms(file.norms)
    designs = {(kind, seed): design_stimuli(concepts, kind, seed) for kind in file.stimuli for seed in file.seeds}
    shards: list[Shard] = []
    for kind in dict.fromkeys(file.stimuli):
        every = [designs[kind, seed] for seed in dict.fromkeys(file.seeds)]
        for cells in _sharded(_cells(kind, every), file.reading.shard_kilobytes * 1024):
            digest = sha256_of([cell.stimuli for cell in cells])
            shards.append(Shard(len(shards), kind, cells, digest))
    units = tuple(unit for entry in file.subjects for unit in _units_of(file, entry, shards, concepts, norms))
    return SweepPlan(file, concepts, norms, tuple(shards), units, designs)


def _unit_stimuli(design: Design) -> list[Stimuli]:
    rows: list[list[tuple[str, int, int]]] = [[] for _ in range(len(design.words))]
    for stimulus, unit in zip(design.stimuli, design.units, strict=True):
        rows[int(unit)].append((stimulus.text, *stimulus.span))
    return [tuple(row) for row in rows]


def _cells(kind: str, designs: Iterable[Design]) -> list[list[Cell]]:
    """The cells of all designs, those of one word together, each once."""
    words: dict[tuple[object, ...], dict[Stimuli, Cell]] = {}
    for design in designs:
        names = design.words[["language", "emotion", "word"]].itertuples(index=False, name=None)
        for name, stimuli in zip(names, _unit_stimuli(design), strict=True):
            words.setdefault(name, {}).setdefault(stimuli, Cell(kind, stimuli))
    # one text may be a cell of several words; it is read once
    seen: set[Stimuli] = set()
    groups = []
    for cells in words.values():
        fresh = [cell for stimuli, cell in cells.items() if stimuli not in seen]
        seen.update(cells)
        if fresh:
            groups.append(fresh)
    return groups


def _sharded(groups: list[list[Cell]], n_bytes: int) -> Iterator[tuple[Cell, ...]]:
    """Shards of about so many bytes of text, of nearly one size."""
    sizes = np.cumsum([sum(cell.n_bytes for cell in group) for group in groups])
    number = max(1, int(np.ceil(sizes[-1] / n_bytes)))
    bounds = np.searchsorted(sizes, sizes[-1] * np.arange(1, number) / number, side="left") + 1
    start = 0
    for end in [*dict.fromkeys(bounds.tolist()), len(groups)]:
        if end > start:
            yield tuple(cell for group in groups[start:end] for cell in group)
            start = end


def _units_of(
    file: SweepFile, entry: SubjectEntry, shards: list[Shard], concepts: ConceptSet, norms: Norms
) -> Iterator[Unit]:
    name = entry.called
    versions = versions_of("torch", "transformers", "transformer-lens", "sae-lens", "numpy")
    base = {"format": FORMAT, "subject": subject_identity(entry), "versions": versions}
    reads: dict[str, list[str]] = {}
    positions = {kind: list(file.places(kind)) for kind in file.stimuli}
    reading = file.reading.model_dump(exclude={"shard_kilobytes"})
    for shard in shards:
        key = {**base, "stage": READ, "shard": shard.digest, "positions": positions[shard.kind], **reading}
        unit = Unit(_id(key), READ, name, shard.kind, shard.number)
        reads.setdefault(shard.kind, []).append(unit.id)
        yield unit
    for kind in dict.fromkeys(file.stimuli):
        for position in positions[kind]:
            for seed in dict.fromkeys(file.seeds):
                told: dict[str, Any] = {"subject": name, "kind": kind, "position": position, "seed": seed}
                key = {
                    **told,
                    "reads": reads[kind],
                    "selection": file.selection.model_dump(),
                    "concepts": concepts.sha256,
                }
                features = Unit(_id({"stage": FEATURES, **key}), FEATURES, needs=tuple(reads[kind]), **told)
                yield features
                for stage in [s for s in dict.fromkeys(file.analyses) if s != FEATURES]:
                    rated = {} if stage == "steering" else {"norms": sha256_of(norms.table.to_csv(index=False))}
                    choices = getattr(file, stage).model_dump()
                    own = _id({"stage": stage, "bank": features.id, "choices": choices, **rated})
                    yield Unit(own, stage, needs=(features.id,), **told)


def _id(key: object) -> str:
    return sha256_of(key)[:32]


def subject_identity(entry: SubjectEntry) -> dict[str, object]:
    """What a subject is, as far as files say it without being loaded.

    Weights in files are known by their size and by pieces spread over them; names on a hub by themselves (that their
    weights are the same in all units is checked when they are loaded, see `sweep_work.fingerprint`).
    """
    model = bundled_folder() / "model" if entry.model == BUNDLED else Path(entry.model)
    sources: list[object] = []
    for source in entry.sources:
        name = source if isinstance(source, str) else source.release
        choice = None if isinstance(source, str) else source.model_dump(exclude={"release"})
        sources.append([_weights(Path(name)) or name, choice])
    return {
        "model": _weights(model) or entry.model,
        "saes": sources,
        "layers": entry.layers,
        "kinds": entry.kinds,
        "dtype": entry.dtype,
    }


def _weights(path: Path) -> list[object] | None:
    """Names, sizes and samples of the files of a folder, or of one file; None of what is neither."""
    if not path.exists():
        return None
    files = (
        [path]
        if path.is_file()
        else sorted(p for p in path.rglob("*") if p.suffix in (".safetensors", ".json", ".gguf"))
    )
    return [[str(f.relative_to(path)) if path.is_dir() else f.name, f.stat().st_size, _sampled(f)] for f in files]


def _sampled(file: Path) -> str:
    digest, size = hashlib.sha256(), file.stat().st_size
    with file.open("rb") as handle:
        for start in np.linspace(
            0, max(0, size - _SAMPLE), _SAMPLES if size > _SAMPLES * _SAMPLE else 1, dtype=np.int64
        ):
            handle.seek(int(start))
            digest.update(handle.read(_SAMPLE if size > _SAMPLES * _SAMPLE else size))
    return digest.hexdigest()
