"""Emotion spaces from a bank and from texts, with the same emotions from the texts alone beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Unpack

import numpy as np

from emotion_interp.activations import read_units
from emotion_interp.activations.options import ReadChoices, ReadOptions
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.options import merged
from emotion_interp.core.types import Key, Site
from emotion_interp.geometry.controls import control_spaces as control_spaces
from emotion_interp.geometry.space import EmotionSpace
from emotion_interp.geometry.text_baseline import bank_baselines, baselines_if_any
from emotion_interp.stats.firing import fires, firing_rates

if TYPE_CHECKING:
    from emotion_interp.bank import FeatureBank
    from emotion_interp.subjects import Subject

SpaceKind = Literal["features", "decoder", "dense"]


@checked
def emotion_space(
    bank: FeatureBank,
    layer: int | Site | str,
    kind: SpaceKind = "features",
    language: str | None = None,
    *,
    baselines: Mapping[str, EmotionSpace] | None = None,
) -> EmotionSpace:
    """The emotion space of one layer and language.

    Args:
        bank: found with `find_features`.
        layer: a layer of the bank (of several sites there, the one that `FeatureBank.site` takes), a hook name or site.
        kind: "features": mean activation of each emotion's words on the union of the selected features;
            "decoder": the SAE decoder directions; "dense": differences of means in the residual stream (both halves).
        language: default: the bank's first.
        baselines: the same emotions from the texts alone (`text_baselines` of the texts that the bank was found on);
            default: those that the bank keeps (`bank.extras["text_space"]`), if it was found on texts.

    Returns:
        EmotionSpace [emotion, dimension]; for "features" with its words as `units`.

    Raises:
        UnknownNameError: no such layer, language or kind.
        EmotionInterpError: no feature was selected at this layer.

    Example:
        >>> emotion_space(bank, layer=3, kind="dense")  # doctest: +SKIP
    """
    language = language or bank.languages[0]
    site = bank.site(layer)
    units = names = None
    if kind == "features":
        chosen = bank.selected_features(site, language)
        if len(chosen) < 2:
            raise EmotionInterpError(
                f"{len(chosen)} features are selected at layer {site.layer} ({site}) in {language!r}; a space needs two. Use kind='dense'."
            )
        words, matrix = bank.unit_activations(site, language)
        values = matrix[:, chosen].toarray().astype(np.float64)
        labels = words["emotion"].to_numpy()
        emotions = [e for e in bank.emotions if (labels == e).any()]
        vectors = np.stack([values[labels == e].mean(0) for e in emotions])
        wanted = np.isin(labels, emotions)
        units, names = values[wanted], labels[wanted].tolist()
    elif kind in ("decoder", "dense"):
        method = "sae" if kind == "decoder" else "means"
        vectors = bank.directions[site, language, method].astype(np.float64)
        present = np.linalg.norm(vectors, axis=1) > 0
        emotions = [e for e, has_it in zip(bank.emotions, present, strict=True) if has_it]
        vectors = vectors[present]
    else:
        raise UnknownNameError("emotion space kind", kind, ("features", "decoder", "dense"))
    stimuli = bank.manifest.get("stimuli", "words")
    if baselines is None:
        baselines = bank_baselines(bank, language)
    baselines = {n: b.subset(emotions) for n, b in baselines.items() if set(emotions) <= set(b.emotions)}
    return EmotionSpace(vectors, emotions, site.layer, kind, language, units, names, stimuli, baselines, site)


@checked
def text_spaces(
    subject: Subject,
    texts: Sequence[str],
    emotions: Sequence[str],
    *,
    sites: Sequence[Site] | None = None,
    keep_units: bool = False,
    language: str | None = None,
    options: ReadOptions | None = None,
    **choices: Unpack[ReadChoices],
) -> dict[tuple[Site, str], EmotionSpace]:
    """Emotion spaces from labelled texts: mean over a text's tokens from the `skip`-th, then over an emotion's texts.

    Args:
        subject: the model.
        texts: texts, one label each.
        emotions: label of each text.
        sites: default: every site with an SAE.
        keep_units: the spaces carry the vector of every text (float32), for intervals over texts and `cebra_space`.
        language: of the texts; default: the one that they read as.
        options: how the pass is made, and which tokens are read; default: the mean of the "text" after 20 tokens (Anthropic,
            arXiv 2604.07729, leaves out 50).
        **choices: fields of `ReadOptions`, by keyword.

    Returns:
        (site, "dense") and, where the site has an SAE, (site, "features") over the latents alive on these texts. Each
        carries the same emotions from the texts alone (`EmotionSpace.baselines`), so that `align` shows both.
    """
    if len(texts) != len(emotions):
        raise EmotionInterpError(f"{len(texts)} texts but {len(emotions)} labels; give one label for each text.")
    names = sorted(set(emotions))
    units = list(range(len(texts))) if keep_units else [names.index(e) for e in emotions]
    reading = merged(ReadOptions, options, choices).reading("text", 20)
    readings = read_units(subject, texts, units, sites=sites, options=reading)
    spaces = {}
    alone = baselines_if_any(texts, emotions, language=language)
    for site, reading in readings.items():
        tags: dict[str, Any] = {"site": site, "emotions": names, "stimuli": "texts", "baselines": alone}
        if keep_units:
            spaces[site, "dense"] = EmotionSpace.from_units(reading.dense, emotions, kind="dense", **tags)
            if reading.features is not None:
                columns = np.flatnonzero(firing_rates(reading.features))
                alive = reading.features[:, columns].toarray()
                spaces[site, "features"] = EmotionSpace.from_units(alive, emotions, kind="features", **tags)
            continue
        spaces[site, "dense"] = EmotionSpace(reading.dense, kind="dense", **tags)
        if reading.features is not None:
            values = reading.features.toarray()
            alive = fires(values).any(0)
            spaces[site, "features"] = EmotionSpace(values[:, alive], kind="features", **tags)
    return spaces


def rated_only(spaces: Mapping[Key, EmotionSpace], rated: Iterable[str]) -> dict[Key, EmotionSpace]:
    """The same spaces restricted to emotions that have a rating."""
    keep = set(rated)
    return {key: space.subset([e for e in space.emotions if e in keep]) for key, space in spaces.items()}
