"""The spaces that an emotion space stands beside: of the same stimuli, without what the model is claimed to know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from emotion_interp.activations import read_stimuli
from emotion_interp.concepts import corpus_stimuli, scene_stimuli
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.options import merged
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Site, Stimulus
from emotion_interp.geometry.options import ControlSpaceChoices, ControlSpaceOptions
from emotion_interp.geometry.space import EmotionSpace
from emotion_interp.geometry.text_baseline import baselines_if_any
from emotion_interp.subjects import Subject

if TYPE_CHECKING:
    from emotion_interp.bank import FeatureBank
    from emotion_interp.concepts import ConceptSet

NEUTRAL = "neutral"
_UNSPACED = ("zh", "ja", "th")


@checked
def control_spaces(
    subject: Subject,
    concepts: ConceptSet | None,
    layer: int | Site | str,
    language: str | None = None,
    seed: int = 0,
    *,
    bank: FeatureBank | None = None,
    options: ControlSpaceOptions | None = None,
    **choices: Unpack[ControlSpaceChoices],
) -> dict[str, EmotionSpace]:
    """What an emotion space must beat, of the very stimuli that the space was made of.

    Args:
        subject: the model.
        concepts: concept sets (None where the stimuli are given).
        layer: the layer that the controls stand beside.
        language: default: the bank's first, else that of the concepts.
        seed: of the random weights and the shuffle.
        bank: the bank that the space is of; gives stimuli, position and skip. One found on texts needs them again.
        options: the stimuli, and which tokens are read, as the space was made; default: a word's "last" token, the mean of
            a "text" from its 8th token (`text_spaces` leaves out 20).
        **choices: fields of `ControlSpaceOptions`, by keyword.

    Returns:
        name -> EmotionSpace: "static embedding" (mean input embedding of the word or text), "random weights" (the same
        architecture), "shuffled labels", "text" (TF-IDF; of words: their letters), and where a sentence encoder is
        present "encoder". `align(space, norms, controls=...)` also says what the space adds to the last two.

    Raises:
        EmotionInterpError: the stimuli of the bank are needed and not given, or no stimulus has the language.
        UnknownNameError: another kind of stimuli, layer or language.

    Example:
        >>> controls = control_spaces(subject, concepts, layer=2, stimuli="scenes")  # doctest: +SKIP
        >>> align(space, norms, controls=controls).increments["text"]  # doctest: +SKIP
    """
    # the controls have no SAE, and read the hook point itself
    site = subject.site(layer).point
    chosen = merged(ControlSpaceOptions, options, choices)
    kind, shown = _stimuli(concepts, bank, chosen.stimuli, language)
    language = shown[0].language
    # a word is one unit in all its carriers; a text is its own, whatever it is called
    named = [(s.emotion, s.word if kind == "words" else s.text) for s in shown]
    keys = {k: i for i, k in enumerate(dict.fromkeys(named))}
    units = [keys[key] for key in named]
    order = list(concepts.emotions) if concepts is not None else []
    present = {e for e, _ in keys}
    names = [e for e in order if e in present] + sorted(present - set(order))
    labels = np.asarray([names.index(e) for e, _ in keys])
    texts = [text for _, text in keys]
    manifest = {} if bank is None else bank.manifest
    position = manifest.get("position") or ("last" if kind == "words" else "text")
    reading = chosen.reading(position, int(manifest.get("skip", 8)))

    def space(values: np.ndarray, codes: np.ndarray, kind_of_space: str) -> EmotionSpace:
        present = [i for i in range(len(names)) if (codes == i).any()]
        vectors = np.stack([values[codes == i].mean(0) for i in present]).astype(np.float64)
        present_names = [names[i] for i in present]
        return EmotionSpace(vectors, present_names, site=site, kind=kind_of_space, language=language, stimuli=kind)

    dense = read_stimuli(subject, shown, units, sites=[site], options=reading)[site].dense
    other = Subject(_random_twin(subject, seed), tokenizer=subject.tokenizer, name=f"{subject.name}, random weights")
    random = read_stimuli(other, shown, units, sites=[site], options=reading)[site].dense
    shuffled = generator(seed, "shuffled labels").permutation(labels)
    static = static_embeddings(subject, texts, language, skip=0 if kind == "words" else reading.skip or 0)
    spaces = {
        "static embedding": space(static, labels, "static embedding"),
        "random weights": space(random, labels, "random weights"),
        "shuffled labels": space(dense, shuffled, "shuffled labels"),
    }
    alone = baselines_if_any(
        texts,
        [e for e, _ in keys],
        language=language,
        unit="word" if kind == "words" else "text",
        site=site,
    )
    return spaces | {name: replace(baseline.subset(names), stimuli=kind) for name, baseline in alone.items()}


def _stimuli(
    concepts: ConceptSet | None,
    bank: FeatureBank | None,
    stimuli: str | Path | Sequence[Stimulus] | None,
    language: str | None,
) -> tuple[str, list[Stimulus]]:
    """Kind ("words", "scenes", "texts") and the stimuli of one language, without neutral ones."""
    if stimuli is None:
        stimuli = "words" if bank is None else str(bank.manifest["stimuli"])
        if stimuli == "texts":
            raise EmotionInterpError("the bank was found on texts of your own; pass them again as stimuli=.")
    if language is None and bank is not None:
        language = bank.languages[0]
    if language is None and concepts is not None and isinstance(stimuli, (str, Path)):
        language = concepts.languages[0]
    kind, shown = _shown(concepts, stimuli, language or "en")
    emotional = [s for s in shown if s.emotion != NEUTRAL]
    if bank is not None:
        emotional = [s for s in emotional if s.emotion in bank.emotions]
    if language is None and emotional:
        language = emotional[0].language
    spoken = [s for s in emotional if s.language == language]
    if len({s.emotion for s in spoken}) < 2:
        languages = sorted({s.language for s in emotional})
        raise EmotionInterpError(
            f"the stimuli hold fewer than two emotions in {language!r}; they are in {', '.join(languages) or 'no language'}."
        )
    return kind, spoken


def _shown(concepts: ConceptSet | None, stimuli: Any, language: str) -> tuple[str, list[Stimulus]]:
    if not isinstance(stimuli, (str, Path)):
        given = list(stimuli)
        wrong = [type(s).__name__ for s in given if not isinstance(s, Stimulus)]
        if wrong:
            raise EmotionInterpError(
                f"stimuli are Stimulus objects (labelled_stimuli, corpus_stimuli), or a name; got {wrong[0]}."
            )
        whole = all(s.span == (0, len(s.text)) for s in given)
        return ("texts" if whole else "words"), given
    if stimuli == "words":
        if concepts is None:
            raise EmotionInterpError("stimuli='words' needs the concept sets whose words are shown.")
        return "words", concepts.stimuli(languages=[language])
    if stimuli == "scenes":
        return "scenes", scene_stimuli([language])
    return "texts", corpus_stimuli(stimuli, language)


def static_embeddings(subject: Subject, words: Sequence[str], language: str, skip: int = 0) -> np.ndarray:
    """Mean input embedding of each word's (or text's) tokens, from the `skip`-th where it has so many: [word, d_model]."""
    table = subject.model.W_E.detach().float().cpu().numpy()
    gap = "" if language in _UNSPACED else " "
    encoded = subject.tokenizer([gap + w for w in words], add_special_tokens=False)["input_ids"]
    return np.stack([table[ids[skip:] or ids].mean(0) for ids in encoded])


def _random_twin(subject: Subject, seed: int) -> Subject:
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
