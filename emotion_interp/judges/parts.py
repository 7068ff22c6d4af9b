"""The parts of a judge's file, made anew from its numbers: nothing of a stranger's file runs, and only the recipe fits."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from emotion_interp.core.errors import FileFormatError, NotFiniteError
from emotion_interp.core.reading import check_zip, parse_json, said

LARGEST_JUDGE = 128 << 20
"""Bytes that a judge's file may unpack to."""

_RECIPE: dict[str, Any] = {"sublinear_tf": True, "dtype": np.float32}
_FIT_ONLY = ("min_df", "max_df", "max_features", "vocabulary")
_ANALYZERS = ("word", "char", "char_wb")
TOKEN_PATTERNS = (r"(?u)\b\w\w+\b", r"(?u)\b\w+\b|[!?]")
"""scikit-learn's own, and that of the valence and arousal judge, which also reads single letters and marks."""

LONGEST_NGRAM = 6


def read_skops(path: Path, trusted: Sequence[str]) -> Any:
    """The content of a skops file that holds trusted types alone.

    Raises:
        FileFormatError: no such file, another kind of file, damaged, too large, or with other types.
    """
    if not os.path.lexists(path):
        raise FileFormatError(f"{path} does not exist; give a file that train_judge wrote.")
    try:
        check_zip(path, LARGEST_JUDGE)
    except FileFormatError as error:
        raise FileFormatError(f"{path} is no skops file of a judge: {error}") from None
    from skops.io import load
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return load(path, trusted=list(trusted))
    except UntrustedTypesFoundException as error:
        raise FileFormatError(
            f"{path} holds types that a judge does not need, so it is not loaded: {said(error)}"
        ) from None
    except (
        zipfile.BadZipFile,
        zlib.error,
        LookupError,
        ArithmeticError,
        ValueError,
        TypeError,
        AttributeError,
        ImportError,
        EOFError,
        OSError,
        RuntimeError,
        MemoryError,
    ) as error:
        # a damaged schema leads skops anywhere
        raise FileFormatError(f"{path} is no skops file of a judge: {type(error).__name__}: {said(error)}.") from None


def term_list(path: Path, terms: object) -> list[str]:
    """N-grams that a file keeps as one JSON string."""
    names = parse_json(terms, f"{path}: the list of n-grams") if isinstance(terms, str) else None
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise FileFormatError(f"{path} is damaged: its n-grams are no JSON list of strings.")
    return names


def fresh_vectorizer(path: Path, given: object, names: Sequence[str]) -> TfidfVectorizer:
    """A TF-IDF of the recipe with the file's n-grams and weights.

    Raises:
        FileFormatError: the file's vectoriser reads texts in another way than the recipe's, or its parts do not fit.
    """
    if type(given) is not TfidfVectorizer:
        raise FileFormatError(f"{path} holds something else than TF-IDF.")
    recipe: dict[str, Any] = TfidfVectorizer(**_RECIPE).get_params()
    values = {name: vars(given).get(name, _ABSENT) for name in recipe}
    for name in ("analyzer", "ngram_range"):
        recipe[name] = values[name]
    if values["token_pattern"] in TOKEN_PATTERNS:
        recipe["token_pattern"] = values["token_pattern"]
    for name, value in recipe.items():
        if name not in _FIT_ONLY and not _same(values[name], value):
            raise FileFormatError(
                f"{path}: the vectoriser has {name}={_short(values[name])}, the recipe of a judge {name}={_short(value)}; it is "
                "not loaded."
            )
    if values["analyzer"] not in _ANALYZERS or not _is_range(values["ngram_range"]):
        raise FileFormatError(
            f"{path}: the vectoriser has analyzer={_short(values['analyzer'])} and ngram_range={_short(values['ngram_range'])}; "
            f"a judge's are {', '.join(_ANALYZERS)} and at most (1, {LONGEST_NGRAM})."
        )
    weights = _array(path, "n-gram weights", getattr(vars(given).get("_tfidf"), "idf_", None), 1)
    if not len(set(names)) == len(names) == len(weights):
        raise FileFormatError(f"{path} is damaged: its n-grams and weights differ in number.")
    chosen = {name: values[name] for name in ("analyzer", "ngram_range", "token_pattern")}
    fresh = TfidfVectorizer(**{**chosen, **_RECIPE})
    fresh.vocabulary_ = {term: i for i, term in enumerate(names)}
    fresh.idf_ = weights
    return fresh


def fresh_pipeline(path: Path, pipeline: object, terms: object) -> Pipeline:
    """TF-IDF and logistic regression with the file's numbers, if they are what they should be and fit each other.

    Raises:
        FileFormatError: other steps, another recipe, parts of another type or size.
        NotFiniteError: NaN or infinite weights.
    """
    steps = getattr(pipeline, "steps", None)
    if not isinstance(steps, list) or not all(isinstance(s, (tuple, list)) and len(s) == 2 for s in steps):
        steps = []
    kinds = [type(step) for _, step in steps]
    if kinds != [TfidfVectorizer, LogisticRegression]:
        raise FileFormatError(f"{path} holds {[k.__name__ for k in kinds]}, not TF-IDF and logistic regression.")
    given: Mapping[str, object] = vars(steps[1][1])
    vectorizer = fresh_vectorizer(path, steps[0][1], term_list(path, terms))
    coefficients = _array(path, "weights", given.get("coef_"), 2)
    intercept = _array(path, "intercepts", given.get("intercept_"), 1)
    classes = given.get("classes_")
    if not isinstance(classes, np.ndarray) or classes.ndim != 1 or classes.dtype.kind not in "UO":
        raise FileFormatError(f"{path} is damaged: the classes of its regression are no list of names.")
    rows = 1 if len(classes) == 2 else len(classes)
    if coefficients.shape != (rows, len(vectorizer.vocabulary_)) or len(intercept) != rows or len(classes) < 2:
        raise FileFormatError(f"{path} is damaged: its n-grams, weights and classes differ in number.")
    fresh: Any = LogisticRegression()
    fresh.coef_, fresh.intercept_ = coefficients, intercept
    fresh.classes_ = np.asarray([str(c) for c in classes])
    fresh.n_features_in_ = coefficients.shape[1]
    return Pipeline([("tfidf", vectorizer), ("classifier", fresh)])


_ABSENT = "nothing"


def _array(path: Path, what: str, values: object, dimensions: int) -> np.ndarray:
    if not isinstance(values, np.ndarray) or values.ndim != dimensions or values.dtype.kind != "f":
        raise FileFormatError(f"{path} is damaged: its {what} are no array of numbers.")
    if not np.isfinite(values).all():
        raise NotFiniteError(f"{path} has NaN or infinite {what}; the file is damaged.")
    return values


def _same(value: object, wanted: object) -> bool:
    if wanted is np.float32:
        return value is np.float32 or (isinstance(value, np.dtype) and value == np.float32)
    return type(value) is type(wanted) and value == wanted


def _is_range(value: object) -> bool:
    if not isinstance(value, (tuple, list)) or len(value) != 2 or not all(type(n) is int for n in value):
        return False
    return 1 <= value[0] <= value[1] <= LONGEST_NGRAM


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "..."
