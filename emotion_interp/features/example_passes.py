"""The passes that top examples are read in: the k best windows of each feature, then sentences of each part of the texts."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from emotion_interp.activations import forward_pass
from emotion_interp.activations.forward import real_tokens
from emotion_interp.activations.reading import SINK_FACTOR
from emotion_interp.core.sentences import sentence_ranges
from emotion_interp.core.types import Site
from emotion_interp.features.options import ExampleOptions
from emotion_interp.stats.firing import PARTS, fires, firing_parts
from emotion_interp.subjects.shelf import in_turns

if TYPE_CHECKING:
    import torch

    from emotion_interp.activations.forward import Batch
    from emotion_interp.subjects import Subject
    from emotion_interp.subjects.tokens import TokenizedText

_LATENTS_AT_ONCE = 32_000_000
LONGEST = 40
"""Tokens of a sentence that are shown on either side of the maximum."""
TOP = "top"
"""The part of the texts on which a feature fires most; the others are those of `stats.firing.PARTS`."""


@dataclass(frozen=True)
class Example:
    """One example: which text, the maximum's token, where the window starts, and the window's activations."""

    activation: float
    text: int
    token: int
    start: int
    values: list[float]


class Best:
    """The k best texts of each feature of one site."""

    def __init__(
        self,
        subject: Subject,
        site: Site,
        features: np.ndarray,
        k: int,
        shown: ExampleOptions,
        tokens: Sequence[TokenizedText],
    ) -> None:
        self.reader, self.features, self.k = subject.readers[site], features, k
        self.before, self.after = shown.before, shown.after
        self.lengths = [len(t) for t in tokens]
        # (activation, -text) orders a heap with its worst example first; ties go to the earlier text
        self.heaps: list[list[tuple[float, int, Example]]] = [[] for _ in features]
        self.floor = np.zeros(len(features))
        self.peaks: list[tuple[np.ndarray, np.ndarray, np.ndarray]] | None = [] if shown.by_part else None
        """Of every batch (feature, text, maximum) where it fires, for the parts."""

    def add(self, activations: torch.Tensor, batch: Batch) -> None:
        for values, rows in self.read(activations, batch):
            self._keep(values, batch.rows[rows], batch.has_bos[rows])

    def read(self, activations: torch.Tensor, batch: Batch) -> Iterator[tuple[np.ndarray, slice]]:
        """Activations [row, token, feature] of some rows after others, 0 where nothing is content."""
        import torch

        norms = activations.float().norm(dim=-1).cpu().numpy()
        real = real_tokens(batch, activations.shape[1])
        usable = real & (norms <= SINK_FACTOR * float(np.median(norms[real]))) if real.any() else real
        chunk = max(1, _LATENTS_AT_ONCE // (self.reader.d_sae * activations.shape[1]))
        columns = torch.from_numpy(self.features)
        for start in range(0, len(batch.rows), chunk):
            rows = slice(start, start + chunk)
            part = activations[rows]
            latents = self.reader.encode(part.flatten(0, 1))
            values = latents[:, columns.to(latents.device)].float().cpu().numpy()
            yield values.reshape(part.shape[0], part.shape[1], -1) * usable[rows, :, None], rows

    def _keep(self, values: np.ndarray, texts: np.ndarray, has_bos: np.ndarray) -> None:
        """`values` is [row, token, feature]."""
        peaks = values.max(axis=1)
        if self.peaks is not None:
            at, of = np.nonzero(fires(peaks))
            self.peaks.append((of.astype(np.int32), texts[at].astype(np.int32), peaks[at, of].astype(np.float32)))
        for i, f in zip(*np.nonzero(fires(peaks) & (peaks >= self.floor)), strict=True):
            text, heap = int(texts[i]), self.heaps[f]
            key = (float(peaks[i, f]), -text)
            if len(heap) == self.k and key < heap[0][:2]:
                continue
            token = int(values[i, :, f].argmax())
            first = max(int(has_bos[i]), token - self.before)
            last = min(self.lengths[text], token + self.after + 1)
            example = Example(key[0], text, token, first, [float(v) for v in values[i, first:last, f]])
            (heapq.heappush if len(heap) < self.k else heapq.heapreplace)(heap, (*key, example))
            if len(heap) == self.k:
                self.floor[f] = heap[0][0]

    def part_texts(self, most: int) -> dict[int, list[tuple[int, str]]]:
        """Of each text that is to be read again, which features (columns) it is an example of, and of which part."""
        of, texts, peaks = (np.concatenate(parts) for parts in zip(*self.peaks or [], strict=True))
        # whatever the order of the batches, ties go to the earlier text
        order = np.lexsort((-texts, of))
        of, texts, peaks = of[order], texts[order], peaks[order]
        wanted: dict[int, list[tuple[int, str]]] = {}
        for column in range(len(self.features)):
            mine = slice(*np.searchsorted(of, [column, column + 1]))
            for name, places in firing_parts(peaks[mine]):
                spread = np.linspace(0, len(places) - 1, min(most, len(places)) + 2)[1:-1] if len(places) > 2 else [0.0]
                for place in dict.fromkeys(np.round(spread).astype(int).tolist()):
                    wanted.setdefault(int(texts[mine][places[place]]), []).append((column, name))
        return wanted

    def result(self) -> list[tuple[int, int, Example]]:
        """(feature, rank from 1, example)."""
        ordered = []
        for feature, heap in zip(self.features, self.heaps, strict=True):
            best = sorted(heap, key=lambda item: item[:2], reverse=True)
            ordered += [(int(feature), rank, item[2]) for rank, item in enumerate(best, 1)]
        return ordered


class Sentences:
    """Of some texts the sentence around the maximum of some features of one site."""

    def __init__(
        self,
        best: Best,
        wanted: dict[int, list[tuple[int, str]]],
        texts: list[int],
        shown: Sequence[str],
        tokens: Sequence[TokenizedText],
    ) -> None:
        self.best, self.wanted, self.texts, self.shown, self.tokens = best, wanted, texts, shown, tokens
        self.examples: list[tuple[int, str, Example]] = []

    def add(self, activations: torch.Tensor, batch: Batch) -> None:
        for values, rows in self.best.read(activations, batch):
            for i, number in enumerate(batch.rows[rows]):
                text = self.texts[int(number)]
                offsets = self.tokens[text].offsets
                ranges = sentence_ranges(self.shown[text], offsets)
                for column, part in self.wanted.get(text, []):
                    line = values[i, : len(offsets), column]
                    token = int(line.argmax())
                    first, stop = next((a, b) for a, b in ranges if a <= token < b)
                    first = max(first, int(batch.has_bos[rows][i]), token - LONGEST)
                    stop = min(stop, token + LONGEST)
                    example = Example(float(line[token]), text, token, first, [float(v) for v in line[first:stop]])
                    self.examples.append((int(self.best.features[column]), part, example))


def part_sentences(
    subject: Subject,
    shown: Sequence[str],
    tokens: Sequence[TokenizedText],
    best: dict[Site, Best],
    parts: dict[Site, dict[int, list[tuple[int, str]]]],
    chosen: ExampleOptions,
) -> dict[Site, list[tuple[int, str, Example]]]:
    """The examples of the parts, from a second pass over the texts that were chosen for any."""
    texts = sorted({text for wanted in parts.values() for text in wanted})
    if not texts:
        return {}
    readers = {site: Sentences(best[site], parts[site], texts, shown, tokens) for site in parts}
    again = [tokens[text] for text in texts]

    def on_site(site: Site, activations: torch.Tensor, batch: Batch) -> None:
        readers[site].add(activations, batch)

    for group in in_turns(subject.readers, list(parts)):
        forward_pass(subject, again, group, on_site, batch_tokens=chosen.batch_tokens, progress=chosen.progress)
    return {site: reader.examples for site, reader in readers.items()}


def ranked_examples(
    top: list[tuple[int, int, Example]], sentences: list[tuple[int, str, Example]]
) -> Iterator[tuple[int, int, str, Example]]:
    """(feature, rank, part, example): the strongest of each feature first, then its parts, strongest first."""
    order = {name: i for i, (_, _, name) in enumerate(PARTS)}
    later: dict[int, list[tuple[str, Example]]] = {}
    for feature, part, example in sorted(sentences, key=lambda s: (order[s[1]], -s[2].activation, s[2].text)):
        later.setdefault(feature, []).append((part, example))
    for feature, strongest in groupby(top, key=lambda item: item[0]):
        examples = [(TOP, example) for _, _, example in strongest] + later.get(feature, [])
        for rank, (part, example) in enumerate(examples, 1):
            yield feature, rank, part, example
