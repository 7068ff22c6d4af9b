"""Top activating examples: the texts on which a feature fires most, with the tokens around the maximum."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

import pandas as pd

from emotion_interp.activations import forward_pass
from emotion_interp.bank.bank import FeatureBank
from emotion_interp.concepts import concept_set, scene_stimuli
from emotion_interp.core.arguments import checked
from emotion_interp.core.errors import EmotionInterpError, UnknownNameError
from emotion_interp.core.frames import rows_where
from emotion_interp.core.options import merged
from emotion_interp.core.result import Result
from emotion_interp.core.types import Site, Stimulus
from emotion_interp.features.example_passes import Best, part_sentences, ranked_examples
from emotion_interp.features.lens import chosen_features
from emotion_interp.features.options import ExampleChoices, ExampleOptions
from emotion_interp.figures import series_curves
from emotion_interp.subjects.shelf import in_turns

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import torch

    from emotion_interp.activations.forward import Batch
    from emotion_interp.subjects import Subject

COLUMNS = (
    "layer",
    "site",
    "feature",
    "rank",
    "activation",
    "text",
    "tokens",
    "activations",
    "token_index",
    "text_emotion",
    "text_language",
    "part",
)


@dataclass(frozen=True, eq=False, repr=False)
class TopExamples(Result):
    """Top activating examples; `add_to(bank)` keeps them as the bank's table "examples"."""

    frame: pd.DataFrame
    n_texts: int

    COLUMNS = tuple(c for c in COLUMNS if c not in ("tokens", "activations"))
    TABLE = "examples"

    def plot(self) -> go.Figure:
        """The strongest activation of every feature over the layers: the median, and the middle half of the features."""
        best = rows_where(self.frame, self.frame["rank"] == 1)
        rows = best.groupby(["layer", "site"])["activation"].quantile([0.25, 0.5, 0.75]).unstack()
        rows.columns = ["lo", "activation", "hi"]
        texts = {"title": "Strongest examples by layer", "y_title": "activation of the best example"}
        return series_curves(rows.reset_index(), "activation", ["site"], bounds=("lo", "hi"), **texts)


@checked
def top_examples(
    subject: Subject,
    bank: FeatureBank,
    texts: Sequence[str | Stimulus] | None = None,
    layers: Iterable[int] | None = None,
    *,
    k: int = 10,
    options: ExampleOptions | None = None,
    **choices: Unpack[ExampleChoices],
) -> TopExamples:
    """The k texts on which each selected or top feature fires most, by its maximum over content tokens.

    One pass over the texts; what is kept is k windows per feature, whatever the number of texts. BOS, padding and
    attention sinks are left out.

    Args:
        subject: the model with its SAEs.
        bank: its features.
        texts: strings or stimuli, each text once; default: the stimuli of the bank (scenes, or each of its words in one
            of the shipped carriers).
        layers: default: all of the bank.
        k: examples for each feature; a feature that fires on fewer texts has fewer.
        options: the tokens shown around the maximum, and how the pass is made.
        **choices: fields of `ExampleOptions`, by keyword.

    Returns:
        `.to_frame()`: layer, site, feature, rank (from 1), activation (the maximum), text (whole), tokens and
        activations of the window (joined, the tokens are a stretch of the text; a token that is a further byte of a
        character is ""), token_index (place of the maximum in the window), text_emotion and text_language (of a
        stimulus, else None), part ("top", or with `by_part` the part of the texts; ranks go on).

    Raises:
        EmotionInterpError: a bank of another subject, no texts, or a bank found on texts of the user's that are not given.
        UnknownNameError: a layer that the bank does not have.

    Example:
        >>> bank = top_examples(subject, bank).add_to(bank)  # doctest: +SKIP
        >>> bank.extras["examples"].query("layer == 2 and rank == 1")  # doctest: +SKIP
    """
    chosen = merged(ExampleOptions, options, choices)
    if k < 1:
        raise EmotionInterpError(f"k is at least 1, got k={k}.")
    if isinstance(texts, str):
        raise EmotionInterpError("texts is a list of texts, got one string; put it in a list.")
    given = bank_texts(bank) if texts is None else list(texts)
    # the same text twice would take two of the k places
    unique: dict[str, Stimulus | str] = {}
    for one in given:
        unique.setdefault(one.text if isinstance(one, Stimulus) else one, one)
    if not unique:
        raise EmotionInterpError("there is nothing to read: the list of texts is empty.")
    shown = list(unique)
    tokens = subject.tokenize(shown)
    features = chosen_features(subject, bank, layers)
    best = {site: Best(subject, site, ids, k, chosen, tokens) for site, ids in features.items()}

    def on_site(site: Site, activations: torch.Tensor, batch: Batch) -> None:
        best[site].add(activations, batch)

    for group in in_turns(subject.readers, list(features)):
        forward_pass(subject, tokens, group, on_site, batch_tokens=chosen.batch_tokens, progress=chosen.progress)
    parts = {site: best[site].part_texts(chosen.by_part) for site in features} if chosen.by_part else {}
    sentences = part_sentences(subject, shown, tokens, best, parts, chosen)
    rows = []
    for site in features:
        for feature, rank, part, example in ranked_examples(best[site].result(), sentences.get(site, [])):
            text = shown[example.text]
            pieces = token_pieces(text, tokens[example.text].offsets)[
                example.start : example.start + len(example.values)
            ]
            source = unique[text]
            about = (source.emotion, source.language) if isinstance(source, Stimulus) else (None, None)
            place = example.token - example.start
            row = (
                site.layer,
                str(site),
                feature,
                rank,
                example.activation,
                text,
                pieces,
                example.values,
                place,
                *about,
                part,
            )
            rows.append(row)
    return TopExamples(pd.DataFrame(rows, columns=list(COLUMNS)), len(shown))


def bank_texts(bank: FeatureBank) -> list[Stimulus]:
    """The stimuli that a bank was found with: the scenes, or each word in one carrier (in turn, so that all occur).

    Raises:
        EmotionInterpError: the bank was found on texts of the user's, which it does not hold.
    """
    kind = bank.manifest.get("stimuli", "words")
    if kind == "scenes":
        return scene_stimuli(bank.languages, bank.emotions)
    if kind != "words":
        raise EmotionInterpError("this bank was found on your own texts and does not hold them; pass texts=[...].")
    result = []
    for language in bank.languages:
        carriers = {"word": "{word}"}
        # a language of the user's has no shipped carriers: the bare words
        with suppress(UnknownNameError):
            carriers = concept_set(language).templates() or carriers
        names = list(carriers)
        spoken = rows_where(bank.words, bank.words["language"] == language)
        for number, row in enumerate(spoken.itertuples(index=False)):
            name = names[number % len(names)]
            head, tail = carriers[name].split("{word}")
            span = (len(head), len(head) + len(row.word))
            text = head + row.word + tail
            result.append(Stimulus(text, span, row.emotion, row.word, name, language, str(row.group)))
    return result


def token_pieces(text: str, offsets: Sequence[tuple[int, int]]) -> list[str]:
    """The stretch of text that each token stands for; joined, they are the text again.

    Characters that no token covers go with the token that follows; a token that only adds bytes to a character already
    shown is "".

    Example:
        >>> token_pieces("I 爱", [(0, 1), (1, 3), (2, 3), (2, 3)])
        ['I', ' 爱', '', '']
    """
    pieces, shown = [], 0
    for start, end in offsets:
        stop = max(shown, end) if end > start else shown
        pieces.append(text[shown:stop])
        shown = stop
    return pieces
