"""Emotion spaces from a bank, from texts, and the control spaces beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Site
from emotion_interp.geometry.space import EmotionSpace

if TYPE_CHECKING:
    from emotion_interp.concepts import ConceptSet
    from emotion_interp.features import FeatureBank
    from emotion_interp.subjects import Subject

SpaceKind = Literal["features", "decoder", "dense"]


@checked
def emotion_space(
    bank: FeatureBank, layer: int | Site | str, kind: SpaceKind = "features", language: str | None = None
) -> EmotionSpace:
    """The emotion space of one layer and language.

    Args:
        bank: found with `find_features`.
        layer: a layer of the bank (of several sites there, the one that `FeatureBank.site` takes), a hook name or site.
        kind: "features": mean activation of each emotion's words on the union of the selected features;
            "decoder": the SAE decoder directions; "dense": differences of means in the residual stream (both halves).
        language: default: the bank's first.

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
                f"{len(chosen)} features are selected at {_place(site, bank)} in {language!r}; a space needs two. Use kind='dense'."
            )
        words, matrix = bank.unit_activations(site, language)
        values = matrix[:, chosen].toarray().astype(np.float64)
        labels = words["emotion"].to_numpy()
        emotions = [e for e in bank.emotions if (labels == e).any()]
        vectors = np.stack([values[labels == e].mean(0) for e in emotions])
        own = np.isin(labels, emotions)
        units, names = values[own], labels[own].tolist()
    elif kind in ("decoder", "dense"):
        method = "sae" if kind == "decoder" else "means"
        vectors = bank.directions[f"{site}|{language}|{method}"].astype(np.float64)
        present = np.linalg.norm(vectors, axis=1) > 0
        emotions = [e for e, there in zip(bank.emotions, present, strict=True) if there]
        vectors = vectors[present]
    else:
        raise UnknownNameError("emotion space kind", kind, ("features", "decoder", "dense"))
    return EmotionSpace(vectors, emotions, site.layer, kind, language, units, names)


def _place(site: Site, bank: FeatureBank) -> str:
    return f"layer {site.layer}" if bank.places == ["layer"] else str(site)


@checked
def text_spaces(
    subject: Subject,
    texts: Sequence[str],
    emotions: Sequence[str],
    *,
    sites: Sequence[Site] | None = None,
    skip: int = 20,
    batch_tokens: int = 2048,
    progress: Any = None,
    keep_units: bool = False,
) -> dict[tuple[Site, str], EmotionSpace]:
    """Emotion spaces from labelled texts: mean over a text's tokens from the `skip`-th, then over an emotion's texts.

    Args:
        subject: the model.
        texts: texts, one label each.
        emotions: label of each text.
        sites: default: every site with an SAE.
        skip: tokens left out at the start of a text (Anthropic, arXiv 2604.07729, leaves out 50).
        batch_tokens: padded tokens of one forward pass.
        progress: receives the number of texts of each batch.
        keep_units: the spaces carry the vector of every text (float32), for intervals over texts and `cebra_space`.

    Returns:
        (site, "dense") and, where the site has an SAE, (site, "features") over the latents alive on these texts.
    """
    from emotion_interp.activations import read_units

    if len(texts) != len(emotions):
        raise EmotionInterpError(f"{len(texts)} texts but {len(emotions)} labels; give one label for each text.")
    names = sorted(set(emotions))
    units = list(range(len(texts))) if keep_units else [names.index(e) for e in emotions]
    readings = read_units(
        subject, texts, units, sites=sites, position="text", skip=skip, batch_tokens=batch_tokens, progress=progress
    )
    spaces = {}
    for site, reading in readings.items():
        if keep_units:
            tags: dict[str, Any] = {"layer": site.layer, "emotions": names}
            spaces[site, "dense"] = EmotionSpace.from_units(reading.dense, emotions, kind="dense", **tags)
            if reading.features is not None:
                columns = np.flatnonzero(reading.features.getnnz(axis=0))
                alive = reading.features[:, columns].toarray()
                spaces[site, "features"] = EmotionSpace.from_units(alive, emotions, kind="features", **tags)
            continue
        spaces[site, "dense"] = EmotionSpace(reading.dense, names, layer=site.layer, kind="dense")
        if reading.features is not None:
            values = reading.features.toarray()
            alive = (values > 0).any(0)
            spaces[site, "features"] = EmotionSpace(values[:, alive], names, layer=site.layer, kind="features")
    return spaces


@checked
def control_spaces(
    subject: Subject, concepts: ConceptSet, layer: int | Site | str, language: str | None = None, seed: int = 0
) -> dict[str, EmotionSpace]:
    """What an emotion space must beat: static token embeddings, the same architecture with random weights, shuffled labels.

    Args:
        subject: the model.
        concepts: concept sets.
        layer: the layer that the controls stand beside.
        language: default: the first of the concepts.
        seed: of the random weights and the shuffle.

    Returns:
        name -> EmotionSpace: "static embedding", "random weights", "shuffled labels".
    """
    from emotion_interp.activations import read_stimuli
    from emotion_interp.subjects import Subject

    language = language or concepts.languages[0]
    # the controls have no SAE, and read the hook point itself
    site = subject.site(layer).point
    stimuli = [s for s in concepts.stimuli(languages=[language]) if s.emotion != "neutral"]
    emotions = list(concepts.emotions)
    keys = {k: i for i, k in enumerate(dict.fromkeys((s.emotion, s.word) for s in stimuli))}
    units = [keys[s.emotion, s.word] for s in stimuli]
    labels = np.asarray([emotions.index(e) for e, _ in keys])

    def space(values: np.ndarray, codes: np.ndarray, kind: str) -> EmotionSpace:
        present = [i for i in range(len(emotions)) if (codes == i).any()]
        vectors = np.stack([values[codes == i].mean(0) for i in present]).astype(np.float64)
        return EmotionSpace(vectors, [emotions[i] for i in present], layer=site.layer, kind=kind, language=language)

    own = read_stimuli(subject, stimuli, units, sites=[site])[site].dense
    other = Subject(_random_twin(subject, seed), tokenizer=subject.tokenizer, name=f"{subject.name}, random weights")
    random = read_stimuli(other, stimuli, units, sites=[site])[site].dense
    shuffled = generator(seed, "shuffled labels").permutation(labels)
    return {
        "static embedding": space(
            static_embeddings(subject, [w for _, w in keys], language), labels, "static embedding"
        ),
        "random weights": space(random, labels, "random weights"),
        "shuffled labels": space(own, shuffled, "shuffled labels"),
    }


def static_embeddings(subject: Subject, words: Sequence[str], language: str) -> np.ndarray:
    """Mean input embedding of each word's tokens: [word, d_model]."""
    table = subject.model.W_E.detach().float().cpu().numpy()
    gap = "" if language in ("zh", "ja", "th") else " "
    encoded = subject.tokenizer([gap + w for w in words], add_special_tokens=False)["input_ids"]
    return np.stack([table[ids].mean(0) for ids in encoded])


def _random_twin(subject: Subject, seed: int) -> Any:
    """A model of the same architecture with freshly drawn weights; the global torch state is put back."""
    import torch

    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    try:
        if subject.backend == "hooked":
            from transformer_lens import HookedTransformer

            return HookedTransformer(subject.model.cfg, tokenizer=subject.tokenizer).to(subject.device)
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_config(subject.model.original_model.config, attn_implementation="eager")
        return model.to(subject.device, subject.dtype).eval()
    finally:
        torch.random.set_rng_state(state)


def rated_only(spaces: Mapping[Any, EmotionSpace], rated: Iterable[str]) -> dict[Any, EmotionSpace]:
    """The same spaces restricted to emotions that have a rating."""
    keep = set(rated)
    return {key: space.subset([e for e in space.emotions if e in keep]) for key, space in spaces.items()}
