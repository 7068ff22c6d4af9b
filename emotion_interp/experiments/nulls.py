"""What random directions of the same length do: the null of every steering figure, in blocks that a killed run keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from emotion_interp.core.errors import EmotionInterpError, tell
from emotion_interp.core.files import atomic_file, kept_array, sha256_of
from emotion_interp.core.types import Site
from emotion_interp.directions.null_directions import OF_TEXTS, NullDirections, NullTexts, random_directions
from emotion_interp.experiments.question import GridQuestion
from emotion_interp.features.probe_fits import dense_cleaner
from emotion_interp.judges.judging import at_length, judged
from emotion_interp.judges.next_word import NextWords
from emotion_interp.steering.interventions import RowInterventions

BLOCK = 100
"""Random directions of one file."""
LEAST_LEFT = 1e-6
"""Of a direction of length one after cleaning: less is rounding."""


def drawn_nulls(question: GridQuestion, site: Site) -> dict[str, NullDirections]:
    """The random directions that a question asks for at a site; none where it asks for none."""
    nulls = question.nulls
    if not nulls.count:
        return {}
    return random_directions(question.subject, site, nulls.count, nulls.kinds, question.seed, nulls.texts)


def as_the_method(
    drawn: Mapping[str, NullDirections], method: str, texts: NullTexts | None, bank: object = None
) -> dict[str, NullDirections]:
    """Random directions as a method makes the emotions': under "dense_clean" those made of texts are without what neutral texts vary in.

    A null that keeps what was taken out of the emotions' directions is easier, or harder, for no reason of theirs. Where
    the texts have no neutral ones but the bank has, that is said in a warning.

    Raises:
        EmotionInterpError: a direction holds nothing but what neutral texts vary in.
    """
    kinds = [kind for kind in drawn if kind in OF_TEXTS]
    if method != "dense_clean" or texts is None or not kinds:
        return dict(drawn)
    neutral = np.asarray(texts.emotions) == "neutral"
    if not neutral.any():
        words = getattr(bank, "words", None)
        if words is not None and (words["emotion"] == "neutral").any():
            tell(
                "random directions of texts without the emotion 'neutral' are not cleaned as those of 'dense_clean' are; "
                "give texts that have it."
            )
        return dict(drawn)
    found, site = dict(drawn), drawn[kinds[0]].site
    clean = dense_cleaner(np.asarray(texts.values[site]), neutral.astype(int), 1)
    for kind in kinds:
        units = clean(drawn[kind].units)
        lengths = np.linalg.norm(units, axis=1, keepdims=True)
        if lengths.min() < LEAST_LEFT:
            raise EmotionInterpError(
                f"a random direction of the kind {kind!r} at {site} is nothing but what the neutral texts vary in; give more texts."
            )
        found[kind] = replace(drawn[kind], units=units / lengths)
    return found


def no_own(question: GridQuestion, drawn: NullDirections, emotion: str) -> np.ndarray:
    """Which random directions are none of the emotion's own: decoder rows of its selected features are: [direction]."""
    chosen = getattr(question.nulls.bank, "selected_features", None)
    if drawn.latents is None or chosen is None or emotion not in getattr(question.nulls.bank, "emotions", [emotion]):
        return np.ones(len(drawn), dtype=bool)
    return ~np.isin(drawn.latents, np.asarray(chosen(drawn.site, emotion=emotion), dtype=np.int64))


def random_answers(question: GridQuestion, scale: float, dose: float, drawn: NullDirections) -> np.ndarray:
    """Every emotion's judged probability under random directions: [direction, prompt, emotion].

    With `nulls.folder` each block of directions is kept there under the hash of all that it depends on, and taken
    again: the null is the costly part of a test, and depends on no emotion's direction. A text judge's answers are kept
    for all its emotions; it is known by what it answers to the prompts.

    Raises:
        FileFormatError: a kept block is damaged.
    """
    wide, columns = question, list(range(len(question.emotions)))
    if not isinstance(question.judge, NextWords):
        known = list(question.judge.emotions)
        wide = replace(question, emotions=tuple(dict.fromkeys([*known, *question.emotions])))
        columns = [wide.emotions.index(e) for e in question.emotions]
    # a function has no name that the next run would know it by
    on_disk = question.nulls.folder is not None and not callable(question.positions)
    asked = _identity(wide, drawn.site) if on_disk else None
    parts = []
    for start in range(0, len(drawn), BLOCK):
        rows = at_length(drawn.site, drawn.units[start : start + BLOCK], dose * scale)
        parts.append(_block(wide, rows, drawn.site, asked)[:, :, columns])
    return np.concatenate(parts)


def answers_beside(
    question: GridQuestion, scale: float, drawn: Mapping[str, NullDirections], cells: Sequence[tuple[float, str]]
) -> list[dict[str, np.ndarray]]:
    """For each dose and method kind -> `random_answers` of the directions made as that method's; each is asked once a dose."""
    nulls = question.nulls
    made = {m: as_the_method(drawn, m, nulls.texts, nulls.bank) for m in dict.fromkeys(method for _, method in cells)}
    known: dict[tuple[float, int], np.ndarray] = {}
    for dose, method in dict.fromkeys(cells):
        for vectors in made[method].values():
            if (dose, id(vectors)) not in known:
                known[dose, id(vectors)] = random_answers(question, scale, dose, vectors)
    return [{kind: known[dose, id(v)] for kind, v in made[method].items()} for dose, method in cells]


def _block(question: GridQuestion, rows: RowInterventions, site: Site, asked: dict[str, object] | None) -> np.ndarray:
    if question.nulls.folder is None or asked is None:
        return judged(question, rows)
    vectors = sha256_of(np.asarray(rows.vectors[site], dtype=np.float64).round(6).tolist())
    path = Path(question.nulls.folder) / f"{sha256_of({**asked, 'vectors': vectors})[:32]}.npy"
    shape = (rows.n_rows, len(question.prompts), len(question.emotions))
    if path.is_file():
        return kept_array(path, shape, "answers of random directions")
    answers = judged(question, rows)
    with atomic_file(path) as temporary:
        np.save(temporary.with_suffix(".npy"), answers, allow_pickle=False)
    return answers


def _identity(question: GridQuestion, site: Site) -> dict[str, object]:
    """Everything that a block's answers depend on but its vectors."""
    judge = question.judge
    if isinstance(judge, NextWords):
        asked: object = {e: list(ids) for e, ids in judge.token_ids.items()}
    else:
        asked = np.asarray(judge.predict_proba(list(question.prompts)), dtype=np.float64).round(6).tolist()
    known: object = question.subject.provenance
    if not known:
        # a user's own model: two of one name differ in their weights

        known = [
            [n, p.numel(), f"{float(p.detach().sum(dtype=torch.float64)):.6e}"]
            for n, p in question.subject.model.named_parameters()
        ]
    return {
        "subject": [question.subject.name, known],
        "site": str(site),
        "prompts": list(question.prompts),
        "judge": [type(judge).__name__, list(judge.emotions), asked],
        "emotions": list(question.emotions),
        "positions": repr(question.positions),
        "texts": [question.max_new_tokens, question.samples, question.seed, dict(question.options)],
    }
