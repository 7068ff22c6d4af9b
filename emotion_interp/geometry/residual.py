"""Text-residualised geometry: what of an emotion space is left after what the text alone says of each story.

Single stories' activations are regressed on predictors of the text, fitted on the stories of some topics and applied to
those of others. Fitted and read on the same stories, 384 columns of pure noise take away almost half of the variance
between the emotions of 850 stories; across topics they take away nothing, which the noise rows show.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion_interp.activations import read_units
from emotion_interp.core.arguments import checked
from emotion_interp.core.languages import language_or_detected
from emotion_interp.core.types import Site
from emotion_interp.geometry.controls import _random_twin
from emotion_interp.geometry.coordinates import as_norms
from emotion_interp.geometry.residual_arrays import residual_alignments
from emotion_interp.geometry.residual_checks import rated_stories, topic_halves
from emotion_interp.geometry.residual_results import ResidualGeometry
from emotion_interp.geometry.text_predictors import TERMS, text_predictors, with_embedding
from emotion_interp.subjects import Subject

if TYPE_CHECKING:
    import pandas as pd

    from emotion_interp.norms import Norms

EMBEDDING = Site(0, "resid_pre")


@checked
def residual_geometry(
    subject: Subject,
    texts: Sequence[str],
    emotions: Sequence[str],
    topics: Sequence[Any],
    norms: Norms | pd.DataFrame,
    *,
    fit_topics: Sequence[Any] | None = None,
    test_topics: Sequence[Any] | None = None,
    predictors: Mapping[str, Any] | None = None,
    terms: int = TERMS,
    sites: Sequence[Site] | None = None,
    noise: bool = True,
    random_weights: bool = False,
    skip: int = 20,
    batch_tokens: int = 2048,
    progress: Callable[[int], None] | None = None,
    language: str | None = None,
    labels: Mapping[str, str] | None = None,
    n_permutations: int = 999,
    n_bootstrap: int = 1000,
    n_components: int = 10,
    ridge: float = 1.0,
    seed: int = 0,
) -> ResidualGeometry:
    """The emotion space that is left beyond what the text alone predicts linearly, against human valence and arousal.

    Each story's activations (mean over its tokens) are regressed on what the text says; the ridge is fitted on the
    stories of the fit topics (strength of each output by cross-validation, whole topics held out) and applied to those of
    the test topics. The residuals, averaged by emotion, are aligned as in `align_layers`; the space before the ridge and
    the same with noise of the predictor's size stand beside.

    Args:
        subject: the model.
        texts, emotions, topics: the stories, the label and the topic of each.
        norms: as for `align`.
        fit_topics, test_topics: topics to fit on and to read from; default: the first and the second half, in order.
        predictors: name -> matrix [story, predictor], or a tuple of such blocks (each scaled to total variance one);
            default: "text" (TF-IDF reduced to `terms`, learnt on the fit topics), "encoder" and "text + encoder" where a
            sentence encoder is present, "embedding" (the subject's own embedding layer), and "all" of them.
        sites: default: the embedding layer, and every site with an SAE (without SAEs: every layer).
        noise: beside each predictor, noise of its size.
        random_weights: also the same architecture with random weights (dense alone).
        skip, batch_tokens, progress, language: as in `text_spaces`.
        labels, n_permutations, n_bootstrap, n_components, ridge, seed: as in `align`.

    Raises:
        EmotionInterpError: topics in both halves, fewer than two to fit on, one that no story has; fewer than 5 rated
            emotions among the test stories; a number of texts, labels and topics that is not the same.

    Example:
        >>> left = residual_geometry(subject, texts, emotions, topics, norms)  # doctest: +SKIP
        >>> left.at(9, "text").alignment.valence  # doctest: +SKIP
    """
    fit, test = topic_halves(emotions, topics, fit_topics, test_topics, texts)
    # whatever is wrong is said before the model runs
    rated_stories(emotions, test, as_norms(norms, language), labels)
    language = language_or_detected(language, texts)
    if sites is None:
        sites = [EMBEDDING, *(subject.sites or [Site(layer) for layer in range(subject.n_layers)])]
    named = text_predictors(texts, np.flatnonzero(fit), language, terms, seed) if predictors is None else None
    options: dict[str, Any] = {"fit_topics": fit_topics, "test_topics": test_topics, "noise": noise, "labels": labels}
    options |= {"n_permutations": n_permutations, "n_bootstrap": n_bootstrap, "n_components": n_components}
    options |= {"ridge": ridge, "seed": seed, "language": language}
    subjects = {"own": subject} | ({"random": random_twin(subject, seed)} if random_weights else {})
    found = None
    for weights, model in subjects.items():
        read = {*sites} if weights == "own" else {site.point for site in sites}
        shown = story_activations(
            model, texts, sorted(read | ({EMBEDDING} if named else set())), skip, batch_tokens, progress
        )
        own = predictors or with_embedding(named or {}, shown[EMBEDDING, "dense"])
        wanted = {key: values for key, values in shown.items() if key[0] in read}
        fits = residual_alignments(wanted, own, emotions, topics, norms, weights=weights, **options)
        found = fits if found is None else found.joined(fits)
    assert found is not None
    return found


def random_twin(subject: Subject, seed: int) -> Subject:
    """The same architecture with random weights, without SAEs."""
    return Subject(_random_twin(subject, seed), tokenizer=subject.tokenizer, name=f"{subject.name}, random weights")


def story_activations(
    subject: Subject,
    texts: Sequence[str],
    sites: Sequence[Site],
    skip: int = 20,
    batch_tokens: int = 2048,
    progress: Callable[[int], None] | None = None,
) -> dict[tuple[Site, str], Any]:
    """(site, "dense") -> [story, dimension] and, where the site has an SAE, (site, "features") -> sparse [story, latent]:
    means over each story's tokens from the `skip`-th."""
    readings = read_units(
        subject,
        texts,
        range(len(texts)),
        sites=sites,
        position="text",
        skip=skip,
        batch_tokens=batch_tokens,
        progress=progress,
    )
    found: dict[tuple[Site, str], Any] = {}
    for site, reading in readings.items():
        found[site, "dense"] = np.array(reading.dense)
        if reading.features is not None:
            found[site, "features"] = reading.features.copy()
    return found
