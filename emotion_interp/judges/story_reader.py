"""The recipe of the judge that has read stories alone, with a sentence encoder: a linear head on an untouched encoder.

N-grams of stories that never name an emotion say next to nothing about text of another kind; what an encoder makes of the
same stories does (docs/results/judges.md).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from emotion_interp.concepts.corpora import STORY_TOPICS, LabelledText, read_stories
from emotion_interp.core.files import sha256_file
from emotion_interp.judges.data import TRAINING_TOPICS, corpus_texts
from emotion_interp.judges.encoder import TunedEncoder, write_encoder_judge
from emotion_interp.judges.training import held_out_scores

if TYPE_CHECKING:
    import pandas as pd

FILE = "encoder_stories.safetensors"
PENALTIES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
"""Values of scikit-learn's C that are tried."""
CHOOSING_TOPICS = range(STORY_TOPICS["train"].stop - 2, STORY_TOPICS["train"].stop)
"""The last topics of training, on which the penalty is chosen."""
LEAST_WORDS = 6
"""Words of two sentences that say enough to learn from."""
LEAST_SPREAD = 1e-2
"""Least spread of a coordinate, in units of the median one."""


def pieces(text: str) -> list[str]:
    """Every two sentences of a story that follow each other: as long as what is judged.

    Example:
        >>> pieces("She shut the door behind her. It was not over yet. He stayed outside in the rain.")
        ['She shut the door behind her. It was not over yet.', 'It was not over yet. He stayed outside in the rain.']
    """
    sentences = re.split(r"(?<=[.!?])\s+", text.strip())
    pairs = [" ".join(sentences[i : i + 2]) for i in range(max(1, len(sentences) - 1))]
    return [pair for pair in pairs if len(pair.split()) >= LEAST_WORDS]


def train_story_reader(data: str | Path, folder: str | Path, out: str | Path) -> pd.DataFrame:
    """Fit a head on stories of topics 64-71 and write `<out>/encoder_stories.safetensors`.

    One ridge-penalised logistic regression for each emotion on the standardised mean of the encoder's last states; the
    penalty is the one with the highest mean AUROC on the last two of the topics, and all eight are fitted with it then.

    Args:
        data: a folder with `labelled/` and `corpora/`; see `corpus_texts`.
        folder: the encoder, which stays as it is.
        out: where the file goes.

    Returns:
        held-out figures, one row per emotion and data set; none of them was looked at for a choice.

    Raises:
        FileFormatError: a data file or the encoder is missing.
    """
    told = read_stories(Path(data) / "corpora" / "emotion_stories.jsonl.gz")
    parts = [
        (topic, LabelledText(piece, text.emotions, text.source))
        for topic, text in told
        if topic in TRAINING_TOPICS
        for piece in pieces(text.text)
    ]
    _, test = corpus_texts(data, "stories", "en")
    classes = sorted({emotion for _, part in parts for emotion in part.emotions})
    targets = np.asarray([[emotion in part.emotions for emotion in classes] for _, part in parts])
    encoder = TunedEncoder(folder, len(classes), tuned=0)
    states = mean_states(encoder, [part.text for _, part in parts])
    weights, bias = _fit(states, targets, _penalty(states, targets, np.asarray([topic for topic, _ in parts])))
    with torch.no_grad():
        # figures are those of the half precision that is kept
        encoder.head.weight.copy_(torch.from_numpy(weights).half())
        encoder.head.bias.copy_(torch.from_numpy(bias).half())
    probabilities = 1 / (1 + np.exp(-encoder.logits([text.text for text in test])))
    scores = held_out_scores(classes, probabilities, test)
    unseen = sorted({text.source for text in test} - {part.source for _, part in parts})
    base = sha256_file(Path(folder) / "model.safetensors")
    write_encoder_judge(Path(out) / FILE, encoder, classes, scores, base, unseen)
    return scores


def mean_states(encoder: TunedEncoder, texts: Sequence[str]) -> np.ndarray:
    """Mean of an encoder's last states over the tokens of each text: [text, width], float64."""
    means = np.zeros((len(texts), encoder.head.in_features))
    for rows, batch in encoder.batches(texts):
        for row, states in zip(rows, batch, strict=True):
            means[row] = states.double().mean(0).cpu().numpy()
    return means


def _penalty(states: np.ndarray, targets: np.ndarray, topics: np.ndarray) -> float:
    """The penalty that tells emotions apart best on topics which it was not fitted on."""
    choosing = np.isin(topics, list(CHOOSING_TOPICS))
    heard = targets[choosing].any(0) & targets[~choosing].any(0)
    quality = {}
    for penalty in PENALTIES:
        weights, bias = _fit(states[~choosing], targets[~choosing][:, heard], penalty)
        answers = states[choosing] @ weights.T + bias
        quality[penalty] = float(roc_auc_score(targets[choosing][:, heard], answers, average="macro"))
    return max(quality, key=quality.__getitem__)


def _fit(states: np.ndarray, targets: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights [emotion, width] and biases [emotion] on states that are not standardised."""
    mean, spread = states.mean(0), states.std(0)
    # a coordinate that hardly moves would get a weight beyond half precision
    spread = np.maximum(spread, LEAST_SPREAD * np.median(spread))
    scaled = (states - mean) / spread
    weights, bias = np.zeros((targets.shape[1], states.shape[1])), np.zeros(targets.shape[1])
    for emotion in range(targets.shape[1]):
        model = LogisticRegression(C=penalty, max_iter=1000).fit(scaled, targets[:, emotion])
        weights[emotion] = model.coef_[0] / spread
        bias[emotion] = model.intercept_[0] - weights[emotion] @ mean
    return weights, bias
