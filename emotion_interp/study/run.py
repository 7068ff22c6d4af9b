"""One whole study: features, alignment, ratings, steering, report; interrupted and started again, it goes on."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion_interp import __version__
from emotion_interp.core.arguments import check_keywords, checked
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.files import sha256_file, sha256_of, write_text
from emotion_interp.core.markup import frame_html
from emotion_interp.norms import load_norms
from emotion_interp.report.page import render_report
from emotion_interp.study.bank_stage import bank_stage, identity
from emotion_interp.study.banks import bank_for, shipped_for
from emotion_interp.study.settings import StudySettings, fingerprint
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
    **changes: Any,
) -> Study:
    """Run a whole study and write bank, tables, study.json and a self-contained report.html to `out`.

    Every finished stage is kept under the hash of all that decides it; a second call repeats nothing that is done.

    Args:
        subject: model with SAEs.
        concepts: concept sets.
        out: folder.
        settings: every choice; single ones can be given by name (`n_permutations=999`).
        norms: human ratings; default: `load_norms(settings.norms)`.
        progress: receives (stage, done, total).

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
        return _run(subject, concepts, folder, settings, norms, progress)


def _run(
    subject: Subject,
    concepts: ConceptSet,
    folder: StudyFolder,
    settings: StudySettings,
    norms: Norms,
    progress: Tick | None,
) -> Study:
    """All stages in a folder that is held."""
    folder.note(preset=settings.preset, notes=list(settings.notes))
    base: Any = {
        "stimuli": settings.bank_stimuli,
        "subject": fingerprint(subject),
        "concepts": concepts.sha256,
        **settings.key("seed", "layers", "position", "selection"),
    }
    shipped = shipped_for(subject, concepts) if settings.bank_stimuli == "shipped" else None
    if shipped is not None:
        base["bank"] = shipped.manifest["files"]
    rated = sha256_of(norms.table.to_csv(index=False))
    ran = []

    bank, found = bank_stage(folder, base, lambda: bank_for(subject, concepts, settings, shipped, progress))
    if found:
        ran.append("features")
    # what a stage reads is in its key: a bank that is another one, whatever its settings say, makes it run again
    content = identity(bank)
    base = [base, content["core"]]
    subject.scales.update(bank.scales)

    stages: list[tuple[str, Any, Any]] = []
    if "alignment" in settings.stages:
        corpus = settings.corpus
        read = sha256_file(corpus) if corpus is not None and Path(corpus).is_file() else None
        key = [
            base,
            rated,
            read,
            settings.key("stimuli", "corpus", "topics", "n_permutations", "cebra", "coordinates"),
            "sites",
        ]
        stages.append(("alignment", key, lambda: alignment_frames(subject, bank, norms, settings, progress, concepts)))
    if "ratings" in settings.stages:
        key = [base, rated, settings.key("max_rated_words", "learning_curve"), "sites"]
        stages.append(("ratings", key, lambda: rating_frames(subject, bank, norms, settings, progress)))
    if "steering" in settings.stages:
        used = {m: content["added"].get(f"directions {m}") for m in settings.methods}
        key = [base, used, settings.key("steering_emotions", "doses", "methods", "n_random", "new_tokens", "judge")]
        stages.append(
            ("steering", key, lambda key=key: steering_frames(subject, bank, settings, progress, folder, key))
        )
    for number, (name, key, make) in enumerate(stages, 1):

        def write(make: Any = make) -> list[str]:
            return [folder.write_frame(f"{k}.parquet", frame) for k, frame in make().items()]

        try:
            if folder.run(name, key, write):
                ran.append(name)
                if name == "steering":
                    folder.clear_units()
        except EmotionInterpError as error:
            if type(error) is not EmotionInterpError:
                raise
            raise EmotionInterpError(f"stage {name}: {error} Or leave {name} out of the stages.") from error
        if progress is not None:
            progress("stages", number, len(stages))
    kept = {k: folder.read_frame(f"{k}.parquet") if s in settings.stages else None for k, s in _TABLES.items()}
    study = Study(
        folder.path, bank, kept["alignment"], kept["ratings"], kept["steering"], kept["steered_text"], tuple(ran)
    )

    def write_report() -> list[str]:
        views = trace_views(subject, bank) if "traces" in settings.stages else []
        data = study_data(study, subject, concepts, norms, settings, kept, views)
        write_text(study.report, render_report(data))
        return [study.report.name]

    # a run killed between its last stage and the report must not leave the report of older settings in place
    upstream = [content, folder.digests(*(name for name, _, _ in stages)), *(key for _, key, _ in stages)]
    if folder.run("report", [__version__, settings.stages, base, *upstream], write_report):
        study = replace(study, ran=(*ran, "report"))
    return study


_TABLES = {
    "alignment": "alignment",
    "points": "alignment",
    "pcs": "alignment",
    "rdms": "alignment",
    "ratings": "ratings",
    "predicted": "ratings",
    "learning": "ratings",
    "steering": "steering",
    "steered_text": "steering",
}
