"""The recipe of the bundled judges: n-grams and logistic regression on labelled texts, tested on held-out ones."""

from __future__ import annotations

import copy
import json
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline

from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.files import atomic_file
from emotion_interp.core.seeds import generator
from emotion_interp.judges.data import NEUTRAL, LabelledText, corpus_texts, judge_texts

FORMAT = 1

USABLE_AUROC = 0.7
"""Mean held-out AUROC below which an emotion has no usable judge."""

MAX_BYTES = 4_000_000

LEAST_TEXTS = 10
"""Held-out texts with an emotion from which a figure is reported."""

_FEATURES = {
    "en": {"analyzer": "word", "ngram_range": (1, 2), "max_features": 30_000, "min_df": 3},
    "zh": {"analyzer": "char", "ngram_range": (1, 3), "max_features": 40_000, "min_df": 3},
    # Spanish has 2,000 posts and 7,000 subtitles: parts of words reach further than words
    "es": {"analyzer": "char_wb", "ngram_range": (2, 5), "max_features": 40_000, "min_df": 3},
    # of subtitles, which are short phrases, parts that cross words reach further still in five folds of the training lines; of
    # the posts of BRIGHTER they do not
    "xed": {"analyzer": "char", "ngram_range": (2, 6), "max_features": 100_000, "min_df": 2},
}


COMMENTS = "comments"
"""Name of the English judge that has read no story."""


@checked
def train_judge(
    data: str | Path, out: str | Path, language: str = "en", seed: int = 0, stories: bool = True
) -> pd.DataFrame:
    """Train the judge of a language and write `<out>/<language>.skops`.

    TF-IDF of n-grams (words in English, characters in Chinese) and multinomial logistic regression over emotions and
    "neutral". A text with several emotions counts for each, in equal parts; within a data set frequent emotions count less.

    Args:
        data: a folder with `labelled/` and `corpora/`; see `judge_texts`.
        out: folder of the judge.
        language: "en" or "zh".
        seed: order of the training texts.
        stories: False leaves the English stories out of training (not of the held-out figures) and writes
            `<out>/comments.skops`: a judge that shares no story with the subject and its directions.

    Returns:
        held-out figures, one row per emotion and data set: see `held_out_scores`.

    Raises:
        FileFormatError: a data file is missing.
        UnknownNameError: another language.
        EmotionInterpError: the file would be larger than 4 MB, or a language without stories is to leave them out.

    Example:
        >>> train_judge("data", "judges", "zh")  # doctest: +SKIP
    """
    if not stories and language != "en":
        raise EmotionInterpError(f"only the English judge learns from stories; {language!r} has none to leave out.")
    train, test = judge_texts(data, language, stories)
    order = generator(seed, "judge", language).permutation(len(train))
    pipeline = fit([train[i] for i in order], _FEATURES[language])
    classes = [str(c) for c in pipeline.classes_]
    scores = held_out_scores(classes, pipeline.predict_proba([t.text for t in test]), test)
    unseen = sorted({t.source for t in test} - {t.source for t in train})
    write_judge(Path(out) / f"{language if stories else COMMENTS}.skops", pipeline, language, scores, unseen)
    return scores


@checked
def train_corpus_judge(data: str | Path, out: str | Path, corpus: str, language: str, seed: int = 0) -> pd.DataFrame:
    """Train the judge of one corpus alone and write `<out>/<corpus>_<language>.skops`.

    Two judges of a language that share no text answer for each other: what both hear is not one corpus's manner.

    Args:
        data: a folder with `labelled/` and `corpora/`.
        out: folder of the judge.
        corpus: "stories" (en), "smp" (zh), "brighter" (zh, es), "xed" (es).
        language: of the texts.
        seed: order of the training texts.

    Returns:
        held-out figures, also on the language's other corpora, which count for no judge's emotions.

    Raises:
        FileFormatError: a data file is missing.
        UnknownNameError: another corpus or language.
        EmotionInterpError: the file would be larger than 4 MB.

    Example:
        >>> train_corpus_judge("data", "judges", "xed", "es")  # doctest: +SKIP
    """
    train, test = corpus_texts(data, corpus, language)
    order = generator(seed, "judge", corpus, language).permutation(len(train))
    pipeline = fit([train[i] for i in order], _FEATURES.get(corpus, _FEATURES[language]))
    classes = [str(c) for c in pipeline.classes_]
    scores = held_out_scores(classes, pipeline.predict_proba([t.text for t in test]), test)
    unseen = sorted({t.source for t in test} - {t.source for t in train})
    write_judge(Path(out) / f"{corpus}_{language}.skops", pipeline, language, scores, unseen)
    return scores


def fit(texts: Sequence[LabelledText], features: Mapping[str, object]) -> Pipeline:
    """A scikit-learn pipeline fitted on labelled texts; its `classes_` are emotions and "neutral"."""
    pairs = [(t, e) for t in texts for e in (t.emotions or (NEUTRAL,))]
    labels = np.asarray([e for _, e in pairs])
    share = np.asarray([1 / max(1, len(t.emotions)) for t, _ in pairs])
    # the square root between counting texts and counting emotions alike: rare emotions are heard, and do not shout
    groups = [(t.source, e) for t, e in pairs]
    counts = Counter(groups)
    weights = share / np.sqrt([counts[g] for g in groups])
    pipeline = Pipeline(
        [
            ("tfidf", TfidfVectorizer(**{"sublinear_tf": True, "dtype": np.float32, **features})),
            ("classifier", LogisticRegression(C=10.0, max_iter=150, tol=1e-3)),
        ]
    )
    pipeline.fit([t.text for t, _ in pairs], labels, classifier__sample_weight=weights / weights.mean())
    classifier = pipeline.named_steps["classifier"]
    # half precision is enough for a coefficient, and the zeros behind it compress
    classifier.coef_ = classifier.coef_.astype(np.float16).astype(np.float32)
    classifier.intercept_ = classifier.intercept_.astype(np.float32)
    return pipeline


def held_out_scores(classes: Sequence[str], probabilities: np.ndarray, texts: Sequence[LabelledText]) -> pd.DataFrame:
    """How well each emotion is told from all other texts of the same data set.

    Args:
        classes: columns of the probabilities.
        probabilities: [text, class].
        texts: held-out texts.

    Returns:
        columns emotion, source, n (texts with the emotion), auroc, f1 (of the likeliest class).
    """
    sources = np.asarray([t.source for t in texts])
    guessed = probabilities.argmax(1)
    rows = []
    for column, emotion in enumerate(classes):
        if emotion == NEUTRAL:
            continue
        for source in dict.fromkeys(sources):
            of_source = sources == source
            truth = np.asarray([emotion in t.emotions for t in texts])[of_source]
            if LEAST_TEXTS <= truth.sum() < len(truth):
                auroc = float(roc_auc_score(truth, probabilities[of_source, column]))
                f1 = _f1(truth, guessed[of_source] == column)
                rows.append(
                    {"emotion": emotion, "source": str(source), "n": int(truth.sum()), "auroc": auroc, "f1": f1}
                )
    return pd.DataFrame(rows, columns=["emotion", "source", "n", "auroc", "f1"])


def _f1(truth: np.ndarray, guessed: np.ndarray) -> float:
    """2 x both / (true + guessed)."""
    return float(2 * (truth & guessed).sum() / (truth.sum() + guessed.sum()))


def write_judge(
    path: str | Path, pipeline: Pipeline, language: str, scores: pd.DataFrame, unseen: Sequence[str] = ()
) -> None:
    """Store a fitted pipeline with its held-out figures as one skops file; `unseen` are data sets of other kinds of text.

    Raises:
        EmotionInterpError: the file would be larger than 4 MB.
    """
    from skops.io import dumps

    # skops writes a record for every entry of a dict; 30,000 n-grams as one string load fifty times faster
    bare = copy.deepcopy(pipeline)
    vocabulary = bare.named_steps["tfidf"].vocabulary_
    bare.named_steps["tfidf"].vocabulary_ = {}
    content = {
        "format": FORMAT,
        "language": language,
        "pipeline": bare,
        "terms": json.dumps(sorted(vocabulary, key=lambda term: int(vocabulary[term])), ensure_ascii=False),
        "scores": scores.to_dict("records"),
        "unseen": list(unseen),
    }
    raw = dumps(content, compression=zipfile.ZIP_DEFLATED, compresslevel=9)
    if len(raw) > MAX_BYTES:
        raise EmotionInterpError(f"the judge takes {len(raw):,} bytes, more than {MAX_BYTES:,}; use fewer n-grams.")
    with atomic_file(path) as temporary:
        temporary.write_bytes(raw)
