"""One whole study: features, alignment, ratings, steering, report; interrupted and started again, it goes on."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from emotion_interp import __version__
from emotion_interp.core.arguments import check_keywords, checked
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.files import write_text
from emotion_interp.core.markup import frame_html
from emotion_interp.norms import load_norms
from emotion_interp.report.page import render_report
from emotion_interp.study.bank_stage import identity, known_bank, placed_bank
from emotion_interp.study.banks import bank_for, shipped_for
from emotion_interp.study.maps import write_maps
from emotion_interp.study.plan import Run, Stage, bank_key
from emotion_interp.study.settings import StudySettings
from emotion_interp.study.stages import (
    Tick,
    alignment_frames,
    rating_frames,
    trace_views,
)
from emotion_interp.study.steering_stage import steering_frames
from emotion_interp.study.store import StudyFolder
from emotion_interp.study.summary import closing_table, study_data

if TYPE_CHECKING:
    import pandas as pd

    from emotion_interp.bank import FeatureBank
    from emotion_interp.concepts import ConceptSet
    from emotion_interp.norms import Norms
    from emotion_interp.subjects import Subject


@dataclass(frozen=True, eq=False)
class Study:
    """A finished study: its folder, bank and tables (None where a stage was not asked for)."""

    path: Path
    bank: FeatureBank
    alignment: pd.DataFrame | None
    ratings: pd.DataFrame | None
    steering: pd.DataFrame | None
    steered_text: pd.DataFrame | None
    ran: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """Per layer and language: confirmed emotions, held-out AUROC, alignment, ratings."""
        return closing_table(self)

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    def __repr__(self) -> str:
        return f"Study({str(self.path)!r}, {self.bank!r})"

    def _repr_html_(self) -> str:
        return frame_html(self.to_frame(), digits=2)


@checked
def run_study(
    subject: Subject,
    concepts: ConceptSet,
    out: str | Path,
    settings: StudySettings = StudySettings(),
    *,
    norms: Norms | None = None,
    progress: Tick | None = None,
    **changes: object,
) -> Study:
    """Run a whole study and write bank, tables, study.json, a self-contained report.html and the maps it links to, to `out`.

    Every finished stage is kept under the hash of all that decides it; a second call repeats nothing that is done.

    Args:
        subject: model with SAEs.
        concepts: concept sets.
        out: folder.
        settings: every choice; single ones can be given by name (`n_permutations=999`).
        norms: human ratings; default: `load_norms(settings.norms)`.
        progress: receives (stage, done, total).
        **changes: fields of `StudySettings`, by keyword.

    Raises:
        EmotionInterpError: the subject has no SAE, a corpus or norms file is missing, the folder cannot be written or is
            being written by another run, or its bank is another one to which something was added.

    Example:
        >>> import emotion_interp as ei
        >>> ei.run_study(ei.load_subject(), ei.concept_set("en"), out="runs/bundled")  # doctest: +SKIP
    """
    check_keywords("run_study", changes, (field.name for field in fields(StudySettings)))
    settings = replace(settings, **changes) if changes else settings
    settings.check_for(subject, concepts)
    norms = norms if norms is not None else load_norms(settings.norms)
    if settings.emotions is not None:
        concepts = concepts.subset(emotions=settings.emotions)
    folder = StudyFolder(out)
    with folder.held():
        return _run(Run(subject, concepts, folder, settings, norms, progress))


def _run(run: Run) -> Study:
    """All stages in a folder that is held."""
    folder, settings = run.folder, run.settings
    folder.note(preset=settings.preset, notes=list(settings.notes))
    shipped = shipped_for(run.subject, run.concepts) if settings.bank_stimuli == "shipped" else None
    base = bank_key(run, shipped)
    began, ran = time.monotonic(), []
    bank = known_bank(folder, base)
    if bank is None:
        found = bank_for(run.subject, run.concepts, settings, shipped, run.progress)
        bank, ran = placed_bank(folder, base, found, began), ["features"]
    # what a stage reads is in its key: a bank that is another one, whatever its settings say, makes it run again
    content = identity(bank)
    run = replace(run, bank=bank, content=content, base=[base, content["core"]])
    asked = [stage for stage in STAGES if stage.name in settings.stages]
    for number, stage in enumerate(asked, 1):
        try:
            if stage.run(run):
                ran.append(stage.name)
        except EmotionInterpError as error:
            if type(error) is not EmotionInterpError:
                raise
            raise EmotionInterpError(f"stage {stage.name}: {error} Or leave {stage.name} out of the stages.") from error
        if run.progress is not None:
            run.progress("stages", number, len(asked))
    tables = {f: folder.read_frame(f"{f}.parquet") if s in asked else None for s in STAGES for f in s.files}
    shown = {name: tables[name] for name in ("alignment", "ratings", "steering", "steered_text")}
    study = Study(folder.path, bank, **shown, ran=tuple(ran))
    # a run killed between its last stage and the report must not leave the report of older settings in place
    upstream = [run.content, folder.digests(*(s.name for s in asked)), *(s.key(run) for s in asked)]
    key = [__version__, settings.stages, run.base, *upstream]
    if folder.is_done("report", key):
        return study
    began = time.monotonic()
    views = trace_views(run.subject, bank) if "traces" in settings.stages else []
    data = study_data(study, run.subject, run.concepts, run.norms, settings, tables, views)
    data = replace(data, maps=write_maps(bank, run.subject, folder.path))
    write_text(study.report, render_report(data))
    folder.finish("report", key, [study.report.name, *data.maps.values()], began)
    return replace(study, ran=(*ran, "report"))


def _alignment(run: Run, key: object) -> dict[str, pd.DataFrame]:
    del key
    return alignment_frames(run.subject, run.bank, run.norms, run.settings, run.progress, run.concepts)


def _ratings(run: Run, key: object) -> dict[str, pd.DataFrame]:
    del key
    return rating_frames(run.subject, run.found, run.norms, run.settings, run.progress)


def _steering(run: Run, key: object) -> dict[str, pd.DataFrame]:
    return steering_frames(run.subject, run.found, run.settings, run.progress, run.folder, key)


STAGES = (
    Stage(
        "alignment",
        inputs=("bank", "norms", "corpus"),
        settings=("stimuli", "corpus", "topics", "n_permutations", "cebra", "coordinates"),
        function=_alignment,
        files=("alignment", "points", "pcs", "rdms"),
        version="rdms",
    ),
    Stage(
        "ratings",
        inputs=("bank", "norms"),
        settings=("max_rated_words", "learning_curve"),
        function=_ratings,
        files=("ratings", "predicted", "learning"),
        version="predicted",
    ),
    Stage(
        "steering",
        inputs=("bank", "directions"),
        settings=("steering_emotions", "steered_layers", "doses", "methods", "n_random", "new_tokens", "judge"),
        function=_steering,
        files=("steering", "steered_text"),
        in_parts=True,
    ),
)
"""What follows the features, in order; a sweep runs the same."""
