"""Text-residualised geometry: what of an emotion space is left after what the text alone says of each story.

Single stories' activations are regressed on predictors of the text, fitted on the stories of some topics and applied to
those of others. Fitted and read on the same stories, 384 columns of pure noise take away almost half of the variance
between the emotions of 850 stories; across topics they take away nothing, which the noise rows show.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Unpack

import numpy as np

from emotion_interp.activations import read_units
from emotion_interp.core.arguments import checked
from emotion_interp.core.languages import language_or_detected
from emotion_interp.core.options import merged
from emotion_interp.core.progress import Progress
from emotion_interp.core.types import Site
from emotion_interp.geometry.controls import _random_twin
from emotion_interp.geometry.coordinates import as_norms
from emotion_interp.geometry.options import ResidualReadChoices, ResidualReadOptions
from emotion_interp.geometry.residual_arrays import residual_alignments
from emotion_interp.geometry.residual_checks import rated_stories, topic_halves
from emotion_interp.geometry.residual_results import ResidualGeometry
from emotion_interp.geometry.text_predictors import text_predictors, with_embedding
from emotion_interp.stats.sparse import Matrix
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
    topics: Sequence[Hashable],
    norms: Norms | pd.DataFrame,
    *,
    options: ResidualReadOptions | None = None,
    **choices: Unpack[ResidualReadChoices],
) -> ResidualGeometry:
    """The emotion space that is left beyond what the text alone predicts linearly, against human valence and arousal.

    Each story's activations (mean over its tokens) are regressed on what the text says; the ridge is fitted on the
    stories of the fit topics (strength of each output by cross-validation, whole topics held out) and applied to those of
    the test topics. The residuals, averaged by emotion, are aligned as in `align_layers`; the space before the ridge and
    the same with noise of the predictor's size stand beside.

    Args:
        subject: the model.
        texts: the stories.
        emotions: the label of each.
        topics: the topic of each.
        norms: as for `align`.
        options: topics to fit on and to read from, predictors, sites, noise and how the stories are read and aligned.
        **choices: fields of `ResidualReadOptions`, by keyword.

    Raises:
        EmotionInterpError: topics in both halves, fewer than two to fit on, one that no story has; fewer than 5 rated
            emotions among the test stories; a number of texts, labels and topics that is not the same.

    Example:
        >>> left = residual_geometry(subject, texts, emotions, topics, norms)  # doctest: +SKIP
        >>> left.at(9, "text").alignment.valence  # doctest: +SKIP
    """
    chosen = merged(ResidualReadOptions, options, choices)
    fit, test = topic_halves(emotions, topics, chosen.fit_topics, chosen.test_topics, texts)
    # whatever is wrong is said before the model runs
    rated_stories(emotions, test, as_norms(norms, chosen.language), chosen.labels)
    language = language_or_detected(chosen.language, texts)
    chosen = replace(chosen, language=language)
    sites = chosen.sites
    if sites is None:
        sites = [EMBEDDING, *(subject.sites or [Site(layer) for layer in range(subject.n_layers)])]
    named = None
    if chosen.predictors is None:
        named = text_predictors(texts, np.flatnonzero(fit), language, chosen.terms, chosen.seed)
    subjects = {"own": subject} | ({"random": random_twin(subject, chosen.seed)} if chosen.random_weights else {})
    passes = (chosen.skip, chosen.batch_tokens, chosen.progress)
    fitted = None
    for weights, model in subjects.items():
        read = {*sites} if weights == "own" else {site.point for site in sites}
        shown = story_activations(model, texts, sorted(read | ({EMBEDDING} if named else set())), *passes)
        predictors = chosen.predictors or with_embedding(named or {}, shown[EMBEDDING, "dense"])
        wanted = {key: values for key, values in shown.items() if key[0] in read}
        fits = residual_alignments(wanted, predictors, emotions, topics, norms, weights=weights, options=chosen)
        fitted = fits if fitted is None else fitted.joined(fits)
    assert fitted is not None
    return fitted


def random_twin(subject: Subject, seed: int) -> Subject:
    """The same architecture with random weights, without SAEs."""
    return Subject(_random_twin(subject, seed), tokenizer=subject.tokenizer, name=f"{subject.name}, random weights")


def story_activations(
    subject: Subject,
    texts: Sequence[str],
    sites: Sequence[Site],
    skip: int = 20,
    batch_tokens: int = 2048,
    progress: Progress = None,
) -> dict[tuple[Site, str], Matrix]:
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
    read: dict[tuple[Site, str], Matrix] = {}
    for site, reading in readings.items():
        read[site, "dense"] = np.array(reading.dense)
        if reading.features is not None:
            read[site, "features"] = reading.features.copy()
    return read
