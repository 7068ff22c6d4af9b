"""The recipe of the judge that has read stories alone and was tuned on them: upper layers of a sentence encoder, and a head.

A head on the untouched encoder (`story_reader`) tells few emotions of unseen stories apart. Tuned on the names that the
stories were written for, six times as many as the emotions that are judged, the upper layers learn what is near what.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch.nn.utils.rnn import pad_sequence

from emotion_interp.concepts.corpora import named_stories
from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.files import sha256_file
from emotion_interp.core.seeds import generator
from emotion_interp.judges.data import STORY_NAMES, TRAINING_TOPICS, corpus_texts
from emotion_interp.judges.encoder import TunedEncoder, write_encoder_judge
from emotion_interp.judges.encoder_training import EncoderRecipe, lower_states, tune
from emotion_interp.judges.story_reader import CHOOSING_TOPICS, pieces
from emotion_interp.judges.training import held_out_scores

if TYPE_CHECKING:
    import pandas as pd

FILE = "story_encoder.safetensors"
_BATCH = 512


@dataclass(frozen=True)
class StoryRecipe(EncoderRecipe):
    """`EncoderRecipe`, and names: what the name that a story was written for counts beside the emotion that is judged;
    0: names that belong to no judged emotion are left out."""

    names: float = 1.0


RECIPES = (StoryRecipe(epochs=3, names=0.0), StoryRecipe(epochs=3), StoryRecipe(epochs=6))
"""What is tried; the one with the highest mean AUROC on topics that it has not read is kept."""


def train_story_encoder(
    data: str | Path,
    folder: str | Path,
    out: str | Path,
    recipes: Sequence[StoryRecipe] = RECIPES,
    *,
    seed: int = 0,
    device: str = "cpu",
    report: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Tune the upper layers of a sentence encoder on stories of topics 64-69, and write `<out>/story_encoder.safetensors`.

    Every two sentences that follow each other are a text. Recipes are compared on topics 70-71, and no other text: what
    people wrote is not looked at.

    Args:
        data: a folder with `labelled/` and `corpora/`; see `corpus_texts`.
        folder: the encoder, in Hugging Face layout.
        out: where the file goes.
        recipes: what is tried.
        seed: order, dropout and the head's first weights.
        device: where it is tuned: a minute of a GPU, an hour of one core.
        report: receives one line per epoch and recipe.

    Returns:
        held-out figures, one row per emotion and data set; the function chooses nothing by them.

    Raises:
        EmotionInterpError: no recipe, or stories of fewer than two emotions.
        FileFormatError: a data file or the encoder is missing.

    Example:
        >>> train_story_encoder("data", "all-MiniLM-L6-v2", "judges")  # doctest: +SKIP
    """
    say = report or (lambda line: None)
    if not recipes:
        raise EmotionInterpError("recipes is a list of at least one StoryRecipe, got none.")
    told = [
        (topic, name, piece)
        for topic, name, text in named_stories(Path(data) / "corpora" / "emotion_stories.jsonl.gz")
        if topic in TRAINING_TOPICS
        for piece in pieces(text)
    ]
    _, test = corpus_texts(data, "stories", "en")
    classes, targets = _targets([name for _, name, _ in told])
    if len(classes) < 2:
        raise EmotionInterpError("the training stories have fewer than two emotions.")
    judged = targets[:, : len(classes)].any(1)
    choosing = np.isin([topic for topic, _, _ in told], list(CHOOSING_TOPICS))
    tried: list[tuple[float, TunedEncoder]] = []
    below: dict[int, list[torch.Tensor]] = {}
    for recipe in recipes:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(generator(seed, "encoder", "head").integers(2**31)))
            encoder = TunedEncoder(folder, targets.shape[1], recipe.tuned, device)
            # what lies below depends on how many layers are tuned
            if recipe.tuned not in below:
                below = {recipe.tuned: lower_states(encoder, [piece for _, _, piece in told])}
            states = below[recipe.tuned]
            rows = np.flatnonzero(~choosing & (judged if not recipe.names else True))
            counts = np.ones((len(rows), targets.shape[1]), dtype=np.float32)
            counts[:, len(classes) :] = recipe.names
            tune(encoder, [states[i] for i in rows], targets[rows], counts, recipe, seed, say)
        asked = np.flatnonzero(choosing & judged)
        truth = targets[asked, : len(classes)]
        heard = truth.any(0) & ~truth.all(0)
        answers = _logits(encoder, [states[i] for i in asked])[:, : len(classes)]
        quality = float(roc_auc_score(truth[:, heard], answers[:, heard], average="macro"))
        say(f"{recipe.epochs} epochs, names {recipe.names:g}: mean AUROC on unread topics {quality:.3f}")
        tried.append((quality, encoder))
    encoder = _of_classes(max(tried, key=lambda pair: pair[0])[1], folder, len(classes))
    probabilities = 1 / (1 + np.exp(-encoder.logits([t.text for t in test])))
    scores = held_out_scores(classes, probabilities, test)
    unseen = sorted({t.source for t in test} - {"stories"})
    write_encoder_judge(
        Path(out) / FILE, encoder, classes, scores, sha256_file(Path(folder) / "model.safetensors"), unseen
    )
    return scores


def _targets(names: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Judged emotions, and [text, emotion then name] of 1 and 0."""
    emotion_of = {name: emotion for emotion, several in STORY_NAMES.items() for name in several}
    classes = sorted({emotion_of[name] for name in names if name in emotion_of})
    every = sorted(set(names))
    targets = np.zeros((len(names), len(classes) + len(every)), dtype=np.float32)
    for row, name in enumerate(names):
        if name in emotion_of:
            targets[row, classes.index(emotion_of[name])] = 1
        targets[row, len(classes) + every.index(name)] = 1
    return classes, targets


def _logits(encoder: TunedEncoder, states: Sequence[torch.Tensor]) -> np.ndarray:
    """[text, output] of states below the tuned layers."""
    parts = []
    with torch.no_grad():
        for start in range(0, len(states), _BATCH):
            some = [s.float() for s in states[start : start + _BATCH]]
            parts.append(encoder.upper_logits(pad_sequence(some, batch_first=True), encoder.mask_of(some)).cpu())
    return torch.cat(parts).double().numpy()


def _of_classes(tuned: TunedEncoder, folder: str | Path, n: int) -> TunedEncoder:
    """The same encoder with the judged emotions' outputs alone, in the half precision that is kept."""
    state = {k: v.detach().cpu().half() for k, v in tuned.state().items()}
    kept = TunedEncoder(folder, n, len(tuned.upper))
    kept.load_state({k: v[:n] if k.startswith("head.") else v for k, v in state.items()})
    return kept
