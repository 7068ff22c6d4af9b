"""What a study says in one table, and what its report is made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from emotion_interp import __version__
from emotion_interp.bank.files import KEYS
from emotion_interp.bank.frames import heatmap_frame, summary_by_layer
from emotion_interp.core.frames import rows_where
from emotion_interp.judges import load_judge
from emotion_interp.judges.text_judges import LANGUAGES
from emotion_interp.report.data import StudyData
from emotion_interp.report.feature_card import feature_card

if TYPE_CHECKING:
    from emotion_interp.bank import FeatureBank
    from emotion_interp.concepts import ConceptSet
    from emotion_interp.norms import Norms
    from emotion_interp.report.trace import EmotionTrace
    from emotion_interp.study.run import Study
    from emotion_interp.study.settings import StudySettings
    from emotion_interp.subjects import Subject


def closing_table(study: Study) -> pd.DataFrame:
    """One row per layer, site and language: features, alignment, ratings; see `summary_by_layer` for what is confirmed."""
    frame = summary_by_layer(study.bank)
    keys = ["layer", "site", "language"]
    wanted = [*keys, "emotions", "selected", "confirmed", "confirmed_uncorrected", "layer_fixed"]
    wanted += ["median_auroc_heldout", "lo", "hi", "median_held_out_specificity", "median_dense_auroc"]
    frame = frame[[c for c in wanted if c in frame]]
    if study.alignment is not None:
        dense = study.alignment[study.alignment["kind"] == "dense"]
        columns = [
            *keys,
            "valence_r",
            "valence_p_layers",
            "arousal_r",
            "arousal_p_layers",
            "rsa_rho",
            "rsa_p",
        ]
        columns += [c for c in ("rsa_given_text", "rsa_given_text_p") if c in dense]
        frame = frame.merge(dense[columns], on=keys, how="left")
        alone = study.alignment.query("kind == 'text'")
        if len(alone):
            columns = ["valence_r", "arousal_r", "rsa_rho"]
            alone = alone.rename(columns={c: f"text_{c}" for c in columns})
            frame = frame.merge(alone[[*keys, *(f"text_{c}" for c in columns)]], on=keys, how="left")
    if study.ratings is not None:
        chosen = study.ratings[study.ratings["feature_set"] == "all"]
        for dimension in ("valence", "arousal"):
            rows = rows_where(chosen, chosen["dimension"] == dimension)[[*keys[:-1], "test_language", "r"]]
            rows = rows.rename(columns={"test_language": "language", "r": f"rated_{dimension}_r"})
            frame = frame.merge(rows, on=keys, how="left")
    return frame


def study_data(
    study: Study,
    subject: Subject,
    concepts: ConceptSet,
    norms: Norms,
    settings: StudySettings,
    tables: dict[str, pd.DataFrame | None],
    views: list[EmotionTrace],
) -> StudyData:
    """Frames and facts of the report; `tables`: those of the study folder by name."""
    bank = study.bank
    selected = pd.concat(
        [heatmap_frame(bank, s, lang).assign(site=str(s)) for s in bank.sites for lang in bank.languages]
    )
    kept = rows_where(bank.summary, bank.summary["confirmed"].astype(bool))
    counts = {lang: sum(len(concepts.words(e, lang)) for e in concepts.emotions) for lang in concepts.languages}
    neutral = {lang: len(concepts.neutral(lang)) for lang in concepts.languages}
    return StudyData(
        title=f"Emotion in {subject.name}",
        subject={
            "name": subject.name,
            "layers": subject.n_layers,
            "width": subject.d_model,
            "SAEs": ", ".join(f"{s} ({subject.readers[s].d_sae} latents)" for s in subject.sites),
            **{k: str(v) for k, v in subject.provenance.items()},
        },
        concepts={
            "languages": ", ".join(concepts.languages),
            "emotions": len(concepts.emotions),
            **{f"emotion words ({lang})": n for lang, n in counts.items()},
            **{f"neutral words ({lang})": n for lang, n in neutral.items()},
            "norms": f"{norms.name}: {norms.citation}",
        },
        summary=bank.summary,
        selected=selected,
        alignment=study.alignment,
        circumplex_points=tables.get("points"),
        pcs=tables.get("pcs"),
        rdms=tables.get("rdms"),
        ratings=study.ratings,
        predicted=tables.get("predicted"),
        learning=tables.get("learning"),
        controls=_of_confirmed(bank, "controls", kept),
        transfer=_of_confirmed(bank, "transfer", kept),
        cards=_cards(bank, kept),
        steering=study.steering,
        steered_text=read_texts(study.steered_text, "en" if "en" in bank.languages else bank.languages[0]),
        traces=list(views),
        manifest={"emotion_interp": __version__, **_plain(bank.manifest), "n_permutations": settings.n_permutations},
        warnings=_warnings(study, subject),
    )


def read_texts(texts: pd.DataFrame | None, language: str) -> pd.DataFrame | None:
    """The steered texts with `read_as`, the emotion that the bundled judge of texts reads in what was generated.

    An emotion it does not know is left unread.
    """
    if texts is None or not len(texts) or language not in LANGUAGES:
        return texts
    # the judge that has read comments alone: one that learnt from stories would agree with a subject that did too
    judge = load_judge("comments" if language == "en" else None, language=language)
    new = [steered.removeprefix(prompt) for prompt, steered in zip(texts["prompt"], texts["steered"], strict=True)]
    best = judge.predict_proba(new).argmax(axis=1)
    known = texts["emotion"].isin(judge.emotions)
    read_as = pd.Series([judge.emotions[i] for i in best], index=texts.index).where(known)
    return texts.assign(read_as=read_as, judged_by="the bundled judge, a classifier of texts")


def _of_confirmed(bank: FeatureBank, name: str, confirmed: pd.DataFrame) -> pd.DataFrame | None:
    """The rows of an extra table about the confirmed top features; None where the bank lacks the table."""
    if name not in bank.extras:
        return None
    return bank.extras[name].merge(confirmed[list(KEYS)], on=list(KEYS))


def _cards(bank: FeatureBank, confirmed: pd.DataFrame) -> dict[str, str]:
    """Per confirmed emotion and language the card of its best top feature, where the bank knows more than its scores."""
    if not {"tokens", "examples", "outputs"} & set(bank.extras):
        return {}
    best = confirmed.sort_values("auroc_heldout", ascending=False, kind="stable")
    best = best.drop_duplicates(["emotion", "language"]).sort_values(["emotion", "language"])
    return {
        f"{row['emotion']} ({row['language']})": feature_card(bank, row["site"], int(row["feature"])).html
        for row in best.to_dict("records")
    }


def _plain(manifest: dict[str, object]) -> dict[str, object]:
    hidden = (
        "concept_words",
        "files",
        "labels",
        "saes",
        "d_sae",
        "n_alive",
        "format",
        "scales",
        "emotions",
        "provenance",
    )
    return {k: v for k, v in manifest.items() if k not in hidden}


def _warnings(study: Study, subject: Subject) -> list[str]:
    """What a reader must know before quoting a figure."""
    found = []
    if study.bank.manifest.get("stimuli") == "texts":
        found.append(
            f"The features are those of a bank found and confirmed on {len(study.bank.words):,} labelled texts, which this run "
            "did not read again."
        )
    if subject.name == "bundled" and "zh" in study.bank.languages:
        found.append("The bundled model saw little modern Chinese: call its Chinese results exploratory.")
    if study.alignment is not None and "zh" in set(study.alignment["language"]):
        found.append("Chinese emotion spaces are compared with the English ratings of the emotions' names.")
    summary = study.bank.summary
    if "layer_fixed" in summary:
        summary = summary[summary["layer_fixed"]]
    else:
        found.append(
            "The bank is of an earlier version: its features are confirmed by Fisher's test alone, not for being specific, and "
            "not corrected over layers. emotion_interp.features.with_confirmation(bank, concepts) brings it up to date."
        )
    weak = summary.groupby(["layer", "language"])["confirmed"].sum()
    for layer, language in weak[weak == 0].index:
        fixed = ", which was fixed on the discovery half," if "layer_fixed" in summary else ""
        found.append(f"At layer {layer}{fixed} no emotion has a confirmed feature ({language}).")
    return found
