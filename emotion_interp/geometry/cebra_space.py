"""CEBRA (Schneider, Lee & Mathis 2023), the embedding of the paper, trained without what it is compared with.

Trained on valence or arousal the embedding would be circular; trained and read on the same emotions it would show what
the network memorised. So the labels are emotion identities alone, and each emotion is read from a network that never
saw it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np

from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.extras import need
from emotion_interp.core.options import merged
from emotion_interp.core.seeds import generator
from emotion_interp.geometry.options import CebraChoices, CebraOptions
from emotion_interp.geometry.space import EmotionSpace, unit_means, unit_vectors

_MOST_INPUTS = 50
_FEWEST = 6


@dataclass(frozen=True, eq=False)
class CebraFold:
    """One network: the emotions (and places of their units) it was trained on, and the emotions it only embedded."""

    trained: tuple[str, ...]
    held_out: tuple[str, ...]
    trained_units: np.ndarray
    held_out_units: np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class CebraSpace(EmotionSpace):
    """A CEBRA embedding as an `EmotionSpace`: `vectors` [emotion, dimension] and `units` [unit, dimension] come from
    the network that did not train on that emotion. `folds` says which network saw what; `loss` [fold] is the last
    training loss of each."""

    folds: tuple[CebraFold, ...] = ()
    loss: tuple[float, ...] = ()
    seed: int = 0


# Long: each fold is turned to the first one's centres, so the loop is one.
@checked
def cebra_space(
    units: EmotionSpace | object,
    emotions: Sequence[str] | None = None,
    *,
    dimensions: int = 3,
    seed: int = 0,
    layer: int | None = None,
    language: str | None = None,
    options: CebraOptions | None = None,
    **choices: Unpack[CebraChoices],
) -> CebraSpace:
    """Embed units (words or texts) with CEBRA's supervised discrete mode, whole emotions held out; then `align` it.

    The emotions are dealt into `n_folds` groups. For each group a network is trained on the units of all *other*
    emotions, with the emotion's identity as its only label, and embeds the group's units. The embeddings of the
    networks are turned onto the first one by an orthogonal Procrustes fit to the emotions on which both were trained. The
    network reads at most 50 principal components of the training units. Runs on the CPU, the same for one seed; the
    global random states of torch and numpy are put back.

    Args:
        units: an `EmotionSpace` with units (`emotion_space(bank, layer)`, `text_spaces(..., keep_units=True)`), or an
            array [unit, dimension].
        emotions: emotion of each unit, with an array.
        dimensions: of the embedding, which lies on the unit sphere.
        seed: of the groups, the weights and the batches.
        layer: noted in the space, with an array.
        language: noted in the space, with an array.
        options: the groups of emotions, and how the networks are trained.
        **choices: fields of `CebraOptions`, by keyword.

    Raises:
        UnsupportedError: CEBRA is not installed.
        EmotionInterpError: no units; fewer than 6 emotions, or fewer than 2 units of one; settings out of range.
        NotFiniteError: NaN or infinite entries.

    Source: Schneider, Lee & Mathis, Nature 617:360 (2023); used for emotion features by Wu et al., arXiv 2506.13978.

    Example:
        >>> space = cebra_space(emotion_space(bank, layer=5))  # doctest: +SKIP
        >>> align(space, load_norms("warriner"))  # doctest: +SKIP
    """
    tags: dict[str, Any] = {}
    chosen = merged(CebraOptions, options, choices)
    n_folds = chosen.n_folds
    if isinstance(units, EmotionSpace):
        if emotions is not None:
            raise EmotionInterpError("an EmotionSpace knows the emotions of its units; leave emotions= out.")
        if units.units is None:
            raise EmotionInterpError(
                "this space carries no units; build it with EmotionSpace.from_units, emotion_space(kind='features') or "
                "text_spaces(keep_units=True), or give an array [unit, dimension] and the emotion of each unit."
            )
        layer, language = units.layer, units.language
        tags = {"stimuli": units.stimuli, "baselines": units.baselines, "site": units.site}
        matrix, names = unit_vectors(units.units, units.unit_emotions)
    else:
        matrix, names = unit_vectors(units, emotions)
    order = list(dict.fromkeys(names))
    _check(names, order, dimensions, n_folds, chosen.iterations)
    estimator = _cebra()
    codes = np.array([order.index(e) for e in names])
    groups = generator(seed, "cebra folds").permutation(np.arange(len(order)) % n_folds)
    embedded = np.empty((len(matrix), dimensions))
    folds, losses, reference = [], [], None
    for fold in range(n_folds):
        inside = groups[codes] != fold
        with _seeded(seed + fold):
            model = estimator(
                model_architecture="offset1-model",
                device="cpu",
                output_dimension=dimensions,
                max_iterations=chosen.iterations,
                batch_size=min(chosen.batch_size, int(inside.sum())),
                learning_rate=chosen.learning_rate,
                num_hidden_units=chosen.hidden_units,
                verbose=False,
            )
            values = _inputs(matrix, inside)
            # classes are counted without gaps; the identity of the emotion is the only label there is
            model.fit(values[inside], np.unique(codes[inside], return_inverse=True)[1])
            output = np.asarray(model.transform(values), dtype=np.float64)
        centres = np.stack([output[codes == e].mean(axis=0) for e in range(len(order))])
        if reference is None:
            reference = centres
        shared = (groups != fold) & (groups != 0)
        embedded[~inside] = (output @ _turn(centres[shared], reference[shared]))[~inside]
        folds.append(
            CebraFold(
                tuple(e for e, g in zip(order, groups, strict=True) if g != fold),
                tuple(e for e, g in zip(order, groups, strict=True) if g == fold),
                np.flatnonzero(inside),
                np.flatnonzero(~inside),
            )
        )
        losses.append(float(model.state_dict_["loss"][-1]))
    return CebraSpace(
        unit_means(embedded, names, order),
        order,
        layer=layer,
        kind="cebra",
        language=language,
        units=embedded,
        unit_emotions=names,
        folds=tuple(folds),
        loss=tuple(losses),
        seed=seed,
        **tags,
    )


def _check(names: Sequence[str], order: Sequence[str], dimensions: int, n_folds: int, iterations: int) -> None:
    if len(order) < _FEWEST:
        raise EmotionInterpError(f"CEBRA with emotions held out needs at least {_FEWEST} emotions, got {len(order)}.")
    alone = [e for e in order if names.count(e) < 2]
    if alone:
        raise EmotionInterpError(f"every emotion needs at least 2 units; only one: {', '.join(alone)}.")
    if not 3 <= n_folds <= len(order):
        raise EmotionInterpError(f"n_folds is 3 to the number of emotions ({len(order)}), got {n_folds}.")
    for name, value, least in (("dimensions", dimensions, 2), ("iterations", iterations, 1)):
        if value < least:
            raise EmotionInterpError(f"{name} is at least {least}, got {value}.")


def _cebra() -> Any:
    return need("cebra", extra="cebra").CEBRA


def _inputs(matrix: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Principal components of the training units, at one scale whatever the units of the vectors; for all units."""
    training = np.asarray(matrix[inside], dtype=np.float64)
    mean = training.mean(axis=0)
    _, singular, right = np.linalg.svd(training - mean, full_matrices=False)
    rank = int(min(_MOST_INPUTS, (singular > singular[0] * 1e-7).sum()))
    if singular[0] == 0:
        raise EmotionInterpError("all units have the same vector; there is nothing to embed.")
    values = (np.asarray(matrix, dtype=np.float64) - mean) @ right[:rank].T
    # root mean square of the components together is the square root of their number, as if each had unit variance
    return (values * np.sqrt(rank) / np.sqrt((values[inside] ** 2).sum(axis=1).mean())).astype(np.float32)


def _turn(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Orthogonal matrix that turns the source [emotion, dimension] onto the target."""
    left, _, right = np.linalg.svd(source.T @ target)
    return left @ right


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """CEBRA draws from the global generators of torch and numpy: seed them, and put both back."""
    import torch

    state = np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002
