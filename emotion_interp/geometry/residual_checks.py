"""What a text-residualised geometry is given: which stories are fitted on and read from, and matrices of their size."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from emotion_interp.core.arguments import as_array
from emotion_interp.core.errors import EmotionInterpError, NotFiniteError
from emotion_interp.geometry.coordinates import HumanCoordinates, human_coordinates
from emotion_interp.norms import Norms
from emotion_interp.stats.sparse import Matrix


def topic_halves(
    emotions: Sequence[str],
    topics: Sequence[Hashable],
    fit: Sequence[Hashable] | None,
    test: Sequence[Hashable] | None,
    texts: Sequence[str] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Masks [story] of the stories to fit on and of those to read from."""
    if len({len(emotions), len(topics), len(emotions if texts is None else texts)}) > 1:
        shown = "" if texts is None else f"{len(texts)} texts, "
        raise EmotionInterpError(
            f"{shown}{len(emotions)} emotions and {len(topics)} topics; give one emotion and one topic for each story."
        )
    known = sorted(set(topics), key=lambda t: (str(type(t)), t))
    if fit is None and test is None:
        fit, test = known[: len(known) // 2], known[len(known) // 2 :]
    elif fit is None:
        fit = [t for t in known if t not in set(test)]
    elif test is None:
        test = [t for t in known if t not in set(fit)]
    both = [str(t) for t in known if t in set(fit) and t in set(test)]
    if both:
        raise EmotionInterpError(
            f"topics to fit on and to test on are others; in both: {', '.join(both)}. A ridge fitted on the stories it is "
            "read from takes away even what noise predicts."
        )
    unknown = [str(t) for t in (*fit, *test) if t not in set(known)]
    if unknown:
        raise EmotionInterpError(
            f"no story has the topic {', '.join(unknown)}; the topics are {', '.join(map(str, known))}."
        )
    if len(set(fit)) < 2 or not len(test):
        raise EmotionInterpError(
            f"at least 2 topics to fit on and 1 to test on are needed, got {len(set(fit))} and {len(set(test))}."
        )
    return np.asarray([t in set(fit) for t in topics]), np.asarray([t in set(test) for t in topics])


def rated_stories(
    emotions: Sequence[str], test: np.ndarray, norms: Norms, labels: Mapping[str, str] | None
) -> tuple[HumanCoordinates, np.ndarray, np.ndarray]:
    """Ratings of the test stories' emotions, and the numbers of the stories that have one, with their emotion's place."""
    human = human_coordinates(sorted({emotions[i] for i in np.flatnonzero(test).tolist()}), norms, labels=labels)
    place = {e: i for i, e in enumerate(human.emotions)}
    rated: list[int] = [i for i in np.flatnonzero(test).tolist() if emotions[i] in place]
    return human, np.asarray(rated), np.asarray([place[emotions[i]] for i in rated])


def predictor_blocks(name: str, given: object, n: int) -> tuple[np.ndarray, ...]:
    """A predictor's blocks, dense: a tuple or list of matrices, or the one matrix."""
    several = isinstance(given, (tuple, list)) and len(given) and getattr(given[0], "ndim", np.ndim(given[0])) == 2
    parts = given if several else (given,)
    return tuple(dense(story_matrix(f"the predictor {name!r}", part, n)) for part in parts)


def story_matrix(what: str, given: Any, n: int) -> Matrix:
    """A finite matrix [story, dimension] of its own, or the sparse one as it is."""
    matrix: Matrix = given.tocsr() if hasattr(given, "tocsr") else as_array(what, given, "float64")
    if matrix.ndim != 2 or matrix.shape[0] != n or matrix.shape[1] == 0:
        raise EmotionInterpError(f"{what} are [story, dimension] for {n} stories, got the shape {tuple(matrix.shape)}.")
    if not np.isfinite(matrix if isinstance(matrix, np.ndarray) else matrix.data).all():
        raise NotFiniteError(f"{what} have NaN or infinite entries.")
    return matrix


def dense(matrix: Matrix) -> np.ndarray:
    """A matrix as a float64 array."""
    return matrix if isinstance(matrix, np.ndarray) else matrix.toarray().astype(np.float64)


def same(block: np.ndarray, matrix: Matrix) -> bool:
    """Whether a predictor is the very activations."""
    return isinstance(matrix, np.ndarray) and block.shape == matrix.shape and bool((block == matrix).all())


def alive_columns(matrix: Matrix, fit: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Outputs of the stories to fit on and of those to read from, without columns that are 0 in all of them."""
    first, second = dense(matrix[fit]), dense(matrix[test])
    alive = (first != 0).any(axis=0) | (second != 0).any(axis=0)
    return first[:, alive], second[:, alive]
