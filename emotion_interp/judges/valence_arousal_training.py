"""The recipe of the valence and arousal judge: EmoBank's reader ratings, its own split in three."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge

from emotion_interp.core.errors import FileFormatError, UnknownNameError
from emotion_interp.core.files import sha256_file
from emotion_interp.core.frames import rows_where
from emotion_interp.core.reading import damage_named
from emotion_interp.judges.text_judges import load_judge
from emotion_interp.judges.valence_arousal import (
    DIMENSIONS,
    READS,
    ValenceArousalJudge,
    design_matrix,
    log_probabilities,
    write_valence_arousal,
)

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


MAX_BYTES = 1_000_000

NGRAMS: tuple[dict[str, object], ...] = (
    {"analyzer": "word", "ngram_range": (1, 2), "max_features": 10_000, "token_pattern": r"(?u)\b\w+\b|[!?]"},
    {"analyzer": "char_wb", "ngram_range": (2, 5), "max_features": 20_000, "min_df": 3},
)
PENALTIES = (3.0, 10.0, 30.0)
SHARES = (0.05, 0.1)
"""Tried on the dev split: ridge penalty, and the weight of a log probability's z-score beside the n-grams."""


def emobank_texts(data: str | Path) -> pd.DataFrame:
    """EmoBank's sentences with reader ratings: columns split, text, valence, arousal.

    Args:
        data: a folder with `labelled/emobank/`.

    Raises:
        FileFormatError: a file is missing.
    """
    folder = Path(data) / "labelled" / "emobank"
    for name in ("emobank.csv", "reader.csv"):
        if not (folder / name).is_file():
            raise FileFormatError(f"{folder / name} does not exist; give the folder that holds labelled/.")
    with damage_named(folder / "emobank.csv"):
        texts = rows_where(
            pd.read_csv(folder / "emobank.csv", keep_default_na=False, index_col=False), ["id", "split", "text"]
        )
    with damage_named(folder / "reader.csv"):
        ratings = pd.read_csv(folder / "reader.csv", index_col=False)[["id", "V", "A"]].astype({"V": float, "A": float})
    joined = texts.merge(ratings.rename(columns={"V": "valence", "A": "arousal"}), on="id", validate="one_to_one")
    return joined[["split", "text", *DIMENSIONS]]


def fit_valence_arousal(
    train: tuple[Sequence[str], np.ndarray],
    dev: tuple[Sequence[str], np.ndarray],
    emotions: Pipeline,
    ngrams: Sequence[dict[str, object]] = NGRAMS,
) -> ValenceArousalJudge:
    """Ridge regression; penalty and share are those with the highest mean r on the dev texts.

    Args:
        train: texts, and their ratings [text, 2].
        dev: texts, and their ratings [text, 2].
        emotions: fitted classifier with `predict_proba`, whose log probabilities are inputs beside the n-grams.
        ngrams: options of each TF-IDF.
    """
    texts, ratings = train
    vectorizers = tuple(
        TfidfVectorizer(**{"sublinear_tf": True, "dtype": np.float32, "min_df": 2, **n}).fit(texts) for n in ngrams
    )
    known = log_probabilities(emotions, texts)
    centre, spread = known.mean(0), known.std(0) + 1e-9
    best: tuple[float, ValenceArousalJudge] | None = None
    for share in SHARES:
        inputs = design_matrix(vectorizers, emotions, texts, centre, spread, share)
        for penalty in PENALTIES:
            ridge = Ridge(penalty).fit(inputs, ratings)
            weights = np.asarray(ridge.coef_, dtype=np.float16).astype(np.float64)
            judge = ValenceArousalJudge(
                vectorizers, weights, np.asarray(ridge.intercept_), centre, spread, share, emotions, {}
            )
            r = correlations(judge, *dev)
            if best is None or r.mean() > best[0]:
                best = (float(r.mean()), judge)
    assert best is not None
    return best[1]


def correlations(judge: ValenceArousalJudge, texts: Sequence[str], ratings: np.ndarray) -> np.ndarray:
    """Pearson r of predicted and given ratings: [dimension]."""
    predicted = judge.predict(list(texts))
    return np.asarray([np.corrcoef(predicted[:, k], ratings[:, k])[0, 1] for k in range(2)])


def train_valence_arousal_judge(data: str | Path, out: str | Path, reads: str = "en") -> pd.DataFrame:
    """Train the valence and arousal judge on EmoBank and write `<out>/emobank.skops`; `<out>/en.skops` must be there.

    Inputs: TF-IDF of words (1-2) and of characters within words (2-5), and an English emotion judge's log
    probabilities, without which the regression (trained on news, letters and blogs) hardly hears stories. Targets:
    reader ratings. Fitted on EmoBank's train split, penalty chosen on dev, figures from test.

    Args:
        data: a folder with `labelled/emobank/`.
        out: folder of the judges.
        reads: the emotion judge, "en", or "comments", which has read no story; it must be there as
            `<out>/comments.skops`, and the file is then `<out>/emobank_comments.skops`.

    Returns:
        columns split, dimension, r, n.

    Raises:
        FileFormatError: a data file or the English judge is missing.
        UnknownNameError: another emotion judge.
        EmotionInterpError: the file would be larger than 1 MB.

    Source: EmoBank (Buechel & Hahn 2017).

    Example:
        >>> train_valence_arousal_judge("data", "judges")  # doctest: +SKIP
    """
    if reads not in READS:
        raise UnknownNameError("emotion judge that a regression reads", reads, READS)
    english = Path(out) / f"{reads}.skops"
    emotions = load_judge(english).pipeline  # type: ignore[union-attr]
    frame = emobank_texts(data)
    sides = {}
    for split in ("train", "dev", "test"):
        part = frame[frame["split"] == split]
        sides[split] = (part["text"].tolist(), part[list(DIMENSIONS)].to_numpy(dtype=np.float64))
    judge = fit_valence_arousal(sides["train"], sides["dev"], emotions)
    rows = []
    for split in ("dev", "test"):
        values = correlations(judge, *sides[split])
        rows += [
            {"split": split, "dimension": d, "r": float(r), "n": len(sides[split][0])}
            for d, r in zip(DIMENSIONS, values, strict=True)
        ]
    scores = {f"{r['dimension']}_r_{r['split']}": r["r"] for r in rows} | {"n_test": len(sides["test"][0])}
    name = "emobank" if reads == READS[0] else f"emobank_{reads}"
    judge = replace(judge, scores=scores, reads=reads)
    write_valence_arousal(Path(out) / f"{name}.skops", judge, sha256_file(english), limit=MAX_BYTES)
    return pd.DataFrame(rows)
