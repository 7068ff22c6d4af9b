"""Activations for training SAEs: one early-exit pass over windows of text, BOS and attention sinks left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from emotion_interp.activations.forward import Batch, forward_pass
from emotion_interp.core.errors import EmotionInterpError, NotFiniteError
from emotion_interp.core.seeds import generator
from emotion_interp.core.types import Site
from emotion_interp.subjects.subject import Subject
from emotion_interp.subjects.tokens import TokenizedText, bare_tokens

SINK_FACTOR = 8.0
"""A token whose norm is this many times the site's median is an attention sink."""

# batches that stay within the cache: with 4,096 tokens, half of a CPU's time goes into fresh pages for attention patterns
_BATCH_TOKENS = {"cpu": 1024}
_BATCH_TOKENS_ELSEWHERE = 16_384
_HELD_OUT_TOKENS = 50_000
_CALIBRATION_TOKENS = 16_384
# a GPU has room for blocks that mix more texts
_BLOCK_BYTES = {"cpu": 192 << 20}
_BLOCK_BYTES_ELSEWHERE = 2 << 30
_BLOCK_BATCHES = 32


def text_windows(
    subject: Subject, texts: Iterable[str], context: int, tokens: int | None = None
) -> list[TokenizedText]:
    """Cut texts into windows of at most `context` tokens, BOS first where the subject wants one.

    Unlike `Subject.tokenize` nothing behind the first window is lost. Stops once `tokens` readable tokens are there.
    """
    bos = (subject.tokenizer.bos_token_id,) if subject.prepends_bos else ()
    windows: list[TokenizedText] = []
    n_tokens = 0
    texts = list(texts)
    for first in range(0, len(texts), 512):
        for ids, _, spelled in bare_tokens(subject.tokenizer, texts[first : first + 512], offsets=False):
            # a BOS that a text spells stays at its start, and is not doubled
            before, start = (tuple(ids[:1]), 1) if spelled else (bos, 0)
            while start < len(ids):
                room = context - len(before)
                window = (*before, *ids[start : start + room])
                # position 0 is never read, so a window needs a second token
                if len(window) > 1:
                    windows.append(TokenizedText(window, ((0, 0),) * len(window), bool(before)))
                    n_tokens += len(window) - 1
                before, start = bos, start + room
            if tokens is not None and n_tokens >= tokens:
                return windows
    return windows


def readable_tokens(windows: Sequence[TokenizedText]) -> int:
    """Tokens that can be read: all but position 0 of each window."""
    return sum(len(window) - 1 for window in windows)


@dataclass(frozen=True)
class TextSplit:
    """Windows to train on, to set thresholds on, to measure on; apart by text."""

    train: list[TokenizedText]
    calibration: list[TokenizedText]
    held_out: list[TokenizedText]


def split_texts(
    subject: Subject,
    texts: Sequence[str],
    held_out: Sequence[str] | None,
    *,
    context: int,
    tokens: int,
    room: int,
    seed: int,
) -> TextSplit:
    """Set texts aside for calibration (at most a twentieth) and, without `held_out`, for measuring (at most a tenth).

    Args:
        subject: its tokenizer and context.
        texts: different texts.
        held_out: different texts to measure on, or None.
        context: tokens per window.
        tokens: how many are trained on; text far beyond that is not tokenised.
        room: largest number of calibration tokens.
        seed: which texts go where.

    Raises:
        EmotionInterpError: too little text.
    """
    if len(texts) < (2 if held_out else 3):
        raise EmotionInterpError(
            f"{len(texts)} different texts are too few to train, calibrate and measure apart; give more."
        )
    unseen = set(held_out or ())
    order: list[int] = generator(seed, "split").permutation(len(texts)).tolist()
    shuffled: list[str] = [texts[i] for i in order if texts[i] not in unseen]
    parts = []
    wanted = [(min(_CALIBRATION_TOKENS, room), 20)] + ([] if held_out else [(_HELD_OUT_TOKENS, 10)])
    for needed, share in wanted:
        taken = _count_until(subject, shuffled, context, needed, max(1, len(texts) // share))
        parts.append(text_windows(subject, shuffled[:taken], context, needed))
        shuffled = shuffled[taken:]
    if held_out:
        order = generator(seed, "held out").permutation(len(held_out)).tolist()
        parts.append(text_windows(subject, [held_out[i] for i in order], context, _HELD_OUT_TOKENS))
    # a little more than needed, since sinks and the ends of blocks are lost
    train = text_windows(subject, shuffled, context, round(1.05 * tokens))
    for name, windows in (("train on", train), ("calibrate on", parts[0]), ("measure on", parts[1])):
        if not windows:
            raise EmotionInterpError(
                f"no text is left to {name}: the texts become no tokens; give more or longer ones."
            )
    return TextSplit(train, parts[0], parts[1])


def _count_until(subject: Subject, texts: list[str], context: int, tokens: int, most: int) -> int:
    """How many of the first texts hold `tokens` tokens; at most `most`."""
    n_tokens, taken = 0, 0
    while taken < most and n_tokens < tokens:
        some = texts[taken : min(most, taken + 64)]
        n_tokens += readable_tokens(text_windows(subject, some, context))
        taken += len(some)
    return taken


def read_windows(
    subject: Subject,
    windows: Sequence[TokenizedText],
    sites: Sequence[Site],
    limits: Mapping[Site, float] | None = None,
) -> dict[Site, torch.Tensor]:
    """Activations of every token but BOS and sinks, in one pass: site -> [token, d_model], float32, rows aligned over sites.

    Args:
        subject: the model.
        windows: from `text_windows`.
        sites: where to read.
        limits: largest norm at each site; a token above it at any site is a sink and left out at all of them.

    Position 0 is left out also where there is no BOS: it attends to nothing but itself.

    Raises:
        NotFiniteError: NaN or infinite activations (looked for where `limits` are given).
    """
    parts: dict[Site, list[torch.Tensor]] = {site: [] for site in sites}

    def on_site(site: Site, activations: torch.Tensor, batch: Batch) -> None:
        # masks come from lengths: pad, bos and eos are often one id
        position = torch.arange(activations.shape[1], device=activations.device)
        lengths = torch.as_tensor(batch.lengths, device=activations.device)
        mask = (position[None, :] >= 1) & (position[None, :] < lengths[:, None])
        parts[site].append(activations[mask].float())

    batch_tokens = _BATCH_TOKENS.get(subject.device.type, _BATCH_TOKENS_ELSEWHERE)
    forward_pass(subject, windows, sites, on_site, batch_tokens=batch_tokens)
    activations_of = {site: torch.cat(parts.pop(site)) for site in sites}
    return activations_of if limits is None else without_sinks(activations_of, limits)


def without_sinks(activations: Mapping[Site, torch.Tensor], limits: Mapping[Site, float]) -> dict[Site, torch.Tensor]:
    """Leave out the tokens that are a sink at any site: site -> [token, d_model], rows aligned over sites.

    Raises:
        NotFiniteError: NaN or infinite activations.
    """
    keep = None
    for site, values in activations.items():
        norms = values.norm(dim=1)
        if not bool(norms.isfinite().all()):
            raise NotFiniteError(
                f"NaN or infinite activations at {site}. In half precision this is an overflow: load the model in float32."
            )
        small = norms <= limits[site]
        keep = small if keep is None else keep & small
    if keep is None or bool(keep.all()):
        return dict(activations)
    return {site: values[keep] for site, values in activations.items()}


def sink_limits(activations: Mapping[Site, torch.Tensor]) -> dict[Site, float]:
    """Largest norm of an ordinary token at each site: `SINK_FACTOR` times the median over real tokens."""
    return {site: SINK_FACTOR * float(values.norm(dim=1).median()) for site, values in activations.items()}


@dataclass(frozen=True)
class InputScaling:
    """What an SAE's input is standardised with, per coordinate: (x - mean) / deviation; both [d_model], or None for neither."""

    mean: torch.Tensor | None = None
    deviation: torch.Tensor | None = None

    @classmethod
    def of(cls, sample: torch.Tensor, standardize: bool) -> InputScaling:
        """From a sample [token, d_model]; without `standardize`, the scaling that changes nothing."""
        if not standardize:
            return cls()
        # a coordinate that hardly varies must not be blown up to the size of the others
        deviation = sample.double().std(0)
        return cls(sample.double().mean(0).float(), deviation.clamp_min(1e-3 * float(deviation.median())).float())

    def __call__(self, activations: torch.Tensor) -> torch.Tensor:
        """Standardise activations [token, d_model]."""
        if self.mean is None or self.deviation is None:
            return activations
        return (activations - self.mean) / self.deviation

    def fold(self, tensors: dict[str, torch.Tensor], subtracts_b_dec: bool) -> dict[str, torch.Tensor]:
        """Weights of a JumpReLU SAE of standardised input -> weights of the same SAE on the raw stream, decoder rows of norm 1.

        Args:
            tensors: W_enc [d_model, d_sae], W_dec [d_sae, d_model], b_enc, threshold [d_sae], b_dec [d_model].
            subtracts_b_dec: whether the SAE subtracts b_dec from its input before encoding.
        """
        if self.mean is None or self.deviation is None:
            return tensors
        mean, deviation = self.mean.double().cpu(), self.deviation.double().cpu()
        old = {name: tensor.double().cpu() for name, tensor in tensors.items()}
        decoder = old["W_dec"] * deviation
        norms = decoder.norm(dim=1).clamp_min(1e-12)
        encoder = old["W_enc"] / deviation[:, None]
        # with b_dec subtracted the mean cancels: x - (mean + deviation * b_dec) is deviation * (z - b_dec)
        bias = old["b_enc"] if subtracts_b_dec else old["b_enc"] - mean @ encoder
        folded = {
            "W_enc": encoder * norms,
            "W_dec": decoder / norms[:, None],
            "b_enc": bias * norms,
            "threshold": old["threshold"] * norms,
            "b_dec": mean + deviation * old["b_dec"],
        }
        return {**tensors, **{name: tensor.float().contiguous() for name, tensor in folded.items()}}


@dataclass(frozen=True)
class Cursor:
    """Where the next block of activations starts; with the seed it decides all that follows, so a run can go on from it."""

    epoch: int = 0
    window: int = 0
    block: int = 0


class ActivationBlocks:
    """Shuffled training batches of all sites, made block by block from windows in a seeded order.

    A block holds the tokens of many texts (bounded by memory) and is mixed within itself; no buffer outlives it. So the
    state of the stream is its `Cursor`, and a resumed run sees the very batches that an uninterrupted one sees.
    """

    def __init__(
        self,
        subject: Subject,
        windows: Sequence[TokenizedText],
        sites: Sequence[Site],
        limits: Mapping[Site, float],
        batch: int,
        seed: int,
    ) -> None:
        if not windows:
            raise EmotionInterpError("there is no text to train SAEs on: the texts become no tokens.")
        self.subject, self.windows, self.sites, self.limits = subject, windows, list(sites), limits
        self.batch, self.seed = batch, seed
        self.block_tokens = block_size(subject, len(self.sites), batch)

    def block(self, cursor: Cursor) -> tuple[dict[Site, torch.Tensor], np.ndarray, Cursor]:
        """One block: activations by site [token, d_model], row numbers of its batches [step, batch], and the next cursor."""
        epoch, start, tokens = cursor.epoch, cursor.window, 0
        chosen: list[TokenizedText] = []
        order = self._order(epoch)
        while tokens < self.block_tokens:
            if start == len(order):
                epoch, start = epoch + 1, 0
                order = self._order(epoch)
            window = self.windows[order[start]]
            chosen.append(window)
            tokens += len(window) - 1
            start += 1
        activations = read_windows(self.subject, chosen, self.sites, self.limits)
        n_tokens = len(activations[self.sites[0]])
        steps = n_tokens // self.batch
        if steps == 0:
            raise EmotionInterpError(
                f"of {tokens} tokens only {n_tokens} are no attention sinks, fewer than a batch of {self.batch}; "
                "this subject's activations are not what an SAE can be trained on."
            )
        mixed = generator(self.seed, "mix", cursor.block).permutation(n_tokens)
        return (
            activations,
            mixed[: steps * self.batch].reshape(steps, self.batch),
            Cursor(epoch, start, cursor.block + 1),
        )

    def _order(self, epoch: int) -> np.ndarray:
        return generator(self.seed, "epoch", epoch).permutation(len(self.windows))


def block_size(subject: Subject, n_sites: int, batch: int) -> int:
    """Tokens of one block: 32 batches, fewer where their activations at all sites would fill the memory, at least two."""
    room = _BLOCK_BYTES.get(subject.device.type, _BLOCK_BYTES_ELSEWHERE)
    return max(2 * batch, min(_BLOCK_BATCHES * batch, room // (4 * subject.d_model * n_sites)))
