"""The texts of a dial's cells: written, judged, and compared with unsteered ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.experiments.dial_slopes import correlation
from emotion_interp.experiments.setting import Setting
from emotion_interp.judges.coherence import continuation_log_probabilities, distinct_2, is_coherent, perplexity
from emotion_interp.judges.judging import CoordinateJudge
from emotion_interp.steering.context import steer_rows
from emotion_interp.steering.interventions import RowInterventions
from emotion_interp.subjects.generation import continuation_text, decode

if TYPE_CHECKING:
    pass


def texts_of_cells(setting: Setting, rows: RowInterventions) -> tuple[list[list[list[int]]], list[list[str]]]:
    """Tokens and texts of every row's continuations, prompt by prompt, sample by sample: [row][prompt x sample]."""
    ids, subject = beginnings(setting), setting.subject
    size = len(ids)
    crossed = RowInterventions(rows.vectors, index=np.repeat(np.arange(rows.n_rows), size))
    streams = list(range(size)) * rows.n_rows
    with steer_rows(subject, crossed, setting.positions):
        options = {"fork": True, **setting.generation}
        made = decode(subject, ids * rows.n_rows, setting.max_new_tokens, seed=setting.seed, streams=streams, **options)
    tokens = [made.tokens[i * size : (i + 1) * size] for i in range(rows.n_rows)]
    return tokens, [[continuation_text(subject, ids[k], t) for k, t in enumerate(row)] for row in tokens]


def beginnings(setting: Setting) -> list[list[int]]:
    """Token ids of every prompt, once for each sample, one prompt after the other."""
    return [t.row for t in setting.subject.tokenize(setting.prompts, whole=True) for _ in range(setting.samples)]


def text_frame(
    setting: Setting, cells: Sequence[tuple[float, float]], texts: list[list[str]], values: np.ndarray
) -> pd.DataFrame:
    """What was written in every cell, and what the judge read in it."""
    lines = [
        {"valence": v, "arousal": a, "prompt": p, "sample": s, "text": texts[c][i * setting.samples + s]}
        | {"judged_valence": values[c, i, s, 0], "judged_arousal": values[c, i, s, 1]}
        for c, (v, a) in enumerate(cells)
        for i, p in enumerate(setting.prompts)
        for s in range(setting.samples)
    ]
    return pd.DataFrame(lines)


def fluency(setting: Setting, tokens: list[list[list[int]]]) -> pd.DataFrame:
    """Ratios of every cell to the last row, which is unsteered."""
    ids = beginnings(setting)
    scores = continuation_log_probabilities(setting.subject, ids * len(tokens), [t for row in tokens for t in row])
    size = len(ids)
    perplexities = [perplexity(scores[i * size : (i + 1) * size]) for i in range(len(tokens))]
    distinct = [distinct_2(row) for row in tokens]
    frame = pd.DataFrame({"perplexity_ratio": perplexities, "distinct2_ratio": distinct})
    frame = (frame / frame.iloc[-1]).iloc[:-1]
    ratios = zip(frame["perplexity_ratio"], frame["distinct2_ratio"], strict=True)
    return frame.assign(intact=[is_coherent(p, d) for p, d in ratios])


def r_over_intact(table: pd.DataFrame) -> dict[str, float]:
    """r over the cells whose text is intact."""
    intact = table[table["intact"]]
    names = ("valence", "arousal")
    return {
        f"r_{d}_intact": float(correlation(intact[d].to_numpy(float), intact[f"judged_{d}"].to_numpy(float)[None])[0])
        if len(intact) > 2
        else float("nan")
        for d in names
    }


def judged_values(judge: CoordinateJudge, texts: list[list[str]]) -> np.ndarray:
    """The judge's answers to all texts, [text, 2]."""
    flat = [t for row in texts for t in row]
    values = np.asarray(judge.predict(flat), dtype=np.float64)
    if values.shape != (len(flat), 2):
        raise EmotionInterpError(f"the judge answers with shape {values.shape}, expected {(len(flat), 2)}.")
    return values
