"""The stages of a study: each takes what came before and returns plain frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emotion_interp.core.errors import EmotionInterpError, FileFormatError
from emotion_interp.core.frames import rows_where
from emotion_interp.core.reading import json_line, text_lines
from emotion_interp.core.spelling import as_text
from emotion_interp.core.types import Site
from emotion_interp.geometry import align_layers, cebra_space, emotion_space
from emotion_interp.geometry.from_bank import rated_only, text_spaces
from emotion_interp.geometry.results import LayerAlignments
from emotion_interp.geometry.space import EmotionSpace
from emotion_interp.ratings import learning_curve, predict_ratings
from emotion_interp.report.trace import EmotionTrace, emotion_trace
from emotion_interp.study.pictures import best_predictions, chance_limits, dissimilarity_table, point_covariances
from emotion_interp.study.settings import SENTENCES, StudySettings

if TYPE_CHECKING:
    from emotion_interp.bank import FeatureBank
    from emotion_interp.concepts import ConceptSet
    from emotion_interp.norms import Norms
    from emotion_interp.subjects import Subject

Tick = Callable[[str, int, int], None]
_MOST_TRACED = 8


class Counter:
    """Turns "so many more texts" into (stage, done, total)."""

    def __init__(self, tick: Tick | None, stage: str, total: int) -> None:
        self.tick, self.stage, self.total, self.done = tick, stage, total, 0

    def __call__(self, more: int) -> None:
        self.done = min(self.total, self.done + more)
        if self.tick is not None:
            self.tick(self.stage, self.done, self.total)


def read_stories(path: str | Path, topics: tuple[int, int] | None = None) -> tuple[list[str], list[str]]:
    """Labelled texts from a .jsonl or .jsonl.gz file with `text` and `emotion` (and `topic_idx`, to choose topics).

    Raises:
        FileFormatError: the file is missing, or a line lacks text or emotion.
    """
    path = Path(path)
    if not path.exists():
        raise FileFormatError(
            f"the corpus {path} does not exist; give a .jsonl or .jsonl.gz file with text and emotion."
        )
    texts, emotions = [], []
    for number, line in text_lines(path):
        if not line.strip():
            continue
        text, emotion, topic = _story(path, number, line)
        if topics is None or topic is None or topics[0] <= topic <= topics[1]:
            texts.append(text)
            emotions.append(emotion)
    if not texts:
        raise FileFormatError(f"{path} has no text in the topics {topics}.")
    return texts, emotions


_NEEDED = "a JSON object with text and emotion"


def _story(path: Path, number: int, line: str) -> tuple[str, str, int | None]:
    """Text, emotion and topic of one line."""
    place = f"{path}, line {number}"
    row = json_line(path, number, line, _NEEDED)
    topic = row.get("topic_idx") if isinstance(row, dict) else None
    if not isinstance(row, dict) or not {"text", "emotion"} <= set(row) or not (topic is None or type(topic) is int):
        raise FileFormatError(
            f"{place}: {_NEEDED} (strings; topic_idx a whole number) is needed, got {line.strip()[:80]}."
        )
    return as_text(row["text"], place), as_text(row["emotion"], place), topic


def alignment_frames(
    subject: Subject,
    bank: FeatureBank | None,
    norms: Norms,
    settings: StudySettings,
    tick: Tick | None = None,
    concepts: ConceptSet | None = None,
) -> dict[str, pd.DataFrame]:
    """alignment, points and pcs for every layer, language and kind of space, rdms (dissimilarities of every pair) at the
    best layer; `concepts` for coordinates="words"."""
    spaces: dict[tuple[object, ...], EmotionSpace] = {}
    if settings.stimuli == "stories":
        if settings.corpus is None:
            raise EmotionInterpError("stimuli='stories' needs a corpus of labelled texts; pass --corpus FILE.jsonl.gz.")
        texts, labels = read_stories(settings.corpus, settings.topics)
        rated = norms.lookup(sorted(set(labels)))
        known = set(rated.dropna(subset=["valence"])["word"].tolist())
        kept = [i for i, e in enumerate(labels) if e in known]
        if len({labels[i] for i in kept}) < 5:
            raise EmotionInterpError(
                f"fewer than 5 emotions of the corpus have a rating in {norms.name}; use larger norms."
            )
        asked = range(subject.n_layers) if settings.layers is None else settings.layers
        read = subject.sites or [Site(layer) for layer in range(subject.n_layers)]
        embedding = Site(0, "resid_pre")
        sites = [embedding, *[s for s in read if s.layer in asked and s != embedding]]
        made = text_spaces(
            subject,
            [texts[i] for i in kept],
            [labels[i] for i in kept],
            sites=sites,
            keep_units=settings.cebra,
            progress=Counter(tick, "reading stories", len(kept)),
        )
        spaces |= rated_only(made, sorted(known))
    elif bank is not None:
        for site in bank.sites:
            for language in bank.languages:
                for kind in ("features", "dense"):
                    try:
                        spaces[site, language, kind] = emotion_space(bank, site, kind, language)
                    except EmotionInterpError:
                        # nothing was selected here; the summary of the features says so
                        continue
    if settings.cebra:
        spaces |= _cebra_spaces(spaces, settings.seed, tick)
    aligned = align_layers(
        list(spaces.values()),
        norms,
        n_permutations=settings.n_permutations,
        seed=settings.seed,
        coordinates=settings.coordinates,
        words=_unshown_words(concepts, norms) if settings.coordinates == "words" else None,
    )
    return _alignment_tables(list(spaces.values()), aligned)


def _unshown_words(concepts: ConceptSet | None, norms: Norms) -> dict[str, list[str]]:
    """emotion -> its concept words in the language of the norms (the subject was shown texts, not these words)."""
    if concepts is None:
        raise EmotionInterpError("coordinates='words' needs the concept sets whose words stand for the emotions.")
    own = concepts.subset(languages=[norms.language])
    return {emotion: list(own.words(emotion)) for emotion in own.emotions}


def _cebra_spaces(
    spaces: Mapping[tuple[object, ...], EmotionSpace], seed: int, tick: Tick | None
) -> dict[tuple[object, ...], EmotionSpace]:
    """A CEBRA space for every layer and language whose features (else whose texts) are known unit by unit."""
    sources: dict[object, tuple[tuple[object, ...], EmotionSpace]] = {}
    for key, space in sorted(spaces.items(), key=lambda item: item[1].kind != "features"):
        if space.units is not None:
            sources.setdefault((key[0], space.language), (key, space))
    found = {}
    for done, (key, space) in enumerate(sources.values(), 1):
        found[*key, "cebra"] = cebra_space(space, seed=seed)
        if tick is not None:
            tick("CEBRA spaces", done, len(sources))
    return found


def _alignment_tables(spaces: list[Any], aligned: LayerAlignments) -> dict[str, pd.DataFrame]:
    frame = pd.DataFrame([alignment.row() for alignment in aligned.alignments])
    frame = frame.assign(**pd.DataFrame(chance_limits(spaces, aligned.alignments)))
    # the embedding (what enters block 0) is shown as layer -1
    layers = [-1 if s.site.kind == "resid_pre" and s.layer == 0 else s.layer for s in spaces]
    frame["layer"] = layers
    frame["language"] = [s.language or "en" for s in spaces]
    frame = pd.concat([frame, *_text_rows(layers, spaces, aligned)], ignore_index=True)
    points, components, distances = [], [], []
    best = set(frame.groupby(["language", "kind"])["rsa_rho"].idxmax().dropna())
    for place, (layer, space, alignment) in enumerate(zip(layers, spaces, aligned.alignments, strict=True)):
        tags = {"layer": layer, "site": str(space.site), "language": space.language or "en", "kind": space.kind}
        names = {"valence": "human_valence", "arousal": "human_arousal", "x": "model_x", "y": "model_y"}
        if {"arousal", "x"} <= set(alignment.points.columns):
            spread = dict(zip(("model_var_x", "model_var_y", "model_cov"), point_covariances(space, alignment).T))
            points.append(alignment.points.rename(columns=names).assign(**spread, **tags))
        if place in best:
            distances.append(dissimilarity_table(space, alignment).assign(**tags))
        arousal = alignment.arousal.r_by_pc if alignment.arousal else [np.nan] * len(alignment.valence.r_by_pc)
        for i, (valence_r, arousal_r) in enumerate(zip(alignment.valence.r_by_pc, arousal, strict=True), 1):
            components.append({**tags, "pc": i, "r_valence": valence_r, "r_arousal": arousal_r})
    return {
        "alignment": frame.sort_values(["kind", "language", "layer"]).reset_index(drop=True),
        "points": pd.concat(points, ignore_index=True) if points else pd.DataFrame(),
        "pcs": pd.DataFrame(components),
        "rdms": pd.concat(distances, ignore_index=True) if distances else pd.DataFrame(),
    }


def _text_rows(layers: list[int | None], spaces: list[EmotionSpace], aligned: LayerAlignments) -> list[pd.DataFrame]:
    """The texts alone ("text", "encoder"), once for each layer, site and language that they stand beside."""
    rows: dict[object, dict[str, object]] = {}
    limits: dict[object, dict[str, float]] = {}
    for place, (space, alignment) in enumerate(zip(spaces, aligned.alignments, strict=True)):
        for name, fit in alignment.baselines.items():
            tags = {"layer": layers[place], "site": str(space.site), "language": space.language or "en"}
            known = (name, fit.valence.r, fit.rsa.rho)
            if known not in limits:
                limits[known] = chance_limits([space.baselines[name]], [fit])[0]
            rows.setdefault((*tags.values(), name), fit.row() | limits[known] | tags)
    return [pd.DataFrame(list(rows.values()))] if rows else []


def rating_frames(
    subject: Subject, bank: FeatureBank, norms: Norms, settings: StudySettings, tick: Tick | None = None
) -> dict[str, pd.DataFrame]:
    """Predicted word ratings per layer and feature set, word by word at the best layer, and its learning curve if asked."""
    total = len(norms.table) if settings.max_rated_words is None else min(settings.max_rated_words, len(norms.table))
    result = predict_ratings(
        subject,
        norms,
        bank=bank,
        layers=bank.layers,
        max_words=settings.max_rated_words,
        seed=settings.seed,
        progress=Counter(tick, "reading rated words", total),
    )
    predicted = best_predictions(result)
    learning = pd.DataFrame()
    if settings.learning_curve:
        valence = rows_where(predicted, predicted["dimension"] == "valence")
        best = valence["site"].iloc[0] if len(valence) else bank.sites[0]
        curve = learning_curve(
            subject,
            norms,
            bank,
            layers=[best],
            max_words=settings.max_rated_words,
            seed=settings.seed,
            progress=Counter(tick, "reading words to learn from", total),
        )
        learning = curve.to_frame()
    return {"ratings": result.to_frame(), "predicted": predicted, "learning": learning}


def trace_views(subject: Subject, bank: FeatureBank) -> list[EmotionTrace]:
    """A few sentences per language, read at all layers of the bank, or of many at the one fixed on the discovery half."""
    summary = bank.summary
    traces = []
    for language in bank.languages:
        rows = summary[summary["language"] == language]
        if "layer_fixed" in rows:
            rows = rows[rows["layer_fixed"]]
        fixed = str(rows.groupby("site")["confirmed"].sum().idxmax())
        sites = [fixed] if len(bank.sites) > _MOST_TRACED else list(bank.sites)
        traces += [
            emotion_trace(subject, s, bank, layers=sites, language=language) for s in SENTENCES.get(language, ())
        ]
    return traces
