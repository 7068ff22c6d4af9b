"""The engine of dose-response: cells judged in batches, intervals over prompts, p against random directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from emotion_interp.bank.bank import FeatureBank
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Direction, Site
from emotion_interp.directions.null_directions import NullDirections
from emotion_interp.experiments.nulls import answers_beside, drawn_nulls, no_own
from emotion_interp.experiments.question import GridQuestion
from emotion_interp.experiments.windows import with_regimes
from emotion_interp.judges.coherence import continuation_log_probabilities, distinct_2, perplexity
from emotion_interp.judges.content import content_overlap, content_similarity
from emotion_interp.judges.judging import Continuations, continue_all, judged, nothing
from emotion_interp.judges.next_word import NextWords
from emotion_interp.stats.corrections import holm
from emotion_interp.steering.interventions import row_interventions, scale_at, scale_of

RESAMPLES = 2000
"""Bootstrap resamples of prompts."""

STATISTICS = (
    "target",
    "lo",
    "hi",
    "random_lo",
    "random_hi",
    "over_random",
    "over_random_lo",
    "over_random_hi",
    "z",
    "target_unsteered",
    "shift",
    "shift_lo",
    "shift_hi",
    "p",
)
COHERENCE = ("perplexity_ratio", "distinct2", "distinct2_ratio", "content_overlap", "content_similarity")


@dataclass(frozen=True)
class Cell:
    """One direction at one dose; without a direction, the note says why."""

    KEYS: ClassVar[tuple[str, ...]] = ("emotion", "layer", "site", "method", "dose")

    emotion: str
    layer: int
    site: str
    method: str
    dose: float
    direction: Direction | None
    note: str = ""

    @property
    def key(self) -> dict[str, object]:
        """What names the cell in every frame."""
        return {name: getattr(self, name) for name in self.KEYS}


def make_cells(
    bank: FeatureBank,
    emotions: Sequence[str],
    layers: Sequence[int | Site | str],
    methods: Sequence[str],
    doses: Sequence[float],
    language: str,
) -> list[Cell]:
    """Every direction at every dose; a direction the bank does not have becomes an empty cell with the reason.

    A layer stands for the site that the bank takes there; sites and hook names stand for themselves.

    Raises:
        EmotionInterpError: the bank has none of them.
    """
    cells: list[Cell] = []
    failure: EmotionInterpError | None = None
    for layer in layers:
        named = Site.parse(layer) if isinstance(layer, str) else layer
        for method in methods:
            for emotion in emotions:
                direction, note = None, ""
                try:
                    direction = bank.direction(emotion, layer=layer, language=language, method=method)
                except EmotionInterpError as error:
                    failure, note = error, str(error)
                place = named if isinstance(named, Site) else direction.site if direction else _place(bank, named)
                cells += [Cell(emotion, place.layer, str(place), method, dose, direction, note) for dose in doses]
    if failure is not None and all(cell.direction is None for cell in cells):
        raise failure
    return cells


def _place(bank: FeatureBank, layer: int) -> Site:
    """The site that a bank takes at a layer where it has no direction to say so."""
    try:
        return bank.site(layer)
    except (AttributeError, EmotionInterpError):
        return Site(layer)


@dataclass(frozen=True, eq=False)
class Evaluated:
    """Judged cells.

    Attributes:
        table: as `DoseResponse` has them.
        confusion: as `DoseResponse` has them.
        texts: as `DoseResponse` has them.
        nulls: for each cell (judge, kind) -> the emotion's judged probability under each random direction: [direction].
    """

    table: pd.DataFrame
    confusion: pd.DataFrame
    texts: pd.DataFrame
    nulls: list[dict[tuple[str, str], np.ndarray]]


def evaluate(question: GridQuestion, cells: Sequence[Cell], scales: Mapping[Site, float] | None) -> Evaluated:
    """Judge the cells, one batched loop for each site, and compare each with random directions at its site and dose."""
    subject, n = question.subject, len(question.prompts)
    base_texts = continue_all(question, nothing(subject)) if question.max_new_tokens else None
    base = judged(question, nothing(subject), base_texts)[0]
    by_site: dict[Site, list[int]] = {}
    for i, cell in enumerate(cells):
        if cell.direction is not None:
            by_site.setdefault(cell.direction.site, []).append(i)
    picks = generator(question.seed, "bootstrap over prompts", n).integers(0, n, size=(RESAMPLES, n))
    records: list[dict[str, Any]] = [{**c.key, "n_prompts": n, "note": c.note} for c in cells]
    nulls_of: list[dict[tuple[str, str], np.ndarray]] = [{} for _ in cells]
    confusion, texts_of = [], {}
    for site, places in by_site.items():
        scale = scale_at(scales or {}, site) or scale_of(subject, site)
        chosen = [cells[i] for i in places]
        rows = row_interventions(subject, [c.direction for c in chosen], [c.dose for c in chosen], scale)
        texts = continue_all(question, rows) if question.max_new_tokens else None
        answers = judged(question, rows, texts)
        quality = _coherence(question, base_texts, texts, len(places))
        drawn = drawn_nulls(question, site)
        nulls = answers_beside(question, scale, drawn, [(c.dose, c.method) for c in chosen])
        for k, (i, cell) in enumerate(zip(places, chosen, strict=True)):
            words = question.judge.words[cell.emotion] if isinstance(question.judge, NextWords) else ()
            record, nulls_of[i] = _compared(question, cell.emotion, answers[k], base, drawn, nulls[k], picks)
            records[i] |= record
            records[i] |= {**quality[k], "n_words": len(words)}
            if not np.isfinite(records[i]["target"]):
                records[i]["note"] = "the judge has no usable words or class for this emotion"
            shifts = (answers[k] - base).mean(0)
            confusion += [
                {**cell.key, "judged": j, "shift": shifts[question.emotions.index(j)]} for j in question.asked
            ]
            if texts is not None:
                texts_of[i] = texts.texts[k]
    columns = [*Cell.KEYS, *STATISTICS, "p_holm", *COHERENCE, "regime", "in_window", "n_prompts", "n_words", "note"]
    more = [c for c in dict.fromkeys(chain(*records)) if c not in columns]
    table = with_regimes(pd.DataFrame(records).reindex(columns=[*columns[:-1], *more, columns[-1]]))
    table["p_holm"] = _holm_by(table, ["layer", "site", "method", "dose"])
    return Evaluated(table, pd.DataFrame(confusion), _text_frame(question, cells, base_texts, texts_of), nulls_of)


def _holm_by(table: pd.DataFrame, columns: list[str]) -> np.ndarray:
    result = np.full(len(table), np.nan)
    for places in table.groupby(columns, sort=False).indices.values():
        result[places] = holm(table["p"].to_numpy(dtype=float)[places])
    return result


def _compared(
    question: GridQuestion,
    emotion: str,
    steered: np.ndarray,
    base: np.ndarray,
    drawn: Mapping[str, NullDirections],
    nulls: Mapping[str, np.ndarray],
    picks: np.ndarray,
) -> tuple[dict[str, object], dict[tuple[str, str], np.ndarray]]:
    """A cell's record against the kind of random direction that does best, p over all kinds and judges, and the nulls."""
    records: dict[tuple[str, str], dict[str, float]] = {}
    nulls_of: dict[tuple[str, str], np.ndarray] = {}
    several = len(question.judge_names) > 1
    knowing = [judge for judge in question.judge_names if question.column(emotion, judge) is not None]
    if not knowing:
        return {"target": float("nan")}, nulls_of
    for judge in knowing:
        e = question.column(emotion, judge)
        others = {k: answers[:, :, e][no_own(question, drawn[k], emotion)] for k, answers in nulls.items()}
        for kind, answers in (others or {"": np.zeros((0, len(base)))}).items():
            records[judge, kind] = _record(steered[:, e], base[:, e], answers, picks)
            nulls_of[judge, kind] = answers.mean(1)
    by_kind = {kind: record for (judge, kind), record in records.items() if judge == knowing[0]}
    # the hardest kind is the one that is reported
    hardest = max(by_kind, key=lambda kind: (by_kind[kind]["p"], -by_kind[kind]["z"]))
    result: dict[str, object] = dict(by_kind[hardest])
    result["p"] = max(record["p"] for record in records.values())
    if len(by_kind) > 1:
        result["random_kind"] = hardest
    if several:
        result["judge"] = knowing[0]
    for (judge, kind), record in records.items():
        label = f"_{judge}" if several else ""
        if several:
            result |= {f"target_{judge}": record["target"], f"target_unsteered_{judge}": record["target_unsteered"]}
            of_judge = [r["p"] for (j, _), r in records.items() if j == judge]
            result[f"p_{judge}"] = max(of_judge) if np.isfinite(of_judge).all() else float("nan")
        if len(by_kind) > 1:
            result[f"p{label}_{kind}"] = record["p"]
    return result, nulls_of


def _record(steered: np.ndarray, base: np.ndarray, random: np.ndarray, picks: np.ndarray) -> dict[str, float]:
    """Mean, interval over prompts, and p of one cell; `random` are the random directions' answers [direction, prompt]."""
    target, start, null = float(steered.mean()), float(base.mean()), random.mean(1)
    beyond = steered - (random.mean(0) if len(random) else np.nan)
    over_low, over_high = np.percentile(beyond[picks].mean(1), [2.5, 97.5])
    low, high = np.percentile(steered[picks].mean(1), [2.5, 97.5])
    shift_low, shift_high = np.percentile((steered - base)[picks].mean(1), [2.5, 97.5])
    random_low, random_high = np.percentile(null, [2.5, 97.5]) if null.size else (np.nan, np.nan)
    tested = null.size > 0 and np.isfinite(target)
    return {
        "target": target,
        "lo": float(low),
        "hi": float(high),
        "target_unsteered": start,
        "shift": target - start,
        "shift_lo": float(shift_low),
        "shift_hi": float(shift_high),
        "random_lo": float(random_low),
        "random_hi": float(random_high),
        "over_random": float(beyond.mean()),
        "over_random_lo": float(over_low),
        "over_random_hi": float(over_high),
        # the unsteered part is the same on both sides, so comparing targets compares shifts
        # how far beyond random pushes of the same size, in their standard deviations
        "z": float((target - null.mean()) / null.std(ddof=1)) if null.size > 2 and null.std() > 0 else float("nan"),
        "p": float((1 + (null >= target).sum()) / (null.size + 1)) if tested else float("nan"),
    }


def _coherence(
    question: GridQuestion, base: Continuations | None, texts: Continuations | None, count: int
) -> list[dict[str, float]]:
    if base is None or texts is None:
        return [dict.fromkeys(COHERENCE, float("nan"))] * count
    prompts = [t.row for t in question.subject.tokenize(question.written_prompts, whole=True)]
    everything = [*base.tokens, *texts.tokens]
    flat = [new for row in everything for new in row]
    scores = continuation_log_probabilities(question.subject, prompts * len(everything), flat)
    n = len(prompts)
    perplexities = [perplexity(scores[i * n : (i + 1) * n]) for i in range(len(everything))]
    distinct = [distinct_2(row) for row in everything]
    bare, *written = [
        [text[len(p) :] for text, p in zip(row, question.written_prompts, strict=True)]
        for row in (*base.texts, *texts.texts)
    ]
    overlaps = [content_overlap(bare, row, question.language) for row in written]
    # weighted over all texts at once, so that cells can be compared
    alike = content_similarity(bare * len(written), [*chain(*written)], question.language).reshape(len(written), n)
    return [
        {
            "perplexity_ratio": perplexities[i] / perplexities[0],
            "distinct2": distinct[i],
            "distinct2_ratio": distinct[i] / distinct[0] if distinct[0] else float("nan"),
            "content_overlap": _mean(overlaps[i - 1]),
            "content_similarity": _mean(alike[i - 1]),
        }
        for i in range(1, len(everything))
    ]


def _mean(values: np.ndarray) -> float:
    """Mean of the known values, NaN where there are none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _text_frame(
    question: GridQuestion, cells: Sequence[Cell], base: Continuations | None, texts_of: Mapping[int, list[str]]
) -> pd.DataFrame:
    unsteered_key = {"emotion": "unsteered", "layer": -1, "site": "", "method": "none", "dose": 0.0}
    pairs = [] if base is None else [(unsteered_key, base.texts[0])]
    pairs += [(cells[i].key, texts) for i, texts in sorted(texts_of.items())]
    records = [
        {**key, "prompt": p, "text": t}
        for key, text in pairs
        for p, t in zip(question.written_prompts, text, strict=True)
    ]
    return pd.DataFrame(records, columns=[*Cell.KEYS, "prompt", "text"])
