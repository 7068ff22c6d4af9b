"""The recipe of the encoder judge: upper layers of a sentence encoder and a head, on comments and situations, no story."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils.rnn import pad_sequence

from emotion_interp.core.errors import EmotionInterpError
from emotion_interp.core.files import sha256_file
from emotion_interp.core.seeds import generator
from emotion_interp.judges.data import NEUTRAL, LabelledText, judge_texts
from emotion_interp.judges.encoder import TunedEncoder, write_encoder_judge
from emotion_interp.judges.training import held_out_scores

if TYPE_CHECKING:
    import pandas as pd

FILE = "encoder.safetensors"


@dataclass(frozen=True)
class EncoderRecipe:
    """Everything that decides the judge, with the seed.

    tuned: upper layers that are tuned. epochs, batch, lr: of AdamW; head_lr: of the head; both fall linearly to zero.
    """

    tuned: int = 2
    epochs: int = 4
    batch: int = 32
    lr: float = 1e-4
    head_lr: float = 1e-3
    weight_decay: float = 0.01


def train_encoder_judge(
    data: str | Path,
    folder: str | Path,
    out: str | Path,
    recipe: EncoderRecipe = EncoderRecipe(),
    *,
    seed: int = 0,
    limit: int | None = None,
    device: str = "cpu",
    report: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Tune the upper layers of a sentence encoder on GoEmotions, ISEAR and BRIGHTER, and write `<out>/encoder.safetensors`.

    A label that a data set does not know is not learnt from it: each text counts only for the labels of its data set. What
    the lower layers say is computed once and kept in half precision, so that an epoch costs the upper layers alone.

    Args:
        data: a folder with `labelled/` and `corpora/`; see `judge_texts`.
        folder: the encoder.
        out: where the file goes.
        recipe: sizes and rates.
        seed: order and dropout.
        limit: at most so many training texts.
        device: where it is tuned.
        report: receives one line per epoch.

    Returns:
        held-out figures, one row per emotion and data set.

    Raises:
        FileFormatError: a data file or the encoder is missing.
    """
    say = report or (lambda line: None)
    train, test = judge_texts(data, "en", stories=False)
    order = generator(seed, "encoder").permutation(len(train))[:limit]
    train = [train[i] for i in order]
    classes = [*sorted({e for t in train for e in t.emotions}), NEUTRAL]
    if len(classes) < 3:
        raise EmotionInterpError("the training texts have fewer than two emotions.")
    targets, known = _targets(train, classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(generator(seed, "encoder", "head").integers(2**31)))
        encoder = TunedEncoder(folder, len(classes), recipe.tuned, device)
        began = time.monotonic()
        states = lower_states(encoder, [t.text for t in train])
        say(f"{len(train):,} texts below the tuned layers: {time.monotonic() - began:,.0f} s")
        tune(encoder, states, targets, known, recipe, seed, say)
    probabilities = 1 / (1 + np.exp(-encoder.logits([t.text for t in test])))
    scores = held_out_scores(classes, probabilities, test)
    unseen = sorted({t.source for t in test} - {t.source for t in train})
    base = sha256_file(Path(folder) / "model.safetensors")
    write_encoder_judge(Path(out) / FILE, encoder, classes, scores, base, unseen)
    return scores


def _targets(texts: Sequence[LabelledText], classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """[text, class] of 1 and 0, and which of them the text's data set can say at all."""
    column = {name: i for i, name in enumerate(classes)}
    targets = np.zeros((len(texts), len(classes)), dtype=np.float32)
    for row, text in enumerate(texts):
        for emotion in text.emotions or (NEUTRAL,):
            targets[row, column[emotion]] = 1
    sources = np.asarray([t.source for t in texts])
    known = np.zeros_like(targets)
    for source in dict.fromkeys(sources):
        rows = sources == source
        known[rows] = targets[rows].max(0)
    return targets, known


def lower_states(encoder: TunedEncoder, texts: Sequence[str]) -> list[torch.Tensor]:
    """Hidden states below the tuned layers of each text [token, width], in half precision: computed once for all epochs."""
    lowered: dict[int, torch.Tensor] = {}
    for rows, batch in encoder.batches(texts):
        for row, states in zip(rows, batch, strict=True):
            lowered[row] = states.half().clone()
    return [lowered[i] for i in range(len(texts))]


def tune(
    encoder: TunedEncoder,
    states: Sequence[torch.Tensor],
    targets: np.ndarray,
    known: np.ndarray,
    recipe: EncoderRecipe,
    seed: int,
    say: Callable[[str], None],
) -> None:
    """Tune the upper layers and the head, which are left in evaluation mode.

    Args:
        encoder: changed in place.
        states: below the tuned layers, of each text [token, width].
        targets: [text, output] of 1 and 0.
        known: [text, output], what each cell counts.
        recipe: sizes and rates.
        seed: of the order of the texts.
        say: receives one line per epoch.
    """
    encoder.upper.requires_grad_(True).train()
    groups: list[dict[str, object]] = [
        {"params": list(encoder.upper.parameters()), "lr": recipe.lr},
        {"params": list(encoder.head.parameters()), "lr": recipe.head_lr},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
    batches = -(-len(states) // recipe.batch)
    steps = recipe.epochs * batches
    warm_up = max(1, steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm_up, max(0.0, (steps - step) / (steps - warm_up + 1)))
    )
    for epoch in range(recipe.epochs):
        rng, began, total = generator(seed, "encoder", "epoch", epoch), time.monotonic(), 0.0
        # batches of like length, in an order drawn anew
        shuffled = rng.permutation(len(states))
        by_length = sorted(shuffled, key=lambda i: len(states[i]) // 4)
        cuts = [by_length[i * recipe.batch : (i + 1) * recipe.batch] for i in rng.permutation(batches)]
        for rows in cuts:
            some = [states[i].float() for i in rows]
            logits = encoder.upper_logits(pad_sequence(some, batch_first=True), encoder.mask_of(some))
            truth, counts = (torch.from_numpy(table[rows]).to(encoder.device) for table in (targets, known))
            loss = (binary_cross_entropy_with_logits(logits, truth, reduction="none") * counts).sum() / counts.sum()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(encoder.upper.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        say(f"epoch {epoch + 1}/{recipe.epochs}: loss {total / batches:.4f}, {time.monotonic() - began:,.0f} s")
    encoder.upper.requires_grad_(False).eval()
